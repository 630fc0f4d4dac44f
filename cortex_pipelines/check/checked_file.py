"""One parsed file: text, syntax tree, units, positions and suppressed rules."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

from tree_sitter import Node, Tree

from cortex_pipelines.check.findings import Finding, Fix
from cortex_pipelines.damage import SkipReason
from cortex_pipelines.extraction.nesting import Unit, nested_units
from cortex_pipelines.extraction.outline import outline
from cortex_pipelines.extraction.settings import ExtractionSettings
from cortex_pipelines.ingestion.files.languages import language_of
from cortex_pipelines.syntax.grammars import PARSED, Grammar, TooManyStepsError, grammar_for
from cortex_pipelines.syntax.unparsable import syntax_tree

MAX_BYTES = 2_000_000
"""Larger files are not checked: no person reads them."""

_PARSING = ExtractionSettings(
    max_file_bytes=MAX_BYTES, max_nesting=32, max_header_chars=400, max_repeated_bytes=100_000
)

_IGNORE = re.compile(r"\bcortex:\s*ignore(-file)?(?:\[([^\]\n]*)\])?(?![\w-])")
_ALL = ""


class NotCheckedError(ValueError):
    """The file cannot be checked; the message says why."""


@dataclass(frozen=True)
class CheckedFile:
    path: str  # as it was given
    source_path: str  # relative to the project's source
    data: bytes  # UTF-8, lines end with line feeds alone
    grammar: Grammar
    tree: Tree

    @property
    def language(self) -> str:
        return self.grammar.language

    @cached_property
    def line_starts(self) -> list[int]:
        starts = [0]
        while (end := self.data.find(b"\n", starts[-1])) >= 0:
            starts.append(end + 1)
        return starts

    @cached_property
    def units(self) -> list[Unit]:
        try:
            root = self.tree.root_node
            return nested_units(self.data, root, outline(root, self.grammar, self.data), _PARSING)
        except TooManyStepsError:
            return []

    @cached_property
    def broken(self) -> list[tuple[int, int]]:
        """Spans of the outermost statements that hold a syntax error."""
        return [node.byte_range for node in self.tree.root_node.children if node.has_error or node.is_missing]

    def is_broken(self, start: int, end: int) -> bool:
        return any(first < end and start < last for first, last in self.broken)

    @cached_property
    def _statement_spans(self) -> list[tuple[int, int]]:
        return [node.byte_range for node in self.tree.root_node.children]

    def statements(self, start: int, end: int) -> tuple[int, int]:
        """Span of the outermost statements that a span of bytes touches; with it where it is outside of them."""
        first = bisect_left(self._statement_spans, start, key=lambda span: span[1])
        last = bisect_right(self._statement_spans, end, key=lambda span: span[0])
        touched = self._statement_spans[first:last] or [(start, end)]
        return min(start, touched[0][0]), max(end, touched[-1][1])

    def position(self, offset: int) -> tuple[int, int]:
        """Line and column of a byte."""
        line = bisect_right(self.line_starts, offset)
        before = self.data[self.line_starts[line - 1] : offset]
        return line, len(before.decode(errors="replace")) + 1

    def finding(self, start: int, end: int, rule: str, message: str, fix: Fix | None = None) -> Finding:
        """A finding on bytes; what runs over several lines is shown on the first."""
        line_end = self.data.find(b"\n", start, end)
        end = len(self.data[: line_end if line_end >= 0 else end].rstrip())
        return Finding(self.path, *self.position(start), *self.position(max(start, end)), rule, message, fix)

    def line_finding(self, line: int, rule: str, message: str) -> Finding:
        """A finding on the code of a line, which counts from 1."""
        start = self.line_starts[line - 1]
        code = self.data[start:].split(b"\n", 1)[0]
        return self.finding(start + len(code) - len(code.lstrip()), start + len(code), rule, message)

    def name_finding(self, unit: Unit, rule: str, message: str) -> Finding:
        """A finding on the name of a unit."""
        name = unit.name.encode()
        start = max(self.data.find(name, self.line_starts[unit.name_line - 1]), unit.start_byte)
        return self.finding(start, start + len(name), rule, message)

    def comments(self) -> Iterator[Node]:
        pending = [self.tree.root_node]
        while pending:
            node = pending.pop()
            if "comment" in node.type:
                yield node
            else:
                pending += node.children


def read_checked(path: str, text: str, source_path: str = "") -> CheckedFile:
    """Parse a text; its byte order mark and the form of its line ends change no position.

    Raises NotCheckedError: its language is not supported, or it cannot be parsed.
    """
    language = language_of(path, text)
    if language not in PARSED:
        raise NotCheckedError(f"language {language or 'unknown'}; checked are {', '.join(sorted(PARSED))}")
    data = text.replace("\r\n", "\n").encode(errors="replace")
    grammar = grammar_for(str(language), path)
    tree = syntax_tree(data, grammar, MAX_BYTES)
    if isinstance(tree, SkipReason):
        raise NotCheckedError(tree.detail or tree.reason)
    return CheckedFile(path, source_path or path, data, grammar, tree)


def suppression_filter(file: CheckedFile) -> Callable[[Finding], bool]:
    """A predicate: whether a comment of the file suppresses a finding.

    ``cortex: ignore`` and ``cortex: ignore[rule, …]`` hold for their line, on a line of their own for the next one;
    ``cortex: ignore-file`` for the whole file.
    """
    if b"cortex:" not in file.data:
        return lambda finding: False
    ignored: dict[int, set[str]] = {}  # rules by line; line 0 stands for the file
    for comment in file.comments():
        for match in _IGNORE.finditer((comment.text or b"").decode(errors="replace")):
            of_file, rules = match.groups()
            own_line = not file.data[file.line_starts[comment.start_point[0]] : comment.start_byte].strip()
            line = 0 if of_file else comment.end_point[0] + (2 if own_line else 1)
            ignored.setdefault(line, set()).update(re.split(r"[,\s]+", rules.strip()) if rules else [_ALL])

    def is_ignored(finding: Finding) -> bool:
        kind = finding.rule.partition("/")[0]
        return any(not {_ALL, kind, finding.rule}.isdisjoint(ignored.get(line, ())) for line in (0, finding.line))

    return is_ignored
