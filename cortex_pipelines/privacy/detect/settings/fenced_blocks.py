"""Settings in blocks of code of Markdown and reStructuredText, by the format that they name."""

import re
from collections.abc import Iterator

from cortex_pipelines.privacy.detect.named_values import NamedValue
from cortex_pipelines.privacy.detect.settings.values import FORMATS, values_in
from cortex_pipelines.privacy.detect.text.indexed_text import IndexedText
from cortex_pipelines.privacy.detect.text.mapped_text import MappedText

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
