"""Names that a literal may reach, found by climbing from it through the syntax tree."""

from collections.abc import Iterator

from tree_sitter import Node

from cortex_pipelines.privacy.detect.code import roles
from cortex_pipelines.privacy.detect.code.climb import (
    Climb,
    ReachedName,
    Steps,
    annotated_names,
    argument_steps,
    receiver_steps,
    token_steps,
)
from cortex_pipelines.privacy.detect.code.expressions import names_in, target_names
from cortex_pipelines.privacy.detect.code.roles import NAME_KEYS, VALUE_KEYS

_MOST_LEVELS = 80


def reached_names(literal: Node, text: str, is_certain: bool = True) -> Iterator[ReachedName]:
    """The names that a literal or a concatenation may reach."""
    climb = Climb(text, is_certain)
    child, node = literal, literal.parent
    for _ in range(_MOST_LEVELS):
        if node is None:
            return
        following = yield from _steps(child, node, climb)
        if following is None:
            return
        child, node = following, following.parent


def _steps(child: Node, node: Node, climb: Climb) -> Steps:
    kind = node.type
    if kind in roles.NAMED:
        return (yield from _assignment_steps(child, node, climb))
    if kind in roles.ARGUMENTS:
        return (yield from _passed(child, node, climb))
    if kind in roles.CALLS and child.type in roles.CALLED:
        function = node.child_by_field_name("function")
        is_raw = function is not None and function.text == b"String.raw"
        climb.is_certain &= child.type != "template_string" or is_raw
        return node
    if kind in roles.MEMBERS or kind == "method_invocation":
        return (yield from receiver_steps(child, node, climb))
    if kind in roles.SUBSCRIPTS:
        return node if child == node.named_children[0] else None
    if kind in roles.LISTS:
        return (yield from _element_steps(child, node, climb))
    if kind in roles.CASES:
        yield from climb.reach(_subject_names(node, climb.text))
        return None
    if kind in roles.BINARY or kind in roles.CHOICES:
        return (yield from _operand_steps(child, node, climb))
    if kind in roles.RETURNS or kind in roles.FUNCTIONS or kind in roles.ANONYMOUS:
        return (yield from _returned(node, climb))
    if kind == "jsx_attribute":
        yield from climb.reach(names_in(node.named_children[0], climb.text))
        return None
    if kind == "token_tree":
        return (yield from token_steps(child, node, climb))
    if kind in roles.ANNOTATIONS:
        yield from climb.reach(annotated_names(node, climb.text))
        return None
    return node if _passes(child, node) else None


def _passed(child: Node, node: Node, climb: Climb) -> Steps:
    call = node.parent
    if call is None or call.type not in roles.CALLS:
        return None
    following = yield from argument_steps(child, call, climb)
    if call.type == "annotation" and following is not None:
        yield from climb.reach(annotated_names(call, climb.text))
    elif call.type == "enum_constant":
        yield from climb.reach(_member_names(call, climb.text))
    else:
        return following
    return None


def _member_names(member: Node, text: str) -> Iterator[str]:
    name = next(names_in(member.named_children[0], text), "")
    node = member.parent
    while node is not None and node.type in roles.CLASS_PARTS:
        node = node.parent
    if node is not None and node.type in roles.CLASSES:
        bases = node.child_by_field_name("superclasses")  # of Python
        if node.type.startswith("enum") or (bases is not None and b"Enum" in (bases.text or b"")):
            for owner in names_in(node.child_by_field_name("name"), text):
                yield f"{owner}.{name}"


