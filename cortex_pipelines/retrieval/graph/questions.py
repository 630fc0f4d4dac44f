"""Questions over the graph of a project's code: callers, what breaks, tests, the path between."""

import difflib
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from posixpath import dirname
from typing import Any

import polars as pl

from cortex_pipelines.annotation.detector import is_test
from cortex_pipelines.retrieval.graph.build import GraphNode
from cortex_pipelines.retrieval.graph.names import FUNCTIONS, TYPES

QUESTIONS = ("callers", "breaks", "tests", "path")
DEPTH = 3
"""Steps that are followed without another wish."""
MOST_DEPTH = 20
_MOST_NAMED = 10
_HISTORY = "changes_with"
_FOLLOWED = {
    "callers": ("calls",),
    "breaks": ("calls", "inherits", "imports", "configures"),
    "tests": ("tests", "calls"),
}


class GraphQuestionError(ValueError):
    """A question that cannot be asked so; the message says how."""


class GraphNameError(LookupError):
    """A name that nothing or several places have; the message lists what to type."""


@dataclass(frozen=True)
class AnswerStep:
    """One place in an answer.

    Args:
        path: File of the place.
        start_line: First line, from 1; 0 for a file or folder.
        end_line: Last line, inclusive.
        name: Qualified name; empty for the file itself.
        kind: Kind of unit, ``test``, ``file`` or ``folder``.
        relation: What it does to the place in ``of``.
        of: The place before it, as it is typed.
        lines: Lines of ``path`` that show it.
        resolution: What the edge rests on; of ``calls`` the surest is ``scope``.
        distance: Steps from what was asked about.
        weight: Lines that show it; of ``changes_with``, commits that changed both.
    """

    path: str
    start_line: int
    end_line: int
    name: str
    kind: str
    relation: str
    of: str
    lines: tuple[int, ...]
    resolution: str
    distance: int
    weight: int


@dataclass(frozen=True)
class GraphAnswer:
    """The answer to a question.

    Args:
        question: One of ``QUESTIONS``.
        of: The places that the name stands for, as they are typed.
        steps: Places, the nearest first; of a path in its order.
        notice: What whoever reads it should know; empty if there is nothing.
    """

    question: str
    of: tuple[str, ...]
    steps: tuple[AnswerStep, ...]
    notice: str

    def as_json(self) -> dict[str, Any]:
        """The answer as the command writes it."""
        return asdict(self)


@dataclass(frozen=True)
class _Edge:
    relation: str
    start: GraphNode
    end: GraphNode
    resolution: str
    lines: tuple[int, ...]
    weight: int


