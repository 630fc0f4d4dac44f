"""JSON, JSON with comments, JSON5, and JSON lines."""

import re
from collections.abc import Iterator

from cortex_pipelines.privacy.detect.settings.format import Setting, SettingsFileError, SettingsFormat
from cortex_pipelines.privacy.detect.settings.nested_keys import NestedKeys
from cortex_pipelines.privacy.detect.text.mapped_text import MappedText, backslashes_resolved

_TOKEN = re.compile(
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


def read_settings(text: MappedText) -> Iterator[Setting]:
    """Values of all objects and lists, and of several documents one after the other.

    Raises:
        SettingsFileError: a string or bracket is not closed.
    """
    yield from read_nested(text, "")


def read_nested(text: MappedText, prefix: str) -> Iterator[Setting]:
    """As `read_settings`, with a prefix for each name."""
    keys = NestedKeys(prefix)
    source = text.text
    for token in _TOKEN.finditer(source):
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


FORMAT = SettingsFormat(
    name="json",
    files=(
        "*.json", "*.jsonc", "*.json5", "*.jsonl", "*.ndjson", "*.ipynb", "*.geojson", "*.tfstate",
        "*.webmanifest", "*.code-workspace", ".*rc.json", ".dockercfg", ".babelrc", ".eslintrc",
        ".ftpconfig", ".prettierrc", "*.har", "*.avsc", "*.jshintrc", "composer.lock",
    ),
    fences=("json", "jsonc", "json5", "jsonl"),
    parse=read_settings,
)  # fmt: skip
