"""``cortex doctor``: check this machine and say how to get what is missing."""

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from packaging.utils import canonicalize_name

from cortex_pipelines.projects import backups
from cortex_pipelines.tracking import store
from cortex_pipelines.tracking.store import database, is_deleted
from cortex_pipelines.versioning import damaged_files
from cortex_pipelines.versioning.dagster.instance import DATABASES, deleted_databases
from cortex_pipelines.versioning.dvc import dvc_store
from cortex_pipelines.versioning.dvc.repair import find_undeclared
from cortex_pipelines.versioning.merging import git_merge
from cortex_pipelines.versioning.merging.conflicts import find_conflicts
from cortex_pipelines.versioning.packages import found_versions
from cortex_pipelines.versioning.project import ProjectError, read_yaml
from cortex_pipelines.versioning.root import ask_git

_GATEWAY = ("fastapi", "jwt", "mcp", "opentelemetry", "prometheus_client", "sse_starlette", "strawberry", "uvicorn")
"""What the extra `serve` installs."""


_ENOUGH_DISK = 5  # GiB


@dataclass(frozen=True)
class CheckResult:
    what: str
    good: bool
    detail: str
    remedy: str = ""
    needed: bool = True


def check_machine(root: Path | None) -> Iterator[CheckResult]:
    """What is there and what is missing: of the machine, and of a project if there is one."""
    for name, needed_for in (("git", "git sources"), ("dvc", "dvc repro and dvc pull")):
        path = shutil.which(name)
        remedy = f"install {name} and put it on the PATH (needed for {needed_for})"
        yield CheckResult(name, path is not None, path or "not on the PATH", remedy)
    if root is not None:
        yield from _check_project(root)
    free = shutil.disk_usage(root or Path.cwd()).free / 2**30
    remedy = f"free {_ENOUGH_DISK} GiB for caches and models"
    yield CheckResult("free disk", free > _ENOUGH_DISK, f"{free:.1f} GiB", remedy, needed=free < 1)
    yield _sandbox()
    yield gateway_packages()
    restic = shutil.which("restic")
    detail = restic or "`cortex backup` needs restic"
    yield CheckResult("backups", restic is not None, detail, backups.REMEDY, needed=False)


def _check_project(root: Path) -> Iterator[CheckResult]:
    if git_merge.is_repository(root):
        yield CheckResult(
            "git merge driver",
            not git_merge.missing_attributes(root) and git_merge.has_driver(root),
            f"joins lock files of two branches ({git_merge.ATTRIBUTES}, merge.{git_merge.DRIVER})",
            f"bring {git_merge.ATTRIBUTES} back from git; in a clone that has it, any command that "
            "writes, such as `cortex update`, sets the driver up",
            needed=False,
        )
    elif not _without_git(root):
        detail, remedy = "this folder is in none", "bring its .git back, or run `git init` and commit"
        refusal = ask_git(root, "rev-parse").stderr.decode(errors="replace")
        if "dubious ownership" in refusal:  # of a folder that belongs to another user
            detail = refusal.splitlines()[0].removeprefix("fatal: ")
            remedy = f"run as its owner, or `git config --global --add safe.directory {root}`"
        yield CheckResult("git repository", False, detail, remedy)
    yield from check_stores(root)
    yield from _packages(root)
    yield from _parameters(root)
    yield from _weights(root)


def _without_git(root: Path) -> bool:
    """Whether DVC is set up for a folder outside of git."""
    from dvc.config import Config, ConfigError

    try:
        return bool(Config(str(root / ".dvc"))["core"].get("no_scm"))
    except ConfigError:
        return False


