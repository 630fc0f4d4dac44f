"""One tiny gateway for the tests of a module."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cortex_pipelines.serving.gateway import Gateway
from cortex_pipelines_tests.serving import tinygateway


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tinygateway.write(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="module")
def gateway(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    opened = tinygateway.open_tiny(home, tmp_path_factory.mktemp("state"))
    close, opened.close = opened.close, lambda: None  # type: ignore[method-assign]  # applications close it
    yield opened
    close()
