"""Settings of the router for a small encoder."""

import pytest

from cortex_pipelines.routing.settings import RoutingSettings
from cortex_pipelines_tests.parameters import sections


@pytest.fixture(scope="session")
def settings() -> RoutingSettings:
    """The project's settings, with a short search."""
    values = sections()["routing"]
    return RoutingSettings.model_validate(
        {**values, "trials": 3, "epochs": 4, "max_tokens": 32, "kernel_features": 256}
    )
