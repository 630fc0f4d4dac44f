"""Confusable names in a function: variables, callees, attributes.

All queries use lists that are built once per function and searched by bisection, so that a function
of any size takes time linear in its length.
"""

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeAlias

from tree_sitter import Node

from cortex_pipelines.augmentation.node_table import NodeTable, split_words

# Where an identifier is the value of a variable and nothing else.
_USES = split_words(
    "argument_list arguments binary_operator binary_expression comparison_operator boolean_operator not_operator "
    "unary_operator unary_expression return_statement subscript subscript_expression index_expression attribute "
    "member_expression selector_expression field_expression field_access list tuple array expression_list if_statement "
    "while_statement parenthesized_expression conditional_expression ternary_expression for_statement for_in_statement "
    "enhanced_for_statement range_clause for_expression return_expression keyword_argument pair assignment "
    "variable_declarator assignment_expression let_declaration augmented_assignment array_access method_invocation "
    "slice slice_expression reference_expression interpolation if_expression cast_expression type_cast_expression "
    "literal_element await await_expression yield throw_statement assert_statement for_in_clause "
    "compound_assignment_expr augmented_assignment_expression elif_clause tuple_expression array_expression "
    "template_substitution"
)
_NOT_USED_AT = split_words("left name attribute property field pattern function key label type alternative parameters")
_OPERATIONS = split_words("binary_operator binary_expression boolean_operator augmented_assignment")
_BINDERS = split_words(
    "parameters lambda_parameters formal_parameters formal_parameter parameter parameter_declaration default_parameter "
    "typed_parameter typed_default_parameter required_parameter optional_parameter assignment_pattern rest_pattern "
    "closure_parameters list_splat_pattern dictionary_splat_pattern tuple_pattern pattern_list variable_declarator "
    "let_declaration for_statement for_in_statement enhanced_for_statement for_expression var_spec assignment "
    "as_pattern_target array_pattern for_in_clause named_expression catch_clause catch_formal_parameter resource "
    "expression_list arrow_function"
)
_BOUND_AT = split_words("left name pattern parameter parameters")
_LOOPS = split_words("for_statement for_in_statement enhanced_for_statement for_expression range_clause")
_GIVES_VALUE = _LOOPS | split_words(
    "assignment variable_declarator let_declaration short_var_declaration var_spec named_expression resource"
)
_ALWAYS_BOUND = split_words("typed_parameter as_pattern_target tuple_pattern pattern_list")
_CONVENTIONAL = frozenset({"_", "self", "cls", "this"})
_LOOK_BACK = 64
_LOOK_AROUND = 16


@dataclass
class _NamePositions:
    places: list[int] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    first: dict[str, int] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)

    def add(self, position: int, name: str) -> None:
        self.places.append(position)
        self.names.append(name)
        self.first.setdefault(name, position)


def is_use(node: Node, view: NodeTable) -> bool:
    parent = view.parent(node)
    if parent is None or parent.type not in _USES or view.code(node) in _CONVENTIONAL:
        return False
    field = view.field(node)
    if field == "left" and parent.type in _OPERATIONS:
        return True
    if parent.type == "expression_list" and view.field(parent) == "left":
        return False
    if parent.type == "argument_list" and view.parent_type(parent) == "class_definition":
        return False
    return field not in _NOT_USED_AT


def bound_before(name: str, node: Node, view: NodeTable) -> bool:
    return _bound(node, view).first.get(name, node.start_byte) < node.start_byte


def others_before(name: str, node: Node, view: NodeTable, most: int) -> list[str]:
    """Other names bound before the node in its function, the latest first.

    Names of another type are excluded, where both types are declared.
    """
    bound = _bound(node, view)
    end = bisect_left(bound.places, node.start_byte)
    nearby_names = dict.fromkeys(reversed(bound.names[max(0, end - _LOOK_BACK) : end]))
    name_type = bound.types.get(name)
    fitting = [
        candidate
        for candidate in nearby_names
        if candidate not in (name, *_CONVENTIONAL)
        and (name_type is None or bound.types.get(candidate, name_type) == name_type)
    ]
    return fitting[:most]


def other_callees(call: Node, view: NodeTable) -> list[str]:
    """Other functions called the same way in the function, nearest first."""
    return _others_of_shape(call, view, _call_shape)


def other_attributes(node: Node, view: NodeTable) -> list[str]:
    return _others_of_shape(node, view, _attribute_shape)


_Shape: TypeAlias = tuple[str, str, int]


