"""Formats of blocks with names: HCL and XML."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from cortex_pipelines.privacy.detect.settings.format import (
    MAX_DEPTH,
    NAME_KEYS,
    VALUE_KEYS,
    NestedKeys,
    Setting,
    SettingsFileError,
)
from cortex_pipelines.privacy.detect.text.mapped_text import MappedText, backslashes_resolved, entities_resolved

_HCL_TOKEN = re.compile(
    r"""
      (?P<blank>[ \t\r,;]++|\#[^\n]*+|//[^\n]*+|/\*(?:[^*]|\*(?!/))*+\*/)
    | (?P<heredoc><<[-~]?(?P<end>\w+)[ \t]*\r?\n
      (?P<body>(?:(?![ \t]*(?P=end)[ \t]*(?:\r?$))[^\n]*\n)*+)
      [ \t]*(?P=end)(?=\s|$))
    | (?P<string>"(?:[^"\\$]|\\.|\$(?!\{)|\$\{(?:[^{}"]|"(?:[^"\\\n]|\\.)*+")*+\})*+")
    | (?P<line>\n)
    | (?P<open>[{\[(])
    | (?P<close>[}\])])
    | (?P<sets>=(?![=>])|:(?!:))
    | (?P<word>[\w.*-]++)
    | (?P<other>[^\s"\w])
    """,
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)


@dataclass(slots=True)
class _Block:
    """An open bracket: a block or object, a list, or the arguments of a call."""

    bracket: str = "{"
    words: list[str] = field(default_factory=list)
    key: str | None = None


def read_hcl(text: MappedText) -> Iterator[Setting]:
    """Strings of Terraform, Packer and Nomad: in attributes, expressions and heredocs of blocks with labels."""
    keys = NestedKeys(is_mapping=True)
    blocks = [_Block()]
    position = 0
    while position < len(text.text):
        token = _HCL_TOKEN.match(text.text, position)
        if token is None:
            raise SettingsFileError(f"not HCL at character {position}")
        yield from _hcl_settings(text, token, blocks, keys)
        position = token.end()
    if len(blocks) > 1:
        raise SettingsFileError("a bracket is not closed")
    yield from keys.close()


def _hcl_settings(text: MappedText, token: re.Match[str], blocks: list[_Block], keys: NestedKeys) -> Iterator[Setting]:
    block, kind = blocks[-1], token.lastgroup or ""
    if kind == "open":
        blocks.append(_Block(token[0]))
        if token[0] != "(":
            _announce_key(keys, block)
            keys.open(is_mapping=token[0] == "{")
    elif kind == "close":
        if len(blocks) == 1:
            raise SettingsFileError("a bracket is closed that was not opened")
        if blocks.pop().bracket != "(":
            yield from keys.close()
    elif kind == "line":
        if block.bracket == "{":
            block.words, block.key = [], None
    elif kind == "sets" and block.bracket == "{" and block.key is None:
        block.key = block.words[-1] if block.words else ""
    elif kind == "string" and block.bracket == "{" and block.key is None:
        block.words.append(token[0][1:-1])
    elif kind in ("string", "heredoc"):
        # the attribute that a literal belongs to is around calls
        _announce_key(keys, next(block for block in reversed(blocks) if block.bracket != "("))
        if kind == "heredoc":
            yield from keys.scalar(text.slice(*token.span("body")), quoted=True)
        else:
            value = backslashes_resolved(text.slice(token.start() + 1, token.end() - 1))
            yield from keys.scalar(value, quoted=True)
    elif kind == "word" and block.key is None:
        block.words.append(token[0])


def _announce_key(keys: NestedKeys, block: _Block) -> None:
    """Announce the key of the next value; elements of a list have none."""
    if block.bracket == "{":
        keys.key(".".join(block.words) if block.key is None else block.key)


_XML_TOKEN = re.compile(
    r"""
      (?P<aside><!--(?:[^-]|-(?!->))*+-->|<\?[^>]*+>|<![A-Z][^>\[]*+(?:\[[^\]]*+\][^>]*+)?>)
    | (?P<cdata><!\[CDATA\[(?P<raw>(?:[^\]]|\](?!\]>))*+)\]\]>)
    | (?P<end></[^<>]*+>)
    | (?P<start><(?P<element>[^\s<>/="'!?]++)
      (?P<attributes>(?:[^<>"'/]|/(?!>)|"[^"<]*+"|'[^'<]*+')*+)
      (?P<empty>/?)>)
    | (?P<text>[^<]++)
    """,
    re.VERBOSE,
)
_ATTRIBUTE = re.compile(r"""([\w:.-]++)\s*=\s*(?:"([^"<]*+)"|'([^'<]*+)')""")
_WRAPPERS = frozenset(VALUE_KEYS | {"string", "data", "str", "entry", "list", "array"})


@dataclass(slots=True)
class _Element:
    """An open element: its name, the text of its last child that names the next one (``<key>`` of a property list)."""

    name: str
    sibling: str = ""
    contents: list[MappedText] = field(default_factory=list)


def read_xml(text: MappedText) -> Iterator[Setting]:
    """Attributes and texts of elements, CDATA, entries, property lists, and pairs of name and value."""
    open_elements = [_Element("")]
    position = 0
    while position < len(text.text):
        token = _XML_TOKEN.match(text.text, position)
        if token is None:
            raise SettingsFileError(f"not XML at character {position}")
        position = token.end()
        if token["start"] is not None:
            yield from _start_element(text, token, open_elements)
        elif token["end"] is not None:
            if len(open_elements) == 1:
                raise SettingsFileError("an element is closed that was not opened")
            element = open_elements.pop()
            contents = element.contents
            value = (contents[0] if len(contents) == 1 else MappedText.concatenate(contents)).stripped()
            if element.name.rpartition(".")[2].lower() in NAME_KEYS:
                open_elements[-1].sibling = value.text
            if value.text:
                yield Setting(element.name, value, quoted=True)
        elif token["cdata"] is not None:
            open_elements[-1].contents.append(text.slice(*token.span("raw")))
        elif token["text"] is not None:
            open_elements[-1].contents.append(entities_resolved(text.slice(*token.span("text"))))
    if len(open_elements) > 1:
        raise SettingsFileError("an element is not closed")


def _start_element(text: MappedText, token: re.Match[str], open_elements: list[_Element]) -> Iterator[Setting]:
    if len(open_elements) > MAX_DEPTH:
        raise SettingsFileError(f"nested deeper than {MAX_DEPTH} levels")
    element = token["element"].rpartition(":")[2]
    name = ""
    values: list[tuple[str, MappedText]] = []
    for attribute in _ATTRIBUTE.finditer(text.text, *token.span("attributes")):
        key = attribute[1].rpartition(":")[2]
        value = entities_resolved(text.slice(*attribute.span(2 if attribute[2] is not None else 3)))
        name = name or (value.text if key.lower() in NAME_KEYS else "")
        values.append((key, value))
    for key, value in values:
        is_value = name and key.lower() in VALUE_KEYS
        yield Setting(f"{name}.value" if is_value else f"{element}.{key}", value, quoted=True)
    if token["empty"]:
        return
    parent, kind = open_elements[-1], element.lower()
    if name:
        name = f"{name}.value" if kind in NAME_KEYS else f"{element}.{name}"
    elif parent.sibling and kind in _WRAPPERS | {"integer", "real"}:
        name = f"{parent.sibling}.value"
    elif parent.name and kind in _WRAPPERS:
        name = f"{parent.name}.value"
    else:
        name = f"{parent.name.rpartition('.')[2]}.{element}" if parent.name else element
    open_elements.append(_Element(name))
