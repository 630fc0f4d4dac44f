"""``cortex doctor``: what is missing on this machine, and how to get it."""

import importlib.metadata
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cortex_pipelines.versioning.project import ProjectError, read_yaml


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Args:
        what: What it is.
        good: Whether it is as it has to be.
        detail: What was found.
        remedy: What to do if it is not good.
    """

    what: str
    good: bool
    detail: str
    remedy: str = ""


def examine(root: Path) -> Iterator[Finding]:
    """Look at everything the platform needs on this machine."""
    yield from _programs()
    yield from _packages(root)
    yield from _parameters(root)
    yield from _weights(root)
    yield _disk(root)


def _programs() -> Iterator[Finding]:
    for name, needed_for in (("git", "git sources"), ("dvc", "dvc repro and dvc pull")):
        found = shutil.which(name)
        remedy = f"install {name} and put it on the PATH (needed for {needed_for})"
        yield Finding(name, found is not None, found or "not on the PATH", remedy)


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
