"""Formats of nested mappings and lists: JSON, TOML, YAML."""

import re
from collections.abc import Generator, Iterator
from typing import Any

import yaml

from cortex_pipelines.privacy.detect.settings.format import NestedKeys, Setting, SettingsFileError, without_templates
from cortex_pipelines.privacy.detect.text.mapped_text import MappedText, backslashes_resolved

_JSON_TOKEN = re.compile(
    r"""
      (?:[\s,:\ufeff]++|//[^\n]*+|\#[^\n]*+|/\*(?:[^*]|\*(?!/))*+\*/)*+
    (?: (?P<string>"(?:[^"\\]++|\\.)*+"|'(?:[^'\\]++|\\.)*+')
    | (?P<open>[{\[])
    | (?P<close>[}\]])
    | (?P<number>-?[0-9][0-9.eE+-]*+(?=[\s,\]}])(?!\s*:)|true\b|false\b|null\b)
    | (?P<bare>[^\s{}\[\]:,"'/]++)
    | (?P<end>\Z)
    | (?P<fault>.))
    """,
    re.VERBOSE | re.DOTALL,
)


def read_json(text: MappedText, prefix: str = "") -> Iterator[Setting]:
    """JSON, JSON with comments, JSON5, and several documents one after the other.

    With a prefix for each name.
    """
    keys = NestedKeys(prefix)
    source = text.text
    for token in _JSON_TOKEN.finditer(source):
        kind = token.lastgroup or "end"
        start, end = token.span(kind)
        if kind == "string":
            contents = source[start + 1 : end - 1]
            if "\\" not in contents and keys.expects_key:
                keys.key(contents)
            elif "\\" in contents or keys.is_of_interest(contents):
                yield from keys.scalar(backslashes_resolved(text.slice(start + 1, end - 1)), quoted=True)
            else:
                keys.skip()
        elif kind == "number":
            keys.skip()
        elif kind == "bare":
            yield from keys.scalar(text.slice(start, end), quoted=False)
        elif kind == "open":
            keys.open(is_mapping=token["open"] == "{")
        elif kind == "close":
            yield from keys.close()
        elif kind == "fault":
            raise SettingsFileError(f"not JSON at character {start}")
    if keys.depth:
        raise SettingsFileError("a bracket is not closed")


_QUOTED_KEY = r"""(?:"(?:[^"\\\n]|\\.)*+"|'[^'\n]*+'|[\w-]++)"""
_PATH = rf"{_QUOTED_KEY}(?:[ \t]*\.[ \t]*{_QUOTED_KEY})*+"
_LINE = re.compile(
    rf"(?P<blank>(?:\s++|#[^\n]*+)++)|\[\[?[ \t]*(?P<table>{_PATH})[ \t]*\]\]?|(?P<key>{_PATH})[ \t]*=[ \t]*"
)
_VALUE = re.compile(
    rf"""
      (?P<blank>(?:[\s,]++|\#[^\n]*+)++)
    | (?P<key>{_PATH}[ \t]*=)
    | (?P<escaped_lines>\"\"\"(?:[^"\\]|\\.|"(?!\"\"))*+\"{{3,5}})
    | (?P<plain_lines>'''(?:[^']|'(?!''))*+'{{3,5}})
    | (?P<escaped>"(?:[^"\\\n]|\\.)*+")
    | (?P<plain>'[^'\n]*+')
    | (?P<open>[\[{{])
    | (?P<close>[\]}}])
    | (?P<bare>[^\s,\[\]{{}}"'\#=]++)
    """,
    re.VERBOSE | re.DOTALL,
)


