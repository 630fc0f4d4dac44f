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
DEPTH = 3  # default number of steps to follow
MOST_DEPTH = 20
_MOST_NAMED = 10
_HISTORY = "changes_with"
_FOLLOWED = {
    "callers": ("calls",),
    "breaks": ("calls", "inherits", "imports", "configures"),
    "tests": ("tests", "calls"),
}


class GraphQuestionError(ValueError):
    pass


class GraphNameError(LookupError):
    """A name that nothing or several places have; the message lists what to type."""


@dataclass(frozen=True)
class AnswerStep:
    """One place in an answer, with what it does to the place in ``of``.

    ``lines`` (and their number, ``weight``) show it; of ``changes_with`` the weight is the commits that
    changed both. A file or folder has no name and lines 0.
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
    """Places, the nearest first; of a path in its order. ``of`` is what the name stands for, as typed."""

    question: str
    of: tuple[str, ...]
    steps: tuple[AnswerStep, ...]
    notice: str

    def as_json(self) -> dict[str, Any]:
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
        self._incoming: dict[GraphNode, list[_Edge]] = defaultdict(list)
        self._outgoing: dict[GraphNode, list[_Edge]] = defaultdict(list)
        self._inside: dict[str, list[GraphNode]] = defaultdict(list)
        nodes: dict[GraphNode, None] = {GraphNode(path): None for path in sorted(paths)}
        definitions = units.filter(pl.col("kind").is_in([*FUNCTIONS, *TYPES]))
        columns = ("path", "qualified_name", "kind", "start_line", "end_line")
        nodes |= dict.fromkeys(GraphNode(*row) for row in definitions.select(columns).iter_rows())
        for row in edges.iter_rows(named=True):
            start, end = (
                GraphNode(*(row[f"{prefix}_{name}"] for name in GraphNode._fields)) for prefix in ("from", "to")
            )
            edge = _Edge(row["relation"], start, end, row["resolution"], tuple(row["lines"]), row["weight"])
            self._incoming[end].append(edge)
            self._outgoing[start].append(edge)
            nodes |= {start: None, end: None}
        self._nodes = sorted(nodes)
        for node in self._nodes:
            if node.name:
                self._inside[node.path].append(node)

    def ask(self, question: str, name: str, to: str | None = None, depth: int = DEPTH) -> GraphAnswer:
        """Answer a question of ``QUESTIONS``.

        Args:
            name: ``path``, ``path:qualified.name``, a qualified or a simple name.
            to: The other end of a path.
            depth: Most steps of ``breaks`` and ``tests``.

        Raises:
            GraphQuestionError: unknown question, or the wrong number of names for it.
            GraphNameError: nothing has the name, or several places have it.
        """
        if question not in QUESTIONS:
            raise GraphQuestionError(f"no question {question}; questions: {', '.join(QUESTIONS)}")
        if (to is None) == (question == "path"):
            raise GraphQuestionError("path needs two names, callers, breaks and tests one")
        if not 1 <= depth <= MOST_DEPTH:
            raise GraphQuestionError(f"depth {depth}: from 1 to {MOST_DEPTH}")
        start = self.find_node(name)
        if to is not None:
            return self._path(start, self.find_node(to))
        steps = list(self._reaching(question, start, 1 if question == "callers" else depth))
        if question == "tests":
            steps = [step for step in steps if step.kind == "test" or is_test(step.path)]
        if question == "breaks":
            steps += self._changed_together(start)
        return GraphAnswer(question, (node_name(start),), tuple(steps), _notice(question, start, steps))

    def find_node(self, name: str) -> GraphNode:
        """The node that a name refers to; one outside of tests goes before those of the same name in tests."""
        nodes = sorted(self._matching_nodes(name.strip()), key=lambda node: (is_test(node.path), node))
        outside = [node for node in nodes if not is_test(node.path)]
        if len(nodes) == 1 or len(outside) == 1:
            return nodes[0]
        if nodes:
            options = ", ".join(node_name(node) for node in nodes[:_MOST_NAMED])
            more = len(nodes) - _MOST_NAMED
            suffix = f" and {more:,} more" if more > 0 else ""
            raise GraphNameError(f"{name} is the name of {len(nodes)} places; type one of {options}{suffix}")
        last = name.rpartition(":")[2].rpartition(".")[2]
        known_names = sorted({node.name.rpartition(".")[2] for node in self._nodes if node.name})
        known_names += sorted({node.path for node in self._nodes})
        suggestions = difflib.get_close_matches(last or name, known_names, 3)
        like = f"; like it: {', '.join(suggestions)}" if suggestions else ""
        raise GraphNameError(
            f"nothing is called {name}{like}. A name is a path, path:qualified.name, or the "
            "qualified or simple name of a function or type"
        )

    def _matching_nodes(self, name: str) -> list[GraphNode]:
        if not name:
            return []
        path, colon, inner = name.rpartition(":")
        if colon:
            return _first_definitions([node for node in self._inside.get(path, ()) if node.name == inner])
        exact = [node for node in self._nodes if name in (node.path, node.name) and node.kind]
        files = [node for node in exact if not node.name]
        if files:
            return files[:1]
        if exact:
            return _first_definitions(exact)
        ending = [node for node in self._nodes if node.name.endswith(f".{name}")]
        if ending:
            return _first_definitions(ending)
        return [node for node in self._nodes if not node.name and node.path.endswith(f"/{name}")]

    def _with_members(self, node: GraphNode) -> Iterator[GraphNode]:
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

    def _reaching(self, question: str, start: GraphNode, depth: int) -> Iterator[AnswerStep]:
        relations = _FOLLOWED[question]
        first = list(self._with_members(start))
        visited = set(first)
        queue = deque((node, 1) for node in first)
        while queue:
            node, distance = queue.popleft()
            for edge in sorted(self._incoming.get(node, ()), key=_edge_order):
                if edge.relation not in relations or edge.start in visited:
                    continue
                visited.add(edge.start)
                yield _step(edge, edge.start, edge.end, distance)
                # who imports a file rests on all of it; who imports a name, on that name alone
                follows_on = edge.relation != "imports" or not start.name
                if distance < depth and follows_on and edge.relation != "configures":
                    queue.append((edge.start, distance + 1))

    def _changed_together(self, start: GraphNode) -> list[AnswerStep]:
        node = GraphNode(start.path)
        steps = []
        for edge in (*self._incoming.get(node, ()), *self._outgoing.get(node, ())):
            if edge.relation == _HISTORY:
                other = edge.start if edge.end == node else edge.end
                steps.append(_step(edge, other, node, 1))
        return sorted(steps, key=lambda step: (-step.weight, step.path))

    def _path(self, start: GraphNode, end: GraphNode) -> GraphAnswer:
        notice = ""
        steps = self._shortest(start, end)
        if steps is None:
            steps = self._shortest(end, start)
            notice = f"nothing leads from {node_name(start)} to {node_name(end)}"
            if steps is None:
                notice += ", nor back"
            else:
                notice += "; this is the way back"
        return GraphAnswer("path", (node_name(start), node_name(end)), tuple(steps or ()), notice)

    def _shortest(self, start: GraphNode, end: GraphNode) -> list[AnswerStep] | None:
        ends = set(self._with_members(end))
        previous_edges: dict[GraphNode, _Edge | None] = dict.fromkeys(self._with_members(start))
        queue = deque(previous_edges)
        while queue:
            node = queue.popleft()
            if node in ends:
                return _path_steps(previous_edges, node)
            for edge in sorted(self._outgoing.get(node, ()), key=_edge_order):
                if edge.relation != _HISTORY and edge.end not in previous_edges:
                    inside = [member for member in self._with_members(edge.end) if member not in previous_edges]
                    is_type = edge.end.kind in TYPES  # who makes one runs its methods
                    reached = inside if is_type else [edge.end]
                    previous_edges |= dict.fromkeys(reached, edge)
                    queue.extend(reached)
        return None


def node_name(node: GraphNode) -> str:
    return f"{node.path}:{node.name}" if node.name else node.path or "."


def _first_definitions(nodes: list[GraphNode]) -> list[GraphNode]:
    """Of overloads and conditional definitions in one file the first; they are one to a reader."""
    first_nodes: dict[tuple[str, str], GraphNode] = {}
    for node in nodes:
        first_nodes.setdefault((node.path, node.name), node)
    return list(first_nodes.values())


def _edge_order(edge: _Edge) -> tuple[Any, ...]:
    return (edge.relation, edge.start, edge.end)


def _step(edge: _Edge, node: GraphNode, target: GraphNode, distance: int) -> AnswerStep:
    return AnswerStep(
        node.path, node.start_line, node.end_line, node.name, node.kind, edge.relation,
        node_name(target), edge.lines, edge.resolution, distance, edge.weight,
    )  # fmt: skip


def _path_steps(previous_edges: dict[GraphNode, _Edge | None], node: GraphNode) -> list[AnswerStep]:
    edges: list[_Edge] = []
    while (edge := previous_edges[node]) is not None:
        edges.append(edge)
        node = edge.start
    return [_step(edge, edge.start, edge.end, number) for number, edge in enumerate(reversed(edges), start=1)]


_NOTHING: dict[str, Callable[[GraphNode], str]] = {
    "callers": lambda node: f"no call of {node_name(node)} is known",
    "breaks": lambda node: f"nothing is known to rest on {node_name(node)}",
    "tests": lambda node: f"no test of {node_name(node)} is known",
}


def _notice(question: str, start: GraphNode, steps: list[AnswerStep]) -> str:
    if not steps:
        return _NOTHING[question](start) + ": calls by reflection or of unknown type are not seen"
    unsure = sum(step.resolution == "unique name" for step in steps)
    return f"{unsure} rest on a name that only one place has" if unsure else ""
