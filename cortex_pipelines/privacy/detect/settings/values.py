"""Values in files of settings, by the parser of their format."""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from fnmatch import translate
from functools import lru_cache
from types import ModuleType

from cortex_pipelines.privacy.detect.context import is_code
from cortex_pipelines.privacy.detect.named_values import NamedValue
from cortex_pipelines.privacy.detect.names import SUSPECT
from cortex_pipelines.privacy.detect.settings import formats
from cortex_pipelines.privacy.detect.settings.format import Setting, SettingsFileError, SettingsFormat
from cortex_pipelines.privacy.detect.settings.formats import dotenv, json5, markup
from cortex_pipelines.privacy.detect.settings.nested_keys import COMPOUND
from cortex_pipelines.privacy.detect.text.indexed_text import IndexedText
from cortex_pipelines.privacy.detect.text.mapped_text import MappedText

_EXPANSION = re.compile(
    r"""\$\{\s*(?P<name>[\w.\-\[\]/]{1,80})\s*
    (?:(?P<sets>:?[-=+])|(?P<colon>:(?!\?))|(?P<comma>,))
    (?P<value>(?:[^{}\n]|\{[^{}\n]*+\}){1,1000}+)\}""",
    re.VERBOSE,
)
_RESOLVER = re.compile(r"(?:[\w.]{1,20}:)?(?P<name>[A-Za-z_][\w.]{0,80})\s*(?:,|:-?)\s*")
_RESOLVERS = ("oc.env", "env", "sys", "opt", "self", "oc.select")
_BLOCK = re.compile(
    r"\{\{(?P<go>[^\n]{1,500}?)\}\}|<%(?P<erb>[^\n]{1,500}?)%>|\{%(?P<jinja>[^\n]{1,500}?)%\}"
    r"|\#\{(?P<ruby>[^\n{}]{1,300})\}"
)
_LITERAL = re.compile(
    r"""(?P<before>\|\||\?\?|\?:|\bor\b|\belse\b|\bdefault:?\s*\(?|\bd\(|[,{?:]|[^=!<>]=)\s*
    (?P<quote>["'`])(?P<value>(?:(?!(?P=quote))[^\\\n]|\\.){1,1000})(?P=quote)""",
    re.VERBOSE,
)
_NAMED = re.compile(r"""[A-Za-z_][\w.]{1,60}(?=["'\s\])]*$)|(?<=["'])[\w.-]{2,60}(?=["'])|\.\w[\w.]+""")
_QUOTES = "\"'"


def fallback_settings(name: str, value: MappedText) -> Iterator[Setting]:
    """Fallback values of the variables in a value.

    Each fallback is yielded twice, under the name of the setting and that of the variable.
    """
    text = value.text
    if "${" in text:
        for expansion in _EXPANSION.finditer(text):
            yield from _of_expansion(name, value, expansion)
    if "{{" in text or "<%" in text or "{%" in text or "#{" in text:
        for block in _BLOCK.finditer(text):
            group = block.lastgroup or "go"
            yield from _of_block(name, value.slice(*block.span(group)))


def _of_expansion(name: str, value: MappedText, expansion: re.Match[str]) -> Iterator[Setting]:
    variable, contents = expansion["name"], value.slice(*expansion.span("value"))
    resolver = _RESOLVER.match(contents.text) if variable in _RESOLVERS else None
    if resolver:
        variable = resolver["name"]
        contents = contents.slice(resolver.end(), len(contents.text))
    elif expansion["comma"]:
        return
    if "${" in contents.text:
        yield from fallback_settings(variable, contents)
        yield from fallback_settings(name, contents)
        return
    quoted = contents.text[:1] in _QUOTES
    bare = contents.stripped(" \"'")
    for owner in (name, variable):
        if owner and bare.text:
            yield Setting(owner, bare, quoted)


def _of_block(name: str, block: MappedText) -> Iterator[Setting]:
    for literal in _LITERAL.finditer(block.text):
        value = block.slice(*literal.span("value"))
        if name:
            yield Setting(name, value, quoted=True)
        for variable in _NAMED.findall(block.text[: literal.start()])[-2:]:
            yield Setting(variable, value, quoted=True)


def formats_in(folder: ModuleType) -> tuple[SettingsFormat, ...]:
    """``FORMAT`` of each module in a package, sorted by module."""
    modules = sorted(info.name for info in pkgutil.iter_modules(folder.__path__))
    loaded = (importlib.import_module(f"{folder.__name__}.{name}") for name in modules)
    formats: list[SettingsFormat] = [module.FORMAT for module in loaded]
    return tuple(formats)


