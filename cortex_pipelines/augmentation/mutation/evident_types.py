"""Types that the syntax tree shows, in a unit by itself: what a compiler would accept in a position.

A type is its source text, or where only its origin shows that origin (``Route.err``, ``parse()#1``):
two expressions of one text have one type. The empty text stands for a type that does not show.
"""

import re

from tree_sitter import Node

from cortex_pipelines.augmentation.mutation.namespaces import Binding, binding_of, declared_type, type_text
from cortex_pipelines.augmentation.node_table import COMMENTS, FUNCTIONS, NodeTable, split_words

COMPILED = split_words("typescript java go rust")
"""Languages whose compiler refuses a name out of scope or an expression of another type."""
_LITERALS = {
    "typescript": {"string": "string", "template_string": "string", "number": "number"},
    "java": {"string_literal": "String", "decimal_integer_literal": "int", "character_literal": "char"},
    "go": {"interpreted_string_literal": "string", "raw_string_literal": "string", "int_literal": "int"},
    "rust": {"string_literal": "&str", "char_literal": "char"},
}
_TRUTH = {"typescript": "boolean", "java": "boolean", "go": "bool", "rust": "bool"}
_TEXTS = split_words("string String")
NUMBERS = re.compile(
    r"number|float|double|byte|long|short|rune|u?int(?:8|16|32|64)?|[iu](?:8|16|32|64|size)|f(?:32|64)"
)
_TRUE_OR_FALSE = split_words("true false boolean_literal")
_COMPARING = split_words("== != === !== < > <= >= && || in instanceof")
_CONNECTING = split_words("&& ||")
_CALLS = split_words("call_expression method_invocation")
_FIELDS = split_words("selector_expression member_expression field_access field_expression")
_GENERIC = split_words("append cap clear copy delete len make max min new panic print println")
_COUNTING = split_words("len cap copy")
_OWN = split_words("this self")
_CREATED = split_words("composite_literal object_creation_expression array_creation_expression")
_PARAMETRIC = split_words("Array Map Promise Set WeakMap")
_BORROWING = split_words("reference_expression unary_expression")
_COPIED = re.compile(r"&(?!\s*(?:'\w+\s+)?mut\b).*|bool|char|[iu](?:8|16|32|64|128|size)|f(?:32|64)", re.DOTALL)
_DEEPEST = 6


def evident_type(node: Node, view: NodeTable, depth: int = 0) -> str:
    notes: dict[int, str] = view.notes.setdefault("types", {})
    if node.id not in notes:
        if depth > _DEEPEST:
            return ""
        notes[node.id] = _evident(node, view, depth + 1)
    return notes[node.id]


def is_copied(kind: str, language: str) -> bool:
    """Whether an expression may be used once more: in Rust what is moved is gone."""
    return language != "rust" or bool(_COPIED.fullmatch(kind))


def _evident(node: Node, view: NodeTable, depth: int) -> str:
    kind, language = node.type, view.language
    parts = [part for part in node.named_children if part.type not in COMMENTS]
    if kind in _LITERALS[language]:
        return _LITERALS[language][kind]
    if kind in _TRUE_OR_FALSE:
        return _TRUTH[language]
    if kind == "identifier":
        binding = binding_of(node, view)
        return type_of_binding(binding, view, depth) if binding is not None else ""
    if kind == "parenthesized_expression" and len(parts) == 1:
        return evident_type(parts[0], view, depth)
    if kind in _BORROWING and len(parts) == 1:
        inner, sign = evident_type(parts[0], view, depth), node.children[0].type
        if sign == "!":
            return _TRUTH[language] if language != "rust" else inner
        if sign == "&":
            return ("*" if language == "go" else "&") + inner if inner and node.child_count == 2 else ""
        return inner if sign == "-" else ""
    if kind == "binary_expression" and len(parts) == 2:
        return _type_of_binary(node, parts, view, depth)
    if kind in _CREATED or kind in ("new_expression", "type_cast_expression", "cast_expression"):
        type_node = node.child_by_field_name("type") or node.child_by_field_name("constructor")
        text = view.code(type_node) if type_node is not None else ""
        if kind == "array_creation_expression":
            return f"{text}[]"
        is_inferred = kind == "new_expression" and node.child_by_field_name("type_arguments") is None
        return "" if text.endswith("<>") or (is_inferred and text in _PARAMETRIC) else text
    if kind in _CALLS:
        return _type_of_call(node, view, depth)
    if kind in _FIELDS and len(parts) == 2:
        owner = _owner(parts[0], view, depth)
        return f"{owner}.{view.code(parts[1])}" if owner else ""
    if kind in ("index_expression", "array_access") and len(parts) == 2:
        return _element(evident_type(parts[0], view, depth))
    if kind == "slice_expression":
        return evident_type(parts[0], view, depth)
    return ""


