"""A sentence encoder small enough to be made anew in each run, and settings to use it with."""

from pathlib import Path

import pytest

from cortex_pipelines.routing.settings import RoutingSettings
from cortex_pipelines_tests.parameters import sections
from cortex_pipelines_tests.routing.tinyencoder import make_tiny_encoder

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of an untrained encoder with the architecture of the default one."""
    return make_tiny_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="session")
def settings() -> RoutingSettings:
    """The project's settings, with a short search."""
    values = sections()["routing"]
    return RoutingSettings.model_validate(
        {**values, "trials": 3, "epochs": 4, "max_tokens": 32, "kernel_features": 256}
    )
