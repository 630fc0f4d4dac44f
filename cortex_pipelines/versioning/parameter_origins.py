"""Origin and description of each effective parameter, for ``cortex params``."""

import ast
import inspect
import itertools
import json
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from cortex_pipelines.settings import Settings
from cortex_pipelines.versioning.dvc.yaml_files import read_yaml
from cortex_pipelines.versioning.dvc.yaml_text import lines_of
from cortex_pipelines.versioning.parameters import FILE, STANDARD, Effective, settings_in


@dataclass(frozen=True)
class Origin:
    """An effective value and its origin."""

    key: str
    value: str
    source: str
    meaning: str


def origins(root: Path, effective: Effective, section: str, project: str | None = None) -> list[Origin]:
    files = _parameter_files(root, effective, section, project)
    return [
        Origin(".".join(keys), _json(value), _source(files, keys), meaning)
        for keys, value, meaning in _leaves(effective.section(section, project))
    ]


@dataclass(frozen=True)
class ParameterFile:
    name: str
    values: Any
    lines: Mapping[tuple[str, ...], int] | None = None
    prefix: tuple[str, ...] = ()


def _parameter_files(root: Path, effective: Effective, section: str, project: str | None) -> list[ParameterFile]:
    layout, parameters = effective.layout, effective.parameters
    text = (root / FILE).read_text(encoding="utf-8-sig")
    values, lines = read_yaml(root / FILE), lines_of(text)
    files, profile = [], parameters.profile
    if project is not None and section in layout.per_project:
        entry = values["projects"][project]
        profile = entry.get("profile") or profile
        above = ("projects", project, section)
        files.append(ParameterFile(f"project {project}, {FILE}", entry.get(section), lines, above))
    files.append(ParameterFile(FILE, values.get(section), lines, (section,)))
    folder = layout.folder(root)
    for name in dict.fromkeys((profile, STANDARD)):
        of_profile = read_yaml(folder / f"{name}.yaml").get(section)
        files.append(ParameterFile(f"profile {name}", of_profile))
    return files


def _source(files: list[ParameterFile], keys: tuple[str, ...]) -> str:
    for file in files:
        value, depth = file.values, 0
        while depth < len(keys) and isinstance(value, Mapping) and keys[depth] in value:
            value, depth = value[keys[depth]], depth + 1
        # a value that is not a mapping replaces all below it
        if depth == len(keys) and file.values is not None:
            line = file.lines and file.lines.get((*file.prefix, *keys))
            return f"{file.name}:{line}" if line else file.name
    return "default"


def _leaves(settings: Settings, above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any, str]]:
    """All values below nested settings: keys, value and description."""
    meanings = docstrings(type(settings))
    plain = settings.model_dump(mode="json", exclude_defaults=True)
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, Settings) and settings_in(type(settings), name):
            yield from _leaves(value, (*above, name))
        else:
            yield (*above, name), plain.get(name), meanings.get(name, "")


@cache
def docstrings(model: type[BaseModel]) -> dict[str, str]:
    meanings: dict[str, str] = {}
    for cls in reversed(model.__mro__):
        if issubclass(cls, BaseModel) and cls is not BaseModel:
            body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
            meanings |= dict(_field_docstrings(body))
    return meanings


def _field_docstrings(body: ast.stmt) -> Iterator[tuple[str, str]]:
    statements = body.body if isinstance(body, ast.ClassDef) else []
    for field, text in itertools.pairwise(statements):
        match field, text:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(ast.Constant(str(meaning))):
                yield name, " ".join(meaning.split())


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
