"""Edit ``params.yaml``, preserving comments, order and quotes."""

import json
import re
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.representer import RoundTripRepresenter

from cortex_pipelines.atomic import write_whole
from cortex_pipelines.versioning.parameters import FILE
from cortex_pipelines.versioning.root import ProjectError


class _Representer(RoundTripRepresenter):
    """A separate class, since representers are per class and DVC uses the default one."""


def _null(representer: RoundTripRepresenter, _value: None) -> Any:
    return representer.represent_scalar("tag:yaml.org,2002:null", "null")


_Representer.add_representer(type(None), _null)


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
    """The text of ``params.yaml`` without a project and the settings that name it.

    All other text stays unchanged: a comment above the project is removed with it, one above the next project stays. If
    the project does not have its own lines, or another section names it, the file is rendered again by ``to_yaml``.

    Raises:
        ProjectError: another project refers to this one by a YAML alias.
    """
    expected = _drop_project(round_trip().load(text), name)
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


def _drop_project(values: Any, name: str) -> Any:
    del values["projects"][name]
    consent = (values.get("feedback") or {}).get("consent") or []
    if name in consent:
        consent.remove(name)
    for section in (values, *values["projects"].values()):
        ((section.get("adapters") or {}).get("parents") or {}).pop(name, None)
    return values


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
    return "".join(remaining) if _has_entry(remaining, top) else _with_empty_section(remaining, top)


def _has_entry(lines: list[str], top: int) -> bool:
    for line in lines[top + 1 :]:
        if line.strip() and not line.lstrip().startswith("#"):
            return line[0] in " \t"
    return False


def _with_empty_section(lines: list[str], top: int) -> str:
    lines[top] = lines[top].replace(":", ": {}", 1)
    return "".join(lines)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" \t"))
