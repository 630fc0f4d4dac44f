"""Questions over the graph of a project's code: callers, what breaks, tests, the path between."""

import difflib
import re
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from operator import attrgetter
from posixpath import dirname
from typing import Any

import polars as pl

from cortex_pipelines.extraction.test_cases import is_test
from cortex_pipelines.retrieval.graph.build import CONSTRUCTORS, GraphNode
from cortex_pipelines.retrieval.graph.names import FUNCTIONS, TYPES

QUESTIONS = ("callers", "breaks", "tests", "path")
DEPTH = 3  # default number of steps to follow
MOST_DEPTH = 20
_MOST_NAMED = 10
_HISTORY = "changes_with"
_FOLLOWED = {
    "callers": ("calls", "passes"),
    "breaks": ("calls", "passes", "inherits", "imports", "configures"),
    "tests": ("tests", "calls"),
}
_NOTHING = {
    "callers": "no call of {} is known",
    "breaks": "nothing is known to rest on {}",
    "tests": "no test of {} is known",
}


class GraphQuestionError(ValueError):
    pass


class GraphNameError(LookupError):
    """An unknown or ambiguous name; the message lists valid names."""


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
    """Places, the nearest first and code before its tests; of a path in its order. ``of`` is what the name stands
    for, as typed.

    ``summary`` counts the places, in a sentence.
    """

    question: str
    of: tuple[str, ...]
    summary: str
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
        units: Columns ``path``, ``qualified_name``, ``kind``, ``start_line``, ``end_line``, ``signature``
            of ``CODE_UNITS``: what may be asked about even if nothing is known of it.
        paths: All files.
    """

    def __init__(self, edges: pl.DataFrame, units: pl.DataFrame, paths: Iterable[str]) -> None:
        self._incoming: dict[GraphNode, list[_Edge]] = defaultdict(list)
        self._outgoing: dict[GraphNode, list[_Edge]] = defaultdict(list)
        self._inside: dict[str, list[GraphNode]] = defaultdict(list)
        nodes: dict[GraphNode, None] = {GraphNode(path): None for path in sorted(paths)}
        definitions = units.filter(pl.col("kind").is_in([*FUNCTIONS, *TYPES]))
        columns = ("path", "qualified_name", "kind", "start_line", "end_line")
        self._signatures = {
            GraphNode(*row): signature for *row, signature in definitions.select(*columns, "signature").iter_rows()
        }
        nodes |= dict.fromkeys(self._signatures)
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
            steps = [step for step in steps if _in_tests(step)]
        steps.sort(key=lambda step: (step.distance, _in_tests(step)))
        if question == "breaks":
            steps += self._changed_together(start)
        summary = self._summary(question, start, steps)
        unsure = sum(step.resolution == "unique name" for step in steps)
        notice = f"{unsure} rest on a name that only one place has" if unsure else ""
        if not steps:
            nothing = _NOTHING[question].format(node_name(start))
            notice = f"{nothing}: calls by reflection or of unknown type are not seen"
        return GraphAnswer(question, (node_name(start),), summary, tuple(steps), notice)

    def _summary(self, question: str, start: GraphNode, steps: Iterable[AnswerStep]) -> str:
        """Counts of nodes: in tests, in product code, and public ones among these."""
        nodes = {GraphNode(step.path, step.name, step.kind, step.start_line, step.end_line) for step in steps}
        product = [node for node in nodes if not _in_tests(node)]
        public = sum(is_public(node, self._signatures.get(node, "")) for node in product)
        tests, plural = len(nodes) - len(product), "s" * (len(nodes) != 1)
        noun = {"callers": f"caller{plural}", "breaks": f"place{plural} that may break", "tests": f"test{plural}"}
        counts = f": {len(product)} in product code ({public} public), {tests} in tests" if question != "tests" else ""
        inside = {node_name(node) for node in self._inside_of(start)}
        interfaces = {step.of for step in steps if step.distance == 1 and step.relation == "calls"} - inside
        also = (
            f"; also through {', '.join(sorted(name.rpartition(':')[2] for name in interfaces))}" if interfaces else ""
        )
        return f"{node_name(start)} has {len(nodes)} {noun[question]}{counts}{also}."

    def find_node(self, name: str) -> GraphNode:
        """The node of a name; outside of tests takes precedence over the same name in tests."""
        nodes = sorted(self._matching_nodes(name.strip()), key=lambda node: (is_test(node.path, node.name), node))
        outside = [node for node in nodes if not is_test(node.path, node.name)]
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
            paths = [path] if path in self._inside else [each for each in self._inside if each.endswith(f"/{path}")]
            return _first_definitions([node for each in paths for node in self._inside[each] if node.name == inner])
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

    def _inside_of(self, node: GraphNode) -> Iterator[GraphNode]:
        """A node with all definitions of its name and the nodes inside it: a type stands for its methods too."""
        if node.name:
            is_leaf = node.kind in FUNCTIONS or node.kind == "test"
            for other in self._inside.get(node.path, ()):
                if other.name == node.name or (not is_leaf and other.name.startswith(f"{node.name}.")):
                    yield other
            return
        yield node
        yield from self._inside.get(node.path, ())
        if node.kind == "file":  # Go imports folders, Java all of a package
            yield GraphNode(dirname(node.path), kind="folder")

    def _stands_for(self, node: GraphNode, question: str) -> Iterator[GraphNode]:
        """The targets that calls of a node name: its definitions, overridden methods, the constructed type."""
        pending = list(self._inside_of(node))
        yielded = set(pending)
        for name in pending:
            yield name
            owner, _, simple_name = name.name.rpartition(".")
            same_file = self._inside[name.path] if simple_name in CONSTRUCTORS else []
            related = [node for node in same_file if node.name == owner and node.kind in TYPES][:1]
            if name.kind == "method" and question != "tests":
                related += [edge.end for edge in self._outgoing.get(name, ()) if edge.relation == "inherits"]
            pending += [other for other in related if other not in yielded]
            yielded.update(pending)

    def _reaching(self, question: str, start: GraphNode, depth: int) -> Iterator[AnswerStep]:
        relations = _FOLLOWED[question]
        first = list(self._stands_for(start, question))
        visited = set(first)
        queue = deque((node, 1) for node in first)
        while queue:
            node, distance = queue.popleft()
            for edge in sorted(self._incoming.get(node, ()), key=_EDGE_ORDER):
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
        summary = f"{len(steps or ())} step{'s' * (len(steps or ()) != 1)} from {node_name(start)} to {node_name(end)}."
        return GraphAnswer("path", (node_name(start), node_name(end)), summary, tuple(steps or ()), notice)

    def _shortest(self, start: GraphNode, end: GraphNode) -> list[AnswerStep] | None:
        ends = set(self._inside_of(end))
        previous_edges: dict[GraphNode, _Edge | None] = dict.fromkeys(self._inside_of(start))
        queue = deque(previous_edges)
        while queue:
            node = queue.popleft()
            if node in ends:
                edges: list[_Edge] = []
                while (previous := previous_edges[node]) is not None:
                    edges.insert(0, previous)
                    node = previous.start
                return [_step(edge, edge.start, edge.end, number) for number, edge in enumerate(edges, start=1)]
            for edge in sorted(self._outgoing.get(node, ()), key=_EDGE_ORDER):
                if edge.relation != _HISTORY and edge.end not in previous_edges:
                    reached = [other for other in self._run_by(edge.end) if other not in previous_edges]
                    previous_edges |= dict.fromkeys(reached, edge)
                    queue.extend(reached)
        return None

    def _run_by(self, node: GraphNode) -> Iterator[GraphNode]:
        """A called node with what the call may run: constructors of a type, overriding methods."""
        yield from dict.fromkeys((node, *(other for other in self._inside[node.path] if other.name == node.name)))
        if node.kind in TYPES:
            constructors = {f"{node.name}.{name}" for name in CONSTRUCTORS}
            yield from (other for other in self._inside[node.path] if other.name in constructors)
        if node.kind == "method":
            overrides = (edge for edge in self._incoming.get(node, ()) if edge.relation == "inherits")
            yield from sorted(edge.start for edge in overrides)


_EDGE_ORDER = attrgetter("relation", "start", "end")


def _in_tests(place: AnswerStep | GraphNode) -> bool:
    return place.kind == "test" or is_test(place.path, place.name)


def is_public(node: GraphNode, signature: str) -> bool:
    """Whether a name is visible outside, by its language's rules on names and signatures."""
    ending, parts = node.path.rpartition(".")[2], node.name.split(".")
    if ending == "go":
        return parts[-1][:1].isupper()
    if ending == "rs":
        return signature.startswith("pub")
    if ending == "java":
        return "public " in signature
    hidden = any(part.startswith(("_", "#")) and not part.endswith("__") for part in parts)
    return bool(node.name) and not hidden and not re.match(r"(private|protected)\b", signature)


def node_name(node: GraphNode) -> str:
    return f"{node.path}:{node.name}" if node.name else node.path or "."


def _first_definitions(nodes: list[GraphNode]) -> list[GraphNode]:
    """Of overloads and conditional definitions in one file the first: they are one to a reader, and one question."""
    first_nodes: dict[tuple[str, str], GraphNode] = {}
    for node in nodes:
        first_nodes.setdefault((node.path, node.name), node)
    return list(first_nodes.values())


def _step(edge: _Edge, node: GraphNode, target: GraphNode, distance: int) -> AnswerStep:
    return AnswerStep(
        node.path, node.start_line, node.end_line, node.name, node.kind, edge.relation,
        node_name(target), edge.lines, edge.resolution, distance, edge.weight,
    )  # fmt: skip
