"""``cortex doctor``: what is missing on this machine, and how to get it."""

import importlib.metadata
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from cortex_pipelines.tracking.store import database
from cortex_pipelines.versioning import databases, dvc_store, kept
from cortex_pipelines.versioning.instance import DATABASES
from cortex_pipelines.versioning.project import ProjectError, read_yaml

_GATEWAY = ("fastapi", "mcp", "prometheus_client", "sse_starlette", "uvicorn")
"""What the extra `serve` installs."""

_CONFLICT = "holds a merge conflict"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Args:
        what: What it is.
        good: Whether it is as it has to be.
        detail: What was found.
        remedy: What to do if it is not good.
        needed: Nothing can be made without it; otherwise some figures will be missing.
    """

    what: str
    good: bool
    detail: str
    remedy: str = ""
    needed: bool = True


def examine(root: Path) -> Iterator[Finding]:
    """Look at everything the platform needs on this machine."""
    yield from _programs()
    yield from stores(root)
    yield from _packages(root)
    yield from _parameters(root)
    yield from _weights(root)
    yield _disk(root)
    yield _sandbox()
    yield gateway_packages()


def _programs() -> Iterator[Finding]:
    for name, needed_for in (("git", "git sources"), ("dvc", "dvc repro and dvc pull")):
        found = shutil.which(name)
        remedy = f"install {name} and put it on the PATH (needed for {needed_for})"
        yield Finding(name, found is not None, found or "not on the PATH", remedy)


def stores(root: Path) -> Iterator[Finding]:
    """What a kill or a full disk could have cut off; every other command mends it by itself."""
    again = "any other command, such as `cortex sync`, brings the last good one back"
    for name in kept.FILES:
        if (root / name).is_file():
            why = kept.damage(root, name)
            if why is None and name != "params.yaml":
                why = _unreadable(root / name)
            remedy = again if why != _CONFLICT else f"resolve the conflict, then `git add {name}`"
            yield Finding(f"whole: {name}", why is None, why or "not cut off", remedy)
    rwlock = root / ".dvc" / "tmp" / "rwlock"
    if rwlock.is_file():
        why = dvc_store.rwlock_damage(rwlock)
        yield Finding("whole: .dvc/tmp/rwlock", why is None, why or "not cut off", again)
    home = root / ".dagster"
    paths = [database(root), *(home / name for name in DATABASES), *home.glob("history/runs/*.db")]
    for path in dict.fromkeys(paths):
        why = databases.damage(path, thorough=True)
        if path.is_file() and (why or path.parent.name != "runs" or path.name == "index.db"):
            place = path.relative_to(root)
            begun = "any other command sets it aside; then `cortex sync` enters what there is"
            yield Finding(f"whole: {place}", why is None, why or "every page can be read", begun)


def _unreadable(path: Path) -> str | None:
    try:
        read_yaml(path)
    except ProjectError:
        return _CONFLICT
    return None


def _packages(root: Path) -> Iterator[Finding]:
    constraints = root / "constraints.txt"
    if not constraints.exists():
        return
    pinned = re.findall(r"^([\w.-]+)==([^\s;]+)", constraints.read_text("utf-8"), re.MULTILINE)
    wrong = []
    for name, wanted in pinned:
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # a package for tests only, or for another platform
        if found.partition("+")[0] != wanted:
            wrong.append(f"{name} {found} (pinned {wanted})")
    yield Finding(
        "packages as pinned",
        not wrong,
        ", ".join(wrong) or f"{len(pinned)} versions checked",
        "run `make install`; outputs are reproducible only with the pinned versions",
    )


def _parameters(root: Path) -> Iterator[Finding]:
    from cortex_pipelines.catalog import open_project
    from cortex_pipelines.config import load_parameters
    from cortex_pipelines.versioning import stages

    try:
        load_parameters(root)
    except ProjectError as error:
        yield Finding("params.yaml", False, str(error), "correct the keys named")
        return
    yield Finding("params.yaml", True, "valid")
    try:
        stages.check(open_project(root))
    except ProjectError as error:
        yield Finding("dvc.yaml", False, str(error), "run `cortex dvc-yaml`")
    else:
        yield Finding("dvc.yaml", True, "as the asset graph gives it")


def _weights(root: Path) -> Iterator[Finding]:
    from cortex_pipelines.config import load_parameters
    from cortex_pipelines.ingestion.pretrained_models import WeightsError, weights_folder

    try:
        models = load_parameters(root).models
    except ProjectError:
        return
    pins = read_yaml(root / "sources.lock").get("models") or {}
    for name in ("base", "encoder"):
        try:
            weights_folder(getattr(models, name), pins.get(name) or {}, root)
        except WeightsError as error:
            yield Finding(f"weights: {name}", False, "not usable", str(error))
        else:
            yield Finding(f"weights: {name}", True, "there, and as pinned")


def _disk(root: Path) -> Finding:
    free = shutil.disk_usage(root).free / 2**30
    return Finding(
        "free disk", free > 5, f"{free:.0f} GiB", "free 5 GiB: caches and models take room"
    )


def _sandbox() -> Finding:
    from cortex_pipelines.sandbox import sandbox

    why = sandbox.unavailable()
    if why is not None:
        lost = "no test and no generated code will be run here, and what they show will be missing"
        return Finding("sandbox", False, f"{why}; {lost}", sandbox.REMEDY, needed=False)
    doors = " or ".join(door for door in sandbox.DOORS if sandbox.trouble(door) is None)
    why = sandbox.trouble("bubblewrap")
    detail = f"works, by {doors}" + (f"; not by bubblewrap: {why}" if why else "")
    # the other door has the same guarantees, but what is installed was meant to be used
    good = why is None or shutil.which("bwrap") is None
    return Finding("sandbox", good, detail, sandbox.REMEDY, needed=False)


def gateway_packages() -> Finding:
    """Whether what the gateway needs is installed."""
    missing = [name for name in _GATEWAY if find_spec(name) is None]
    return Finding(
        "gateway",
        not missing,
        f"without {', '.join(missing)}" if missing else "`cortex serve` can be started",
        "pip install 'cortex-pipelines[serve]'",
        needed=False,
    )
