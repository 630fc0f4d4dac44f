"""A small project with two kinds of partitions and a fan-in, for tests of the spine.

    note (pin) -> words[project] -> loud[project] -> tally -> digest -> page[project]

Its "code" lies in the project's own folder ``toy/``, so that a test can edit it; what an asset does
with it is read when the workbench loads, as a process imports its modules when it starts.
"""

import contextlib
import io
import json
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Literal
from unittest import mock

import dagster as dg
import polars as pl

from cortex_pipelines.schemas.table import Column, Table
from cortex_pipelines.settings import ProjectName, Settings
from cortex_pipelines.versioning import VersionedAsset, snapshot
from cortex_pipelines.versioning.asset import versioned_asset
from cortex_pipelines.versioning.content import content_md5, value_md5
from cortex_pipelines.versioning.dagster.dagster_assets import Tracker, build_assets
from cortex_pipelines.versioning.dagster.instance import follow_projects, open_instance
from cortex_pipelines.versioning.dagster.staleness import Staleness
from cortex_pipelines.versioning.dvc import stages
from cortex_pipelines.versioning.dvc.changes import Comparison
from cortex_pipelines.versioning.dvc.reconcile import sync
from cortex_pipelines.versioning.graph import AssetMetrics, Graph, Pin, Plot
from cortex_pipelines.versioning.lock_file import locked_stages, stage_address
from cortex_pipelines.versioning.materialise import Version, _write_tables, arguments, materialise
from cortex_pipelines.versioning.parameters import COMMAND, ENTRY, FILE, FOLDER, ParameterLayout, resolve
from cortex_pipelines.versioning.parameters import STAGE as PARAMETERS
from cortex_pipelines.versioning.project import Project, Stage, read_yaml, write_yaml

WORDS = Table("words", "A word", (Column("word", pl.String, "The word"),), ("word",))
TALLY = Table(
    "tally",
    "Words of a project",
    (Column("project", pl.String, "Project"), Column("words", pl.Int64, "How many")),
    ("project",),
)
FIGURES = {"digest": AssetMetrics(("digest.json",), (Plot("course.json", "step", "total", "course"),))}
CODE = ("words", "loud", "tally", "digest", "page")
PROCESSES = multiprocessing.get_context("forkserver")
"""Processes that fork from one that has loaded what they need."""
PROCESSES.set_forkserver_preload([__name__, "dvc.repo"])


class LoudSettings(Settings):
    suffix: str


class PageSettings(Settings):
    width: int


Profile = Literal["standard", "loud"]


class ToyEntry(Settings):
    title: str
    profile: Profile | None = None
    loudness: LoudSettings | None = None


class ToyParameters(Settings):
    profile: Profile
    projects: dict[ProjectName, ToyEntry]
    loudness: LoudSettings
    pages: PageSettings


LAYOUT = ParameterLayout(ToyParameters, "profiles")
toy_parameters = partial(resolve, layout=LAYOUT)
SECTIONS: dict[str, type[Settings]] = {"loudness": LoudSettings, "pages": PageSettings}


def note_pin() -> Pin:
    return Pin(
        name="note",
        lock="sources.lock",
        lock_key="projects.{project}",
        params_key=ENTRY,
        partitioned=True,
        load=lambda setting, lock: lock,
        description="The words of a project",
    )


