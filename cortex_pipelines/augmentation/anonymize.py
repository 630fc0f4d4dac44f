"""Code whose own names say nothing: `anonymize_identifiers`, for data that has to leave the house.

A name is the code's own if it is declared in it and nowhere imported; everything else (keywords,
built-ins, imported names and their members, methods that an outside base class expects) stays.
Without types a member of an outside object that is called as one of the code's own cannot be told
apart and is renamed too; strings and comments stay as they are, so what is looked up by name at run
time is not followed. What is made is for reading and training, not for running.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tree_sitter import Node

from cortex_pipelines.augmentation.words import words
from cortex_pipelines.extraction.grammars import grammar_for, parse

# Where names are declared: node type and field; without a field all names directly below count.
_VALUES = {
    "python": "assignment.left for_statement.left for_in_clause.left named_expression.name "
    "as_pattern_target parameters lambda_parameters default_parameter.name typed_parameter "
    "typed_default_parameter.name list_splat_pattern dictionary_splat_pattern "
    "function_definition.name class_definition.name",
    "javascript": "function_declaration.name generator_function_declaration.name "
    "class_declaration.name variable_declarator.name formal_parameters assignment_pattern.left "
    "rest_pattern arrow_function.parameter catch_clause.parameter for_in_statement.left",
    "java": "class_declaration.name interface_declaration.name enum_declaration.name "
    "record_declaration.name variable_declarator.name formal_parameter.name "
    "catch_formal_parameter.name enhanced_for_statement.name inferred_parameters "
    "lambda_expression.parameters resource.name",
    "go": "function_declaration.name type_spec.name var_spec.name const_spec.name "
    "short_var_declaration.left parameter_declaration.name range_clause.left",
    "rust": "function_item.name struct_item.name enum_item.name trait_item.name type_item.name "
    "const_item.name static_item.name let_declaration.pattern parameter.pattern "
    "closure_parameters for_expression.pattern",
}
_VALUES["typescript"] = (
    _VALUES["javascript"] + " required_parameter.pattern optional_parameter.pattern "
    "interface_declaration.name type_alias_declaration.name enum_declaration.name"
)
_MEMBERS = {
    "python": "",
    "javascript": "method_definition.name field_definition.property",
    "typescript": "method_definition.name public_field_definition.name property_signature.name "
    "method_signature.name",
    "java": "method_declaration.name",
    "go": "method_declaration.name field_declaration.name method_elem.name",
    "rust": "field_declaration.name",
}
_PATTERNS = frozenset(
    words(
        "pattern_list tuple_pattern list_pattern tuple array_pattern object_pattern "
        "expression_list mut_pattern reference_pattern ref_pattern parenthesized_expression "
        "list_splat_pattern dictionary_splat_pattern pair_pattern"
    )
)
_IMPORTS = re.compile(r"import|use_declaration|extern_crate|package_clause|package_declaration")
_NAME_NODES = re.compile(r"(?:property_|field_|type_|private_property_)?identifier")
_SHORTHAND = re.compile(r"shorthand_(?:property|field)_identifier(?:_pattern)?")
# Types whose given child names a member of what stands before it.
_ACCESS = {
    "attribute": "attribute",
    "member_expression": "property",
    "field_access": "field",
    "method_invocation": "name",
    "selector_expression": "field",
    "field_expression": "field",
}
_ENTRY = frozenset(words("main init self this super cls constructor new"))
# How the part of a class is called that names its bases.
_BASES = re.compile(r"argument_list|class_heritage|superclass|super_interfaces|extends_interfaces")
_SNAKE = ("python", "rust")


@dataclass(frozen=True)
class Anonymized:
    """Code with names that say nothing.

    Args:
        code: The code.
        names: New name of each that was the code's own, in the order of their first place.
    """

    code: str
    names: dict[str, str]


def anonymize_identifiers(code: str, language: str, path: str = "") -> Anonymized:
    """The code with its own identifiers renamed, each to the same name everywhere in it.

    Args:
        code: A file or a unit that stands alone.
        language: One of the six parsed languages.
        path: Its path (tells TSX from TypeScript).

    Raises:
        UnknownLanguageError: no grammar parses the language.
        ValueError: the code has syntax errors, so what is declared in it cannot be told.
    """
    data = code.encode()
    grammar = grammar_for(language, path)
    root = parse(data, grammar).root_node
    if root.has_error:
        raise ValueError(f"{path or language}: the code has syntax errors and stays as it is")
    nodes = list(_walk(root))
    values, members = _declared(nodes, language)
    kept = _outside(nodes, values | members)
    new: dict[str, str] = {}
    parts, at = [], 0
    for node in nodes:
        name = _text(node)
        own = members if _is_member(node) else values
        if node.parent is not None and node.parent.type == "literal_element":
            own = members | values  # the key of a field, or of a map
        if not _NAME_NODES.fullmatch(node.type) or name not in own or name in kept:
            continue
        parts += [data[at : node.start_byte], _renamed(name, new, language).encode()]
        at = node.end_byte
    renamed = b"".join([*parts, data[at:]]).decode()
    if parse(renamed.encode(), grammar).root_node.has_error:
        raise ValueError(f"{path or language}: renaming would break the code; it stays as it is")
    return Anonymized(renamed, new)


def _walk(root: Node) -> Iterator[Node]:
    """All nodes in source order; imports are passed over whole. No recursion: trees are deep."""
    stack = [root]
    while stack:
        node = stack.pop()
        yield node
        if not _IMPORTS.match(node.type):
            stack += reversed(node.children)


def _declared(nodes: list[Node], language: str) -> tuple[set[str], set[str]]:
    """Names of values (variables, functions, types) and of members that the code declares."""
    values = set(_names_at(nodes, _VALUES[language]))
    members = set(_names_at(nodes, _MEMBERS[language]))
    if language == "java":  # its members are used without a receiver too, fields are variables
        members |= values
        values |= members
    elif language == "rust":
        members |= _methods(nodes)
    elif language == "python":
        members = _python_members(nodes)
        values -= {_text(name) for name in _python_methods(nodes)}
    return values, members


def _names_at(nodes: list[Node], places: str) -> Iterator[str]:
    wanted: dict[str, list[str]] = {}
    for place in places.split():
        kind, _, field = place.partition(".")
        wanted.setdefault(kind, []).append(field)
    for node in nodes:
        for field in wanted.get(node.type, ()):
            found = node.children_by_field_name(field) if field else node.named_children
            for child in found:
                yield from _bound(child)


def _bound(node: Node) -> Iterator[str]:
    """Names that a pattern binds."""
    stack = [node]
    while stack:
        part = stack.pop()
        if _NAME_NODES.fullmatch(part.type):
            yield _text(part)
        elif part.type in _PATTERNS:
            stack += part.named_children


def _python_methods(nodes: list[Node]) -> Iterator[Node]:
    for node in nodes:
        if node.type == "function_definition" and _class_of(node) is not None:
            name = node.child_by_field_name("name")
            if name is not None:
                yield name


def _python_members(nodes: list[Node]) -> set[str]:
    """Methods of classes, and fields that are set on ``self``."""
    found = set()
    for name in _python_methods(nodes):
        owner = _class_of(name.parent) if name.parent else None
        if owner is not None:
            found.add(_text(name))
    for node in nodes:
        left = node.child_by_field_name("left") if node.type == "assignment" else None
        if left is not None and left.type == "attribute":
            receiver, field = left.children[0], left.child_by_field_name("attribute")
            if _text(receiver) == "self" and field is not None:
                found.add(_text(field))
    return found


def _class_of(node: Node) -> Node | None:
    above = node.parent
    while above is not None and above.type in ("block", "decorated_definition"):
        above = above.parent
    return above if above is not None and above.type == "class_definition" else None


def _methods(nodes: list[Node]) -> set[str]:
    """Methods of Rust's own ``impl`` blocks; those of a trait are the trait's."""
    found = set()
    for node in nodes:
        owner = node.parent.parent if node.parent else None
        if node.type == "function_item" and owner is not None and owner.type == "impl_item":
            name = node.child_by_field_name("name")
            if name is not None and owner.child_by_field_name("trait") is None:
                found.add(_text(name))
    return found


def _outside(nodes: list[Node], own: set[str]) -> set[str]:
    """Names that must stay: imported, special, of shorthands, expected by outside classes."""
    found = set(_ENTRY)
    for node in nodes:
        if _IMPORTS.match(node.type):
            found |= set(re.findall(r"\w+", _text(node)))
        elif _SHORTHAND.fullmatch(node.type):
            found.add(_text(node))
        elif node.type == "keyword_argument":
            found |= set(_field_texts(node, "name"))
        elif (node.type == "impl_item" and node.child_by_field_name("trait") is not None) or any(
            name not in own for name in _bases(node)
        ):
            found |= set(_names_of_body(node))
    return found | set(_members_of(nodes, found - _ENTRY))


def _bases(node: Node) -> Iterator[str]:
    """Names of what a class is derived from, or a type embeds."""
    if "class" not in node.type and "interface" not in node.type:
        return  # a call has a list of arguments as well
    for child in node.children:
        if _BASES.fullmatch(child.type):
            yield from re.findall(
                r"[\w.]+", re.sub(r"\b(?:extends|implements)\b", "", _text(child))
            )


def _names_of_body(node: Node) -> Iterator[str]:
    body = node.child_by_field_name("body")
    for item in body.named_children if body is not None else []:
        inner = item.child_by_field_name("definition") or item
        yield from _field_texts(inner, "name")
        yield from _field_texts(inner, "property")


def _members_of(nodes: list[Node], imported: set[str]) -> Iterator[str]:
    """Members that the code asks of what it imports."""
    for node in nodes:
        field = _ACCESS.get(node.type)
        if field and node.children and _text(node.children[0]).split(".")[0] in imported:
            yield from _field_texts(node, field)


def _field_texts(node: Node, field: str) -> Iterator[str]:
    yield from map(_text, node.children_by_field_name(field))


def _is_member(node: Node) -> bool:
    if node.type in ("property_identifier", "field_identifier", "private_property_identifier"):
        return True
    above = node.parent
    field = _ACCESS.get(above.type) if above is not None else None
    if above is None or field is None:
        return above is not None and _class_of(above) is not None and _is_definition(node, above)
    return above.child_by_field_name(field) == node


def _is_definition(node: Node, above: Node) -> bool:
    return above.type == "function_definition" and above.child_by_field_name("name") == node


def _renamed(name: str, new: dict[str, str], language: str) -> str:
    if name.startswith("__") and name.endswith("__"):
        return name
    if name not in new:
        number = len(new) + 1
        marks = name[: len(name) - len(name.lstrip("_#"))]
        plain = name[len(marks) :]
        if plain.isupper() and len(plain) > 1:
            new[name] = f"{marks}NAME_{number}"
        elif plain[:1].isupper():
            new[name] = f"{marks}Name{number}"
        else:
            new[name] = f"{marks}name_{number}" if language in _SNAKE else f"{marks}name{number}"
    return new[name]


def _text(node: Node) -> str:
    return (node.text or b"").decode()
