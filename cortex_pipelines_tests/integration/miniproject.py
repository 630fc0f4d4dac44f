"""A small real project: two code bases, the sample of logs, a tiny base model, the whole graph.

``alpha`` is a git repository of real Python modules in four commits, ``beta`` a folder with files
in five languages. Both lie inside the project, so that a copy of it elsewhere is the same project.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import dagster as dg
from click.testing import CliRunner, Result

from cortex_pipelines.catalog import ASSETS
from cortex_pipelines.cli.main import main
from cortex_pipelines.config import LAYOUT
from cortex_pipelines.orchestration.location import open_location
from cortex_pipelines.projects.parameter_file import round_trip
from cortex_pipelines.versioning.dagster.instance import open_instance
from cortex_pipelines.versioning.parameters import FOLDER
from cortex_pipelines.versioning.project import Project, read_yaml, write_yaml
from cortex_pipelines_tests.adapters.tinymodel import write_tiny_base
from cortex_pipelines_tests.parameters import load_cases
from cortex_pipelines_tests.versioning.toy import begin_dvc, run_dvc

CASES = load_cases(__file__)

REPOSITORY = Path(__file__).parents[2]
BIN = Path(sys.executable).parent

COMMITS = (("extraction",), ("annotation", "datasets"), ("ingestion",))
"""Rooms whose modules each commit of alpha adds; the last commit adds its readme."""

EXACT = tuple(asset.name for asset in ASSETS if asset.determinism == "exact")
"""Assets that come out the same everywhere: all that needs no neural network."""

SMALL: dict[str, dict[str, Any]] = CASES["SMALL"]

# The gates: an accuracy above nothing is promoted, an adapter with so few items is kept.
GATES: dict[str, dict[str, Any]] = {
    "task_router": {"figure": "challenger", "smallest_improvement": 0.0, "smallest_items": 2, "guards": {}},
    "code_adapter": {"smallest_items": 100000, "guards": {}},
}

GO = CASES["GO"]
JAVASCRIPT = CASES["JAVASCRIPT"]
JAVA = CASES["JAVA"]
RUST = CASES["RUST"]


class MiniProject:
    """A project in a folder, and what a person does with it, in this process."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def create(
        cls,
        root: Path,
        sources: Callable[[Path], None] | None = None,
        edit: Callable[[Any], None] | None = None,
        base: Callable[[Path], object] = write_tiny_base,
    ) -> "MiniProject":
        """A project with its pins taken and ``dvc.yaml`` written; nothing is made yet."""
        mini = cls(root)
        shutil.copytree(
            REPOSITORY / "cortex_pipelines", root / "cortex_pipelines", ignore=shutil.ignore_patterns("__pycache__")
        )
        for name in (".dvcignore", ".gitignore", "constraints.txt"):
            shutil.copy(REPOSITORY / name, root / name)
        with (root / ".gitignore").open("a") as ignored:
            ignored.write("/sources/\n/models/\n")
        shutil.copytree(REPOSITORY / "data" / "samples", root / "data" / "samples")
        shutil.copy(REPOSITORY / "data" / ".gitignore", root / "data" / ".gitignore")
        base(root / "models" / "base")
        (sources or write_sources)(root / "sources")
        values = parameters()
        if edit:
            edit(values)
        write_yaml(root / "params.yaml", values)
        git(root, "init", "-q", "-b", "main")
        begin_dvc(root)
        mini.cortex("update")
        mini.cortex("dvc-yaml")
        mini.commit()
        return mini

    def copy(self, root: Path) -> "MiniProject":
        passing = shutil.ignore_patterns("*.aside")
        shutil.copytree(self.root, root, symlinks=True, copy_function=_copy_unless_gone, ignore=passing)
        return MiniProject(root)

    def cortex(self, *words: str, status: int = 0) -> Result:
        with contextlib.chdir(self.root), without_root_variable():
            result = CliRunner().invoke(main, list(words))
        problem = "".join(traceback.format_exception(*result.exc_info)) if result.exc_info else ""
        assert result.exit_code == status, f"{words}: {result.output}\n{problem}"
        return result

    def status(self) -> list[dict[str, Any]]:
        return list(json.loads(self.cortex("status", "--json").stdout))

    def repro(self, *targets: str) -> str:
        """``dvc repro`` as a person calls it, whose commands are processes of their own."""
        return run_in(self.root, "dvc", "repro", *targets)

    def dvc_status(self) -> dict[str, Any]:
        return dict(json.loads(run_dvc(self.root, "status", "--json")))

    def open(self) -> tuple[Project, dg.Definitions]:
        return open_location(self.root)

    def instance(self) -> dg.DagsterInstance:
        return open_instance(self.root)

    def lock(self) -> dict[str, Any]:
        """The stages of the assets; the one that writes the parameters is left out."""
        stages = dict(read_yaml(self.root / "dvc.lock").get("stages", {}))
        stages.pop("parameters", None)
        return stages

    def pinned_models(self) -> list[str]:
        return sorted(read_yaml(self.root / "sources.lock")["models"])

    def version(self, address: str) -> str:
        return str(self.lock()[address]["outs"][0]["md5"])

    def edit_params(self, change: Callable[[Any], None]) -> None:
        edit_yaml(self.root / "params.yaml", change)

    def commit(self, message: str = "state") -> str:
        return commit(self.root, message)

    def commit_to_alpha(self, files: dict[str, str], message: str = "add a module") -> str:
        for name, text in files.items():
            path = self.root / "sources" / "alpha" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return commit(self.root / "sources" / "alpha", message)

    def outputs(self) -> dict[str, bytes]:
        """Every output below ``data``, by path, and the locks; parameters are not outputs."""
        files = [path for path in (self.root / "data").rglob("*") if path.is_file()]
        files += [self.root / name for name in ("sources.lock", "releases.lock")]
        parameters = self.root / FOLDER
        contents = {
            path.relative_to(self.root).as_posix(): path.read_bytes()
            for path in files
            if path.exists() and parameters not in path.parents
        }
        stages = self.lock()
        return contents | ({"dvc.lock": json.dumps(stages).encode()} if stages else {})