FORMATS = formats_in(formats)
"""All formats, by name."""

_FILES = [(f, re.compile("|".join(map(translate, f.files)))) for f in FORMATS]
_LONGEST_NAME = 100
_HEAD = 1000
_LONGEST = 5000  # keys of several lines included
_DEEPEST = 5  # a value within a value within a value
_JSON = re.compile(r"\s*(?:\{\s*[\"'}]|\[\s*[\"'{\[])")
_NAME_CHARS = 60
# With a value that is not a number.
_JSON_NAME = re.compile(
    r"""[\w$.\ /@\[\]-]{0,60}
    (?:\\*["'`]\s*+:\s*+(?!-?[0-9.eE+-]++\s*+[,}\]]|true\b|false\b|null\b)|\\*["'`]?\s*+=|\s*+:)""",
    re.VERBOSE,
)
_JSON_STRING_END = re.compile(r"""[\w$. /@:\[\]-]{0,60}\\*["']""")
_JSON_STRING_START = re.compile(r"""[\w$. /@:\[\]-]*["']""")  # backwards
_LINE_PAIR = re.compile(r"[A-Za-z_][\w.-]{1,60}=[^\s=]")
_PAIR = re.compile(r"(?:^|[;&?,\s])\s*([A-Za-z_][\w .-]{0,40}?)\s*=\s*([^;&\s\"',]+)(?=[;&\s\"',]|$)")
_BEFORE_PAIRS = re.compile(r"[^;&=\s]+(?=[;&][A-Za-z_][\w .-]{0,40}=)")
_KEY_LINE = re.compile(r"[A-Za-z0-9+/=_-]+")
_EXTRA = re.compile(
    r"\.(?:erb|j2|jinja2?|tmpl|tpl|template|dist|example|sample|in|bak|orig|old|local|prod"
    r"|production|dev|development|staging|test|default|enc|dec|gotmpl|mustache|ejs|txt|backup|save)$"
)


def settings_values(indexed: IndexedText, path: str) -> Iterator[NamedValue]:
    """Values of a file of settings with their names; of other files fallbacks of variables.

    A malformed file yields the settings before the fault. The path's name tells the format where
    the text does not.
    """
    if not (indexed.could_assign_secrets or indexed.has_hidden_names):
        return
    text = indexed.text
    for format in _formats_by_content(text, path):
        if format is not json5.FORMAT or indexed.has_hidden_names or _has_json_name(indexed):
            yield from values_in(MappedText.from_source(text), format)
    if "${" in text and not is_code(path):
        for setting in fallback_settings("", MappedText.from_source(text)):
            yield from _named_values(setting)


def _has_json_name(indexed: IndexedText) -> bool:
    """Whether a suspicious name stands where JSON, or settings inside it, has names, not in prose."""
    text = indexed.text
    for start, end in indexed.suspects:
        if _JSON_NAME.match(text, end):
            return True
        if _JSON_STRING_END.match(text, end) and _JSON_STRING_START.match(
            text[max(0, start - _NAME_CHARS) : start][::-1]
        ):
            return True
    return False


def values_in(text: MappedText, format: SettingsFormat) -> Iterator[NamedValue]:
    """The same for a text of a known format."""
    for setting in _read(format, text):
        if not (SUSPECT.search(setting.name.lower()) or COMPOUND.search(setting.value.text)):
            continue
        for inner in _expanded(setting, 0):
            yield from _named_values(inner)


def _named_values(setting: Setting) -> Iterator[NamedValue]:
    if len(setting.value.text) <= _LONGEST and SUSPECT.search(setting.name.lower()):
        value = setting.named_value()
        if value is not None:
            yield value


def formats_of(path: str) -> tuple[SettingsFormat, ...]:
    """Formats that a file may have by its name; several if the name is ambiguous."""
    return _formats_of(path.replace("\\", "/").rpartition("/")[2].lower()[-_LONGEST_NAME:])


