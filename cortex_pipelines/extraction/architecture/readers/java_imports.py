"""Read packages and imports of Java."""

from collections.abc import Iterator

from cortex_pipelines.extraction.architecture.facts import IMPORT, NAME, Fact, detail
from cortex_pipelines.extraction.architecture.sourcefile import SourceFile
from cortex_pipelines.extraction.architecture.syntax import first_line, last_line, text


def applies_to(file: SourceFile) -> bool:
    return file.language == "java"


def facts(file: SourceFile) -> Iterator[Fact]:
    """The file's package, and one import per name (``.*`` kept, ``static`` in the detail)."""
    for node in file.nodes("package"):
        name = "".join(text(node).removeprefix("package").rstrip(";").split())
        yield Fact(first_line(node), last_line(node), NAME, "", "is", name, "java")
    for node in file.nodes("import"):
        words = text(node).removeprefix("import").rstrip("; \t\r\n").split()
        static = words[:1] == ["static"]
        name = "".join(words[1:] if static else words)
        yield Fact(
            first_line(node), last_line(node), IMPORT, "", "imports", name, "java",
            detail=detail(static=static),
        )  # fmt: skip
