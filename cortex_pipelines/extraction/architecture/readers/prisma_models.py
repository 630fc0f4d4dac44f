"""Read models from Prisma schemas."""

import re
from collections.abc import Iterator

from cortex_pipelines.extraction.architecture.facts import Fact
from cortex_pipelines.extraction.architecture.sourcefile import SourceFile
from cortex_pipelines.extraction.architecture.table import ColumnDefinition, TableDefinition, table_facts

_BEGIN = re.compile(r"\s*(model|enum|view|type)\s+(\w+)\s*\{")
_FIELD = re.compile(r"\s*(\w+)\s+([A-Za-z]\w*)(\[\]|\?)?(.*)$")
_MAP = re.compile(r"@@map\(\s*(?:name:\s*)?\"([^\"]+)\"")
_SCALARS = frozenset(
    {"String", "Boolean", "Int", "BigInt", "Float", "Decimal", "DateTime", "Json", "Bytes"} | {"Unsupported"}
)


def applies_to(file: SourceFile) -> bool:
    return file.name.endswith(".prisma")


def facts(file: SourceFile) -> Iterator[Fact]:
    """Each model with its fields, and each enum."""
    start, kind, model = 0, "", ""
    for number, line in enumerate(file.lines, 1):
        match = _BEGIN.match(line)
        if match:
            start, kind, model = number, match[1], match[2]
        elif start and line.strip().startswith("}"):
            yield from table_facts(_table(file, start, number, kind, model))
            start = 0


def _table(file: SourceFile, start: int, end: int, kind: str, model: str) -> TableDefinition:
    body = file.lines[start : end - 1]
    name = next((m[1] for line in body for m in [_MAP.search(line)] if m), model)
    columns = []
    for number, line in enumerate(body, start + 1):
        match = _FIELD.match(line.split("//")[0])
        if match and kind != "enum":
            linked = match[2] not in _SCALARS and "@relation" in match[4]
            type_text = match[2] + (match[3] or "")
            columns.append(ColumnDefinition(match[1], type_text, number, number, match[2] if linked else ""))
    table_kind = {"model": "model", "type": "model", "view": "view", "enum": "enum"}[kind]
    return TableDefinition(name, table_kind, "prisma", start, end, columns, file.comment_above(start), model)
