"""Alternatives that a user might write: scripts that call the same functions, with or without DVC.

As a program: ``python -m benchmarks.plain OUT PROJECT STAGE...`` makes these stages below OUT.
"""

import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.timing import Spent, command
from benchmarks.workspace import DATA_STAGES, SOURCES, Workspace
from cortex_pipelines.catalog import ASSETS
from cortex_pipelines.config import load_parameters
from cortex_pipelines.ingestion.project_sources import ProjectSource
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.versioning.asset import VersionedAsset
from cortex_pipelines.versioning.project import find_root, read_yaml, write_yaml

_ASSETS = {asset.name: asset for asset in ASSETS}


def make(root: Path, out: Path, project: str, stages: tuple[str, ...], rows: Path | None = None) -> int:
    """Call each stage's function and write its output as Parquet, nothing else.

    Args:
        root: Project whose parameters and pins count.
        out: Where the stages' folders are.
        project: Which of its projects.
        stages: What to make, in order.
        rows: Folder of row caches that are kept; without one every row is computed.

    Returns:
        Number of rows written.
    """
    with tempfile.TemporaryDirectory() as nothing:
        prepared = [prepare(root, out, project, name, rows or Path(nothing)) for name in stages]
        return sum(act() for act in prepared)


def prepare(root: Path, out: Path, project: str, stage: str, rows: Path) -> Callable[[], int]:
    """Read the parameters and pins of a stage; what is returned makes it, and says how many rows.

    Args:
        root: Project whose parameters and pins count.
        out: Where the stages' folders are.
        project: Which of its projects.
        stage: What to make.
        rows: Folder of row caches.
    """
    asset = _ASSETS[stage]
    folder = out / stage / project
    folder.mkdir(parents=True, exist_ok=True)
    params = load_parameters(root)
    pins = read_yaml(root / "sources.lock")["projects"][project]
    inputs: dict[str, Any] = {
        "project": project,
        "root": root,
        "out": folder,
        "cache": RowCache(rows / stage, "1"),
        "project_source": ProjectSource(params.projects[project], tuple(pins)),
        **{name: out / name / project for name in DATA_STAGES},
    }
    arguments = {name: inputs.get(name) or getattr(params, name) for name in asset.parameters}
    return partial(_make, asset, arguments, folder)


def _make(asset: VersionedAsset, arguments: dict[str, Any], folder: Path) -> int:
    frames = asset(**arguments) or {}
    for name, frame in frames.items():
        frame.write_parquet(folder / f"{name}.parquet", compression_level=3)
    return sum(frame.height for frame in frames.values())


class PlainStages:
    """The same data stages in a ``dvc.yaml`` of the usual sort, in a folder beside the project.

    Args:
        work: Project whose sources and functions are used.
        projects: Which of its projects.
    """

    def __init__(self, work: Workspace, projects: tuple[str, ...] = tuple(SOURCES)) -> None:
        self._work = work
        self.root = work.root.with_name(work.root.name + "-plain")
        self.root.mkdir()
        stages = {f"{stage}-{project}": self._stage(stage, project) for project in projects for stage in DATA_STAGES}
        write_yaml(self.root / "dvc.yaml", {"stages": stages})
        self.dvc("init", "--no-scm")

    def dvc(self, *words: str) -> Spent:
        """Cost of a ``dvc`` command as a process."""
        program = str(Path(sys.executable).with_name("dvc"))
        return command((program, *words), self.root, self._environment)

    def script(self, project: str) -> Spent:
        """Cost of one process that computes all stages."""
        words = (sys.executable, "-m", "benchmarks.plain", "scripted", project, *DATA_STAGES)
        return command(words, self.root, self._environment)

    @property
    def _environment(self) -> dict[str, str]:
        return self._work.environment | {"CORTEX_ROOT": str(self._work.root)}

    def _stage(self, stage: str, project: str) -> dict[str, Any]:
        parameters = _ASSETS[stage].parameters
        deps = [f"{name}/{project}" for name in parameters if name in DATA_STAGES]
        if "project_source" in parameters:
            deps.append(str(self._work.source(project)))
        return {"cmd": f"python -m benchmarks.plain . {project} {stage}", "deps": deps, "outs": [f"{stage}/{project}"]}


if __name__ == "__main__":
    make(find_root(), Path(sys.argv[1]), sys.argv[2], tuple(sys.argv[3:]))
