"""Names that a literal may reach, found by climbing from it through the syntax tree, and through calls.

Setters, keys with values, look-ups with a default, conversions.
"""

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field

from tree_sitter import Node

from cortex_pipelines.privacy.detect import names
from cortex_pipelines.privacy.detect.code import roles
from cortex_pipelines.privacy.detect.code.expressions import (
    annotated_names,
    arguments,
    callee,
    member_names,
    named_elements,
    names_in,
    receiver,
    target_names,
    unwrapped,
)
from cortex_pipelines.privacy.detect.code.roles import CONVERSIONS, GENERIC_KEYS, JOINS, NAME_KEYS, STRINGS, VALUE_KEYS
from cortex_pipelines.privacy.detect.text.wording import subwords

_MOST_LEVELS = 80


@dataclass(frozen=True)
class ReachedName:
    """A name that a literal may reach, with the keys below it, joined by dots.

    It is not certain if, say, an unknown call is between: then only random-looking values count.
    """

    name: str
    is_certain: bool


Steps = Generator[ReachedName, None, Node | None]
"""Names at a node; what it returns is the node to continue from, None at the end."""


@dataclass
class Climb:
    """State of the climb from a literal to the root.

    ``keys`` between the literal and the node, outermost first; ``path``: index and number of elements
    of each list between, outermost last; ``is_default``: the literal is an argument that gives a default.
    """

    text: str
    is_certain: bool
    keys: list[str] = field(default_factory=list)
    path: list[tuple[int, int]] = field(default_factory=list)
    is_default: bool = False

    def reach(self, names: Iterable[str], is_certain: bool = True) -> Iterator[ReachedName]:
        """The names, each with the keys below it."""
        for name in names:
            if name:
                yield ReachedName(".".join([name, *self.keys]), self.is_certain and is_certain)


def reached_names(literal: Node, text: str, is_certain: bool = True) -> Iterator[ReachedName]:
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
        return (yield from _receiver_steps(child, node, climb))
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
        return (yield from _token_steps(child, node, climb))
    if kind in roles.ANNOTATIONS:
        yield from climb.reach(annotated_names(node, climb.text))
        return None
    return node if _passes(child, node) else None


def _passed(child: Node, node: Node, climb: Climb) -> Steps:
    call = node.parent
    if call is None or call.type not in roles.CALLS:
        return None
    following = yield from _argument_steps(child, call, climb)
    if call.type == "annotation" and following is not None:
        yield from climb.reach(annotated_names(call, climb.text))
    elif call.type == "enum_constant":
        yield from climb.reach(member_names(call, climb.text))
    else:
        return following
    return None


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
        climb.is_default = reached[0].lower() in GENERIC_KEYS if reached else False
        return node if climb.is_default else None
    yield from climb.reach(reached)
    yield from climb.reach(member_names(node, climb.text))
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
    if nested and index == 1 and len(elements) == 2 and first.type in STRINGS:
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
    if node is not None:
        for subject in roles.SUBJECTS:
            yield from names_in(node.child_by_field_name(subject), text)


def _passes(child: Node, node: Node) -> bool:
    if node.type == roles.STATEMENT:
        return node.parent is not None and node.parent.type == "switch_rule"
    if node.type == "block":  # of Rust: elsewhere there are statements in it
        return child == node.named_children[-1] and not child.type.endswith("statement")
    if node.type == "match_expression" or node.type == "switch_expression":
        return child == node.child_by_field_name("body")
    return node.type in roles.THROUGH or node.type in STRINGS


# Flags have a long and a short name before their default.
_FLAG = "string"