def _type_of_binary(node: Node, parts: list[Node], view: NodeTable, depth: int) -> str:
    sign = node.child_by_field_name("operator")
    if sign is None or sign.type in _COMPARING:
        return _TRUTH[view.language]
    first, second = (evident_type(part, view, depth) for part in parts)
    texts = {first, second} & _TEXTS
    if texts and sign.type == "+":
        return texts.pop()
    if first and second and "literal" in parts[0].type + parts[1].type:
        return second if "literal" in parts[0].type else first
    return first if first == second else ""


def _owner(node: Node, view: NodeTable, depth: int) -> str:
    """The type of what a member is taken from; a package or class by its name."""
    if node.type in _OWN or (node.type == "identifier" and binding_of(node, view) is None):
        return view.code(node)
    return evident_type(node, view, depth)


def callee(call: Node, view: NodeTable, depth: int = 0) -> str:
    """What a call calls, by name and type of its receiver; empty for what takes any type."""
    function, receiver = call.child_by_field_name("function"), call.child_by_field_name("object")
    if call.type == "method_invocation":
        function = call.child_by_field_name("name")
    if function is None or call.child_by_field_name("type_arguments") is not None:
        return ""
    if function.type in _FIELDS:
        receiver, function = function.named_children[0], function.named_children[-1]
    name = view.code(function)
    if receiver is None:
        return "" if name in _GENERIC or not function.type.endswith("identifier") else name
    owner = _owner(receiver, view, depth)
    return f"{owner}.{name}" if owner else ""


def arguments_of(call: Node) -> list[Node]:
    arguments = call.child_by_field_name("arguments")
    return [part for part in arguments.named_children if part.type not in COMMENTS] if arguments is not None else []


def _type_of_call(call: Node, view: NodeTable, depth: int) -> str:
    function, arguments = call.child_by_field_name("function"), arguments_of(call)
    if view.language == "go" and function is not None and function.type == "identifier":
        name = view.code(function)
        if name in _COUNTING:
            return "int"
        if name in _TEXTS or NUMBERS.fullmatch(name):
            return name
        if name in ("append", "make") and arguments:
            return evident_type(arguments[0], view, depth) if name == "append" else view.code(arguments[0])
        if name == "new" and arguments:
            return f"*{view.code(arguments[0])}"
    called = callee(call, view, depth)
    if not called or view.language == "go":
        return f"{called}()" if called else ""
    # a function may have several forms, and a generic one gives what it was given
    argument_types = [evident_type(argument, view, depth) for argument in arguments]
    return f"{called}({', '.join(argument_types)})" if all(argument_types) else ""


def _element(kind: str, index: bool = False) -> str:
    if kind.startswith("[]"):
        return "int" if index else kind[2:]
    if kind.endswith("[]"):
        return kind[:-2]
    map_type = re.fullmatch(r"map\[([^][]+)\](.+)", kind, re.DOTALL)
    return map_type[1 if index else 2] if map_type else ""


