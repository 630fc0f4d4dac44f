"""Walk a syntax tree once and collect control flow, tokens and requested nodes.

Results are stored by position, so that a unit's measures are sums over its span. Nothing recurses: files may nest as
deeply as their size allows.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import NamedTuple

from tree_sitter import Node, Tree

from cortex_pipelines.annotation.complexity.nodes import child
from cortex_pipelines.annotation.complexity.syntax import BODIES, BODY_FIELDS, FRAMES, INTERPOLATIONS, LABELS, syntax_of

_DEEPENING = frozenset({"if", "elif", "loop", "catch", "ternary", "switch", "guard"})
_SELVES = frozenset({b"self", b"this", b"cls", b"Self"})
_OWNERS = ("object", "operand", "value", "path")
_PARTS = ("attribute", "property", "field", "name")


@dataclass(frozen=True, slots=True)
class FlowStep:
    """Contribution of one construct to the complexity measures."""

    start: int  # bytes of the construct
    end: int
    level: int  # levels of control flow around it in the file
    decisions: int  # for cyclomatic complexity
    reading: bool  # whether it adds to cognitive complexity
    deepens: bool = False  # whether its cost grows with its level, and its body is a level deeper


class NodeVisit(NamedTuple):
    """A node that a rule requested, with its context.

    Finding a node's parent takes a walk from the root, so the context that rules need is recorded here.
    """

    node: Node
    parent: Node | None  # what encloses it; None at the root
    grandparent: Node | None
    loops: int  # loops whose body it is in, up to the nearest function
    function: Node | None


@dataclass
class WalkResult:
    steps: list[FlowStep] = field(default_factory=list)  # constructs of control flow, by their start
    operands: list[int] = field(default_factory=list)  # first bytes of names and literals
    operand_texts: list[int] = field(default_factory=list)  # numbers in `texts`
    texts: dict[bytes, int] = field(default_factory=dict)
    levels: dict[int, int] = field(default_factory=dict)  # levels of control flow at the requested offsets
    depth: int = 0  # maximum depth of the tree, in nodes
    visits: dict[str, list[NodeVisit]] = field(default_factory=dict)  # nodes of the requested types, by type


class _Frame(NamedTuple):
    """A node that encloses the current one, and its effect on what it holds."""

    node: Node | None
    role: str = ""
    level: int = 0
    group: int = 0  # its chain of ``and`` and ``or``
    loops: int = 0


@dataclass
class _Function:
    node: Node
    name: bytes
    method: bool
    selves: frozenset[bytes]
    is_recursive: bool = False


def walk(tree: Tree, data: bytes, language: str, offsets: Collection[int], types: Collection[str] = ()) -> WalkResult:
    return _Walker(tree, data, language).run(set(offsets), types)


class _Walker:
    def __init__(self, tree: Tree, data: bytes, language: str) -> None:
        self._tree, self._data, self._language = tree, data, language
        self._syntax = syntax_of(language, tree.language)
        self._walk = WalkResult()
        self._frames = [_Frame(None), _Frame(None)]  # outermost first; two roots, for the first grandparent
        self._passed_else: set[int] = set()  # depths
        self._around: list[_Function | None] = []  # functions, and None for a type
        self._functions: list[_Function] = []
        self._by_name: dict[bytes, list[_Function]] = {}
        self._frame_functions: dict[int, bool] = {}
        self._last_operator: dict[int, int] = {}

    def run(self, offsets: set[int], types: Collection[str]) -> WalkResult:
        cursor, counts, frames = self._tree.walk(), self._walk, self._frames
        flow, sorts = self._syntax.flow, self._syntax.token
        requested_kinds = {kind for kind, name in self._syntax.names.items() if name in types}
        while True:
            node = cursor.node
            if node is None:
                return counts
            frame = frames[-1]
            kind, start, level, loops = node.kind_id, node.start_byte, frame.level, frame.loops
            if frame.role in _DEEPENING and (cursor.field_name in BODY_FIELDS or node.type in BODIES):
                level, loops = level + 1, loops + (frame.role == "loop")
            if start in offsets:
                counts.levels.setdefault(start, level)
            if kind in requested_kinds:
                function = self._functions[-1].node if self._functions else None
                visit = NodeVisit(node, frame.node, frames[-2].node, loops, function)
                counts.visits.setdefault(node.type, []).append(visit)
            role, sort = flow.get(kind, ""), sorts.get(kind, "")
            inside, group = level, 0
            if role:
                role, inside, group = self._enter(node, role, level)
            if sort == "skip":
                pass
            elif (
                sort != "literal" or any(child.type in INTERPOLATIONS for child in node.named_children)
            ) and cursor.goto_first_child():
                frames.append(_Frame(node, role, inside, group, 0 if role == "function" else loops))
                counts.depth = max(counts.depth, len(frames))
                continue
            elif sort not in ("delimiter", "keyword") and node.is_named:
                self._add_operand(node, start, sort)
            while not cursor.goto_next_sibling():
                if not cursor.goto_parent():
                    counts.steps.sort(key=lambda step: step.start)
                    return counts
                self._passed_else.discard(len(frames))
                left = frames.pop().role
                if left in ("function", "type"):
                    self._around.pop()
                if left == "function":
                    self._by_name[self._functions.pop().name].pop()

    def _add_operand(self, node: Node, start: int, sort: str) -> None:
        end, parent = node.end_byte, self._frames[-1].node
        if start == end or (sort == "literal" and parent is not None and _is_docstring(parent)):
            return
        texts = self._walk.texts
        self._walk.operands.append(start)
        self._walk.operand_texts.append(texts.setdefault(self._data[start:end], len(texts)))

    def _enter(self, node: Node, role: str, level: int) -> tuple[str, int, int]:
        """Role, level and group of what a node holds."""
        frame = self._frames[-1]
        match role:
            case "if" | "elif" | "loop" | "catch" | "ternary" | "switch":
                return self._construct(node, role, level)
            case "guard":  # `let … else` of Rust; without `else` it is a plain declaration
                if node.child_by_field_name("alternative") is not None:
                    return self._construct(node, role, level)
            case "function":
                deeper = bool(self._functions) and not self._is_framed(self._functions[-1].node, node)
                receiver = node.child_by_field_name("receiver")
                method = (bool(self._around) and self._around[-1] is None) or receiver is not None
                function = _Function(node, _function_name(node, frame.node), method, _selves(receiver))
                self._around.append(function)
                self._functions.append(function)
                self._by_name.setdefault(function.name, []).append(function)
                return role, level + deeper, 0
            case "type":
                self._around.append(None)
                return role, level, 0
            case "boolean":
                operator = node.child_by_field_name("operator")
                if operator is None or operator.kind_id in self._syntax.logical:
                    return role, level, frame.group or node.start_byte + 1
            case "parentheses":
                return "", level, frame.group
            case "case":
                pattern = node.child_by_field_name("pattern")
                guarded = pattern is not None and pattern.child_by_field_name("condition") is not None
                self._step(node, level, (not _is_default(node, pattern)) + guarded)
            case "else":
                owner = self._frames[-2].role if frame.role == "alternative" else frame.role
                if owner not in ("guard", "ternary"):
                    # Python: without a jump out of the loop, or an exception, `else` is one way more
                    self._step(node, level, owner not in ("if", "elif"), owner != "")
                    self._passed_else.add(len(self._frames))
            case "decision":
                self._step(node, level, 1)
            case "default":
                if any(node.child_by_field_name(name) is not None for name in ("right", "value")):
                    self._step(node, level, 1)
            case "jump":
                label = LABELS.get(self._language)
                if any(child.type == label for child in node.named_children):
                    self._step(node, level, 0, True)
            case "logical":
                if frame.role == "boolean":
                    changed = self._last_operator.get(frame.group) != node.kind_id
                    self._last_operator[frame.group] = node.kind_id
                    self._step(node, level, 1, changed and self._syntax.logical[node.kind_id])
            case "call":
                start = self._recursion(node)
                if start is not None:
                    self._walk.steps.append(FlowStep(start, node.end_byte, level, 0, True))
            case _:
                return role, level, 0
        return "", level, 0

    def _step(self, node: Node, level: int, decisions: int, reading: bool = False, deepens: bool = False) -> None:
        self._walk.steps.append(FlowStep(node.start_byte, node.end_byte, level, decisions, reading, deepens))

    def _construct(self, node: Node, role: str, level: int) -> tuple[str, int, int]:
        chained = role == "if" and len(self._frames) in self._passed_else
        if chained or role == "elif":
            # on the level of the `if` that it continues; an `else` before it has been counted
            self._step(node, level - 1, 1, not chained)
            return "elif", level - 1, 0
        self._step(node, level, role != "switch", True, True)
        return role, level, 0

    def _recursion(self, call: Node) -> int | None:
        """Start of the function that a call makes recursive, on its first such call."""
        owner, name = _callee(call) if self._around else (None, None)
        function = next(iter(self._by_name.get(name or b"", [])[-1:]), None)
        if not name or function is None or function.is_recursive:
            return None
        # only in Java is a bare name a method of the same object
        bare = owner is None and (self._language == "java" or not function.method)
        if not bare and not (function.method and owner in function.selves):
            return None
        function.is_recursive = True
        return function.node.start_byte

    def _is_framed(self, outer: Node, inner: Node) -> bool:
        """Whether the enclosing function only wraps others, so that nesting does not grow."""
        allowed = FRAMES.get(self._language)
        if allowed is None or inner.type not in allowed:
            return False
        if outer.id not in self._frame_functions:
            body = outer.child_by_field_name("body")
            self._frame_functions[outer.id] = body is not None and all(
                child.type in allowed or child.is_extra or _is_docstring(child) for child in body.named_children
            )
        return self._frame_functions[outer.id]


def _function_name(function: Node, parent: Node | None) -> bytes:
    name = function.child_by_field_name("name")
    if name is None and parent is not None and parent.type == "variable_declarator":
        name = parent.child_by_field_name("name")  # const f = () => f()
    return (name.text if name is not None else None) or b""


def _selves(receiver: Node | None) -> frozenset[bytes]:
    if receiver is None:
        return _SELVES
    names = (parameter.child_by_field_name("name") for parameter in receiver.named_children)
    return frozenset({next((name.text or b"" for name in names if name is not None), b"")})


def _callee(call: Node) -> tuple[bytes | None, bytes | None]:
    name_node = call.child_by_field_name("name")
    if name_node is not None:
        owner = call.child_by_field_name("object")
        return (owner.text if owner is not None else None), name_node.text
    function = call.child_by_field_name("function")
    if function is None:
        return None, None
    if function.type == "identifier":
        return None, function.text
    owner, part = child(function, *_OWNERS), child(function, *_PARTS)
    if owner is None or part is None or owner.child_count:
        return None, None
    return owner.text, part.text


def _is_default(case: Node, pattern: Node | None) -> bool:
    if case.child_count and case.children[0].type == "default":
        return True
    if case.child_by_field_name("guard") is not None:
        return False
    if pattern is None:
        pattern = case.named_children[0] if case.type == "case_clause" else None
    return pattern is not None and pattern.text == b"_"


def _is_docstring(node: Node) -> bool:
    return node.type == "expression_statement" and [child.type for child in node.named_children] == ["string"]
