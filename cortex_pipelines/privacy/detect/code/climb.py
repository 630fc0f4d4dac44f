"""The way up from a literal through the syntax tree, and through calls.

Setters, keys with values, look-ups with a default, conversions.
"""

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field

from tree_sitter import Node

from cortex_pipelines.privacy.detect import names
from cortex_pipelines.privacy.detect.code import roles
from cortex_pipelines.privacy.detect.code.expressions import arguments, callee, names_in, receiver, unwrapped
from cortex_pipelines.privacy.detect.code.roles import CONVERSIONS, GENERIC_KEYS, JOINS, STRINGS
from cortex_pipelines.privacy.detect.text.wording import subwords


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


# Flags have a long and a short name before their default.
_FLAG = "string"


def argument_steps(child: Node, call: Node, climb: Climb) -> Steps:
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
        yield from climb.reach(_named_elements(values, climb.text))
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
    if verb in roles.CONVERSIONS:
        yield from climb.reach([owner.rpartition(".")[2]] if not index else [])
        return call
    if verb in roles.FALLBACKS:
        return (yield from _fallback(verb, index, call, climb))
    certain = call.type != "annotation" or verb in roles.DEFAULT_ANNOTATIONS
    climb.is_certain = climb.is_certain and call.type == "annotation" and certain
    return call


def receiver_steps(child: Node, node: Node, climb: Climb) -> Steps:
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


def _named_elements(values: list[Node], text: str) -> Iterator[str]:
    """The name of a setting in an annotation or call: ``name = "db.password"``."""
    for argument in values:
        name, *contents = argument.named_children or [argument]
        label = next(names_in(name, text), "") if argument.type in roles.NAMED else ""
        if contents and label.lower() in ("name", "env", "key"):
            yield from names_in(contents[0], text)


def _is_setter(name: str) -> bool:
    """Whether a call only sets a secret: ``setPassword``, ``ApiKey``; not ``hash_password``."""
    first, *words = subwords(name) or [""]
    property_name = "_".join(words) if first.lower() in roles.SETTING else name
    lead = subwords(property_name)[:1]
    return bool(lead) and (names.suspicion(lead[0]) == names.STRONG or lead[0].lower() in roles.OPENING)


_GIVES = ("=", ":", "=>")
_ENDS = (",", ";")
_MACROS = CONVERSIONS | JOINS | {"vec"}


def token_steps(child: Node, tree: Node, climb: Climb) -> Steps:
    """Names before a literal in a macro's tokens: ``json!({"password": "…"})``."""
    tokens = tree.children
    position = index = tokens.index(child)
    while position > 0 and tokens[position].type not in (*_GIVES, *_ENDS):
        position -= 1
    if position > 0 and tokens[position].type in _GIVES:
        name = next(names_in(_key_before(tokens, position), climb.text), "")
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


def _key_before(tokens: list[Node], position: int) -> Node:
    """The key before ``=>``: ``"password".to_string() => …``."""
    first = position - 1
    while first > 0 and tokens[first - 1].type not in (*_ENDS, "(", "{", "["):
        first -= 1
    literals = [token for token in tokens[first:position] if token.type in STRINGS]
    return literals[0] if literals else tokens[position - 1]


def annotated_names(annotation: Node, text: str) -> Iterator[str]:
    """Names of the field, parameter or method that an annotation, decorator or attribute is on."""
    parent = annotation.parent
    if parent is not None and parent.type == "modifiers":
        parent = parent.parent
    if parent is None:
        return
    if parent.type.endswith(("body", "_list")):
        follows: Node | None = annotation
        while follows is not None and follows.type in ("attribute_item", "decorator"):
            follows = follows.next_named_sibling
        parent = follows
    if parent is None:
        return
    for declaration in parent.children_by_field_name("declarator") or [parent]:
        yield from names_in(declaration.child_by_field_name("name"), text)