class CodeGraph:
    """The graph of a project, or of several, opened for questions.

    Args:
        edges: Rows of ``CODE_GRAPH``; paths may begin with a project's name.
        units: Columns ``path``, ``qualified_name``, ``kind``, ``start_line``, ``end_line`` of
            ``CODE_UNITS``: what may be asked about even if nothing is known of it.
        paths: All files.
    """

    def __init__(self, edges: pl.DataFrame, units: pl.DataFrame, paths: Iterable[str]) -> None:
        self._into: dict[GraphNode, list[_Edge]] = defaultdict(list)
        self._out: dict[GraphNode, list[_Edge]] = defaultdict(list)
        self._inside: dict[str, list[GraphNode]] = defaultdict(list)
        nodes: dict[GraphNode, None] = {GraphNode(path): None for path in sorted(paths)}
        wanted = units.filter(pl.col("kind").is_in([*FUNCTIONS, *TYPES]))
        columns = ("path", "qualified_name", "kind", "start_line", "end_line")
        nodes |= dict.fromkeys(GraphNode(*row) for row in wanted.select(columns).iter_rows())
        for row in edges.iter_rows(named=True):
            start, end = (
                GraphNode(*(row[f"{side}_{name}"] for name in GraphNode._fields))
                for side in ("from", "to")
            )
            edge = _Edge(
                row["relation"], start, end, row["resolution"], tuple(row["lines"]), row["weight"]
            )
            self._into[end].append(edge)
            self._out[start].append(edge)
            nodes |= {start: None, end: None}
        self._nodes = sorted(nodes)
        for node in self._nodes:
            if node.name:
                self._inside[node.path].append(node)

    def ask(
        self, question: str, name: str, to: str | None = None, depth: int = DEPTH
    ) -> GraphAnswer:
        """Answer a question.

        Args:
            question: One of ``QUESTIONS``.
            name: ``path``, ``path:qualified.name``, a qualified or a simple name.
            to: The other end of a path.
            depth: Most steps of ``breaks`` and ``tests``.

        Raises:
            GraphQuestionError: there is no such question, or it goes with another number of names.
            GraphNameError: nothing has the name, or several places have it.
        """
        if question not in QUESTIONS:
            raise GraphQuestionError(f"no question {question}; questions: {', '.join(QUESTIONS)}")
        if (to is None) == (question == "path"):
            raise GraphQuestionError("path needs two names, callers, breaks and tests one")
        if not 1 <= depth <= MOST_DEPTH:
            raise GraphQuestionError(f"depth {depth}: from 1 to {MOST_DEPTH}")
        start = self.place(name)
        if to is not None:
            return self._path(start, self.place(to))
        steps = list(self._reached(question, start, 1 if question == "callers" else depth))
        if question == "tests":
            steps = [step for step in steps if step.kind == "test" or is_test(step.path)]
        if question == "breaks":
            steps += self._together(start)
        return GraphAnswer(question, (typed(start),), tuple(steps), _notice(question, start, steps))

    def place(self, name: str) -> GraphNode:
        """The place that a name stands for.

        A place outside of tests goes before those of the same name in tests.

        Raises:
            GraphNameError: nothing has the name, or several places have it.
        """
        places = sorted(self._places(name.strip()), key=lambda node: (is_test(node.path), node))
        outside = [place for place in places if not is_test(place.path)]
        if len(places) == 1 or len(outside) == 1:
            return places[0]
        if places:
            listed = ", ".join(typed(place) for place in places[:_MOST_NAMED])
            more = len(places) - _MOST_NAMED
            rest = f" and {more:,} more" if more > 0 else ""
            raise GraphNameError(
                f"{name} is the name of {len(places)} places; type one of {listed}{rest}"
            )
        last = name.rpartition(":")[2].rpartition(".")[2]
        known = sorted({node.name.rpartition(".")[2] for node in self._nodes if node.name})
        known += sorted({node.path for node in self._nodes})
        near = difflib.get_close_matches(last or name, known, 3)
        like = f"; like it: {', '.join(near)}" if near else ""
        raise GraphNameError(
            f"nothing is called {name}{like}. A name is a path, path:qualified.name, or the "
            "qualified or simple name of a function or type"
        )

    def _places(self, name: str) -> list[GraphNode]:
        if not name:
            return []
        path, colon, inner = name.rpartition(":")
        if colon:
            return _defined([node for node in self._inside.get(path, ()) if node.name == inner])
        exact = [node for node in self._nodes if name in (node.path, node.name) and node.kind]
        files = [node for node in exact if not node.name]
        if files:
            return files[:1]
        if exact:
            return _defined(exact)
        ending = [node for node in self._nodes if node.name.endswith(f".{name}")]
        if ending:
            return _defined(ending)
        return [node for node in self._nodes if not node.name and node.path.endswith(f"/{name}")]

    def _parts(self, node: GraphNode) -> Iterator[GraphNode]:
        """A place, and what is inside of it: asking about a type asks about its methods too."""
        yield node
        if node.kind in FUNCTIONS or node.kind == "test":
            return
        if not node.name:
            yield from self._inside.get(node.path, ())
            if node.kind == "file":  # Go imports folders, Java all of a package
                yield GraphNode(dirname(node.path), kind="folder")
            return
        for other in self._inside.get(node.path, ()):
            if other.name.startswith(f"{node.name}."):
                yield other

    def _reached(self, question: str, start: GraphNode, depth: int) -> Iterator[AnswerStep]:
        """What reaches a place by the relations of a question, the nearest first."""
        followed = _FOLLOWED[question]
        first = list(self._parts(start))
        seen = set(first)
        waiting = deque((node, 1) for node in first)
        while waiting:
            node, distance = waiting.popleft()
            for edge in sorted(self._into.get(node, ()), key=_order):
                if edge.relation not in followed or edge.start in seen:
                    continue
                seen.add(edge.start)
                yield _step(edge, edge.start, edge.end, distance)
                # who imports a file rests on all of it; who imports a name, on that name alone
                whole = edge.relation != "imports" or not start.name
                if distance < depth and whole and edge.relation != "configures":
                    waiting.append((edge.start, distance + 1))

    def _together(self, start: GraphNode) -> list[AnswerStep]:
        node = GraphNode(start.path)
        steps = []
        for edge in (*self._into.get(node, ()), *self._out.get(node, ())):
            if edge.relation == _HISTORY:
                other = edge.start if edge.end == node else edge.end
                steps.append(_step(edge, other, node, 1))
        return sorted(steps, key=lambda step: (-step.weight, step.path))

    def _path(self, start: GraphNode, end: GraphNode) -> GraphAnswer:
        notice = ""
        steps = self._shortest(start, end)
        if steps is None:
            steps = self._shortest(end, start)
            if steps is None:
                notice = f"nothing leads from {typed(start)} to {typed(end)}, nor back"
            else:
                notice = f"nothing leads from {typed(start)} to {typed(end)}; this is the way back"
        return GraphAnswer("path", (typed(start), typed(end)), tuple(steps or ()), notice)

    def _shortest(self, start: GraphNode, end: GraphNode) -> list[AnswerStep] | None:
        """Edges of a shortest way, each from what comes before; None if there is none."""
        ends = set(self._parts(end))
        came: dict[GraphNode, _Edge | None] = dict.fromkeys(self._parts(start))
        waiting = deque(came)
        while waiting:
            node = waiting.popleft()
            if node in ends:
                return _walked(came, node)
            for edge in sorted(self._out.get(node, ()), key=_order):
                if edge.relation != _HISTORY and edge.end not in came:
                    inside = [one for one in self._parts(edge.end) if one not in came]
                    whole = edge.end.kind in TYPES  # who makes one runs its methods
                    reached = inside if whole else [edge.end]
                    came |= dict.fromkeys(reached, edge)
                    waiting.extend(reached)
        return None


