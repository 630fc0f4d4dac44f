"""Collect all evidence in a file: queries, detectors and size limits."""

import logging
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tree_sitter import Node, Tree

from cortex_pipelines.annotation.complexity.treewalk import WalkResult, walk
from cortex_pipelines.annotation.detector import Evidence, FileContext, detectors_of, evidence
from cortex_pipelines.annotation.labels.vocabulary import LABELS
from cortex_pipelines.annotation.settings import AnnotationSettings
from cortex_pipelines.syntax.grammars import Grammar, TooManyStepsError, matches


@dataclass(frozen=True)
class Complexity:
    cyclomatic: int
    cognitive: int
    nesting: int  # maximum nesting depth of control flow
    deepest: tuple[int, int] | None  # byte span of a construct at that depth; None without control flow


def complexity_of(walk: WalkResult, start: int, end: int, body_start: int | None, starts: list[int]) -> Complexity:
    """Measure the complexity of a unit.

    ``start``: first byte of the unit. ``body_start``: where its implementation begins; None if it has none.
    ``starts``: first bytes of the walk's steps.
    """
    inside = walk.steps[bisect_left(starts, start) : bisect_left(starts, end)]
    base = walk.levels.get(start if body_start is None else body_start, 0)
    deepening = [step for step in inside if step.deepens]
    deepest = max(deepening, key=lambda step: step.level, default=None)
    return Complexity(
        cyclomatic=1 + sum(step.decisions for step in inside),
        cognitive=sum(step.reading for step in inside) + sum(max(step.level - base, 0) for step in deepening),
        nesting=0 if deepest is None else max(deepest.level - base, 0) + 1,
        deepest=None if deepest is None else (deepest.start, deepest.end),
    )


_QUERIES = Path(__file__).parent / "queries"

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
    parameters: set[tuple[int, int]] = set()
    receivers: set[tuple[int, int]] = set()
    for _, captures in matches(grammar, root, _QUERIES):
        for name, nodes in captures.items():
            if name.startswith("found."):
                marks |= {evidence(name.removeprefix("found."), node) for node in nodes}
            elif name in ("parameter", "receiver"):
                spans = parameters if name == "parameter" else receivers
                spans |= {(node.start_byte, node.end_byte) for node in nodes}
    starts, last_end = [], -1
    for start, end in sorted(parameters - receivers):
        if start >= last_end:
            starts.append(start)
            last_end = end
    return marks, starts


_LOG = logging.getLogger(__name__)
_FUNCTIONS = ("function", "method")


@dataclass(frozen=True)
class SizeMetrics:
    complexity: Complexity
    parameters: int  # number of parameters without the receiver; 0 unless it is a function
    methods: int  # number of methods; 0 unless it is a type
    lines: int  # number of non-blank lines


@dataclass(frozen=True)
class FileReading:
    evidence: list[Evidence]  # in order
    sizes: list[SizeMetrics]  # of each unit
    walk: WalkResult
    parameters: list[int]  # first bytes of parameters, in order


def read_file(
    tree: Tree,
    data: bytes,
    grammar: Grammar,
    units: Sequence[dict[str, Any]],
    settings: AnnotationSettings,
    labels: frozenset[str] = frozenset(LABELS),
    nodes: Sequence[str] = (),
) -> FileReading:
    """Evidence in a file and the size of each of its units (rows of ``CODE_UNITS``), from one parse.

    ``nodes``: further types of nodes that the walk collects.
    """
    by_type = detectors_of(grammar.language, labels)
    offsets = {unit[column] for unit in units for column in ("start_byte", "body_start_byte")} - {None}
    walked = walk(tree, data, grammar.language, offsets, {*by_type, *nodes})
    try:
        marks, parameters = marks_of(tree.root_node, grammar, walked.depth)
    except TooManyStepsError as error:
        path = units[0]["path"] if units else ""
        _LOG.warning("%s: the query for labels and parameters is left out: %s", path, error)
        marks, parameters = set(), []
    context = FileContext(grammar.language, settings)
    for node_type, visits in walked.visits.items():
        for detector in by_type.get(node_type, ()):
            marks.update(detector.find(visits, context))
    methods = Counter(
        unit["qualified_name"].removesuffix(unit["name"]).rstrip(".") for unit in units if unit["kind"] == "method"
    )
    step_starts, sizes = [step.start for step in walked.steps], []
    for unit in units:
        start, end, body = unit["start_byte"], unit["end_byte"], unit["body_start_byte"]
        is_function, head_end = unit["kind"] in _FUNCTIONS, end if body is None else body
        declared = bisect_left(parameters, head_end) - bisect_left(parameters, start)
        size = SizeMetrics(
            complexity=complexity_of(walked, start, end, body, step_starts),
            parameters=declared if is_function else 0,
            methods=0 if is_function else methods[unit["qualified_name"]],
            lines=sum(1 for line in unit["code"].split("\n") if line.strip()),
        )
        sizes.append(size)
        marks.update(_past_limits(unit, size, settings))
    return FileReading(sorted(marks), sizes, walked, parameters)


def _past_limits(unit: dict[str, Any], size: SizeMetrics, settings: AnnotationSettings) -> Iterator[Evidence]:
    complexity = size.complexity
    start, end, body = unit["start_byte"], unit["end_byte"], unit["body_start_byte"]
    if unit["kind"] not in _FUNCTIONS:
        if size.methods > settings.max_methods:
            yield Evidence(start, end, "god-class")
        return
    if size.lines > settings.max_lines:
        yield Evidence(start, end, "long-method")
    if size.parameters > settings.max_parameters:
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
