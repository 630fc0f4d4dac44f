"""Languages and their tree-sitter grammars.

A language is a line here. Folders of queries hold ``<language>.scm``, and may hold one for an ending
that has a grammar of its own; a line ``; inherits: <name>`` stands for what a language shares with others.
"""

import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, TypeVar

from tree_sitter import Language, Node, Parser, Query, QueryCursor, Tree

# Temporary name of a function without one; queries/typescript.scm restores it.
_PLACEHOLDER_NAME = b"$dfault"

# Repetitions are bounded, or hostile lines would cost the square of their length. Each expression
# begins with a literal, which makes the search a hundred times as fast.
# A type imported in place, import("react").FC<Props>; but not import("react").then(...).
_IMPORTED = re.compile(rb"""import\((?:"[^"\n]{0,400}"|'[^'\n]{0,400}')\)(?=(?:\.[\w$]{1,100}){1,9}(?![\w$(.]))""")
# An ambient function or overload without a name: export default function (a): b;
_NAMELESS = re.compile(rb"export default function(?=[ ]*[(<])")
# All types of a module, exported on.
_TYPES_ON = re.compile(rb"export type(?=[ ]*\*)")
# A signature that begins with its type parameters, below one that ends with its type.
_GENERIC = re.compile(rb"\n[ \t]+<[A-Z]\w*(?:[ ,]|>\()")
_ENDS_WITH_TYPE = re.compile(rb"\)[ ]?:[^\n;={}]{0,300}[\w\])>](?:[ \t\r]*(?://[^\n]*)?\n){0,9}\Z")
_LOOK_BACK = 800
# A parameter called like the declaration of a resource.
_USING = re.compile(rb"using(?=[ ]?[:,?)])")


# Python's grammar looks ahead over all comments that follow for each of them: eight thousand lines
# take three seconds, and twice as many four times that. Of a longer run it gets the end, which
# may document the next definition. A quote might end a string that only looks like comments.
_COMMENT_LINES = re.compile(rb"(?:^[ \t]*#[^\n\"']*\n)+", re.MULTILINE)
_MAX_COMMENTS = 500


def parseable_text(data: bytes, language: str) -> bytes:
    """Valid code that a grammar rejects or parses endlessly, rewritten with the same length and lines."""
    if language == "python" and data.count(b"#") > _MAX_COMMENTS:
        return _COMMENT_LINES.sub(_last_comments, data)
    if language != "typescript":
        return data
    data = _IMPORTED.sub(_as_name, data)
    data = _NAMELESS.sub(b"export function " + _PLACEHOLDER_NAME, data)
    data = _TYPES_ON.sub(b"export     ", data)
    data = _GENERIC.sub(_after_semicolon, data)
    return _USING.sub(_as_name, data)


def _last_comments(match: re.Match[bytes]) -> bytes:
    if match[0].count(b"\n") <= _MAX_COMMENTS:
        return match[0]
    lines = match[0].splitlines(keepends=True)
    blank = (re.sub(rb"\S", b" ", line) for line in lines[:-_MAX_COMMENTS])
    return b"".join([*blank, *lines[-_MAX_COMMENTS:]])


def _as_name(match: re.Match[bytes]) -> bytes:
    before = match.string[match.start() - 1 : match.start()]
    inside_word = before.isalnum() or before in (b"_", b"$", b".")
    return match[0] if inside_word else b"i" * len(match[0])


def _after_semicolon(match: re.Match[bytes]) -> bytes:
    start = match.start()
    before = match.string[max(0, start - _LOOK_BACK) : start + 1]
    if not _ENDS_WITH_TYPE.search(before):
        return match[0]
    blank = match[0].index(b"<") - 1
    return match[0][:blank] + b";" + match[0][blank + 1 :]


T = TypeVar("T")


@dataclass(frozen=True)
class Grammar:
    """A tree-sitter grammar; ``endings`` need it where a language has several."""

    language: str
    module: str
    function: str = "language"
    endings: tuple[str, ...] = ()


GRAMMARS = (
    Grammar("python", "tree_sitter_python"),
    Grammar("javascript", "tree_sitter_javascript"),
    Grammar("typescript", "tree_sitter_typescript", "language_tsx", (".tsx",)),
    Grammar("typescript", "tree_sitter_typescript", "language_typescript"),
    Grammar("java", "tree_sitter_java"),
    Grammar("go", "tree_sitter_go"),
    Grammar("rust", "tree_sitter_rust"),
)