def _formats_by_content(text: str, path: str) -> tuple[SettingsFormat, ...]:
    """Formats by name, unless the text begins as XML; JSON if the name matches none."""
    formats = formats_of(path)
    start = text[:_HEAD].lstrip("\ufeff \t\r\n")
    if start.startswith("<"):
        is_page = path.lower().endswith((".html", ".htm", ".svg", ".md"))
        return () if is_code(path) or is_page else (markup.FORMAT,)
    if not formats and start.startswith("{") and not is_code(path):
        return (json5.FORMAT,)
    return tuple(format for format in formats if format is not markup.FORMAT)


@lru_cache(maxsize=1 << 12)
def _formats_of(name: str) -> tuple[SettingsFormat, ...]:
    while name:
        formats = tuple(f for f, files in _FILES if files.match(name))
        shorter = _EXTRA.sub("", name)
        if formats or shorter == name:
            return formats
        name = shorter
    return ()


def _read(format: SettingsFormat, text: MappedText) -> Iterator[Setting]:
    try:
        yield from format.parse(text)
    except SettingsFileError:
        return  # the line patterns see the rest


def _expanded(setting: Setting, depth: int) -> Iterator[Setting]:
    value = setting.value
    text = value.text
    if "\n" not in text:
        if not (text[:1] in "{[" and text[-1:] in "}]"):
            alone = _BEFORE_PAIRS.match(text)
            part = value.slice(0, alone.end()) if alone else value
            yield Setting(setting.name, part, setting.quoted)
    elif all(map(_KEY_LINE.fullmatch, text.split())):
        yield _unbroken(setting)
    if "${" in text or "{{" in text or "<%" in text or "{%" in text or "#{" in text:
        yield from fallback_settings(setting.name, value)
    if depth < _DEEPEST:
        for inner in _embedded(setting):
            yield from _expanded(inner, depth + 1)


def _unbroken(setting: Setting) -> Setting:
    lines = [setting.value.slice(*line.span()) for line in _KEY_LINE.finditer(setting.value.text)]
    return Setting(setting.name, MappedText.concatenate(lines), setting.quoted)


def _embedded(setting: Setting) -> Iterator[Setting]:
    """Settings inside a value: JSON, a file, variables by line, pairs of a connection string."""
    value, text = setting.value, setting.value.text
    if _JSON.match(text) and text.rstrip()[-1:] in "}]":
        try:
            yield from list(json5.read_nested(value, setting.name))
        except SettingsFileError:
            return
    elif "\n" in text:
        formats = formats_of(setting.name)
        for format in formats or (dotenv.FORMAT,):
            yield from _read(format, value)
    elif "=" in text:
        pairs = list(_PAIR.finditer(text))
        if len(pairs) > 1 or (pairs and _LINE_PAIR.match(text)):
            for pair in pairs:
                yield Setting(pair[1], value.slice(*pair.span(2)), quoted=False)


_MARKDOWN = re.compile(
    r"(?m)^[ \t>]*(?P<fence>`{3,}|~{3,})[ \t]*\{?\.?(?P<format>[\w-]+)[^\n`]*\n"
    r"(?P<body>(?:(?![ \t>]*(?P=fence)[ \t]*$)[^\n]*\n)*+)[ \t>]*(?P=fence)[ \t]*$"
)
_RESTRUCTURED = re.compile(
    r"(?m)^(?P<indent>[ \t]*)\.\.[ ]+(?:code-block|code|sourcecode)::[ \t]*"
    r"(?P<format>[\w-]+)[^\n]*\n"
    r"(?P<body>(?:(?P=indent)[ \t]+[^\n]*\n|[ \t]*\n)*+)"
)
_DOCUMENTS = (".md", ".mdx", ".markdown", ".txt", ".qmd", ".rmd")
_BY_FENCE = {fence: format for format in FORMATS for fence in format.fences}


def fenced_values(indexed: IndexedText, path: str) -> Iterator[NamedValue]:
    """Values of settings with their names in the blocks of code of a document, by its path."""
    if not (indexed.could_assign_secrets or indexed.has_hidden_names):
        return
    text = indexed.text
    name = path.lower()
    if name.endswith((".rst", ".txt")) and "::" in text:
        yield from _values(text, _RESTRUCTURED)
    document = name.endswith(_DOCUMENTS) or "." not in name
    if document and ("```" in text or "~~~" in text):
        yield from _values(text, _MARKDOWN)


def _values(text: str, pattern: re.Pattern[str]) -> Iterator[NamedValue]:
    for block in pattern.finditer(text):
        format = _BY_FENCE.get(block["format"].lower())
        if format:
            yield from values_in(MappedText.from_source(text).slice(*block.span("body")), format)