def parameters() -> dict[str, Any]:
    projects = {
        "alpha": {"sources": [{"git": "sources/alpha", "ref": "main"}]},
        "beta": {"sources": [{"directory": "sources/beta"}]},
    }
    sections: dict[str, Any] = {name: {} for name in LAYOUT.sections}
    return deepcopy({"profile": "demo", "projects": projects, **sections, **SMALL, "release": GATES})


def write_sources(folder: Path) -> None:
    write_alpha(folder / "alpha")
    write_beta(folder / "beta")


def write_alpha(folder: Path) -> None:
    folder.mkdir(parents=True)
    git(folder, "init", "-q", "-b", "main")
    for rooms in COMMITS:
        for room in rooms:
            for module in sorted((REPOSITORY / "cortex_pipelines" / room).glob("*.py")):
                (folder / room).mkdir(exist_ok=True)
                shutil.copy(module, folder / room / module.name)
        commit(folder, f"Add the code for {' and '.join(rooms)}")
    (folder / "README.md").write_text("# alpha\n")
    commit(folder, "Describe it")


def write_beta(folder: Path) -> None:
    folder.mkdir(parents=True)
    for room in ("routing", "evaluation"):
        for module in sorted((REPOSITORY / "cortex_pipelines" / room).glob("*.py")):
            shutil.copy(module, folder / f"{room}_{module.name}")
    texts = {"stack.go": GO, "lines.js": JAVASCRIPT, "History.java": JAVA, "degrees.rs": RUST}
    for name, text in texts.items():
        (folder / name).write_text(text)


def edit_yaml(path: Path, change: Callable[[Any], None]) -> None:
    yaml = round_trip()
    values = yaml.load(path.read_text())
    change(values)
    with path.open("w") as file:
        yaml.dump(values, file)


def commit(folder: Path, message: str) -> str:
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "--allow-empty", "-m", message)
    return git(folder, "rev-parse", "HEAD")


def git(folder: Path, *words: str) -> str:
    """git with a fixed author and date and nobody's settings, so that commits have fixed ids."""
    identity = {"NAME": "Nobody", "EMAIL": "nobody@example.org", "DATE": "1700000000 +0100"}
    environment = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in identity.items()}
    alone = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    # a git that tidies up in the background changes what is copied meanwhile
    quiet = ("-c", "maintenance.auto=false")
    return run_in(folder, "git", *quiet, *words, **environment, **alone)


def run_in(folder: Path, *words: str, **environment: str) -> str:
    """Output of a program that has to succeed; this environment comes first on the PATH."""
    foreign = ("GIT_", "DVC_", "CORTEX_", "COV_", "DAGSTER_")
    variables = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    path = f"{BIN}{os.pathsep}{variables['PATH']}"
    variables |= {"PATH": path, "DVC_NO_ANALYTICS": "1"} | environment
    process = subprocess.run(words, cwd=folder, env=variables, capture_output=True, text=True, check=False)
    assert process.returncode == 0, f"{' '.join(words)}: {process.stdout}{process.stderr}"
    return process.stdout.strip()


@contextlib.contextmanager
def without_root_variable() -> Iterator[None]:
    previous = os.environ.pop("CORTEX_ROOT", None)
    try:
        yield
    finally:
        if previous is not None:
            os.environ["CORTEX_ROOT"] = previous


def _copy_unless_gone(source: str, target: str) -> None:
    """A file of a shared project; another worker's command may have had it for a moment only."""
    with contextlib.suppress(FileNotFoundError):
        shutil.copy2(source, target)
