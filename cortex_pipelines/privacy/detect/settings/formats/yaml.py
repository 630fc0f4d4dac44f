"""YAML: by events of libyaml, which know tags, anchors, block scalars and several documents."""

import re
from collections.abc import Iterator
from typing import Any

import yaml

from cortex_pipelines.privacy.detect.settings.format import Setting, SettingsFileError, SettingsFormat
from cortex_pipelines.privacy.detect.settings.nested_keys import NestedKeys
from cortex_pipelines.privacy.detect.settings.template_blocks import without_templates
from cortex_pipelines.privacy.detect.text.mapped_text import MappedText, backslashes_resolved

_PROPERTIES = re.compile(r"(?:[&!]\S*\s+)+")
_HEADER = re.compile(r"[|>][^\n]*\n")
_BREAK = re.compile(r"[ \t]*\r?\n\s*")
_DOUBLED = re.compile("''")
_SEQUENCE, _MAPPING = yaml.SequenceStartEvent, yaml.MappingStartEvent
_ENDS = (yaml.SequenceEndEvent, yaml.MappingEndEvent)


def read_settings(text: MappedText) -> Iterator[Setting]:
    """Values of all documents.

    Raises:
        SettingsFileError: libyaml does not accept the text, even without template blocks.
    """
    bom = text.text.startswith("\ufeff")
    source = text.slice(1, len(text.text)) if bom else text
    keys = NestedKeys()
    try:
        for event in yaml.parse(without_templates(source.text), Loader=yaml.CBaseLoader):
            if isinstance(event, yaml.ScalarEvent):
                start, end = _position(event.start_mark), _position(event.end_mark)
                yield from keys.scalar(_scalar(source, start, end, event.style), bool(event.style))
            elif isinstance(event, _MAPPING | _SEQUENCE):
                keys.open(isinstance(event, _MAPPING))
            elif isinstance(event, _ENDS):
                yield from keys.close()
            elif isinstance(event, yaml.AliasEvent):
                keys.skip()
    except (yaml.YAMLError, UnicodeError, ValueError) as error:
        raise SettingsFileError(f"not YAML: {error}") from error


def _position(mark: Any) -> int:
    index: int = mark.index
    return index


def _scalar(source: MappedText, start: int, end: int, style: str | None) -> MappedText:
    """A scalar's contents, from its source with tag, anchor and quotes."""
    properties = _PROPERTIES.match(source.text, start, end)
    start = properties.end() if properties else start
    if style in ("|", ">"):
        return _block(source, start, end)
    if style in ("'", '"'):
        start, end = start + 1, end - 1
    value = source.slice(start, max(start, end))
    value = _fold_lines(value)
    if style == '"':
        return backslashes_resolved(value)
    return value.replaced(_DOUBLED, lambda _: "'") if style == "'" else value


def _fold_lines(value: MappedText) -> MappedText:
    """A scalar of several lines, as one."""
    if "\n" not in value.text:
        return value
    return value.replaced(_BREAK, lambda match: "\n" if match[0].count("\n") > 1 else " ")


def _block(source: MappedText, start: int, end: int) -> MappedText:
    """Lines of a block scalar without their indentation."""
    header = _HEADER.match(source.text, start, end)
    if header is None:
        return source.slice(end, end)
    lines = source.text[header.end() : end].splitlines(keepends=True)
    filled = [line for line in lines if line.strip()]
    indent = min((len(line) - len(line.lstrip(" ")) for line in filled), default=0)
    position, parts = header.end(), []
    for line in lines:
        parts.append(source.slice(min(position + indent, position + len(line)), position + len(line)))
        position += len(line)
    return MappedText.concatenate(parts).stripped("\n")


FORMAT = SettingsFormat(
    name="yaml",
    files=(
        "*.yaml", "*.yml", "*.yaml-tpl", ".clang-format", ".clang-tidy", "*.cff", ".yamllint",
        ".gemrc", ".travis", "*.sls", ".tugboat", "hub", "*.eyaml", "*.raml",
    ),
    fences=("yaml", "yml", "docker-compose", "compose", "helm"),
    parse=read_settings,
)  # fmt: skip