def toy_assets(code: dict[str, str]) -> list[VersionedAsset]:
    @versioned_asset(tables=(WORDS,), code=("toy/words.py",))
    def words(note: list[str]) -> dict[str, pl.DataFrame]:
        """Words of the pinned note."""
        return {"words": pl.DataFrame({"word": sorted({w + code["words"] for w in note})}, WORDS.schema)}

    @versioned_asset(tables=(WORDS,), code=("toy/loud.py",))
    def loud(words: Path, loudness: LoudSettings) -> dict[str, pl.DataFrame]:
        """The words, louder."""
        frame = pl.read_parquet(words / "words.parquet")
        louder = pl.col("word").str.to_uppercase() + loudness.suffix + code["loud"]
        return {"words": frame.select(louder.alias("word"))}

    @versioned_asset(tables=(TALLY,), code=("toy/tally.py",), partitioned=False)
    def tally(loud: dict[str, Path]) -> dict[str, pl.DataFrame]:
        """How many words each project has, in a way that half of all edits do not change."""
        rows = [
            {"project": name, "words": pl.read_parquet(folder / "words.parquet").height + len(code["tally"])}
            for name, folder in loud.items()
        ]
        return {"tally": TALLY.frame(rows)}

    @versioned_asset(code=("toy/digest.py",), partitioned=False)
    def digest(tally: Path, loudness: LoudSettings, out: Path) -> None:
        """The sum, in a file that is not a table."""
        total = pl.read_parquet(tally / "tally.parquet")["words"].sum()
        digest = {"total": total, "code": code["digest"], "suffix": loudness.suffix}
        (out / "digest.json").write_text(json.dumps(digest))
        (out / "course.json").write_text(json.dumps([{"step": 0, "total": 0}, {"step": 1, "total": total}]))

    @versioned_asset(code=("toy/page.py",))
    def page(words: Path, digest: Path, pages: PageSettings, project: str, out: Path) -> None:
        """A page for a project with the sum of all."""
        first = pl.read_parquet(words / "words.parquet")["word"].to_list()[:1]
        text = (digest / "digest.json").read_text()
        (out / "page.txt").write_text(f"{project}{first}{text}{'-' * pages.width}{code['page']}")

    return [words, loud, tally, digest, page]


@dataclass
class NoRun:
    """Stands for a run that is open: in the end its tracker is told as of one that was not."""

    finish: Callable[[Version], str]
    run_id: str = "0" * 32

    def fail(self, error: BaseException) -> None: ...


class NoTracker:
    def begin(self, stage: Stage, made_from: Any, run: str) -> NoRun:
        return NoRun(lambda version: self.record(stage, version, run))

    def record(self, stage: Stage, version: Any, run: str) -> str:
        return "0" * 32

    def link(self, root: Path, run_id: str, artifact: str = "") -> str:
        return "http://127.0.0.1:5000/"


