"""One workshop for all tests of the room."""

import pytest

from cortex_pipelines_tests.evaluation.workshop import Workshop


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("workshop"))
