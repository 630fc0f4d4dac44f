"""Names by calls: setters, keys with values, look-ups with a default, conversions."""

from collections.abc import Iterator

from tree_sitter import Node

from cortex_pipelines.privacy.detect import names
from cortex_pipelines.privacy.detect.code import roles
from cortex_pipelines.privacy.detect.code.climb import Climb, Steps
from cortex_pipelines.privacy.detect.code.expressions import arguments, callee, names_in, receiver, unwrapped
from cortex_pipelines.privacy.detect.text.wording import subwords

# Flags have a long and a short name before their default.
_FLAG = "string"


def argument_steps(child: Node, call: Node, climb: Climb) -> Steps:
    """Names that a literal among the arguments of a call reaches."""
    function = callee(call, climb.data)
    owner, _, name = function.rpartition(".")
    verb = name.lower()
    values = arguments(call)
    index = values.index(child) if child in values else 0
    other_arguments = [argument for argument in values if argument != child]
    if verb in roles.EQUALS or roles.ASSERTS.match(name):
        compared = [receiver(call), *other_arguments] if verb in roles.EQUALS else other_arguments
        for node in compared:
            yield from climb.reach(names_in(node, climb.data), verb in roles.EQUALS)
        return None
    if climb.is_default:
        yield from climb.reach(_strings(values, climb.data))
        yield from climb.reach(_named_elements(values, climb.data))
        yield from climb.reach([name])
        climb.is_default = False
        return call
    sets = verb in roles.PUTS or verb in roles.FALLBACKS
    keys = values[:index] if verb.startswith(_FLAG) else values[max(0, index - 1) : index]
    for key in keys:
        yield from climb.reach(_key_names(key, climb.data), sets or verb.startswith(_FLAG))
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
    if callee(call, climb.data).rpartition(".")[2].lower() in roles.EQUALS:
        for argument in arguments(call):
            yield from climb.reach(names_in(argument, climb.data))
        return None
    return call


def _fallback(verb: str, index: int, call: Node, climb: Climb) -> Steps:
    """A literal used as default value; as first argument of a getter it is a name."""
    of = receiver(call)
    if not index and (verb in roles.LOOKUPS or of is None):
        return None
    yield from climb.reach(names_in(of, climb.data))
    for argument in arguments(call)[:index]:
        yield from climb.reach(names_in(argument, climb.data))
    return call


def _strings(values: list[Node], data: bytes) -> Iterator[str]:
    for argument in values:
        if argument.type in roles.STRINGS:
            yield from names_in(argument, data)


def _named_elements(values: list[Node], data: bytes) -> Iterator[str]:
    """The name of a setting in an annotation or call: ``name = "db.password"``."""
    for argument in values:
        name, *contents = argument.named_children or [argument]
        label = next(names_in(name, data), "") if argument.type in roles.NAMED else ""
        if contents and label.lower() in ("name", "env", "key"):
            yield from names_in(contents[0], data)


def _key_names(argument: Node, data: bytes) -> Iterator[str]:
    """Names of an argument that is a key: a literal or a constant."""
    key = unwrapped(argument, data)
    for name in names_in(key, data):
        if key.type in roles.STRINGS or name.rpartition(".")[2].isupper():
            yield name


def _is_setter(name: str) -> bool:
    """Whether a call only sets a secret: ``setPassword``, ``ApiKey``; not ``hash_password``."""
    first, *words = subwords(name) or [""]
    property_name = "_".join(words) if first.lower() in roles.SETTING else name
    lead = subwords(property_name)[:1]
    return bool(lead) and (names.suspicion(lead[0]) == names.STRONG or lead[0].lower() in roles.OPENING)