class Workbench:
    """A toy project on disk, and what a person does with it.

    Every act loads the project and the definitions again, as a new process would.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._instance: dg.DagsterInstance | None = None

    @classmethod
    def create(cls, root: Path, projects: tuple[str, ...] = ("a", "b")) -> "Workbench":
        root.mkdir(parents=True, exist_ok=True)
        bench = cls(root)
        (root / "toy").mkdir()
        (root / "data").mkdir()
        for name in CODE:
            (root / "toy" / f"{name}.py").write_text("")
        (root / "data" / ".gitignore").write_text("/*\n!.gitignore\n!/parameters/\n")
        (root / ".gitignore").write_text(".dagster/\n.cortex/\n.mlflow/\n")
        (root / ".dvcignore").write_text("__pycache__/\n")
        write_yaml(
            root / "params.yaml",
            {
                "projects": {name: {"title": name} for name in projects},
                "loudness": {"suffix": "!"},
                "pages": {"width": 1},
            },
        )
        (root / "profiles").mkdir()
        write_yaml(root / "profiles" / "standard.yaml", {"loudness": {"suffix": "?"}, "pages": {"width": 3}})
        write_yaml(root / "profiles" / "loud.yaml", {"loudness": {"suffix": "!!"}})
        write_yaml(root / "sources.lock", {"projects": {name: ["one", "two"] for name in projects}})
        bench.git("init", "-q", "-b", "main")
        bench.git("config", "user.name", "A")
        bench.git("config", "user.email", "a@example.org")
        begin_dvc(root)
        stages.write(bench.project())
        bench.commit()
        return bench

    def project(self) -> Project:
        code = {name: (self.root / "toy" / f"{name}.py").read_text() for name in CODE}
        graph = Graph(toy_assets(code), [note_pin()], SECTIONS, LAYOUT.per_project)
        project = Project(self.root, graph, toy_parameters, FIGURES)
        assert project.code_versions
        return project

    def definitions(self, project: Project) -> dg.Definitions:
        return dg.Definitions(assets=build_assets(project, NoTracker()))

    def instance(self) -> dg.DagsterInstance:
        """Opened once: that alone costs as much as two dozen questions."""
        if self._instance is None:
            self._instance = open_instance(self.root)
            follow_projects(self._instance, self.project())
        return self._instance

    def reopen(self) -> None:
        self._instance = None

    def staleness(self, project: Project | None = None) -> Staleness:
        return Staleness(self.instance(), project or self.project())

    def ui_status(self, project: Project) -> Callable[[str, str | None], str]:
        """Stale status by the code of Dagster's UI, which has no public interface."""
        from dagster._core.definitions.data_version import CachingStaleStatusResolver
        from dagster._core.loader import LoadingContextForTest

        instance = self.instance()
        graph = self.definitions(project).resolve_asset_graph()
        resolver = CachingStaleStatusResolver(instance, graph, LoadingContextForTest(instance))
        return lambda name, partition: resolver.get_status(dg.AssetKey(name), partition).value

    def sync(self, **kwargs: Any) -> int:
        project = self.project()
        return sync(project, self.instance(), self.staleness(project), **kwargs)

    def run(self, names: list[str], partition: str | None, tracker: Tracker | None = None) -> bool:
        project = self.project()
        follow_projects(self.instance(), project)
        result = dg.materialize(
            build_assets(project, tracker or NoTracker()),
            selection=names,
            partition_key=partition,
            instance=self.instance(),
            raise_on_error=False,
        )
        return result.success

    def make(self, name: str, partition: str | None) -> Version:
        project = self.project()
        return materialise(Stage(project, project.graph.assets[name], partition))

    def repro(self, targets: list[str] | None = None) -> None:
        """``dvc repro``, the stages' commands called in this process instead of a new one."""
        with self.dvc_here() as repo:
            repo.reproduce(targets or None)

    def experiment(self, name: str, *parameters: str) -> None:
        """``dvc exp run -n NAME -S PARAMETER…``, its commands called in this process."""
        with self.dvc_here() as repo:
            repo.experiments.run(name=name, params=list(parameters))

    @contextlib.contextmanager
    def dvc_here(self) -> Iterator[Any]:
        from dvc.repo import Repo

        def command(executable: Any, cmd: str, **kwargs: Any) -> None:
            words = cmd.split()
            if cmd == COMMAND:
                self.project().resolve().write(self.root)
                return
            partition = words[words.index("--project") + 1] if "--project" in words else None
            with mock.patch.dict(os.environ, {"DVC_STAGE": kwargs["env"]["DVC_STAGE"]}):
                self.make(words[2], partition)

        with (
            contextlib.chdir(self.root),
            mock.patch("dvc.stage.run._run", command),
            Repo(str(self.root), _wait_for_lock=True) as repo,
        ):
            yield repo

    def all_stages(self) -> list[tuple[str, str | None]]:
        return self.all_stages_of(self.project())

    def all_stages_of(self, project: Project) -> list[tuple[str, str | None]]:
        return [(asset.name, partition) for asset in project.graph.order for partition in project.partitions_of(asset)]

    def run_all(self) -> None:
        for name, partition in self.all_stages():
            assert self.run([name], partition)

    def edit(self, file: str, change: Callable[[dict[str, Any]], None]) -> None:
        values = read_yaml(self.root / file)
        change(values)
        write_yaml(self.root / file, values)

    def lock(self) -> dict[str, Any]:
        """The stages of the assets; the one that writes the parameters is left out."""
        stages = dict(read_yaml(self.root / "dvc.lock").get("stages", {}))
        stages.pop("parameters", None)
        return stages

    def commit(self) -> None:
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", "state")

    def checkout(self, revision: str) -> None:
        from dvc.exceptions import CheckoutError
        from dvc.repo import Repo

        self.git("checkout", "-q", "-f", revision)
        # an output that was never committed is missing, as for any user
        with Repo(str(self.root)) as repo, contextlib.suppress(CheckoutError):
            repo.checkout(force=True)

    def git(self, *words: str) -> str:
        # a git that tidies up in the background changes what is copied meanwhile
        command = ["git", "-c", "maintenance.auto=false", *words]
        return subprocess.run(command, cwd=self.root, check=True, capture_output=True, text=True).stdout.strip()

    def dvc(self, *words: str) -> str:
        return run_dvc(self.root, *words)

    def start(self, name: str, partition: str, moment: str = "-") -> BaseProcess:
        """Begin to materialise one output in a process of its own; it may be killed at a moment."""
        process = PROCESSES.Process(target=make_and_die, args=(self.root, name, partition, moment))
        process.start()
        return process


