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
from cortex_pipelines.execution.tests.environment import WHEELS_ONLY, declared_packages, open_environment, run_uv
from cortex_pipelines.projects.parameter_file import read_values, write_values
from cortex_pipelines.schemas.ingestion import REPOSITORY_FILES
from cortex_pipelines.versioning.dvc.stages import follow_projects
from cortex_pipelines.versioning.project import Project, ProjectError

FOLDER = "environments"
_RUNS_TESTS = "pytest"


@dataclass(frozen=True)
class PinnedRequirements:
    """A pinned test environment that was built."""

    requirements: str
    requested: list[str]
    unavailable: list[str]
    packages: int


def pin_environment(project: Project, name: str, extra_requirements: Sequence[str]) -> PinnedRequirements:
    """Pin the packages of a project's tests, build the environment, and set it in ``params.yaml``."""
    project.selected(name)
    extra = [_parse_requirement(line) for line in extra_requirements]
    folder = project.output("repository_files", name)
    if not (folder / "files.parquet").exists():
        raise ProjectError(f"{name}: read its files first by `cortex run repository_files --project {name} --upstream`")
    available: dict[str, None] = {}
    not_packages: dict[str, None] = {}
    files = REPOSITORY_FILES.read(folder, "source", "path", "text")
    for of_source in files.partition_by("source"):
        texts = dict(zip(of_source["path"], of_source["text"], strict=True))
        for into, lines in zip((available, not_packages), declared_packages(texts), strict=True):
            into.update(dict.fromkeys(lines))
    overridden = {canonicalize_name(requirement.name) for requirement in extra}
    requested = [line for line in sorted(available) if canonicalize_name(Requirement(line).name) not in overridden]
    requested += [str(requirement) for requirement in extra]
    if not any(canonicalize_name(Requirement(line).name) == _RUNS_TESTS for line in requested):
        requested.append(_RUNS_TESTS)
    compiling = ("pip", "compile", "-", WHEELS_ONLY, "--generate-hashes", "--no-header")
    text = run_uv(*compiling, "--python", sys.executable, stdin="\n".join(requested))
    path = Path(FOLDER) / f"{name}.txt"
    (project.root / FOLDER).mkdir(exist_ok=True)
    write_whole(project.root / path, text)
    environment = PinnedEnvironment(requirements=str(path), sha256=hashlib.sha256(text.encode()).hexdigest())
    open_environment(environment, project.root)
    values: Any = read_values(project.root)
    values["projects"][name].setdefault("augmentation", {})["test_environment"] = environment.model_dump()
    write_values(project.root, values)
    follow_projects(project)
    packages = sum(1 for line in text.splitlines() if "==" in line and line[:1].isalnum())
    return PinnedRequirements(str(path), requested, sorted(not_packages), packages)


def _parse_requirement(line: str) -> Requirement:
    try:
        requirement = Requirement(line)
    except InvalidRequirement as error:
        raise ProjectError(f"{line!r} is not a requirement such as 'pytest<9': {error}") from error
    if requirement.url:
        raise ProjectError(f"{line!r}: only packages of an index, which come as wheels")
    return requirement
