"""Read packages and imports of Go."""

from collections.abc import Iterator

from cortex_pipelines.extraction.architecture.facts import IMPORT, NAME, Fact, detail
from cortex_pipelines.extraction.architecture.sourcefile import SourceFile
from cortex_pipelines.extraction.architecture.syntax import first_line, last_line, name_of, string_value, text


def applies_to(file: SourceFile) -> bool:
    return file.language == "go"


def facts(file: SourceFile) -> Iterator[Fact]:
    """The file's package, and one import per path with its local name."""
    for node in file.nodes("package"):
        name = text(node).removeprefix("package").strip()
        yield Fact(first_line(node), last_line(node), NAME, "", "is", name, "go")
    for node in file.nodes("import"):
        path = string_value(node.child_by_field_name("path"))
        if path:
            local = name_of(node) or path.rsplit("/", 1)[-1]
            yield Fact(
                first_line(node), last_line(node), IMPORT, "", "imports", path, "go",
                detail=detail(names=[("", local)]),
            )  # fmt: skip
