"""Confusable names in a function: variables in scope, callees, attributes.

All queries use lists that are built once per function and searched by bisection, so that a function
of any size takes time linear in its length.
"""

import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import TypeAlias

from tree_sitter import Node

from cortex_pipelines.augmentation.node_table import BLOCKS, FUNCTIONS, NodeTable, split_words

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


_COMPREHENSIONS = split_words("list_comprehension set_comprehension dictionary_comprehension generator_expression")
_SCOPES = FUNCTIONS | _COMPREHENSIONS | split_words("class_definition")
_BLOCK_SCOPES = (
    _SCOPES
    | BLOCKS
    | _LOOPS
    | split_words(
        "if_statement if_expression while_expression catch_clause try_with_resources_statement switch_rule match_arm "
        "expression_switch_statement type_switch_statement expression_case type_case default_case communication_case "
        "function_type"
    )
)


@dataclass(frozen=True)
class Binding:
    """A local name with its declared type, in scope from ``start`` to ``end``."""

    start: int
    end: int
    name: str
    node: Node
    kind: str


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


def binding_of(node: Node, view: NodeTable) -> Binding | None:
    """The innermost binding in scope of the name that an identifier holds."""
    name = view.code(node)
    latest = reversed(_bound(node, view).get(name, ()))
    return next((binding for binding in latest if _is_visible(binding, node)), None)


def _is_visible(binding: Binding, node: Node) -> bool:
    return binding.start <= node.start_byte and node.end_byte <= binding.end and binding.node.id != node.id


def others_in_scope(node: Node, view: NodeTable) -> list[Binding]:
    """Other names in scope where an identifier stands, the latest first.

    Names of another type are excluded, where both types are declared; so are those that the function has copied or
    compared with the name.
    """
    binding_here = binding_of(node, view)
    if binding_here is None:  # what a global or type holds, no local can stand for
        return []
    home = view.home(node)
    bindings = _in_order(home, view)
    end = bisect_right(bindings, node.start_byte, key=lambda binding: binding.start)
    nearby = {
        binding.name: binding for binding in bindings[max(0, end - _LOOK_BACK) : end] if _is_visible(binding, node)
    }
    fitting = []
    for name, binding in reversed(nearby.items()):
        if name in (binding_here.name, *_CONVENTIONAL) or (
            binding_here.kind and binding.kind and binding_here.kind != binding.kind
        ):
            continue
        if not _are_equal(binding_here.name, name, view.code(home)):
            fitting.append(binding)
    return fitting


def _are_equal(first: str, second: str, code: str) -> bool:
    pair = rf"(?<![\w.]){re.escape(first)}\s*:?={{1,3}}\s*{re.escape(second)}(?![\w.(\[])"
    turned = rf"(?<![\w.]){re.escape(second)}\s*:?={{1,3}}\s*{re.escape(first)}(?![\w.(\[])"
    return bool(re.search(f"{pair}|{turned}", code))


def loses_last_use(start: int, end: int, replacement: str, view: NodeTable) -> bool:
    """Whether a change takes the last use of a name that Go or TypeScript then calls unused."""
    if view.language not in ("go", "typescript"):
        return False
    in_order, by_name = _reads(view)
    kept_words = set(_WORD.findall(replacement))
    first = bisect_left(in_order, start, key=lambda node: node.start_byte)
    last = bisect_left(in_order, end, key=lambda node: node.start_byte)
    removed = {view.code(node): node for node in in_order[first:last] if view.code(node) not in kept_words}
    return any(_is_last_use(node, by_name[name], start, end, view) for name, node in removed.items())


def _reads(view: NodeTable) -> tuple[list[Node], dict[str, list[Node]]]:
    """Where names are read, in order, and by name."""
    notes: dict[int, tuple[list[Node], dict[str, list[Node]]]] = view.notes.setdefault("reads", {})
    if not notes:
        # a parser's stand-in for a name that is missing is empty
        uses = [part for part in view.nodes if part.type in _NAMES and part.end_byte > part.start_byte]
        uses = [part for part in uses if not is_bound(part, view) and not _is_written(part, view)]
        by_name: dict[str, list[Node]] = {}
        for node in uses:
            by_name.setdefault(view.code(node), []).append(node)
        notes[0] = uses, by_name
    return notes[0]


def _is_last_use(node: Node, uses: list[Node], start: int, end: int, view: NodeTable) -> bool:
    binding = binding_of(node, view)
    scope_start, scope_end = (binding.start, binding.end) if binding is not None else (0, len(view.text))
    if view.language == "go":  # which minds imports and variables, not parameters or functions of the package
        is_parameter = binding is not None and view.parent_type(binding.node) == "parameter_declaration"
        if is_parameter or (binding is None and view.field(node) != "operand"):
            return False
    uses_at = [use.start_byte for use in uses]
    return not any(scope_start <= use_at < scope_end and not start <= use_at < end for use_at in uses_at)


