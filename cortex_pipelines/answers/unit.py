"""A parsed unit of code with its signature, names and effects."""

import ast
import re
import textwrap
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property

from tree_sitter import Node

from cortex_pipelines.augmentation.node_table import split_words
from cortex_pipelines.augmentation.snippets import Snippet, parse_unit
from cortex_pipelines.damage import SkipReason
from cortex_pipelines.extraction.refactoring.model import Function, ParsedFile, Type
from cortex_pipelines.extraction.refactoring.unit_reader import read_file
from cortex_pipelines.ingestion.files.languages import language_of
from cortex_pipelines.schemas.vocabulary import LANGUAGES
from cortex_pipelines.syntax.grammars import grammar_for, parse
from cortex_pipelines.syntax.unparsable import syntax_tree

ENDINGS = dict(zip(LANGUAGES, ("py", "js", "ts", "java", "go", "rs"), strict=True))
_SPECIFIC = ("go", "rust", "javascript", "typescript", "java", "python")
"""Languages by how little other code their grammars take for theirs."""

_MOST_BYTES = 1_000_000
_MOST_GUESSED = 10_000
"""Longest code, in characters, whose language is looked for: parsing by five other grammars takes its time."""
_WORD = re.compile(r"[^\W\d]\w*")


class UnitError(ValueError):
    """The text is not code of its language; the message says where it is wrong."""


@dataclass(frozen=True)
class CodeUnit:
    """Code that parses, alone or within a class; ``code`` has no margin, ``margin`` is the indentation of the input."""

    code: str
    language: str
    path: str
    margin: str
    snippet: Snippet

    @property
    def text(self) -> bytes:
        """The code within what makes it parse."""
        return self.snippet.prefix + self.snippet.code + self.snippet.suffix

    @cached_property
    def file(self) -> ParsedFile:
        parsed = read_file(self.path, self.text.decode(errors="replace"), _MOST_BYTES)
        return parsed or ParsedFile(self.path, self.language, False)

    @cached_property
    def functions(self) -> list[Function]:
        """Its named functions and methods in the order of the code."""
        return sorted((each for each in self.file.functions if each.name), key=lambda each: each.location.start_line)

    @cached_property
    def types(self) -> list[Type]:
        # without the class that was put around a method
        lines = self.snippet.prefix.count(b"\n")
        return [each for each in self.file.types if each.location.start_line > lines]

    @property
    def name(self) -> str:
        """Of its first definition; empty without one."""
        names = [(each.location.start_line, each.name) for each in self.functions]
        names += [(each.location.start_line, each.name) for each in self.types]
        return min(names, default=(0, ""))[1]

    @cached_property
    def signatures(self) -> list[tuple[str, tuple[tuple[str, str], ...]]]:
        """Name and parameters of each function, without their types and defaults, and names of types."""
        functions = [
            (each.name, tuple((parameter.name, parameter.variadic_marker) for parameter in each.parameters))
            for each in self.functions
        ]
        return sorted(functions + [(each.name, ()) for each in self.types])

    @cached_property
    def word_counts(self) -> Counter[str]:
        """Words of the code, including comments and strings."""
        return Counter(_WORD.findall(self.code))

    @cached_property
    def effects(self) -> Counter[str]:
        """Calls, exits and literals: what a refactoring preserves."""
        return Counter(self._effects())

    def _effects(self) -> Iterator[str]:
        for function in self.file.functions:
            for statement in function.statements:
                yield from statement.calls.elements()
                yield from (
                    text
                    for text, mark in zip(statement.texts, statement.marks, strict=True)
                    if mark == "l" or text in _LEAVING
                )

    def with_margin(self, code: str) -> str:
        """Changed code with the margin of the input."""
        return textwrap.indent(code, self.margin) if self.margin else code


_LEAVING = frozenset({"return", "yield", "raise", "throw", "break", "continue", "await", "del", "delete", "panic", "?"})


_IN_PLACES = split_words(
    "_ __future__ abstract accessor any as asserts async auto_trait await bigint block boolean crate declare default "
    "exec expr expr_2021 from gen get global ident infer item keyof let lifetime literal macro_rules match meta method "
    "module namespace never number object of open opens override pat pat_param path permits print property provides "
    "raw readonly record requires satisfies sealed set static stmt string symbol target to transitive tt ty type union "
    "unique unknown uses vis when with"
)
"""Contextual keywords of the grammars, which may name a variable elsewhere."""


@cache
def keywords(language: str) -> frozenset[str]:
    """Words of a language that cannot name a variable."""
    kinds = parse(b"", grammar_for(language)).language
    assert kinds is not None  # nosec B101: of every tree
    ids = (kind for kind in range(kinds.node_kind_count) if kinds.node_kind_is_visible(kind))
    words = {kinds.node_kind_for_id(kind) for kind in ids if not kinds.node_kind_is_named(kind)}
    return frozenset(word for word in words if word and word.isidentifier()) - _IN_PLACES


def parse_code(text: str, language: str, path: str = "") -> CodeUnit:
    """Parse a unit, indented or not, a method alone or in its class.

    Raises UnitError: it does not parse, or would take too long to.
    """
    lines = text.replace("\r\n", "\n").lstrip("\n")
    code = textwrap.dedent(lines)
    margin = lines[: len(lines) - len(lines.lstrip())] if code != lines else ""
    file_name = path if path and language_of(path, "") == language else f"unit.{ENDINGS[language]}"
    problem = ""
    for name in (file_name, *(["unit.tsx"] if language == "typescript" and file_name != path else [])):
        unit = _try_parse(code, language, name, margin)
        if isinstance(unit, CodeUnit):
            return unit
        problem = problem or unit
    languages = _SPECIFIC if len(code) <= _MOST_GUESSED else ()
    parsers = (each for each in languages if isinstance(_try_parse(code, each, f"unit.{ENDINGS[each]}"), CodeUnit))
    other = next(parsers, None)
    hint = f"; it parses as {other}: say so in context.language or by context.path" if other else ""
    raise UnitError(f"does not parse as {language}: {problem}{hint}")


def _try_parse(code: str, language: str, path: str, margin: str = "") -> CodeUnit | str:
    """The unit, or its first error as text."""
    data = code.encode(errors="replace")
    tree = syntax_tree(data, grammar_for(language, path), _MOST_BYTES)
    if isinstance(tree, SkipReason):
        return tree.detail
    snippet = parse_unit(data, language, "function", path)
    if snippet is None:
        return _first_error(tree.root_node)
    problem = _python_error(snippet) if language == "python" else ""
    return problem or CodeUnit(code, language, path, margin, snippet)


def _first_error(root: Node) -> str:
    pending = [root]
    while pending:
        node = pending.pop()
        if node.is_error or node.is_missing:
            line = node.start_point[0] + 1
            code = (node.text or b"").decode(errors="replace").split("\n")[0].strip()[:40]
            return f"line {line}: {node.type} is missing" if node.is_missing else f"line {line}: {code or 'the end'}"
        pending += [child for child in reversed(node.children) if child.has_error]
    return "the code is incomplete"


def python_tree(text: str) -> ast.Module | None:
    """The syntax tree of Python code; None if it does not parse."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def _python_error(snippet: Snippet) -> str:
    """The error of Python's own parser; the grammar accepts Python 2 and unfinished code as well."""
    text = (snippet.prefix + snippet.code).decode(errors="replace")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(text)
    except SyntaxError as error:
        above = snippet.prefix.count(b"\n")
        return f"line {(error.lineno or 1) - above}: {error.msg}"
    except (ValueError, RecursionError, MemoryError) as error:
        return f"Python's parser gives up: {error}"
    return ""
