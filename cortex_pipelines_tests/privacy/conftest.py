from pathlib import Path

import pytest

from cortex_pipelines.privacy.settings import PrivacySettings
from cortex_pipelines.versioning.project import read_yaml


@pytest.fixture(scope="session")
def settings() -> PrivacySettings:
    root = Path(__file__).resolve().parents[2]
    return PrivacySettings.model_validate(read_yaml(root / "params.yaml")["privacy"])