def run_dvc(root: Path, *words: str) -> str:
    """What ``dvc`` prints, called in this process: to load it takes a second."""
    from dvc.cli import main
    from dvc.ui import ui

    with (
        contextlib.chdir(root),
        contextlib.redirect_stdout(io.StringIO()) as printed,
        mock.patch.dict(os.environ, {"DVC_TEST": "1"}),
        mock.patch.object(ui, "_enabled", True),
    ):
        status = main(list(words))
    assert status == 0, f"dvc {' '.join(words)}: {printed.getvalue()}"
    return printed.getvalue().strip()


def reasons(bench: Workbench) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Why each stage is to run: as this package says, and as DVC does, every file parsed again."""
    from dvc.repo import Repo

    project, own, of_dvc = bench.project(), dict[str, list[str]](), dict[str, list[str]]()
    bodies = {PARAMETERS: stages.parameters_stage(project)}
    for name, partition in bench.all_stages_of(project):
        stage = Stage(project, project.graph.assets[name], partition)
        bodies[stage.address] = stages.stage_body(stage)
    with Repo(str(bench.root)) as repo, repo.lock:
        comparison, locked = Comparison(repo), locked_stages(bench.root)
        for address, body in bodies.items():
            own[address] = list(comparison.changes(body, locked.get(address, {})))
        for stage in repo.index.stages:
            words = ["command changed"] if stage.changed_stage() else []
            for item in [*stage.deps, *stage.outs]:
                for state in item.status().values():
                    keys = sorted(state.items()) if isinstance(state, dict) else ()
                    words += [f"{item.def_path}:{key} {word}" for key, word in keys] or [f"{item.def_path} {state}"]
            of_dvc[stage.name] = [re.sub(rf"^{FOLDER}/[\w/]+\.json(?! deleted)", FILE, text) for text in words]
    return own, of_dvc


def begin_dvc(root: Path) -> None:
    """``dvc init`` with the settings of this repository.

    Called in this process: each test begins a project, and ``dvc`` takes half a second to load.
    """
    from dvc.repo import Repo

    Repo.init(str(root)).close()
    shutil.copy(Path(__file__).parents[2] / ".dvc" / "config", root / ".dvc" / "config")


def begin_made(root: Path, projects: tuple[str, ...]) -> Workbench:
    bench = Workbench.create(root, projects)
    make_at_once(bench.project(), bench.all_stages())
    return bench


def make_at_once(project: Project, keys: list[tuple[str, str | None]]) -> None:
    """Compute outputs that depend on each other alone, in order, and write ``dvc.lock`` once instead of for each."""
    from dvc.repo import Repo, lock_repo
    from dvc.stage.serialize import to_single_stage_lockfile

    root = project.root
    for name, partition in keys:
        asset = project.graph.assets[name]
        out = project.output(name, partition)
        out.mkdir(parents=True)
        stage = Stage(project, asset, partition)
        keywords = arguments(stage, snapshot.take(stage), out, {})
        _write_tables(asset, asset.compute(**keywords) or {}, out, root, None)
    addresses = {PARAMETERS, *(stage_address(*key) for key in keys)}
    with contextlib.chdir(root), Repo(str(root)) as repo, lock_repo(repo):
        lock: dict[str, Any] = {}
        for stage in repo.index.stages:
            if stage.name in addresses:
                stage.save()
                stage.commit()
                lock[stage.name] = to_single_stage_lockfile(stage)
    write_yaml(root / "dvc.lock", {"schema": "2.0", "stages": json.loads(json.dumps(lock))})


def recomputed(bench: Workbench, name: str, partition: str | None, scratch: Path) -> str | None:
    """Version of the output computed from nothing out of what is in the workspace now."""
    project = bench.project()
    asset = project.graph.assets[name]
    stage = Stage(project, asset, partition)
    out = scratch / value_md5([name, partition])
    out.mkdir(parents=True)
    _write_tables(asset, asset.compute(**arguments(stage, snapshot.take(stage), out, {})) or {}, out, scratch, None)
    value = content_md5(out)
    shutil.rmtree(out)
    return value


def make_and_die(root: Path, name: str, partition: str, moment: str) -> None:
    def die(*args: Any, **kwargs: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    addresses = {
        "computing": "cortex_pipelines.versioning.materialise._write_tables",
        "publishing": "cortex_pipelines.versioning.materialise.replace_folder",
        "committing": "dvc.repo.Repo.commit",
    }
    with mock.patch(addresses[moment], die) if moment != "-" else contextlib.nullcontext():
        Workbench(root).make(name, partition)