def typed(node: GraphNode) -> str:
    """A place as it may be typed."""
    return f"{node.path}:{node.name}" if node.name else node.path or "."


def _defined(nodes: list[GraphNode]) -> list[GraphNode]:
    """Of overloads and conditional definitions in one file the first; they are one to a reader."""
    kept: dict[tuple[str, str], GraphNode] = {}
    for node in nodes:
        kept.setdefault((node.path, node.name), node)
    return list(kept.values())


def _order(edge: _Edge) -> tuple[Any, ...]:
    return (edge.relation, edge.start, edge.end)


def _step(edge: _Edge, node: GraphNode, of: GraphNode, distance: int) -> AnswerStep:
    return AnswerStep(
        node.path, node.start_line, node.end_line, node.name, node.kind, edge.relation, typed(of),
        edge.lines, edge.resolution, distance, edge.weight,
    )  # fmt: skip


def _walked(came: dict[GraphNode, _Edge | None], node: GraphNode) -> list[AnswerStep]:
    edges: list[_Edge] = []
    while (edge := came[node]) is not None:
        edges.append(edge)
        node = edge.start
    return [
        _step(edge, edge.start, edge.end, number)
        for number, edge in enumerate(reversed(edges), start=1)
    ]


_NOTHING: dict[str, Callable[[GraphNode], str]] = {
    "callers": lambda node: f"no call of {typed(node)} is known",
    "breaks": lambda node: f"nothing is known to rest on {typed(node)}",
    "tests": lambda node: f"no test of {typed(node)} is known",
}


def _notice(question: str, start: GraphNode, steps: list[AnswerStep]) -> str:
    if not steps:
        return _NOTHING[question](start) + ": calls by reflection or of unknown type are not seen"
    unsure = sum(step.resolution == "unique name" for step in steps)
    return f"{unsure} rest on a name that only one place has" if unsure else ""
