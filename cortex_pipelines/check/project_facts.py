"""The data of the project that a file belongs to, read on first use."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from cortex_pipelines.check.rules import selected_rules
from cortex_pipelines.check.settings import CheckSettings
from cortex_pipelines.ingestion.entries import SourceError
from cortex_pipelines.ingestion.git.command import run_git
from cortex_pipelines.ingestion.project_sources import is_url, without_password
from cortex_pipelines.versioning.dvc.yaml_files import peek_yaml
from cortex_pipelines.versioning.root import ProjectError, find_root, require_project


@dataclass(frozen=True)
class ProjectFacts:
    root: Path  # folder of params.yaml
    name: str
    source: str  # label of the source, as tables have it; empty: any
    folder: Path  # that the source's paths are relative to

    def relative(self, path: str) -> str:
        """A path as the tables have it; unchanged where it is not below the source's folder."""
        candidates = (_absolute(Path(path)), Path(path).resolve())  # a link within the source keeps its own path
        return next(
            (each.relative_to(self.folder).as_posix() for each in candidates if self.folder in each.parents), path
        )

    def table(self, asset: str, file: str) -> Path | None:
        """A file of an asset, if the project has made it."""
        path = self.root / "data" / asset / self.name / file
        return path if path.is_file() else None


def facts_for(path: Path, name: str | None = None) -> ProjectFacts | None:
    """The project of a file or folder: a source of it is a folder around the path, or the repository of the clone.

    The params.yaml is that of `CORTEX_ROOT`, the working folder or the path. ``name``: the project, whatever its
    sources are; paths are then relative to the repository around ``path``, or to ``path``. None without a project.
    Raises ProjectError: the project of that name does not exist.
    """
    location = _absolute(path)
    root = _root(location)
    if root is None:
        if name is not None:
            raise ProjectError(
                "no params.yaml here or above; --project needs one, or CORTEX_ROOT that names its folder"
            )
        return None
    projects = peek_yaml(root / "params.yaml").get("projects") or {}
    if name is not None:
        require_project(name, projects)
        return ProjectFacts(root, name, "", _repository(location) or location)
    matches = [facts for key, entry in projects.items() for facts in _candidates(root, key, entry, location)]
    return max(matches, key=lambda facts: len(facts.folder.parts), default=None)


def rules_for(location: Path, select: Iterable[str] = (), ignore: Iterable[str] = ()) -> frozenset[str]:
    """The rules that are on for a path: by default, by section ``check`` of params.yaml, by the arguments.

    Raises UnknownRuleError, ProjectError.
    """
    root = _root(location.absolute())
    section = (peek_yaml(root / "params.yaml").get("check") if root else None) or {}
    try:
        settings = CheckSettings.model_validate({"select": [], "ignore": []} | section)
    except (ValidationError, TypeError) as error:
        raise ProjectError("params.yaml: check: has the keys select and ignore, each a list of rules") from error
    return selected_rules([*settings.select, *select], [*settings.ignore, *ignore])


def _absolute(path: Path) -> Path:
    """Without ``..``, links as they are."""
    return Path(os.path.normpath(path.absolute()))


def _root(location: Path) -> Path | None:
    for start in (None, location):
        try:
            return find_root(start)
        except ProjectError:
            continue
    return None


def _candidates(root: Path, name: str, entry: Any, location: Path) -> Iterator[ProjectFacts]:
    sources = entry.get("sources") if isinstance(entry, dict) else None
    for source in sources if isinstance(sources, list) else ():
        kind = next((kind for kind in ("git", "directory") if kind in source), None)
        if kind is None:
            continue
        address = str(source[kind])
        if is_url(address):
            folder = _repository(location)
            if folder is None or _origin(folder) != _normalized_address(address):
                continue
        else:
            folder = (root / address).resolve()
            clone = None if location.resolve().is_relative_to(folder) else _repository(location)
            if clone is not None and _origin(clone) == _normalized_address(str(folder)):
                folder = clone
        if location.resolve().is_relative_to(folder.resolve()):
            yield ProjectFacts(root, name, f"{kind}:{without_password(address)}", folder)


@lru_cache(maxsize=64)
def _repository(location: Path) -> Path | None:
    folders = (location, *location.parents)
    return next((folder for folder in folders if (folder / ".git").exists()), None)


@lru_cache(maxsize=64)
def _origin(repository: Path) -> str:
    try:
        return _normalized_address(run_git(None, "-C", str(repository), "config", "--get", "remote.origin.url").strip())
    except SourceError:
        return ""


def _normalized_address(address: str) -> str:
    return without_password(address).rstrip("/").removesuffix("/.git").removesuffix(".git")
