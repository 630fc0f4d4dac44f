"""Local variables of functions in block-scoped languages, conservatively.

A name is renamed everywhere in a unit or not at all. It may be renamed when every identifier of
that name in the unit lies in the scope of a local declaration: then none refers to anything outside
the unit, and a consistent renaming has no effect. In all uncertain cases the name is kept.
"""

import re
from dataclasses import dataclass
from typing import TypeAlias

from tree_sitter import Node

from cortex_pipelines.augmentation.renaming.block_languages import BLOCK_LANGUAGES, BlockLanguage, Declaration
from cortex_pipelines.augmentation.renaming.variables import LocalVariable
from cortex_pipelines.augmentation.snippets import Snippet, text_of

_WORD = re.compile(r"\w+")
_Roles: TypeAlias = dict[int, str]
_NAME_TYPES = ("identifier", "identifier_pattern", "label_name")


@dataclass(frozen=True)
class _Scope:
    declared_at: int
    start: int
    end: int
    barrier: int | None


def block_locals(snippet: Snippet) -> list[LocalVariable]:
    language = BLOCK_LANGUAGES[snippet.language]
    nodes = list(snippet.nodes())
    identifiers = [node for node in nodes if _is_name(node)]
    present = {text_of(node) for node in identifiers} | {node.type for node in nodes}
    if present & language.forbidden:
        return []
    fixed = _opaque_words(nodes, language)
    roles = _roles(snippet.tree.root_node)
    occurrences: dict[str, list[Node]] = {}
    scopes: dict[str, list[_Scope]] = {}
    for node in identifiers:
        name = text_of(node)
        if node.type in language.other_names or roles[node.id] in language.ignored:
            continue
        if node.type != "identifier" or _is_fixed(node, language, roles):
            fixed.add(name)
            continue
        occurrences.setdefault(name, []).append(node)
        scope = _declared_scope(node, language, roles)
        if scope is not None:
            scopes.setdefault(name, []).append(scope)
    return [
        LocalVariable(name, tuple(snippet.span(node) for node in uses))
        for name, uses in occurrences.items()
        if _renameable(name, snippet.language)
        and name not in fixed
        and all(_covered(use, scopes.get(name, []), language) for use in uses)
    ]


def _is_name(node: Node) -> bool:
    return node.child_count == 0 and node.type.endswith(_NAME_TYPES)


def _renameable(name: str, language: str) -> bool:
    # In Rust a pattern that begins with a capital names a constant or a variant, not a variable.
    return name.strip("_$") != "" and not (language == "rust" and name[0].isupper())


def _opaque_words(nodes: list[Node], language: BlockLanguage) -> set[str]:
    return {word for node in nodes if node.type in language.opaque for word in _WORD.findall(text_of(node))}


def _roles(root: Node) -> _Roles:
    """``type.field`` of each node. One walk: looking for each node among its siblings would take quadratic time."""
    cursor, parents, roles = root.walk(), [""], {}
    while True:
        node = cursor.node
        if node is not None:
            field = cursor.field_name
            roles[node.id] = f"{parents[-1]}.{field}" if field else parents[-1]
            if cursor.goto_first_child():
                parents.append(node.type)
                continue
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                return roles
            parents.pop()


def _is_fixed(node: Node, language: BlockLanguage, roles: _Roles) -> bool:
    parent = node.parent
    if parent is None:
        return True
    contexts = {parent.type, roles[node.id], f"{roles[parent.id]}>{parent.type}"}
    return not contexts.isdisjoint(language.fixed)


def _declared_scope(node: Node, language: BlockLanguage, roles: _Roles) -> _Scope | None:
    top = node
    while top.parent is not None and top.parent.type in language.patterns:
        top = top.parent
    form = top.parent
    if form is None:
        return None
    role = roles[top.id]
    for declaration in language.declarations:
        if role == f"{declaration.parent}.{declaration.name}" and _declares(form, declaration):
            return _scope_of(node, form, declaration, language)
    return None


def _declares(form: Node, declaration: Declaration) -> bool:
    if declaration.token and not any(part.type in declaration.token for part in form.children):
        return False
    holder = form.parent.type if form.parent is not None else ""
    return not declaration.within or holder in declaration.within


def _scope_of(name: Node, form: Node, declaration: Declaration, language: BlockLanguage) -> _Scope | None:
    ends = declaration.scope or language.blocks
    block: Node | None = form
    while block is not None and block.type not in ends:
        block = block.parent
    if block is None:
        return None
    if declaration.in_body:
        block = block.child_by_field_name("body") or block
    start = block.start_byte if language.hoisted else form.end_byte
    if declaration.visible_after and not language.hoisted:
        parts = form.children_by_field_name(declaration.visible_after)
        start = max((part.end_byte for part in parts), default=form.end_byte)
    return _Scope(name.start_byte, start, block.end_byte, _barrier(form, language))


def _barrier(node: Node, language: BlockLanguage) -> int | None:
    above: Node | None = node
    while above is not None:
        if above.type in language.barriers:
            return above.id
        above = above.parent
    return None


def _covered(use: Node, scopes: list[_Scope], language: BlockLanguage) -> bool:
    barrier = _barrier(use, language)
    return any(
        scope.declared_at == use.start_byte or (scope.barrier == barrier and scope.start <= use.start_byte < scope.end)
        for scope in scopes
    )
