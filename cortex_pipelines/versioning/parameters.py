"""Effective parameters: a profile of the package, overridden by ``params.yaml``.

Versions depend on effective values alone. They are written to ``data/parameters``, where the stages in ``dvc.yaml``
read them: one file of what holds for all (``shared.json``) and one a project. The folder is the output of a stage of
its own, so that ``dvc repro`` and ``dvc exp run -S`` after an edit of ``params.yaml`` need no further step, and it is
in git, so that a difference is seen there.

A project's value is the first there is of: its own entry in ``params.yaml``, the section at the top of ``params.yaml``,
the project's profile, the profile at the top. A section is merged key by key; a list, a mapping with free keys and a
model's place are taken whole.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from cortex_pipelines.atomic import atomic_file
from cortex_pipelines.settings import Settings
from cortex_pipelines.versioning.dvc.yaml_files import describe_errors, peek_yaml, read_yaml
from cortex_pipelines.versioning.root import ProjectError

FILE = "params.yaml"
FOLDER = "data/parameters"
SHARED = f"{FOLDER}/shared.json"
STAGE = "parameters"
COMMAND = "cortex params --write"
STANDARD = "standard"  # the profile with every key; the others override parts of it
DEMO = "demo"  # the profile of this repository's own projects, small enough to try out
ENTRY = "project"  # key of a project's file with its sources
_LARGEST = 2**20
PACKAGE = "cortex_pipelines"
PACKAGE_PARENT = Path(__file__).parents[2]

CODE = f"{FOLDER}/code.json"  # digest of each asset's code, where the package is installed outside the project
PACKAGES = f"{FOLDER}/packages.json"  # versions of the installed packages on which outputs depend


def project_file(name: str) -> str:
    return f"{FOLDER}/projects/{name}.json"


@dataclass(frozen=True)
class ParameterLayout:
    """``model``: all of params.yaml; fields of a project's entry that are sections too may be set for one project.
    ``profiles``: their folder, relative to the project or else to the package.
    """

    model: type[Settings]
    profiles: str

    @cached_property
    def entry(self) -> type[Settings]:
        return next(
            part
            for part in get_args(self.model.model_fields["projects"].annotation)
            if isinstance(part, type) and issubclass(part, Settings)
        )

    @cached_property
    def sections(self) -> dict[str, type[Settings]]:
        models = {name: settings_in(self.model, name) for name in self.model.model_fields}
        return {name: model for name, model in models.items() if model is not None}

    @cached_property
    def per_project(self) -> frozenset[str]:
        return frozenset(self.entry.model_fields) & self.sections.keys()

    def folder(self, root: Path) -> Path:
        project_folder = root / self.profiles
        return project_folder if project_folder.is_dir() else PACKAGE_PARENT / self.profiles

    def profile(self, root: Path, name: Any) -> dict[str, Any]:
        """Values of a profile; the standard one for an unknown name."""
        folder = self.folder(root)
        values = read_yaml(folder / f"{STANDARD}.yaml")
        if isinstance(name, str) and name in self.profile_names(root) and name != STANDARD:
            values = merged(values, read_yaml(folder / f"{name}.yaml"), self.model)
        return values

    def profile_names(self, root: Path) -> list[str]:
        return sorted(path.stem for path in self.folder(root).glob("*.yaml"))


@dataclass(frozen=True)
class Effective:
    """``code``: digest of each asset's code unless stages depend on its files; ``packages``: their versions."""

    parameters: Any
    layout: ParameterLayout
    code: Mapping[str, str] = field(default_factory=dict)
    packages: Mapping[str, str] = field(default_factory=dict)

    def section(self, name: str, project: str | None = None) -> Settings:
        if project is not None and name in self.layout.per_project:
            project_settings = getattr(self.parameters.projects[project], name)
            if project_settings is not None:
                return project_settings  # type: ignore[no-any-return]
        return getattr(self.parameters, name)  # type: ignore[no-any-return]

    @cached_property
    def files(self) -> dict[str, dict[str, Any]]:
        layout = self.layout
        files = {SHARED: {name: _plain(self.section(name)) for name in layout.sections}}
        shared = {name: files[SHARED][name] for name in layout.per_project}
        entry_fields = layout.entry.model_fields.keys() - layout.per_project - {"profile"}
        for project, entry in self.parameters.projects.items():
            overrides = {
                name: _plain(value) for name in layout.per_project if (value := getattr(entry, name)) is not None
            }
            files[project_file(project)] = {ENTRY: _plain(entry, entry_fields), **shared, **overrides}
        made_by = {CODE: dict(self.code), PACKAGES: dict(self.packages)}
        return files | {file: versions for file, versions in made_by.items() if versions}

    def write(self, root: Path) -> bool:
        """Update ``data/parameters``; returns whether anything changed."""
        texts, on_disk = self._texts(), _texts_in(root)
        staging = root / ".cortex" / "tmp"
        staging.mkdir(parents=True, exist_ok=True)
        for name in on_disk.keys() - texts.keys():
            (root / name).unlink()
        for name, text in texts.items():
            if on_disk.get(name) != text:
                # DVC hashes the folder: nothing else may lie in it, however briefly
                with atomic_file(root / name, staging=staging) as scratch:
                    scratch.write_text(text, encoding="utf-8")
        return on_disk != texts

    def is_written(self, root: Path) -> bool:
        return _texts_in(root) == self._texts()

    def _texts(self) -> dict[str, str]:
        """Files as ``json_text`` writes them; a section that many files have is written once."""
        parts: dict[int, str] = {}

        def part(values: Any) -> str:
            if id(values) not in parts:  # of what ``files`` keeps
                parts[id(values)] = json_text(values).rstrip().replace("\n", "\n ")
            return parts[id(values)]

        return {
            name: "{\n" + ",\n".join(f' "{key}": {part(values[key])}' for key in sorted(values)) + "\n}\n"
            for name, values in self.files.items()
        }


