"""Collect all evidence in a file: queries, detectors and size limits."""

import logging
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tree_sitter import Node, Tree

from cortex_pipelines.annotation.complexity.measure import Complexity, complexity_of
from cortex_pipelines.annotation.complexity.treewalk import WalkResult, walk
from cortex_pipelines.annotation.detector import Evidence, FileContext, detectors_of, evidence
from cortex_pipelines.annotation.labels.vocabulary import LABELS
from cortex_pipelines.annotation.settings import AnnotationSettings
from cortex_pipelines.syntax.grammars import Grammar, TooManyStepsError, matches

_QUERIES = Path(__file__).parent / "queries"
_FOUND = "found."

# tree-sitter counts levels in 16 bits; a deeper query would run for hours.
_MAX_DEPTH = 30_000


def marks_of(root: Node, grammar: Grammar, depth: int) -> tuple[set[Evidence], list[int]]:
    """Evidence in a file by its language's query, and the start offsets of its parameters in order.

    Captures: ``@found.<label>`` shows a label; ``@parameter``; ``@receiver`` looks like a parameter and does not count.
    Raises TooManyStepsError: the query takes more steps than any code needs.
    """
    if depth > _MAX_DEPTH:
        return set(), []
    marks: set[Evidence] = set()
    parameters: dict[int, Node] = {}
    receivers: set[int] = set()
    for _, captures in matches(grammar, root, _QUERIES):
        for name, nodes in captures.items():
            if name.startswith(_FOUND):
                marks |= {evidence(name.removeprefix(_FOUND), node) for node in nodes}
            elif name == "parameter":
                parameters |= {node.id: node for node in nodes}
            elif name == "receiver":
                receivers |= {node.id for node in nodes}
    return marks, _starts([node for key, node in parameters.items() if key not in receivers])


def _starts(parameters: list[Node]) -> list[int]:
    starts, last_end = [], -1
    for start, end in sorted((node.start_byte, node.end_byte) for node in parameters):
        if start >= last_end:
            starts.append(start)
            last_end = end
    return starts


_LOG = logging.getLogger(__name__)
_FUNCTIONS = ("function", "method")


@dataclass(frozen=True)
class SizeMetrics:
    complexity: Complexity
    parameters: int  # number of parameters without the receiver; 0 unless it is a function
    methods: int  # number of methods; 0 unless it is a type
    lines: int  # number of non-blank lines


class FileReading:
    """Evidence and complexity of a file, from one parse.

    ``units``: its units, rows of ``CODE_UNITS``.
    """

    def __init__(
        self,
        tree: Tree,
        data: bytes,
        grammar: Grammar,
        units: Sequence[dict[str, Any]],
        settings: AnnotationSettings,
        labels: frozenset[str] = frozenset(LABELS),
    ) -> None:
        by_type = detectors_of(grammar.language, labels)
        offsets = {unit["start_byte"] for unit in units} | {
            unit["body_start_byte"] for unit in units if unit["body_start_byte"] is not None
        }
        self._walk: WalkResult = walk(tree, data, grammar.language, offsets, by_type)
        self._starts = [step.start for step in self._walk.steps]
        path = units[0]["path"] if units else ""
        marks: set[Evidence] = set()
        self._parameters: list[int] = []
        try:
            marks, self._parameters = marks_of(tree.root_node, grammar, self._walk.depth)
        except TooManyStepsError as error:
            _LOG.warning("%s: the query for labels and parameters is left out: %s", path, error)
        context = FileContext(grammar.language, path, settings)
        for node_type in sorted(self._walk.visits):
            for detector in by_type.get(node_type, ()):
                marks.update(detector.find_all(self._walk.visits[node_type], context))
        self._settings = settings
        methods = Counter(
            unit["qualified_name"].removesuffix(unit["name"]).rstrip(".") for unit in units if unit["kind"] == "method"
        )
        self.figures = [self._figures(unit, methods[unit["qualified_name"]]) for unit in units]
        for unit, figures in zip(units, self.figures, strict=True):
            marks.update(self._past_limits(unit, figures))
        self.evidence = sorted(marks)

    def _figures(self, unit: dict[str, Any], methods: int) -> SizeMetrics:
        start, end, body = unit["start_byte"], unit["end_byte"], unit["body_start_byte"]
        head = end if body is None else body
        function = unit["kind"] in _FUNCTIONS
        parameters = bisect_left(self._parameters, head) - bisect_left(self._parameters, start)
        return SizeMetrics(
            complexity=complexity_of(self._walk, start, end, body, self._starts),
            parameters=parameters if function else 0,
            methods=0 if function else methods,
            lines=sum(1 for line in unit["code"].split("\n") if line.strip()),
        )

    def _past_limits(self, unit: dict[str, Any], figures: SizeMetrics) -> Iterable[Evidence]:
        settings, complexity = self._settings, figures.complexity
        start, end, body = unit["start_byte"], unit["end_byte"], unit["body_start_byte"]
        if unit["kind"] not in _FUNCTIONS:
            if figures.methods > settings.max_methods:
                yield Evidence(start, end, "god-class")
            return
        if figures.lines > settings.max_lines:
            yield Evidence(start, end, "long-method")
        if figures.parameters > settings.max_parameters:
            yield Evidence(start, end if body is None else body, "long-parameter-list")
        if complexity.nesting > settings.max_nesting and complexity.deepest is not None:
            yield Evidence(*complexity.deepest, "deep-nesting")
        if complexity.cyclomatic > settings.max_cyclomatic or complexity.cognitive > settings.max_cognitive:
            yield Evidence(start, end, "complex-method")


def owners(
    evidence: Sequence[Evidence], units: Sequence[dict[str, Any]]
) -> Iterator[tuple[Evidence, dict[str, Any], list[dict[str, Any]]]]:
    """The innermost unit and all units that contain each piece of evidence.

    ``evidence``: evidence in order of position. ``units``: units of the same file, in any order.
    """
    sorted_units = sorted(units, key=lambda unit: (unit["start_byte"], -unit["end_byte"], unit["name"]))
    enclosing: list[dict[str, Any]] = []
    number = 0
    for item in evidence:
        while number < len(sorted_units) and sorted_units[number]["start_byte"] <= item.start:
            enclosing = [unit for unit in enclosing if unit["end_byte"] > sorted_units[number]["start_byte"]]
            enclosing.append(sorted_units[number])
            number += 1
        holders = [unit for unit in enclosing if unit["end_byte"] >= item.end]
        if holders:
            yield item, holders[-1], holders