# Matches begun and not ended, at any node: every further node is tried against all of them, so the
# limit times the nodes is the most steps of a query. Of 5,600 real files (copies among them) none
# has more than 128. The steps themselves cannot be counted: a query's progress callback crashes the
# interpreter (tree-sitter 0.26.1 keeps the address of the callback's options beyond their life).
_MATCH_LIMIT = 1024
# A query looks through all later siblings of each, so an error costs the square of its tokens.
_MAX_ERROR_TOKENS = 20_000

_READ_BYTES = 16_384

# The parser reports each hundred of its operations. Of 4,000 real files none takes more than 2.2 of
# them for a byte, what is broken and still linear 11; a<b>(c)< in TypeScript takes the square.
_OPERATIONS_PER_REPORT = 100
_OPERATIONS_PER_BYTE, _OPERATIONS = 25, 100_000
# Bytes that it reads, and reads again where it goes back: real files are read at most four times,
# comments of Python" 250 times (below); r#" over and over in Rust to the end each time.
_COUNTED_READ_BYTES = 1_024
_BYTES_PER_BYTE, _BYTES = 300, 1_000_000
# What chooses between two readings of a text weighs their trees against each other.
_WEIGHED = "select_"

# Levels are counted with 16 bits: below level 65,535 a query never ends.
_MAX_DEPTH = 50_000

_INHERITS = re.compile(r"^; inherits: (\w+)$", re.MULTILINE)

PARSED = frozenset(grammar.language for grammar in GRAMMARS)
"""Languages whose files are parsed."""


class UnknownLanguageError(ValueError):
    pass


def grammar_for(language: str, path: str = "") -> Grammar:
    """The grammar of a file, whose ending decides where a language has several.

    Raises:
        UnknownLanguageError: the language has no grammar.
    """
    ending = PurePosixPath(path).suffix.lower()
    for grammar in GRAMMARS:
        if grammar.language == language and (not grammar.endings or ending in grammar.endings):
            return grammar
    raise UnknownLanguageError(
        f"{path or 'code'}: no grammar for {language!r}; supported languages: {', '.join(sorted(PARSED))}"
    )


def parse(data: bytes, grammar: Grammar, edited: Tree | None = None) -> Tree:
    """The syntax tree of UTF-8 text; it may hold errors, and always covers the whole text.

    ``edited`` is the tree of an earlier version, told by ``Tree.edit`` what changed; it saves work.
    """
    parser = Parser(_language(grammar))
    data = parseable_text(data, grammar.language)
    return parser.parse(data) if edited is None else parser.parse(data, edited)


def count_reads(data: bytes, grammar: Grammar, limit: int) -> int:
    """Number of 16 KB pieces that the parser reads of a text, which time cannot tell; stops after ``limit``."""
    parseable = memoryview(parseable_text(data, grammar.language))
    reads = 0

    def read_chunk(offset: int) -> bytes:
        nonlocal reads
        reads += 1
        # the text ends for the parser: it would swallow an exception
        return bytes(parseable[offset : offset + _READ_BYTES]) if reads <= limit else b""

    _parse_chunks(read_chunk, grammar)
    return reads


def _parse_chunks(read: Callable[[int], bytes], grammar: Grammar, **options: Any) -> Tree:
    """Parse what ``read`` gives from an offset on.

    py-tree-sitter 0.26.1 never lets go of what is read while it parses: a buffer that is filled anew, and emptied at
    the end. What a node's text is read from it uses for a moment after letting go.
    """
    buffer, last, is_parsing = bytearray(), b"", True

    def read_next(offset: int, _: object) -> bytes | bytearray:
        nonlocal last
        last = read(offset)
        if not is_parsing:
            return last
        buffer[:] = last
        return buffer

    try:
        return Parser(_language(grammar)).parse(read_next, **options)
    finally:
        is_parsing = False
        buffer.clear()


class TooManyStepsError(OverflowError):
    """The parser or a query takes more steps than any real code needs."""


class ParseCost(NamedTuple):
    tree: Tree
    operations: int
    bytes: int


