"""Edit ``params.yaml`` with its comments, and trace each effective value to where it is written."""

import ast
import inspect
import itertools
import json
import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.representer import RoundTripRepresenter

from cortex_pipelines.atomic import write_whole
from cortex_pipelines.settings import Settings
from cortex_pipelines.versioning.dvc.yaml_files import lines_of, read_yaml
from cortex_pipelines.versioning.parameters import FILE, STANDARD, Effective, settings_in
from cortex_pipelines.versioning.root import ProjectError


class _Representer(RoundTripRepresenter):
    """A separate class, since representers are per class and DVC uses the default one."""


_Representer.add_representer(type(None), lambda writer, _: writer.represent_scalar("tag:yaml.org,2002:null", "null"))


def round_trip() -> YAML:
    """A YAML reader and writer that preserves every line, explicit ``null`` included."""
    yaml = YAML()
    yaml.Representer = _Representer
    yaml.width = 4096
    yaml.preserve_quotes = True
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def read_values(root: Path) -> Any:
    return round_trip().load((root / FILE).read_text(encoding="utf-8"))


def write_values(root: Path, values: Any) -> None:
    write_whole(root / FILE, to_yaml(values))


def to_yaml(values: Any) -> str:
    text = StringIO()
    round_trip().dump(values, text)
    return text.getvalue()


def without_project(text: str, name: str) -> str:
    """The text of ``params.yaml`` without a project and the settings that name it; ProjectError for a YAML alias to it.

    Other text stays as it is: a comment above the project is removed with it, one above the next project stays. If the
    project does not have separate lines, or another section names it, the file is rendered again by ``to_yaml``.
    """
    expected = round_trip().load(text)
    del expected["projects"][name]
    consent = (expected.get("feedback") or {}).get("consent") or []
    if name in consent:
        consent.remove(name)
    for section in (expected, *expected["projects"].values()):
        ((section.get("adapters") or {}).get("parents") or {}).pop(name, None)
    shortened = _without_lines(text, name)
    try:
        if shortened is not None and _plain(round_trip().load(shortened)) == _plain(expected):
            return shortened
        rendered = to_yaml(expected)
        round_trip().load(rendered)
    except YAMLError as error:
        raise ProjectError(
            f"{FILE}: another project repeats values of projects.{name} by an alias; write them out, then remove {name}"
        ) from error
    return rendered


def _plain(values: Any) -> Any:
    return json.loads(json.dumps(values, default=str))


def _without_lines(text: str, name: str) -> str | None:
    key = re.compile(rf"""([ \t]+)(["']?){re.escape(name)}\2[ \t]*:(?:\s|$)""")
    lines = text.splitlines(keepends=True)
    top = next((n for n, line in enumerate(lines) if re.match(r"projects[ \t]*:\s", line)), None)
    if top is None:
        return None
    after = range(top + 1, len(lines))
    end_of_section = next((n for n in after if re.match(r"[^\s#]", lines[n])), len(lines))
    begin = next((n for n in after if n < end_of_section and key.match(lines[n])), None)
    if begin is None:
        return None
    indent = _indent(lines[begin])
    end = begin + 1
    while end < end_of_section and (not lines[end].strip() or _indent(lines[end]) > indent):
        end += 1
    while not lines[end - 1].strip():
        end -= 1  # blank lines belong to what follows
    above = begin
    while above - 1 > top and lines[above - 1].lstrip().startswith("#"):
        above -= 1
    if above - 1 > top or begin == above:
        begin = above  # below `projects:` itself a comment may be about all of them
    if begin == top + 1:  # no gap below `projects:`
        while end < len(lines) and not lines[end].strip():
            end += 1
    remaining = lines[:begin] + lines[end:]
    entries = (line for line in remaining[top + 1 :] if line.strip() and not line.lstrip().startswith("#"))
    if next(entries, "#")[0] not in " \t":  # another section, or nothing
        remaining[top] = remaining[top].replace(":", ": {}", 1)
    return "".join(remaining)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" \t"))


@dataclass(frozen=True)
class Origin:
    """An effective value and its origin."""

    key: str
    value: str
    source: str
    meaning: str


def origins(root: Path, effective: Effective, section: str, project: str | None = None) -> list[Origin]:
    layout, parameters = effective.layout, effective.parameters
    text = (root / FILE).read_text(encoding="utf-8-sig")
    values, lines = read_yaml(root / FILE), lines_of(text)
    files, profile = [], parameters.profile
    if project is not None and section in layout.per_project:
        entry = values["projects"][project]
        profile = entry.get("profile") or profile
        above = ("projects", project, section)
        files.append(_ParameterFile(f"project {project}, {FILE}", entry.get(section), lines, above))
    files.append(_ParameterFile(FILE, values.get(section), lines, (section,)))
    folder = layout.folder(root)
    for name in dict.fromkeys((profile, STANDARD)):
        of_profile = read_yaml(folder / f"{name}.yaml").get(section)
        files.append(_ParameterFile(f"profile {name}", of_profile))
    return [
        Origin(".".join(keys), json.dumps(value, ensure_ascii=False), _source(files, keys), meaning)
        for keys, value, meaning in _leaves(effective.section(section, project))
    ]


class _ParameterFile(NamedTuple):
    name: str
    values: Any
    lines: Mapping[tuple[str, ...], int] = {}
    prefix: tuple[str, ...] = ()


def _source(files: list[_ParameterFile], keys: tuple[str, ...]) -> str:
    for file in files:
        value, depth = file.values, 0
        while depth < len(keys) and isinstance(value, Mapping) and keys[depth] in value:
            value, depth = value[keys[depth]], depth + 1
        # a value that is not a mapping replaces all below it
        if depth == len(keys) and file.values is not None:
            line = file.lines.get((*file.prefix, *keys))
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
            (definition,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
            for field, text in itertools.pairwise(definition.body if isinstance(definition, ast.ClassDef) else ()):
                match field, text:
                    case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(ast.Constant(str(meaning))):
                        meanings[name] = " ".join(meaning.split())
    return meanings
