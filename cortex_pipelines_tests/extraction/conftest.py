import pytest

from cortex_pipelines.extraction.settings import ExtractionSettings


@pytest.fixture(scope="session")
def settings() -> ExtractionSettings:
    return ExtractionSettings(
        max_file_bytes=2_000_000,
        max_nesting=32,
        max_header_chars=400,
        max_repeated_bytes=100_000,
        chunk_bytes=2000,
    )
