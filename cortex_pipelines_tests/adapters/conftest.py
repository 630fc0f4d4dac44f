"""One tiny base and one pair of data sets for all tests of the room."""

from pathlib import Path

import pytest

from cortex_pipelines_tests.adapters import tinymodel


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project root with the base in ``base``."""
    folder = tmp_path_factory.mktemp("root")
    tinymodel.write_tiny_base(folder / "base")
    return folder


@pytest.fixture
def train(root: Path, datasets: tinymodel.Datasets, tmp_path: Path) -> tinymodel.Train:
    """Trains into a new folder below the test's; the record of it."""
    return lambda name="adapter", **changes: tinymodel.train_record(root, datasets, tmp_path / name, **changes)


@pytest.fixture(scope="session")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Task to the folder of its data set."""
    return tinymodel.write_datasets(tmp_path_factory.mktemp("datasets"))
