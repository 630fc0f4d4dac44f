"""Dockerfile: ``ENV`` and ``ARG`` in both forms, and assignments of its commands."""

import re
from collections.abc import Iterator

from cortex_pipelines.privacy.detect.settings.format import Setting, SettingsFormat
from cortex_pipelines.privacy.detect.settings.formats import shell
from cortex_pipelines.privacy.detect.text.mapped_text import MappedText

_SPACED = re.compile(r"(?mi)^[ \t]*ENV[ \t]+(?P<name>[A-Za-z_]\w*)[ \t]+(?:\\\n[ \t]*)?(?P<value>[^\n]*[^\s\\])")


def read_settings(text: MappedText) -> Iterator[Setting]:
    """Values of ``ENV``, ``ARG``, ``LABEL`` and of variables in commands."""
    yield from shell.read_settings(text)
    for spaced in _SPACED.finditer(text.text):
        value = text.slice(*spaced.span("value"))
        quoted = value.text[:1] in "\"'" and value.text[-1:] == value.text[:1]
        yield Setting(spaced["name"], value.stripped("\"'") if quoted else value, quoted)


FORMAT = SettingsFormat(
    name="dockerfile",
    files=("dockerfile", "dockerfile.*", "*.dockerfile", "containerfile", "*.containerfile"),
    fences=("dockerfile", "docker"),
    parse=read_settings,
)
