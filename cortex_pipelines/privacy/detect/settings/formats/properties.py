"""Java's properties: continued lines, escapes, keys that end at ``=``, ``:`` or a blank."""

import re
from collections.abc import Iterator

from cortex_pipelines.privacy.detect.settings.format import Setting, SettingsFormat
from cortex_pipelines.privacy.detect.text.mapped_text import MappedText, backslashes_resolved

_LINE = re.compile(
    r"(?m)^[ \t\f]*(?![#!\s])(?P<key>(?:\\.|[^\\\s=:])++)(?:[ \t\f]*[=:]|(?=[ \t\f]))[ \t\f]*"
    r"(?P<value>(?:\\\r?\n[ \t]*|\\.|[^\\\n])*+)"
)


def read_settings(text: MappedText) -> Iterator[Setting]:
    """Values of all keys."""
    for line in _LINE.finditer(text.text):
        key = line["key"].replace("\\", "")
        value = backslashes_resolved(text.slice(*line.span("value")))
        yield Setting(key, value.stripped(), quoted=False)


FORMAT = SettingsFormat(
    name="properties", files=("*.properties",), fences=("properties", "java-properties"), parse=read_settings
)