def type_of_binding(binding: Binding, view: NodeTable, depth: int = 0) -> str:
    if binding.kind:
        return binding.kind
    if view.language == "go" and binding.name == "err":
        return "error"
    name = binding.node
    form, position, several = view.parent(name), 0, False
    if form is not None and form.type == "expression_list":
        position, several = form.named_children.index(name), form.named_child_count > 1
        form = view.parent(form)
    if form is None:
        return ""
    assigned = form.child_by_field_name("right") or form.child_by_field_name("value")
    if assigned is None or view.parent_type(name).endswith("pattern"):
        return ""
    if form.type == "range_clause":
        return _element(evident_type(assigned, view, depth), index=position == 0)
    if form.type not in ("short_var_declaration", "variable_declarator", "let_declaration", "var_spec"):
        return ""
    right = assigned.named_children if assigned.type == "expression_list" else [assigned]
    if several and len(right) == 1:
        if right[0].type in ("index_expression", "type_assertion_expression"):
            return "bool" if position else evident_type(right[0], view, depth)
        evident = evident_type(right[0], view, depth)
        return f"{evident}#{position}" if evident else ""
    return evident_type(right[position], view, depth) if position < len(right) else ""


def expected_type(node: Node, view: NodeTable) -> str:
    """The type that the position of an expression asks for; for an argument, the parameter that it is given to."""
    parent, field = view.parent(node), view.field(node)
    if parent is None:
        return ""
    kind = parent.type
    if kind == "parenthesized_expression":
        return expected_type(parent, view)
    if field == "condition":
        return _TRUTH[view.language]
    if kind in ("unary_expression", "reference_expression"):
        sign = parent.children[0].type
        if sign == "!" and view.language != "rust":
            return _TRUTH[view.language]
        outer = expected_type(parent, view) if sign == "&" else ""
        return f"{outer} behind {sign}" if outer else ""
    if kind == "binary_expression":
        sign_node = parent.child_by_field_name("operator")
        operands = [part for part in parent.named_children if part.id != node.id and part.type not in COMMENTS]
        if sign_node is None or len(operands) != 1:
            return ""
        return _TRUTH[view.language] if sign_node.type in _CONNECTING else evident_type(operands[0], view)
    if kind in ("arguments", "argument_list"):
        call = view.parent(parent)
        called = callee(call, view) if call is not None and call.type in _CALLS else ""
        arguments = arguments_of(call) if call is not None else []
        position = next((index for index, part in enumerate(arguments) if part.id == node.id), 0)
        return f"{called}, argument {position + 1} of {len(arguments)}" if called else ""
    return _assigned_type(node, view)


def _assigned_type(node: Node, view: NodeTable) -> str:
    parent, position, count = view.parent(node), 0, 1
    if parent is not None and parent.type == "expression_list":
        node, position, count, parent = (
            parent,
            parent.named_children.index(node),
            parent.named_child_count,
            view.parent(parent),
        )
    if parent is None:
        return ""
    if parent.type in ("return_statement", "return_expression"):
        function = next((above for above in view.ancestors(parent) if above.type in FUNCTIONS), None)
        return _result_type(function, position, count, view) if function is not None else ""
    if parent.type in ("assignment_expression", "assignment_statement") and view.field(node) == "right":
        target = parent.child_by_field_name("left")
        if target is not None and target.type == "expression_list":
            target = target.named_children[position] if target.named_child_count == count else None
        return evident_type(target, view) if target is not None else ""
    if parent.type in ("variable_declarator", "let_declaration") and view.field(node) == "value":
        name = parent.child_by_field_name("name") or parent.child_by_field_name("pattern")
        if name is not None and name.type == "identifier":
            return declared_type(name, view)
    return ""


def _result_type(function: Node, position: int, count: int, view: NodeTable) -> str:
    fields = ("result", "return_type") if view.language != "java" else ("type",)
    type_node = next((part for part in map(function.child_by_field_name, fields) if part is not None), None)
    if type_node is None:
        return ""
    if type_node.type == "parameter_list":
        kinds = [part.child_by_field_name("type") for part in type_node.named_children]
        kind = kinds[position] if len(kinds) == count else None
        return view.code(kind) if kind is not None else ""
    return type_text(view.code(type_node)) if count == 1 else ""