def parse_counted(data: bytes, grammar: Grammar) -> ParseCost:
    """Parse untrusted text and count the parser's work.

    The parser is stopped after more steps than any code needs. They are counted in operations and
    in bytes read, not in seconds, so that a file is stopped on every machine or on none.

    Raises:
        TooManyStepsError: the parser was stopped.
    """
    text = memoryview(parseable_text(data, grammar.language))
    max_operations, max_bytes = len(text) * _OPERATIONS_PER_BYTE + _OPERATIONS, len(text) * _BYTES_PER_BYTE + _BYTES
    operations = read_bytes = 0
    is_parsed = False

    def are_too_many() -> bool:
        return operations > max_operations or read_bytes > max_bytes

    def read_chunk(offset: int) -> bytes:
        nonlocal read_bytes
        chunk = bytes(text[offset : offset + _COUNTED_READ_BYTES])
        if is_parsed:
            return chunk
        read_bytes += len(chunk)
        # the text ends for the parser, which will ask `stop` before long
        return b"" if are_too_many() else chunk

    def stop(_: int, __: bool) -> bool:
        nonlocal operations
        operations += _OPERATIONS_PER_REPORT
        return are_too_many()

    try:
        tree = _parse_chunks(read_chunk, grammar, progress_callback=stop)
    except ValueError as error:
        if not are_too_many():
            raise
        raise TooManyStepsError(f"more than {operations} operations, or {read_bytes} bytes read") from error
    is_parsed = True
    return ParseCost(tree, operations, read_bytes)


def weighed(data: bytes, grammar: Grammar) -> int:
    """Number of alternative trees that the parser compares; slow, so for samples only."""
    count = 0

    def log(_: object, message: str) -> None:
        nonlocal count
        count += message.startswith(_WEIGHED)

    Parser(_language(grammar), logger=log).parse(parseable_text(data, grammar.language))
    return count


def matches(grammar: Grammar, root: Node, queries: Path) -> list[tuple[int, dict[str, list[Node]]]]:
    """Matches of ``<language>.scm`` in a folder of queries: pattern number, and nodes by capture name.

    There are none if the text is so broken that matching would take hours.

    Raises:
        TooManyStepsError: so many matches were begun at once that some were given up.
    """
    if root.has_error and _is_garbage(root):
        return []
    return _queried(grammar, queries, lambda cursor: cursor.matches(root))


def captures(grammar: Grammar, root: Node, queries: Path) -> dict[str, list[Node]]:
    """Nodes under a node by capture name of a query; faster than ``matches``, with the same error."""
    return _queried(grammar, queries, lambda cursor: cursor.captures(root))


@cache
def pattern_settings(grammar: Grammar, queries: Path) -> list[dict[str, str]]:
    """The ``#set!`` directives of each pattern; a key without value is an empty string."""
    query = _query(grammar, queries)
    settings = map(query.pattern_settings, range(query.pattern_count))
    return [{key: value or "" for key, value in pattern.items()} for pattern in settings]


def _queried(grammar: Grammar, queries: Path, run: Callable[[QueryCursor], T]) -> T:
    cursor = QueryCursor(_query(grammar, queries), match_limit=_MATCH_LIMIT)
    cursor.set_max_start_depth(_MAX_DEPTH)
    nodes = run(cursor)
    if cursor.did_exceed_match_limit:
        raise TooManyStepsError(f"more than {_MATCH_LIMIT} matches of a query begun at once")
    return nodes


def _is_garbage(root: Node) -> bool:
    pending = [root]
    while pending:
        node = pending.pop()
        if node.is_error and node.child_count > _MAX_ERROR_TOKENS:
            return True
        pending += [child for child in node.children if child.has_error]
    return False


@cache
def _language(grammar: Grammar) -> Language:
    return Language(getattr(importlib.import_module(grammar.module), grammar.function)())


@cache
def _query(grammar: Grammar, queries: Path) -> Query:
    dialects = (ending.removeprefix(".") for ending in grammar.endings)
    name = next((dialect for dialect in dialects if (queries / f"{dialect}.scm").exists()), grammar.language)
    return Query(_language(grammar), _query_text(queries, name))


def _query_text(queries: Path, name: str) -> str:
    text = (queries / f"{name}.scm").read_text(encoding="utf-8")
    return _INHERITS.sub(lambda match: _query_text(queries, match[1]), text)


def error_count(root: Node) -> int:
    """Number of ERROR and MISSING nodes in a tree."""
    errors, pending = 0, [root] if root.has_error else []
    while pending:
        node = pending.pop()
        errors += node.is_error or node.is_missing
        pending += [child for child in node.children if child.has_error]
    return errors
