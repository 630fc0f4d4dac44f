"""Read tables from SQL data definitions in any dialect.

SQL is read token by token, statement by statement: a statement that is broken or unknown hides no other.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile

from cortex_pipelines.extraction.architecture.facts import ColumnDefinition, Fact, table_facts
from cortex_pipelines.extraction.architecture.sourcefile import SourceFile, fact_reader

_TOKEN = re.compile(
    r"(?P<space>\s+)|(?P<comment>--[^\n]*|\#[^\n]*|/\*.*?(?:\*/|\Z))"
    r"|(?P<body>\$(?P<tag>\w*)\$.*?(?:\$(?P=tag)\$|\Z))"
    r"|(?P<text>[NnEe]?'(?:[^'\\]|''|\\.)*(?:'|\Z))"
    r"|(?P<quoted>\"[^\"\n]*\"|`[^`\n]*`|\[[A-Za-z_][^\]\n]*\])"
    r"|(?P<word>[^\W\d][\w$]*|\d[\w.]*)|(?P<sign>::|.)",
    re.DOTALL,
)
_CONSTRAINTS = frozenset(
    {"PRIMARY", "FOREIGN", "UNIQUE", "CONSTRAINT", "CHECK", "KEY", "INDEX", "FULLTEXT", "SPATIAL"}
    | {"EXCLUDE", "LIKE", "PERIOD", "PARTITION"}
)
_ALSO_COLUMNS = ("KEY", "INDEX", "LIKE", "PERIOD", "PARTITION")  # `key VARCHAR(10)`
_END_OF_TYPE = frozenset(
    {"NOT", "NULL", "DEFAULT", "PRIMARY", "UNIQUE", "REFERENCES", "CHECK", "CONSTRAINT", "COMMENT"}
    | {"AUTO_INCREMENT", "AUTOINCREMENT", "COLLATE", "GENERATED", "IDENTITY", "ON", "ENCODE", "AS"}
    | {"CHARACTER_SET", "KEY", "FOREIGN", "INVISIBLE", "VIRTUAL", "STORED"}
)
_MAX_TOKENS = 20_000  # of a statement; a longer one fills a table with data


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    line: int
    last_line: int

    @property
    def upper(self) -> str:
        """The word in capitals; empty for quoted text."""
        return self.text.upper() if self.kind == "word" else self.text if self.kind == "sign" else ""

    @property
    def name(self) -> str:
        return self.text[1:-1] if self.kind == "quoted" else self.text


@fact_reader(lambda file: file.language == "sql" or file.name.endswith((".ddl", ".psql", ".pgsql")))
def sql_tables(file: SourceFile) -> Iterator[Fact]:
    """Tables and views with their columns, and foreign keys that are added later."""
    for tokens in _statements(file.text):
        words = [token.upper for token in tokens[:12]]
        first = tokens[0].line
        if "CREATE" in words[:1] and "TABLE" in words:
            yield from _created_table(file, tokens, words.index("TABLE"))
        elif "CREATE" in words[:1] and "VIEW" in words:
            name, _ = _qualified_name(tokens, words.index("VIEW") + 1)
            if name:
                lines, comment = (first, tokens[-1].last_line), file.comment_above(first)
                yield Fact(*lines, "schema", name, "view", name, "sql", comment, "comment")
        elif words[:2] == ["ALTER", "TABLE"]:
            name, index = _qualified_name(tokens, 2)
            target = _referenced_table(tokens[index:])
            if name and target:
                yield Fact(first, tokens[-1].last_line, "schema", name, "references", target, "sql")


def _statements(text: str) -> Iterator[list[_Token]]:
    """Split at semicolons, and where a statement begins without one before it (after ``GO``, or forgotten)."""
    tokens: list[_Token] = []
    depth, line = 0, 1
    for match in _TOKEN.finditer(text):
        value, kind = match[0], "body" if match["body"] is not None else str(match.lastgroup)
        first = line
        line += value.count("\n")
        if kind in ("space", "comment"):
            continue
        depth += (value == "(") - (value == ")")
        is_closed = bool(tokens) and (tokens[-1].text == ")" or tokens[-1].upper == "GO")
        begins = kind == "word" and value.upper() in ("CREATE", "ALTER", "INSERT", "DROP", "GO")
        ends = kind == "sign" and value == ";"
        if ends or (begins and is_closed and depth <= 0):
            yield from [tokens] if 0 < len(tokens) < _MAX_TOKENS else []
            tokens, depth = [], 0
        if not ends and len(tokens) < _MAX_TOKENS:
            tokens.append(_Token(kind, value, first, line))
    yield from [tokens] if 0 < len(tokens) < _MAX_TOKENS else []


def _created_table(file: SourceFile, tokens: list[_Token], keyword_index: int) -> Iterator[Fact]:
    name, index = _qualified_name(tokens, keyword_index + 1)
    if not name:
        return
    opening = next((n for n in range(index, len(tokens)) if tokens[n].text == "("), None)
    columns: list[ColumnDefinition] = []
    foreign: list[Fact] = []
    if opening is not None and not any(t.upper in ("AS", "LIKE") for t in tokens[index:opening]):
        for part in _parts(tokens, opening):
            is_constraint = part[0].upper in _CONSTRAINTS and len(part) > 1
            if is_constraint and part[0].upper in _ALSO_COLUMNS and part[1].upper not in ("(", "", "FOR"):
                is_constraint = len(part) > 3 or (len(part) == 3 and part[2].text == "(")
            target, lines = _referenced_table(part), (part[0].line, part[-1].last_line)
            if is_constraint and target:
                foreign.append(Fact(*lines, "schema", name, "references", target, "sql"))
            elif not is_constraint and part[0].kind in ("word", "quoted"):
                kind: list[str] = []
                for token in takewhile(lambda token: token.upper not in _END_OF_TYPE, part[1:]):
                    glue = token.text in "().,[]:" or (kind and kind[-1] in "(.")
                    kind.append(token.text if glue or not kind else " " + token.text)
                columns.append(ColumnDefinition(part[0].name, "".join(kind).replace("( ", "(")[:200], lines, target))
    lines = (tokens[0].line, tokens[-1].last_line)
    yield from table_facts(name, "table", "sql", lines, columns, file.comment_above(lines[0]))
    yield from foreign


def _qualified_name(tokens: list[_Token], position: int) -> tuple[str, int]:
    """A name with its schema, after such options as ``IF NOT EXISTS``, and the position after it."""
    while position < len(tokens) and tokens[position].upper in ("IF", "NOT", "EXISTS", "ONLY"):
        position += 1
    words: list[str] = []
    while position < len(tokens) and tokens[position].kind in ("word", "quoted"):
        words.append(tokens[position].name)
        position += 1
        if position >= len(tokens) or tokens[position].text != ".":
            break
        position += 1
    return ".".join(words), position


def _parts(tokens: list[_Token], opening: int) -> Iterator[list[_Token]]:
    """Split the comma-separated list between ``opening`` and its closing parenthesis."""
    part: list[_Token] = []
    depth = 0
    for token in tokens[opening + 1 :]:
        depth += (token.text == "(") - (token.text == ")")
        if depth < 0:
            break
        if token.text == "," and depth == 0:
            yield from [part] if part else []
            part = []
        else:
            part.append(token)
    yield from [part] if part else []


def _referenced_table(part: list[_Token]) -> str:
    index = next((index for index, token in enumerate(part, 1) if token.upper == "REFERENCES"), len(part))
    return _qualified_name(part, index)[0]
