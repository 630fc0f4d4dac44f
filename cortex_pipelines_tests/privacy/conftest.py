import pytest

from cortex_pipelines.privacy.settings import PrivacySettings
from cortex_pipelines_tests.parameters import sections


@pytest.fixture(scope="session")
def settings() -> PrivacySettings:
    return PrivacySettings.model_validate(sections()["privacy"])
