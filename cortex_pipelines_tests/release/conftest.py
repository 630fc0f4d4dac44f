"""One tiny base for the tests that load adapters."""

import pytest

from cortex_pipelines.adapters.model.base_model import BaseModel, base_digest
from cortex_pipelines_tests.adapters import tinymodel


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> BaseModel:
    root = tmp_path_factory.mktemp("tiny")
    folder = tinymodel.write_tiny_base(root / "base")
    return BaseModel(folder, "directory:base", base_digest(tinymodel.pinned(root)))