def _others_of_shape(node: Node, view: NodeTable, shape_of: Callable[[Node, NodeTable], _Shape | None]) -> list[str]:
    """Names that stand in the function where the node's name stands in it, nearest first."""
    shape = shape_of(node, view)
    if shape is None:
        return []
    home = view.home(node)
    notes: dict[int, dict[tuple[str, int], _NamePositions]] = view.notes.setdefault(node.type, {})
    if home.id not in notes:
        notes[home.id] = {}
        for candidate in view.descendants(home):
            other = shape_of(candidate, view) if candidate.type == node.type else None
            if other is not None:
                notes[home.id].setdefault(other[1:], _NamePositions()).add(candidate.start_byte, other[0])
    positions = notes[home.id].get(shape[1:], _NamePositions())
    middle = bisect_left(positions.places, node.start_byte)
    span = range(max(0, middle - _LOOK_AROUND), min(len(positions.places), middle + _LOOK_AROUND))
    nearest = sorted(span, key=lambda index: (abs(positions.places[index] - node.start_byte), index))
    return list(dict.fromkeys(positions.names[index] for index in nearest if positions.names[index] != shape[0]))


def _attribute_shape(node: Node, view: NodeTable) -> _Shape | None:
    if not is_pair(node) or view.field(node) == "function":
        return None
    owner, name = node.named_children
    return view.code(name), view.code(owner), 0


def _call_shape(call: Node, view: NodeTable) -> _Shape | None:
    """Callee name, receiver text and number of arguments of a call."""
    arguments = call.child_by_field_name("arguments")
    function = call.child_by_field_name("function")
    if arguments is None:
        return None
    receiver: Node | None
    if call.type == "method_invocation":
        receiver, name = call.child_by_field_name("object"), call.child_by_field_name("name")
    elif function is not None and function.type == "identifier":
        receiver, name = None, function
    elif function is not None and is_pair(function):
        receiver, name = function.named_children
    else:
        return None
    if name is None:
        return None
    owner = view.code(receiver) if receiver is not None else ""
    return view.code(name), owner, arguments.named_child_count


def is_pair(node: Node) -> bool:
    return node.named_child_count == 2 and not node.named_children[1].child_count


def _bound(node: Node, view: NodeTable) -> _NamePositions:
    home = view.home(node)
    notes: dict[int, _NamePositions] = view.notes.setdefault("bound", {})
    if home.id not in notes:
        bound_names = notes[home.id] = _NamePositions()
        if home.id != view.nodes[0].id:
            binding = [
                (_visible_from(identifier, view), identifier)
                for identifier in view.descendants(home)
                if identifier.type == "identifier" and is_bound(identifier, view)
            ]
            for position, identifier in sorted(binding, key=lambda pair: pair[0]):
                bound_names.add(position, view.code(identifier))
                declared = _declared_type(identifier, view)
                if declared:
                    bound_names.types.setdefault(view.code(identifier), declared)
    return notes[home.id]


def _visible_from(name: Node, view: NodeTable) -> int:
    """Offset from which a name is bound: after its value, or after the loop's iterable."""
    form = view.parent(name)
    if form is not None and form.type == "expression_list":
        form = view.parent(form)
    if form is None or form.type not in _GIVES_VALUE:
        return name.start_byte
    if form.type not in _LOOPS:
        return form.end_byte
    over = form.child_by_field_name("right") or form.child_by_field_name("value")
    return over.end_byte if over is not None else name.start_byte


def _declared_type(name: Node, view: NodeTable) -> str:
    for above in islice(view.ancestors(name), 2):
        kind = above.child_by_field_name("type")
        if kind is not None:
            text = view.code(kind)
            return "" if text == "var" else text
        if above.type not in ("variable_declarator", "typed_parameter"):
            break
    return ""


def is_bound(node: Node, view: NodeTable) -> bool:
    """Whether an identifier is where a local name is bound: a parameter, a target, a loop's variable."""
    parent = view.parent(node)
    if parent is None or parent.type not in _BINDERS:
        return False
    field = view.field(node)
    if parent.type == "expression_list":  # of Go: the left side of := and of range
        outer = view.parent_type(parent)
        return view.field(parent) == "left" and outer in ("short_var_declaration", "range_clause")
    if parent.type == "catch_clause":
        return field == "parameter"
    if parent.type in _ALWAYS_BOUND:
        return True
    return field in _BOUND_AT or (field == "" and parent.type.endswith(("parameters", "pattern")))
