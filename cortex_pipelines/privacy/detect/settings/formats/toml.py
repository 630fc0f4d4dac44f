"""TOML."""

import re
from collections.abc import Generator, Iterator

from cortex_pipelines.privacy.detect.settings.format import Setting, SettingsFileError, SettingsFormat
from cortex_pipelines.privacy.detect.settings.nested_keys import NestedKeys
from cortex_pipelines.privacy.detect.settings.template_blocks import without_templates
from cortex_pipelines.privacy.detect.text.mapped_text import MappedText, backslashes_resolved

_QUOTED_KEY = r"""(?:"(?:[^"\\\n]|\\.)*+"|'[^'\n]*+'|[\w-]++)"""
_PATH = rf"{_QUOTED_KEY}(?:[ \t]*\.[ \t]*{_QUOTED_KEY})*+"
_BLANK = re.compile(r"(?:\s++|#[^\n]*+)++")
_TABLE = re.compile(rf"\[\[?[ \t]*({_PATH})[ \t]*\]\]?")
_KEY = re.compile(rf"({_PATH})[ \t]*=[ \t]*")
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


def read_settings(text: MappedText) -> Iterator[Setting]:
    """Values of all tables, inline tables and arrays.

    Raises:
        SettingsFileError: a line is neither a table nor a key with a value.
    """
    source = without_templates(text.text)
    keys = _table("")
    position = 0
    while (position := _after_blanks(source, position)) < len(source):
        table = _TABLE.match(source, position)
        key = _KEY.match(source, position)
        if table:
            yield from keys.close()
            keys, position = _table(_plain(table[1])), table.end()
        elif key:
            yield from keys.scalar(_name(text, key.start(1), key.end(1)), quoted=False)
            position = yield from _value(text, source, key.end(), keys)
        else:
            raise SettingsFileError(f"not TOML at character {position}")
    yield from keys.close()


def _table(name: str) -> NestedKeys:
    keys = NestedKeys(name)
    keys.open(is_mapping=True)
    return keys


def _after_blanks(source: str, position: int) -> int:
    blank = _BLANK.match(source, position)
    return blank.end() if blank else position


def _value(text: MappedText, source: str, position: int, keys: NestedKeys) -> Generator[Setting, None, int]:
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
            yield from keys.scalar(_name(text, token.start(), position - 1), quoted=False)
        elif kind != "blank":
            yield from keys.scalar(_literal(text, token), quoted=kind != "bare")
        if keys.depth == depth and kind != "blank":
            return position


def _literal(text: MappedText, token: re.Match[str]) -> MappedText:
    kind = token.lastgroup or ""
    quotes = 3 if kind.endswith("lines") else 0 if kind == "bare" else 1
    contents = text.slice(token.start() + quotes, token.end() - quotes)
    return backslashes_resolved(contents) if kind.startswith("escaped") else contents


def _name(text: MappedText, start: int, end: int) -> MappedText:
    return MappedText(_plain(text.text[start:end]), (), ())


def _plain(path: str) -> str:
    return re.sub(r"[\"'\s]", "", path)


FORMAT = SettingsFormat(
    name="toml",
    files=("*.toml", "pipfile", "poetry.lock", "cargo.lock", "uv.lock", "*.tml"),
    fences=("toml",),
    parse=read_settings,
)
