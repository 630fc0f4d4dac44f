"""A copy of this project in a temporary folder, small and whole, that a measurement may wear out.

Its code is a copy of the package; its sources are packages of Python's standard library, real code
that is on every machine; its models are untrained ones of a few kilobytes.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import tinyweights
from benchmarks.timing import Spent, command
from cortex_pipelines.catalog import ASSETS
from cortex_pipelines.versioning.project import read_yaml, write_yaml

CHECKOUT = Path(__file__).parents[1]
SOURCES = {
    "network": ("asyncio", "http", "urllib", "email"),
    "testing": ("unittest", "logging"),
    "formats": ("json", "xml", "importlib"),
}
"""Project, to the packages of the standard library that are its source."""

DATA_STAGES = tuple(
    asset.name
    for asset in ASSETS
    if asset.partitioned and asset.determinism == "exact" and "interactions" not in asset.parameters
)
"""Everything that is made from one project's sources alone, without a neural network,
in order."""

_COPIED = (
    *(".dvc/config", ".dvcignore", ".gitignore", "data/.gitignore", ".dagster/dagster.yaml"),
    *("workspace.yaml", "pyproject.toml"),
)
_SMALL = {
    "routing": {"trials": 1, "epochs": 2, "max_tokens": 32, "resamples": 100},
    "adapters": {"max_tokens": 3000, "max_length": 512, "validation_tokens": 500, "threads": 1},
    "general": {"project": None},
    "evaluation": {"items": 10, "resamples": 100, "threads": 1},
}


class Workspace:
    """A project in a folder of its own.

    Args:
        root: The folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def create(cls, root: Path, projects: Sequence[str] = tuple(SOURCES)) -> "Workspace":
        """Copy the code, write sources, parameters and pins; nothing is made yet."""
        work = cls(root)
        ignore = shutil.ignore_patterns("__pycache__", "results")
        for package in ("cortex_pipelines", "benchmarks"):
            shutil.copytree(CHECKOUT / package, root / package, ignore=ignore)
        shutil.copytree(CHECKOUT / "data" / "samples", root / "data" / "samples")
        for name in _COPIED:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(CHECKOUT / name, root / name)
        library = Path(sysconfig.get_path("stdlib"))
        for name in projects:
            for package in SOURCES[name]:
                shutil.copytree(library / package, work.source(name) / package, ignore=ignore)
        tinyweights.write_models(root / "weights")
        write_yaml(root / "params.yaml", _parameters(projects))
        work.prepare()
        return work

    def add_project(self, name: str) -> None:
        """Enter the folder ``source(name)`` as a project, and take its pin."""
        values = read_yaml(self.root / "params.yaml")
        values["projects"][name] = {"sources": [{"directory": f"sources/{name}"}]}
        write_yaml(self.root / "params.yaml", values)
        self.cortex("update", name)

    def source(self, project: str) -> Path:
        """Folder with a project's code."""
        return self.root / "sources" / project

    def prepare(self) -> None:
        """Take the pins, generate dvc.yaml, and commit."""
        self.cortex("update")
        self.cortex("dvc-yaml")
        self._git("init", "-q")
        self._git("add", "--all")
        self._git("-c", "user.name=b", "-c", "user.email=b@example.org", "commit", "-qm", "begin")

    def cortex(self, *words: str) -> Spent:
        """What a ``cortex`` command costs as a process."""
        return command((_program("cortex"), *words), self.root, self.environment)

    def dvc(self, *words: str) -> Spent:
        """What a ``dvc`` command costs as a process."""
        return command((_program("dvc"), *words), self.root, self.environment)

    def python(self, *words: str) -> Spent:
        """What Python costs as a process."""
        return command((sys.executable, *words), self.root, self.environment)

    @property
    def environment(self) -> dict[str, str]:
        """Variables of a process that is to run the copy's code on the copy."""
        return clean_environment() | {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "PYTHONPATH": str(self.root),
            "PYTHONWARNINGS": "ignore",
            "HF_HUB_OFFLINE": "1",
            "DVC_NO_ANALYTICS": "1",
            "TOKENIZERS_PARALLELISM": "false",
        }

    def set_parameter(self, section: str, key: str, value: Any) -> None:
        """Edit ``params.yaml``."""
        values = read_yaml(self.root / "params.yaml")
        values.setdefault(section, {})[key] = value
        write_yaml(self.root / "params.yaml", values)

    def _git(self, *words: str) -> None:
        subprocess.run(("git", "-C", str(self.root), *words), check=True, capture_output=True)


def clean_environment() -> dict[str, str]:
    """This process's variables without those that say where some project's state is."""
    ours = ("DVC_", "DAGSTER_", "CORTEX_", "MLFLOW_", "PYTHONPATH", "VIRTUAL_ENV")
    return {key: value for key, value in os.environ.items() if not key.startswith(ours)}


def _program(name: str) -> str:
    return str(Path(sys.executable).parent / name)


def _parameters(projects: Sequence[str]) -> dict[str, Any]:
    entries = {name: {"sources": [{"directory": f"sources/{name}"}]} for name in projects}
    models = {"base": {"directory": "weights/base"}, "encoder": {"directory": "weights/encoder"}}
    return {"profile": "demo", "projects": entries, "models": models, **_SMALL}
