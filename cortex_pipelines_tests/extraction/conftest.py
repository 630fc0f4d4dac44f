import pytest

from cortex_pipelines.extraction.settings import ExtractionSettings
from cortex_pipelines_tests.parameters import EXTRACTION


@pytest.fixture(scope="session")
def settings() -> ExtractionSettings:
    return EXTRACTION
