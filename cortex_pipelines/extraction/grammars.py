"""The languages: which grammar parses which file.

A language is a line here and ``queries/<language>.scm``, which says what its units are; a line
``; inherits: <name>`` in it stands for what it shares with others.
"""

import importlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

from tree_sitter import Language, Node, Parser, Query, QueryCursor, Tree

from cortex_pipelines.extraction.gaps import readable


@dataclass(frozen=True)
class Grammar:
    """A tree-sitter grammar.

    Args:
        language: Language as tables call it, and name of the query file.
        module: Python module that carries the compiled grammar.
        function: Function of the module that gives it.
        endings: File endings that need this grammar where a language has several.
    """

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

# Matches begun and not ended: code has dozens, an expression of 50,000 terms one for each, and
# every further node is tried against all of them.
_MATCH_LIMIT = 1024
# A query looks through all later siblings of each, so an error costs the square of its tokens.
_MAX_ERROR_TOKENS = 20_000

_PIECE = 16_384

# Levels are counted with 16 bits: below level 65,535 a query never ends.
_MAX_DEPTH = 50_000

_INHERITS = re.compile(r"^; inherits: (\w+)$", re.MULTILINE)

PARSED = frozenset(grammar.language for grammar in GRAMMARS)
"""Languages whose files are parsed."""


class UnknownLanguageError(ValueError):
    """No grammar parses the language."""


def grammar_for(language: str, path: str = "") -> Grammar:
    """The grammar of a file.

    Args:
        language: Language as tables call it.
        path: Path of the file; its ending decides where a language has several grammars.

    Raises:
        UnknownLanguageError: the language has no grammar.
    """
    ending = PurePosixPath(path).suffix.lower()
    for grammar in GRAMMARS:
        if grammar.language == language and (not grammar.endings or ending in grammar.endings):
            return grammar
    raise UnknownLanguageError(
        f"{path or 'code'}: no grammar parses {language!r}; there are {', '.join(sorted(PARSED))}"
    )


def parse(data: bytes, grammar: Grammar, edited: Tree | None = None) -> Tree:
    """The syntax tree of UTF-8 text; it may hold errors, and always covers the whole text.

    Args:
        data: The text.
        grammar: Its grammar.
        edited: Tree of an earlier version, told by ``Tree.edit`` what changed; saves parsing the
            rest again.
    """
    parser = Parser(_language(grammar))
    data = readable(data, grammar.language)
    return parser.parse(data) if edited is None else parser.parse(data, edited)


def readings(data: bytes, grammar: Grammar, most: int) -> int:
    """How often the parser asks for a piece of a text, of 16 KB each; it is stopped after ``most``.

    Depends on the text alone, where the time that it takes would on the machine too.
    """
    shown = readable(data, grammar.language)
    asked = 0

    def piece(offset: int, _: object) -> bytes:
        nonlocal asked
        asked += 1
        # the text ends for the parser: it would swallow an exception
        return shown[offset : offset + _PIECE] if asked <= most else b""

    Parser(_language(grammar)).parse(piece)
    return asked


def matches(grammar: Grammar, root: Node, queries: Path) -> list[tuple[int, dict[str, list[Node]]]]:
    """What a query finds under a node: number of the pattern, and nodes by the capture's name.

    Args:
        grammar: Grammar of the tree.
        root: Where to look.
        queries: Folder that holds one ``<language>.scm`` a language.

    Returns:
        The matches; none where the text is such garbage that looking would take hours.
    """
    if root.has_error and _is_garbage(root):
        return []
    cursor = QueryCursor(_query(grammar, queries), match_limit=_MATCH_LIMIT)
    cursor.set_max_start_depth(_MAX_DEPTH)
    return cursor.matches(root)


def pattern_settings(grammar: Grammar, queries: Path) -> list[dict[str, str]]:
    """What the ``#set!`` directives of each pattern say; a key without a value is an empty word."""
    query = _query(grammar, queries)
    found = map(query.pattern_settings, range(query.pattern_count))
    return [{key: value or "" for key, value in said.items()} for said in found]


def _is_garbage(root: Node) -> bool:
    """Whether the parser gave up on thousands of tokens in a row."""
    inside = [root]
    while inside:
        node = inside.pop()
        if node.is_error and node.child_count > _MAX_ERROR_TOKENS:
            return True
        inside += [child for child in node.children if child.has_error]
    return False


@cache
def _language(grammar: Grammar) -> Language:
    return Language(getattr(importlib.import_module(grammar.module), grammar.function)())


@cache
def _query(grammar: Grammar, queries: Path) -> Query:
    return Query(_language(grammar), _query_text(queries, grammar.language))


def _query_text(queries: Path, name: str) -> str:
    """A query with the ones that its lines ``; inherits: <name>`` stand for."""
    text = (queries / f"{name}.scm").read_text(encoding="utf-8")
    return _INHERITS.sub(lambda found: _query_text(queries, found[1]), text)
