"""``cortex test-environment``: pin the packages that a project's tests need."""

import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from cortex_pipelines.atomic import write_whole
from cortex_pipelines.augmentation.settings import PinnedEnvironment
from cortex_pipelines.execution.tests.declared_packages import declared_packages
from cortex_pipelines.execution.tests.environment import (
    WHEELS_ONLY,
    open_environment,
    run_uv,
)
from cortex_pipelines.projects.parameter_file import read_values, write_values
from cortex_pipelines.schemas.repositories import REPOSITORY_FILES
from cortex_pipelines.versioning.dvc.stages import follow_projects
from cortex_pipelines.versioning.project import Project, ProjectError

FOLDER = "environments"
_RUNS_TESTS = "pytest"


@dataclass(frozen=True)
class Pinned:
    """An environment that was pinned and made.

    Args:
        requirements: File with the pins, from the project's root.
        asked: Requirements that it was made for.
        left: What the project declares and no index can give.
        packages: How many packages it has.
    """

    requirements: str
    asked: list[str]
    left: list[str]
    packages: int


def pin_environment(project: Project, name: str, further: Sequence[str]) -> Pinned:
    """Pin what a project's tests need, make the environment, and name it in ``params.yaml``.

    Args:
        project: The project of projects.
        name: Which one's tests.
        further: Requirements beside those that its files declare; one of the same package counts
            instead of them.

    Raises:
        ProjectError: there is no such project, its files are not read yet, or a requirement is none
            of an index.
        EnvironmentNotMadeError: no versions satisfy all of them, or there is no wheel of one.
    """
    if name not in project.partitions:
        there = ", ".join(project.partitions)
        raise ProjectError(f"no project {name}; there is: {there or 'none, see `cortex add`'}")
    wanted = [_parsed(line) for line in further]
    folder = project.output("repository_files", name)
    if not (folder / "files.parquet").exists():
        raise ProjectError(
            f"{name}: its files are not read yet: `cortex run --project {name} repository_files`"
        )
    declared, left = _declared(folder)
    given = {canonicalize_name(one.name) for one in wanted}
    asked = [line for line in declared if canonicalize_name(Requirement(line).name) not in given]
    asked += [str(one) for one in wanted]
    if not any(canonicalize_name(Requirement(line).name) == _RUNS_TESTS for line in asked):
        asked.append(_RUNS_TESTS)
    compiling = ("pip", "compile", "-", WHEELS_ONLY, "--generate-hashes", "--no-header")
    text = run_uv(*compiling, "--python", sys.executable, stdin="\n".join(asked))
    path = Path(FOLDER) / f"{name}.txt"
    (project.root / FOLDER).mkdir(exist_ok=True)
    write_whole(project.root / path, text)
    made = PinnedEnvironment(
        requirements=str(path), sha256=hashlib.sha256(text.encode()).hexdigest()
    )
    open_environment(made, project.root)
    _name_it(project, name, made)
    packages = sum(1 for line in text.splitlines() if "==" in line and line[:1].isalnum())
    return Pinned(str(path), asked, left, packages)


def _parsed(line: str) -> Requirement:
    try:
        wanted = Requirement(line)
    except InvalidRequirement as error:
        raise ProjectError(f"{line!r} is no requirement such as 'pytest<9': {error}") from error
    if wanted.url:
        raise ProjectError(f"{line!r}: only packages of an index, which come as wheels")
    return wanted


def _declared(folder: Path) -> tuple[list[str], list[str]]:
    """What all sources of the project declare."""
    kept: dict[str, None] = {}
    left: dict[str, None] = {}
    files = REPOSITORY_FILES.read(folder, "source", "path", "text")
    for of_source in files.partition_by("source"):
        texts = dict(zip(of_source["path"], of_source["text"], strict=True))
        for into, lines in zip((kept, left), declared_packages(texts), strict=True):
            into.update(dict.fromkeys(lines))
    return sorted(kept), sorted(left)


def _name_it(project: Project, name: str, made: PinnedEnvironment) -> None:
    values: Any = read_values(project.root)
    section = values["projects"][name].setdefault("augmentation", {})
    section["test_environment"] = made.model_dump()
    write_values(project.root, values)
    follow_projects(project)
