import pytest

from cortex_pipelines.config import load_parameters
from cortex_pipelines.extraction.settings import RefactoringSettings


@pytest.fixture(scope="session")
def settings(request: pytest.FixtureRequest) -> RefactoringSettings:
    return load_parameters(request.config.rootpath).refactoring
