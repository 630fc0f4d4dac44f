"""Detect direct recursion (Campbell, Cognitive Complexity, 2018)."""

from dataclasses import dataclass, field

from tree_sitter import Node

_SELVES = frozenset({b"self", b"this", b"cls", b"Self"})
_OWNERS = ("object", "operand", "value", "path")
_PARTS = ("attribute", "property", "field", "name")


@dataclass
class _Function:
    start: int
    name: bytes
    method: bool
    selves: frozenset[bytes]
    is_recursive: bool = False


@dataclass
class Callers:
    """Stack of functions around the current node of a walk."""

    language: str  # language as tables call it
    _around: list[_Function | None] = field(default_factory=list)
    _by_name: dict[bytes, list[_Function]] = field(default_factory=dict)

    def enter(self, node: Node, parent: Node | None) -> None:
        receiver = node.child_by_field_name("receiver")
        method = (bool(self._around) and self._around[-1] is None) or receiver is not None
        selves = _SELVES if receiver is None else frozenset({_receiver_name(receiver)})
        function = _Function(node.start_byte, _name(node, parent), method, selves)
        self._around.append(function)
        self._by_name.setdefault(function.name, []).append(function)

    def enter_type(self) -> None:
        self._around.append(None)

    def leave(self) -> None:
        function = self._around.pop()
        if function is not None:
            self._by_name[function.name].pop()

    def calls_itself(self, call: Node) -> int | None:
        """Start of the function that a call makes recursive, on its first such call."""
        owner, name = _callee(call) if self._around else (None, None)
        function = next(iter(self._by_name.get(name or b"", [])[-1:]), None)
        if not name or function is None or function.is_recursive:
            return None
        # only in Java is a bare name a method of the same object
        bare = owner is None and (self.language == "java" or not function.method)
        if not bare and not (function.method and owner in function.selves):
            return None
        function.is_recursive = True
        return function.start


def _name(function: Node, parent: Node | None) -> bytes:
    name = function.child_by_field_name("name")
    if name is None and parent is not None and parent.type == "variable_declarator":
        name = parent.child_by_field_name("name")  # const f = () => f()
    return (name.text if name is not None else None) or b""


def _receiver_name(receiver: Node) -> bytes:
    for parameter in receiver.named_children:
        name = parameter.child_by_field_name("name")
        if name is not None:
            return name.text or b""
    return b""


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
    owner, part = _first(function, _OWNERS), _first(function, _PARTS)
    if owner is None or part is None or owner.child_count:
        return None, None
    return owner.text, part.text


def _first(node: Node, fields: tuple[str, ...]) -> Node | None:
    children = (node.child_by_field_name(name) for name in fields)
    return next((child for child in children if child is not None), None)
