"""One tiny gateway for the tests of a module, and a folder, a ring of keys and a project for one test."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from cortex_pipelines.serving.gateway import Gateway
from cortex_pipelines.serving.security.keys import KeyRing
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


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture
def keys(tmp_path: Path) -> KeyRing:
    return KeyRing(tmp_path / "keys")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copy(tinygateway.ROOT / "params.yaml", tmp_path)
    monkeypatch.setenv("CORTEX_ROOT", str(tmp_path))
    return tmp_path