def _assignment_steps(child: Node, node: Node, climb: Climb) -> Steps:
    """A name with its value: an assignment, a parameter with its default, a key."""
    field, _ = roles.NAMED[node.type]
    targets = [target for target in node.children_by_field_name(field) if target.is_named]
    if child in targets:
        if node.type == "let_condition":
            yield from climb.reach(names_in(node.child_by_field_name("value"), climb.text))
        return node if node.type == "pair_pattern" else None
    if len(targets) > 1 and climb.path and climb.path[-1][1] == len(targets):
        targets = [targets[climb.path.pop()[0]]]
    reached = [name for target in targets for name in target_names(target, climb.path, climb.text)]
    if node.type == "keyword_argument" or node.type == "element_value_pair":
        yield from climb.reach(reached)
        climb.is_default = reached[0].lower() in roles.GENERIC_KEYS if reached else False
        return node if climb.is_default else None
    yield from climb.reach(reached)
    yield from climb.reach(_member_names(node, climb.text))
    if node.type in roles.KEYED:
        if reached and reached[0].lower() in VALUE_KEYS:
            yield from climb.reach(_sibling_names(node, climb.text))
        climb.keys[:0] = reached[:1]
        return node
    parent = node.parent
    chained = parent is not None and (parent.type in roles.NAMED or parent.type in roles.PARENTHESES)
    return node if node.type in roles.CHAINED and chained else None


def _sibling_names(pair: Node, text: str) -> Iterator[str]:
    """The name in a pair beside one: ``{"name": "password", "value": …}``."""
    field, value = roles.NAMED[pair.type]
    for sibling in pair.parent.named_children if pair.parent is not None else ():
        if (
            sibling.type == pair.type
            and next(names_in(sibling.child_by_field_name(field), text), "").lower() in NAME_KEYS
        ):
            yield from names_in(sibling.child_by_field_name(value), text)


def _element_steps(child: Node, node: Node, climb: Climb) -> Steps:
    """An element of a list; the second of two may be what the first names."""
    elements = node.named_children
    index = elements.index(child)
    climb.path.append((index, len(elements)))
    first = elements[0].named_children[0] if elements[0].type == "literal_element" else elements[0]
    outer = node.parent.type if node.parent is not None else ""
    nested = outer in roles.LISTS or outer in roles.ARGUMENTS or outer == "literal_element"
    if nested and index == 1 and len(elements) == 2 and first.type in roles.STRINGS:
        names = list(names_in(first, climb.text))
        yield from climb.reach(names)
        climb.keys[:0] = names
    return node


def _operand_steps(child: Node, node: Node, climb: Climb) -> Steps:
    operators = {part.type for part in node.children if not part.is_named}
    other_operands = [part for part in node.named_children if part != child]
    if operators & roles.COMPARISONS:
        if not (operators & {"in", "not in"} and child == node.named_children[0]):
            for other in other_operands:
                yield from climb.reach(names_in(other, climb.text))
        return None
    if node.type in roles.BINARY:
        if operators & roles.FALLBACKS_BY_OPERATOR and child == node.named_children[-1]:
            yield from climb.reach(names_in(node.named_children[0], climb.text))
        return node if operators & roles.PASSING_OPERATORS else None
    is_python = node.type == "conditional_expression"
    condition = node.named_children[1] if is_python else node.child_by_field_name("condition")
    if child == condition:
        return None
    for other in other_operands:
        if other != condition:
            yield from climb.reach(names_in(other, climb.text))
    return node


def _returned(node: Node, climb: Climb) -> Steps:
    """A returned literal is the value of the function's name."""
    function: Node | None = node
    while function is not None and function.type not in roles.FUNCTIONS:
        if function.type in roles.ANONYMOUS:
            return function
        function = function.parent
    if function is None:
        return None
    name = function.child_by_field_name("name")
    climb.is_certain = climb.is_certain and all(size < 3 for _, size in climb.path)
    yield from climb.reach(names_in(name, climb.text))
    return function if name is None else None


def _subject_names(case: Node, text: str) -> Iterator[str]:
    """Names that a branch is compared with."""
    node: Node | None = case
    while node is not None and node.type != roles.CASES[case.type]:
        node = node.parent
    for field in roles.SUBJECTS if node is not None else ():
        subject = node.child_by_field_name(field) if node is not None else None
        yield from names_in(subject, text)


def _passes(child: Node, node: Node) -> bool:
    if node.type == roles.STATEMENT:
        return node.parent is not None and node.parent.type == "switch_rule"
    if node.type == "block":  # of Rust: elsewhere there are statements in it
        return child == node.named_children[-1] and not child.type.endswith("statement")
    if node.type == "match_expression" or node.type == "switch_expression":
        return child == node.child_by_field_name("body")
    return node.type in roles.THROUGH or node.type in roles.STRINGS