def read_toml(text: MappedText) -> Iterator[Setting]:
    source = without_templates(text.text)
    keys = NestedKeys(is_mapping=True)
    position = 0
    while position < len(source):
        line = _LINE.match(source, position)
        if line is None:
            raise SettingsFileError(f"not TOML at character {position}")
        position = line.end()
        if line["table"]:
            yield from keys.close()
            keys = NestedKeys(_toml_name(line["table"]), is_mapping=True)
        elif line["key"]:
            keys.key(_toml_name(text.text[slice(*line.span("key"))]))
            position = yield from _toml_value(text, source, position, keys)
    yield from keys.close()


def _toml_name(path: str) -> str:
    return re.sub(r"[\"'\s]", "", path)


def _toml_value(text: MappedText, source: str, position: int, keys: NestedKeys) -> Generator[Setting, None, int]:
    """Yield the settings of a value; returns the position after it."""
    depth = keys.depth
    while True:
        token = _VALUE.match(source, position)
        if token is None:
            raise SettingsFileError(f"not a value of TOML at character {position}")
        position = token.end()
        kind = token.lastgroup or ""
        if kind == "open":
            keys.open(is_mapping=token[0] == "{")
        elif kind == "close":
            yield from keys.close()
        elif kind == "key" and keys.depth > depth:
            name = MappedText(_toml_name(text.text[token.start() : position - 1]), (), ())
            yield from keys.scalar(name, quoted=False)
        elif kind != "blank":
            quotes = 3 if kind.endswith("lines") else 0 if kind == "bare" else 1
            contents = text.slice(token.start() + quotes, position - quotes)
            value = backslashes_resolved(contents) if kind.startswith("escaped") else contents
            yield from keys.scalar(value, quoted=kind != "bare")
        if keys.depth == depth and kind != "blank":
            return position


_PROPERTIES = re.compile(r"(?:[&!]\S*\s+)+")
_HEADER = re.compile(r"[|>][^\n]*\n")
_BREAK = re.compile(r"[ \t]*\r?\n\s*")
_DOUBLED = re.compile("''")


def read_yaml(text: MappedText) -> Iterator[Setting]:
    """By events of libyaml, which know tags, anchors, block scalars and several documents; also below templates."""
    source = text.slice(1, len(text.text)) if text.text.startswith("\ufeff") else text
    keys = NestedKeys()
    try:
        for event in yaml.parse(without_templates(source.text), Loader=yaml.CBaseLoader):
            if isinstance(event, yaml.ScalarEvent):
                yield from keys.scalar(_yaml_scalar(source, event), bool(event.style))
            elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
                keys.open(isinstance(event, yaml.MappingStartEvent))
            elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
                yield from keys.close()
            elif isinstance(event, yaml.AliasEvent):
                keys.skip()
    except (yaml.YAMLError, UnicodeError, ValueError) as error:
        raise SettingsFileError(f"not YAML: {error}") from error


def _yaml_scalar(source: MappedText, event: Any) -> MappedText:
    """A scalar's contents, from its source with tag, anchor and quotes."""
    start, end, style = event.start_mark.index, event.end_mark.index, event.style
    properties = _PROPERTIES.match(source.text, start, end)
    start = properties.end() if properties else start
    if style in ("|", ">"):  # a block's lines without their indentation
        header = _HEADER.match(source.text, start, end)
        if header is None:
            return source.slice(end, end)
        lines = source.text[header.end() : end].splitlines(keepends=True)
        indent = min((len(line) - len(line.lstrip(" ")) for line in lines if line.strip()), default=0)
        position, parts = header.end(), []
        for line in lines:
            parts.append(source.slice(min(position + indent, position + len(line)), position + len(line)))
            position += len(line)
        return MappedText.concatenate(parts).stripped("\n")
    if style in ("'", '"'):
        start, end = start + 1, end - 1
    value = source.slice(start, max(start, end))
    if "\n" in value.text:
        value = value.replaced(_BREAK, lambda match: "\n" if match[0].count("\n") > 1 else " ")
    if style == '"':
        return backslashes_resolved(value)
    return value.replaced(_DOUBLED, lambda _: "'") if style == "'" else value
