"""Names in unparsed tokens (Rust's macros), and the names that annotations apply to."""

from collections.abc import Iterator

from tree_sitter import Node

from cortex_pipelines.privacy.detect.code.climb import Climb, Steps
from cortex_pipelines.privacy.detect.code.expressions import names_in
from cortex_pipelines.privacy.detect.code.roles import CONVERSIONS, GENERIC_KEYS, JOINS, STRINGS

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
        name = next(names_in(_key_before(tokens, position), climb.data), "")
        if name.lower() not in GENERIC_KEYS:
            yield from climb.reach([name])
            climb.keys.insert(0, name)
    before = tokens[max(0, index - 2) : index]
    if [token.type in STRINGS for token in before] == [True, False] and before[1].type == ",":
        yield from climb.reach(names_in(before[0], climb.data))
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


def annotated_names(annotation: Node, data: bytes) -> Iterator[str]:
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
        yield from names_in(declaration.child_by_field_name("name"), data)