def check_stores(root: Path) -> Iterator[CheckResult]:
    restore_remedy = "any other command, such as `cortex sync`, restores the last good copy"
    conflicts = find_conflicts(root)
    for conflict in conflicts:
        detail = f"holds a merge conflict, with markers from line {conflict.line}"
        yield CheckResult(f"whole: {conflict.file}", False, detail, conflict.remedy)
    for name in damaged_files.FILES:
        if (root / name).is_file() and name not in {conflict.file for conflict in conflicts}:
            problem = damaged_files.damage(root, name)
            try:
                if problem is None and Path(name).name in damaged_files.BY_MACHINE:
                    read_yaml(root / name)
            except ProjectError as error:
                problem = str(error)
            yield CheckResult(f"whole: {name}", problem is None, problem or "not cut off", restore_remedy)
    rwlock = root / ".dvc" / "tmp" / "rwlock"
    if rwlock.is_file():
        problem = dvc_store.rwlock_damage(rwlock)
        yield CheckResult("whole: .dvc/tmp/rwlock", problem is None, problem or "not cut off", restore_remedy)
    home = root / ".dagster"
    reset_remedy = "any other command sets it aside; then run `cortex sync` to re-enter all runs"
    if is_deleted(root):
        yield CheckResult("whole: .mlflow/mlflow.db", False, "was deleted", reset_remedy)
    for name in deleted_databases(root):
        yield CheckResult(f"whole: .dagster/{name}", False, "was deleted", reset_remedy)
    if mismatch := store.mismatch(database(root)):
        remedy = "any other command upgrades it, or says which MLflow is needed"
        yield CheckResult("schema of .mlflow/mlflow.db", False, mismatch, remedy)
    paths = [database(root), *(home / name for name in DATABASES), *home.glob("history/runs/*.db")]
    for path in dict.fromkeys(paths):
        problem = damaged_files.database_damage(path, thorough=True)
        if path.is_file() and (problem or path.parent.name != "runs" or path.name == "index.db"):
            relative_path = path.relative_to(root)
            yield CheckResult(f"whole: {relative_path}", problem is None, problem or "intact", reset_remedy)


def _packages(root: Path) -> Iterator[CheckResult]:
    constraints = root / "constraints.txt"
    if not constraints.exists():
        return
    pinned = re.findall(r"^([\w.-]+)==([^\s;]+)", constraints.read_text("utf-8"), re.MULTILINE)
    installed = found_versions()
    mismatches = [
        f"{name} {found_version} (pinned {version})"
        for name, version in pinned  # one that is not there is for tests only, or for another platform
        if (found_version := installed.get(canonicalize_name(name), version)).partition("+")[0] != version
    ]
    yield CheckResult(
        "packages as pinned",
        not mismatches,
        ", ".join(mismatches) or f"{len(pinned)} versions checked",
        "run `make install`; outputs are reproducible only with the pinned versions",
    )


def _parameters(root: Path) -> Iterator[CheckResult]:
    from cortex_pipelines.catalog import open_project
    from cortex_pipelines.versioning.dvc import stages

    try:
        open_project(root).resolve()
    except ProjectError as error:
        yield CheckResult("params.yaml", False, str(error), "correct the keys named")
        return
    yield CheckResult("params.yaml", True, "valid")
    project = open_project(root)
    try:
        stages.check(project)
        yield CheckResult("dvc.yaml", True, "up to date with the asset graph")
    except ProjectError as error:
        yield CheckResult("dvc.yaml", False, str(error), "run `cortex dvc-yaml`")
    try:
        undeclared = find_undeclared(project)
    except ProjectError:
        return  # a lock that cannot be read was reported above
    yield CheckResult(
        "stages and pins",
        not undeclared,
        f"nothing declares {undeclared}" if undeclared else "each is declared in params.yaml",
        "`cortex run` or `cortex update` takes them out",
        needed=False,
    )


def _weights(root: Path) -> Iterator[CheckResult]:
    from cortex_pipelines.config import load_parameters
    from cortex_pipelines.ingestion.pretrained_models import WeightsError, weights_folder

    try:
        parameters = load_parameters(root)
        models = parameters.models
        pins = read_yaml(root / "sources.lock").get("models") or {}
    except ProjectError:
        return  # reported for the file itself
    for name in ("base", "encoder"):
        if not parameters.projects and name not in pins:
            yield CheckResult(f"weights: {name}", True, "the first `cortex add` pins them")
            continue
        try:
            weights_folder(getattr(models, name), pins.get(name) or {}, root)
            yield CheckResult(f"weights: {name}", True, "there, and as pinned")
        except WeightsError as error:
            yield CheckResult(f"weights: {name}", False, "not usable", str(error))


def _sandbox() -> CheckResult:
    from cortex_pipelines.execution.sandbox import sandbox

    problem = sandbox.unavailable()
    consequence = "tests and generated code are not run here, so their results will be missing"
    detail = "works" if problem is None else f"{problem}; {consequence}"
    return CheckResult("sandbox", problem is None, detail, sandbox.REMEDY, needed=False)


def gateway_packages() -> CheckResult:
    missing = [name for name in _GATEWAY if find_spec(name) is None]
    return CheckResult(
        "gateway",
        not missing,
        f"without {', '.join(missing)}" if missing else "`cortex serve` can be started",
        "pip install 'cortex-pipelines[serve]'",
        needed=False,
    )
