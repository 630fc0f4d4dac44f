"""Files of environment variables, ``.env``: quoted values may have several lines."""

import re
from collections.abc import Iterator

from cortex_pipelines.privacy.detect.settings.format import Setting, SettingsFormat
from cortex_pipelines.privacy.detect.text.mapped_text import MappedText, backslashes_resolved

_LINE = re.compile(
    r"""(?mx)
    ^[ \t]*(?:export[ \t]+|set[ \t]+|SET[ \t]+)?(?P<key>[A-Za-z_][\w.-]*+)[ \t]*[=:][ \t]*
    (?:"(?P<double>(?:[^"\\]|\\.|\\\n)*+)" | '(?P<single>[^']*+)' | (?P<bare>[^\n]*+))
    """
)
_COMMENT = re.compile(r"[ \t]+#.*")


def read_settings(text: MappedText) -> Iterator[Setting]:
    """Values of all variables."""
    for line in _LINE.finditer(text.text):
        kind = line.lastgroup or "bare"
        value = text.slice(*line.span(kind))
        if kind == "double":
            value = backslashes_resolved(value)
        elif kind == "bare":
            comment = _COMMENT.search(value.text)
            value = value.slice(0, comment.start() if comment else len(value.text)).stripped()
        yield Setting(line["key"], value, quoted=kind != "bare")


FORMAT = SettingsFormat(
    name="dotenv",
    files=(".env", ".env.*", "*.env", ".envrc", "env", "*.env.*", ".flaskenv", "*.envrc"),
    fences=("dotenv", "env"),
    parse=read_settings,
)