def _argument_steps(child: Node, call: Node, climb: Climb) -> Steps:
    """Names that a literal among the arguments of a call reaches."""
    function = callee(call, climb.text)
    owner, _, name = function.rpartition(".")
    verb = name.lower()
    values = arguments(call)
    index = values.index(child) if child in values else 0
    other_arguments = [argument for argument in values if argument != child]
    if verb in roles.EQUALS or roles.ASSERTS.match(name):
        compared = [receiver(call), *other_arguments] if verb in roles.EQUALS else other_arguments
        for node in compared:
            yield from climb.reach(names_in(node, climb.text), verb in roles.EQUALS)
        return None
    if climb.is_default:
        strings = (argument for argument in values if argument.type in STRINGS)
        yield from climb.reach(name for argument in strings for name in names_in(argument, climb.text))
        yield from climb.reach(named_elements(values, climb.text))
        yield from climb.reach([name])
        climb.is_default = False
        return call
    sets = verb in roles.PUTS or verb in roles.FALLBACKS
    keys = values[:index] if verb.startswith(_FLAG) else values[max(0, index - 1) : index]
    for key in keys:
        key = unwrapped(key, climb.text)
        key_names = (
            name
            for name in names_in(key, climb.text)
            if key.type in STRINGS or name.rpartition(".")[2].isupper()  # a constant
        )
        yield from climb.reach(key_names, sets or verb.startswith(_FLAG))
    if not index:
        yield from climb.reach([name], _is_setter(name))
    if verb in CONVERSIONS:
        yield from climb.reach([owner.rpartition(".")[2]] if not index else [])
        return call
    if verb in roles.FALLBACKS:
        return (yield from _fallback(verb, index, call, climb))
    certain = call.type != "annotation" or verb in roles.DEFAULT_ANNOTATIONS
    climb.is_certain = climb.is_certain and call.type == "annotation" and certain
    return call


def _receiver_steps(child: Node, node: Node, climb: Climb) -> Steps:
    """Names that a literal reaches through a method called on it."""
    call = node if node.type == "method_invocation" else node.parent
    if call is None or call.type not in roles.CALLS or receiver(call) != child:
        return None
    if callee(call, climb.text).rpartition(".")[2].lower() in roles.EQUALS:
        for argument in arguments(call):
            yield from climb.reach(names_in(argument, climb.text))
        return None
    return call


def _fallback(verb: str, index: int, call: Node, climb: Climb) -> Steps:
    """A literal used as default value; as first argument of a getter it is a name."""
    of = receiver(call)
    if not index and (verb in roles.LOOKUPS or of is None):
        return None
    yield from climb.reach(names_in(of, climb.text))
    for argument in arguments(call)[:index]:
        yield from climb.reach(names_in(argument, climb.text))
    return call


def _is_setter(name: str) -> bool:
    """Whether a call only sets a secret: ``setPassword``, ``ApiKey``; not ``hash_password``."""
    first, *words = subwords(name) or [""]
    property_name = "_".join(words) if first.lower() in roles.SETTING else name
    lead = subwords(property_name)[:1]
    return bool(lead) and (names.suspicion(lead[0]) == names.STRONG or lead[0].lower() in roles.OPENING)


_GIVES = ("=", ":", "=>")
_ENDS = (",", ";")
_MACROS = CONVERSIONS | JOINS | {"vec"}


def _token_steps(child: Node, tree: Node, climb: Climb) -> Steps:
    """Names before a literal in a macro's tokens: ``json!({"password": "…"})``."""
    tokens = tree.children
    position = index = tokens.index(child)
    while position > 0 and tokens[position].type not in (*_GIVES, *_ENDS):
        position -= 1
    if position > 0 and tokens[position].type in _GIVES:
        # the key before ``=>``: ``"password".to_string() => …``
        first = position - 1
        while first > 0 and tokens[first - 1].type not in (*_ENDS, "(", "{", "["):
            first -= 1
        key = next((token for token in tokens[first:position] if token.type in STRINGS), tokens[position - 1])
        name = next(names_in(key, climb.text), "")
        if name.lower() not in GENERIC_KEYS:
            yield from climb.reach([name])
            climb.keys.insert(0, name)
    before = tokens[max(0, index - 2) : index]
    if [token.type in STRINGS for token in before] == [True, False] and before[1].type == ",":
        yield from climb.reach(names_in(before[0], climb.text))
    parent = tree.parent
    if parent is None or parent.type == "token_tree":
        return tree
    if parent.type == "attribute":
        return parent
    macro = parent.child_by_field_name("macro")
    is_macro_name = macro is not None and macro.text is not None and macro.text.decode() in _MACROS
    climb.is_certain = climb.is_certain and (is_macro_name or bool(climb.keys))
    return parent
