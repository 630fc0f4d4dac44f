"""Facts of database tables and columns, in one form for all formats."""

from dataclasses import dataclass, field

from cortex_pipelines.extraction.architecture.facts import Fact


@dataclass(frozen=True)
class ColumnDefinition:
    name: str
    type: str
    start_line: int
    end_line: int
    references: str = ""


@dataclass(frozen=True)
class TableDefinition:
    name: str
    kind: str
    technology: str
    start_line: int
    end_line: int
    columns: list[ColumnDefinition] = field(default_factory=list)
    comment: str | None = None
    model: str = ""


def table_facts(table: TableDefinition) -> list[Fact]:
    """Facts for a table, its columns and its references."""
    comment = table.comment or None
    facts = [
        Fact(
            table.start_line, table.end_line, "schema", table.name, table.kind,
            table.model or table.name, table.technology, comment, "comment" if comment else None,
        )
    ]  # fmt: skip
    for column in table.columns:
        lines = (column.start_line, column.end_line)
        declaration = f"{column.name} {' '.join(column.type.split())}".strip()
        facts.append(Fact(*lines, "schema", table.name, "column", declaration, table.technology))
        if column.references:
            facts.append(
                Fact(*lines, "schema", table.name, "references", column.references,
                     table.technology)
            )  # fmt: skip
    return facts
