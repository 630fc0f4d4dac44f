"""Read a module's own docstring or leading comment."""

import re
from collections.abc import Iterator

from cortex_pipelines.extraction.architecture.facts import Fact
from cortex_pipelines.extraction.architecture.sourcefile import NOT_DESCRIPTIVE, SourceFile
from cortex_pipelines.extraction.documentation import comment_text, docstring_text
from cortex_pipelines.syntax.grammars import PARSED

_TOP_LINES = 200
_DOCSTRING = re.compile(
    r"(?:[ \t]*(?:#[^\n]*)?\n)*[rRuU]?(\"\"\".*?\"\"\"|'''.*?'''|\"[^\"\n]*\"|'[^'\n]*')", re.DOTALL
)
_COMMENT = re.compile(r"((?:[ \t]*//[^\n]*\n)+|/\*.*?\*/[ \t]*\n?)", re.DOTALL)
_BLANK = re.compile(r"(?:[ \t]*\n|#![^\[\n]*\n)*")
_INNER = re.compile(r"^[ \t]*//!", re.MULTILINE)


def applies_to(file: SourceFile) -> bool:
    return file.language in PARSED


def facts(file: SourceFile) -> Iterator[Fact]:
    """The module; its declarations are filled in from its units."""
    top = "\n".join(file.lines[:_TOP_LINES]) + "\n"
    description, last, kind = _python(top) if file.language == "python" else _comment(file, top)
    yield Fact(1, last, "module", "", "declares", "", file.language, description,
               kind if description else None)  # fmt: skip


def _python(top: str) -> tuple[str | None, int, str]:
    match = _DOCSTRING.match(top)
    if match is None:
        return None, 1, ""
    return docstring_text(match[1]), top.count("\n", 0, match.end()) + 1, "docstring"


def _comment(file: SourceFile, top: str) -> tuple[str | None, int, str]:
    offset = 0
    while True:
        blank = _BLANK.match(top, offset)
        offset = blank.end() if blank else offset
        match = _COMMENT.match(top, offset)
        if match is None:
            return None, 1, ""
        if not NOT_DESCRIPTIVE.search(match[1]) and _describes_file(file, top, match):
            plain = _INNER.sub("//", match[1])
            return comment_text(plain.rstrip()), top.count("\n", 0, match.end()) or 1, "comment"
        offset = match.end()


def _describes_file(file: SourceFile, top: str, match: re.Match[str]) -> bool:
    if file.language == "rust":
        return match[1].lstrip().startswith(("//!", "/*!"))
    if file.language in ("go", "java"):
        return top[match.end() :].lstrip().startswith("package")
    following = top[match.end() :]
    return following.startswith(("\n", "import", "'use", '"use', "const ")) or not following.strip()
