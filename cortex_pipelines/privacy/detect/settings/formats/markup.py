"""XML: elements, attributes, CDATA, entries, property lists, and pairs of name and value."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from cortex_pipelines.privacy.detect.settings.format import Setting, SettingsFileError, SettingsFormat
from cortex_pipelines.privacy.detect.settings.nested_keys import MAX_DEPTH, NAME_KEYS, VALUE_KEYS
from cortex_pipelines.privacy.detect.text.mapped_text import MappedText, entities_resolved

_TOKEN = re.compile(
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
    """An element that is open.

    Attributes:
        name: Its name, or the name in its attribute.
        sibling: Text of the last child that names the next one: ``<key>`` of a property list.
        contents: Its segments of text.
    """

    name: str
    sibling: str = ""
    contents: list[MappedText] = field(default_factory=list)


def read_settings(text: MappedText) -> Iterator[Setting]:
    """Attributes and texts of all elements.

    Raises:
        SettingsFileError: a tag is not closed.
    """
    open_elements = [_Element("")]
    position = 0
    while position < len(text.text):
        token = _TOKEN.match(text.text, position)
        if token is None:
            raise SettingsFileError(f"not XML at character {position}")
        position = token.end()
        if token["start"] is not None:
            yield from _start(text, token, open_elements)
        elif token["end"] is not None:
            yield from _end(open_elements)
        elif token["cdata"] is not None:
            open_elements[-1].contents.append(text.slice(*token.span("raw")))
        elif token["text"] is not None:
            contents = text.slice(*token.span("text"))
            open_elements[-1].contents.append(entities_resolved(contents))
    if len(open_elements) > 1:
        raise SettingsFileError("an element is not closed")


def _start(text: MappedText, token: re.Match[str], open_elements: list[_Element]) -> Iterator[Setting]:
    if len(open_elements) > MAX_DEPTH:
        raise SettingsFileError(f"nested deeper than {MAX_DEPTH} levels")
    element = token["element"].rpartition(":")[2]
    name = ""
    values: list[tuple[str, MappedText]] = []
    for attribute in _ATTRIBUTE.finditer(text.text, *token.span("attributes")):
        group = 2 if attribute[2] is not None else 3
        key = attribute[1].rpartition(":")[2]
        value = entities_resolved(text.slice(*attribute.span(group)))
        name = name or (value.text if key.lower() in NAME_KEYS else "")
        values.append((key, value))
    for key, value in values:
        is_value = name and key.lower() in VALUE_KEYS
        yield Setting(f"{name}.value" if is_value else f"{element}.{key}", value, quoted=True)
    if not token["empty"]:
        open_elements.append(_Element(_element_name(element, name, open_elements[-1])))


def _element_name(element: str, name_attribute: str, parent: _Element) -> str:
    if name_attribute:
        return f"{name_attribute}.value" if element.lower() in NAME_KEYS else f"{element}.{name_attribute}"
    if parent.sibling and element.lower() in _WRAPPERS | {"integer", "real"}:
        return f"{parent.sibling}.value"
    if parent.name and element.lower() in _WRAPPERS:
        return f"{parent.name}.value"
    return f"{parent.name.rpartition('.')[2]}.{element}" if parent.name else element


def _end(open_elements: list[_Element]) -> Iterator[Setting]:
    if len(open_elements) == 1:
        raise SettingsFileError("an element is closed that was not opened")
    element = open_elements.pop()
    contents = element.contents
    text = contents[0] if len(contents) == 1 else MappedText.concatenate(contents)
    value = text.stripped()
    last_key = element.name.rpartition(".")[2].lower()
    if last_key in NAME_KEYS:
        open_elements[-1].sibling = value.text
    if value.text:
        yield Setting(element.name, value, quoted=True)


FORMAT = SettingsFormat(
    name="xml",
    files=(
        "*.xml", "*.plist", "*.config", "*.csproj", "*.vbproj", "*.props", "*.targets", "*.wsdl",
        "*.xsd", "*.pom", "*.iml", "*.resx", "*.xmp", "*.kdbx.xml", "*.mobileconfig", "*.strings",
        "*.storyboard", "*.nuspec", "*.jnlp", "*.jelly", "*.tm7", "*.drawio", "*.pubxml", "*.rdp",
        "*.publishsettings", "*.ant", "*.svg", "*.dsn",
    ),
    fences=("xml", "plist"),
    parse=read_settings,
)  # fmt: skip
