"""Read Rust tables: Diesel's ``table!`` and SeaORM entities."""

import re
from collections.abc import Iterator

from cortex_pipelines.extraction.architecture.facts import Fact
from cortex_pipelines.extraction.architecture.sourcefile import SourceFile
from cortex_pipelines.extraction.architecture.syntax import first_line, last_line, name_of, text
from cortex_pipelines.extraction.architecture.table import ColumnDefinition, TableDefinition, table_facts

_TABLE = re.compile(  # possessive: a comment is never read in parts
    r"(?>\buse\s[^;]*;|#\[[^\]]*\]|///[^\n]*|\s|[{])*+([\w.]+)\s*(?:\([^)]*\))?\s*\{"
)
_COLUMN = re.compile(r"^[ \t]*(\w+)[ \t]*->[ \t]*([^,\n]+)", re.MULTILINE)
_SEA = re.compile(r'table_name\s*=\s*"([^"]+)"')


def applies_to(file: SourceFile) -> bool:
    return file.language == "rust" and ("table!" in file.text or "sea_orm" in file.text)


def facts(file: SourceFile) -> Iterator[Fact]:
    """Each table with its columns."""
    for node in file.nodes("macro"):
        code = text(node)
        opening = code.find("{")
        match = _TABLE.match(code, opening + 1) if opening >= 0 else None
        if match is None:
            continue
        start = first_line(node)
        columns = [
            ColumnDefinition(column[1], column[2].strip(), line, line)
            for column in _COLUMN.finditer(code, match.end())
            for line in [start + code.count("\n", 0, column.start(1))]
        ]
        table = TableDefinition(match[1], "table", "diesel", start, last_line(node), columns,
                        file.comment_above(start))  # fmt: skip
        yield from table_facts(table)
    for node in file.nodes("attribute"):
        match = _SEA.search(text(node))
        struct = node.next_named_sibling
        if match and struct is not None and struct.type == "struct_item":
            body = struct.child_by_field_name("body")
            members = body.named_children if body is not None else []
            fields = [
                ColumnDefinition(name_of(m), text(m.child_by_field_name("type")), first_line(m), last_line(m))
                for m in members
                if m.type == "field_declaration"
            ]
            lines = (first_line(node), last_line(struct))
            yield from table_facts(TableDefinition(match[1], "model", "sea-orm", *lines, fields))