def _texts_in(root: Path) -> dict[str, str]:
    paths = (path for path in (root / FOLDER).rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): path.read_text(encoding="utf-8") for path in paths}


def resolve(
    root: Path, layout: ParameterLayout, file: Path | None = None, check: Callable[[Path, Any], None] = lambda *_: None
) -> Effective:
    """The effective parameters of a project, from its files; ProjectError gives line, key and value. ``check`` is
    called once with the root and the parameters of the same texts.
    """
    path = file or root / FILE
    if path.is_file() and path.stat().st_size > _LARGEST:
        raise ProjectError(
            f"{FILE} has {path.stat().st_size:,} bytes; at most {_LARGEST:,} are read; "
            f"`git checkout {FILE}` restores the last version"
        )
    if not peek_yaml(path):
        raise ProjectError(f"{FILE} is empty; `git checkout {FILE}` restores the last version")
    profiles = tuple(
        (folder / f"{name}.yaml").read_bytes()
        for folder in [layout.folder(root)]
        for name in layout.profile_names(root)
    )
    return _resolved(root, layout, path.read_bytes(), profiles, path, check)


@lru_cache(maxsize=4)
def _resolved(
    root: Path,
    layout: ParameterLayout,
    text: bytes,
    profiles: tuple[bytes, ...],
    path: Path,
    check: Callable[[Path, Any], None],
) -> Effective:
    user_values = read_yaml(path)
    base = layout.profile(root, user_values.get("profile", STANDARD))
    values = {"profile": STANDARD} | merged(base, user_values, layout.model)
    if isinstance(values.get("projects"), dict):
        values["projects"] = dict(values["projects"])
        for name, entry in values["projects"].items():
            if not isinstance(entry, dict):
                continue
            profile = entry.get("profile")
            overridden = layout.per_project if profile is not None else layout.per_project & entry.keys()
            if not overridden:
                continue
            base = layout.profile(root, profile or user_values.get("profile", STANDARD))
            top = merged(base, user_values, layout.model)
            sections = {key: top[key] for key in overridden if key in top}
            overrides = {key: entry[key] for key in overridden if key in entry}
            values["projects"][name] = entry | merged(sections, overrides, layout.model)
    try:
        parameters = layout.model.model_validate(values)
    except ValidationError as error:
        words = describe_errors(error, text.decode("utf-8-sig"), layout.model)
        raise ProjectError(f"{FILE}: {words}") from error
    check(root, parameters)
    return Effective(parameters, layout)


def merged(base: Mapping[str, Any], change: Mapping[str, Any], model: Any) -> dict[str, Any]:
    """Settings with overrides: sections merged by key, other values replaced."""
    values = dict(base)
    for key, value in change.items():
        inner, below = settings_in(model, key), base.get(key)
        mergeable = inner is not None and isinstance(below, Mapping) and isinstance(value, Mapping)
        values[key] = merged(below, value, inner) if mergeable else value  # type: ignore[arg-type]
    return values


def settings_in(model: type[BaseModel], key: Any) -> type[Settings] | None:
    """The settings under a key, if they are merged by key; those without a required key are alternatives."""
    field = model.model_fields.get(str(key))
    annotation = field.annotation if field else None
    optional = get_origin(annotation) in (Union, UnionType)
    for part in get_args(annotation) if optional else (annotation,):
        if isinstance(part, type) and issubclass(part, Settings):
            needed = any(inner.is_required() for inner in part.model_fields.values())
            return part if needed else None
    return None


def _plain(settings: Settings, names: Any = None) -> dict[str, Any]:
    return settings.model_dump(mode="json", exclude_defaults=True, include=names)


def json_text(values: Mapping[str, Any]) -> str:
    return json.dumps(values, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