def _is_written(node: Node, view: NodeTable) -> bool:
    holder = view.parent(node)
    if holder is not None and holder.type == "expression_list":
        node, holder = holder, view.parent(holder)
    return holder is not None and view.field(node) == "left" and holder.type.startswith("assignment")


_NAMES = split_words("identifier shorthand_property_identifier private_property_identifier")
_WORD = re.compile(r"[#\w]+")


def is_repeated(name: Node, view: NodeTable) -> bool:
    """Whether the function around a name has the same word in another place, which tells that there is such a thing."""
    home = view.home(name)
    words: dict[int, Counter[str]] = view.notes.setdefault("words", {})
    if home.id not in words:
        words[home.id] = Counter(_WORD.findall(view.code(home)))
    return words[home.id][view.code(name)] > 1


def other_callees(call: Node, view: NodeTable) -> list[tuple[str, Node]]:
    """Other functions called the same way in the function, nearest first."""
    return _others_of_shape(call, view, _call_shape)


def other_attributes(node: Node, view: NodeTable) -> list[tuple[str, Node]]:
    return _others_of_shape(node, view, _attribute_shape)


_Shape: TypeAlias = tuple[str, str, int]


def _others_of_shape(
    node: Node, view: NodeTable, shape_of: Callable[[Node, NodeTable], _Shape | None]
) -> list[tuple[str, Node]]:
    """Names that stand in the function where the node's name stands in it, nearest first, each with such a place."""
    shape = shape_of(node, view)
    if shape is None:
        return []
    home = view.home(node)
    notes: dict[int, dict[tuple[str, int], list[tuple[str, Node]]]] = view.notes.setdefault(node.type, {})
    if home.id not in notes:
        notes[home.id] = {}
        for candidate in view.descendants(home):
            other = shape_of(candidate, view) if candidate.type == node.type else None
            if other is not None:
                notes[home.id].setdefault(other[1:], []).append((other[0], candidate))
    same_shape = notes[home.id].get(shape[1:], [])
    middle = bisect_left(same_shape, node.start_byte, key=lambda pair: pair[1].start_byte)
    close_by = same_shape[max(0, middle - _LOOK_AROUND) : middle + _LOOK_AROUND]
    nearest = sorted(close_by, key=lambda pair: (abs(pair[1].start_byte - node.start_byte), pair[1].start_byte))
    other_names: dict[str, Node] = {}
    for name, example in nearest:
        if name != shape[0]:
            other_names.setdefault(name, example)
    return list(other_names.items())


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


def _bound(node: Node, view: NodeTable) -> dict[str, list[Binding]]:
    """The bindings of the function around a node by name, in order."""
    home = view.home(node)
    notes: dict[int, dict[str, list[Binding]]] = view.notes.setdefault("bound", {})
    if home.id not in notes:
        by_name = notes[home.id] = {}
        for binding in _in_order(home, view):
            by_name.setdefault(binding.name, []).append(binding)
    return notes[home.id]


def _in_order(home: Node, view: NodeTable) -> list[Binding]:
    notes: dict[int, list[Binding]] = view.notes.setdefault("bindings", {})
    if home.id not in notes:
        descendants = view.descendants(home) if home.id != view.nodes[0].id else ()
        names = [part for part in descendants if part.type == "identifier" and is_bound(part, view)]
        notes[home.id] = sorted((_binding(name, view) for name in names), key=lambda binding: binding.start)
    return notes[home.id]


def _binding(name: Node, view: NodeTable) -> Binding:
    scopes = _SCOPES if view.language == "python" else _BLOCK_SCOPES
    scope = next((above for above in view.ancestors(name) if above.type in scopes), view.nodes[0])
    start = scope.start_byte if scope.type in _COMPREHENSIONS else _visible_from(name, view)
    return Binding(start, scope.end_byte, view.code(name), name, declared_type(name, view))


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


def declared_type(name: Node, view: NodeTable) -> str:
    for above in islice(view.ancestors(name), 2):
        kind = above.child_by_field_name("type")
        if kind is not None:
            missing = " or missing" if above.type == "optional_parameter" else ""
            return type_text(view.code(kind)) + missing
        if above.type not in ("variable_declarator", "typed_parameter"):
            break
    return ""


def type_text(code: str) -> str:
    return "" if code == "var" else code.removeprefix(":").strip()


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
