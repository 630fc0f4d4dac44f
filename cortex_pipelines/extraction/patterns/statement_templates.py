"""Statements as rows of tokens, and what many of them have in common.

Of statements with the same skeleton those names and literals that recur stay, the others become
metavariables: the least general generalisation of the group (Plotkin 1970), of rows, not of trees.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from tree_sitter import Node

from cortex_pipelines.syntax.grammars import grammar_for
from cortex_pipelines.syntax.unparsable import Unparsed, syntax_tree

Kind = Literal["name", "literal", "arguments", "body", "fixed"]

_DECLARATIONS = frozenset(
    {
        *("let_declaration", "short_var_declaration", "local_variable_declaration"),
        *("lexical_declaration", "variable_declaration", "var_declaration"),
    }
)
_NO_STATEMENTS = ("import", "package", "block", "future", "export", "labeled", "empty")
_BODIES = frozenset(("block", "statement_block", "class_body", "switch_block", "declaration_list"))
_ARGUMENTS = frozenset(("argument_list", "arguments"))
_LITERALS = ("string", "integer", "float", "number", "char", "rune", "template", "regex")
_MAX_BYTES = 1_000_000
_MAX_TOKENS = 60


class StatementToken(NamedTuple):
    """A token of a statement, or what stands for several: arguments, the body of a block."""

    kind: Kind
    text: str
    start: int
    end: int


@dataclass(frozen=True)
class StatementTemplate:
    """A statement as tokens.

    Args:
        text: The statement.
        tokens: Its tokens; the rest of the text is layout.
        indent: Characters before it on its first line, and so on the others.
    """

    text: str
    tokens: tuple[StatementToken, ...]
    indent: int

    @property
    def skeleton(self) -> tuple[str, ...]:
        """What does not depend on names and literals."""
        return tuple(
            token.text if token.kind == "fixed" else f"<{token.kind}>" for token in self.tokens
        )


@dataclass(frozen=True)
class Group:
    """Rows of shapes that are alike, with metavariables where they differ.

    Args:
        texts: The shapes, one after the other, with metavariables.
        names: Names that stay.
        variables: Metavariables of each text.
        places: Where they were seen.
    """

    texts: tuple[str, ...]
    names: tuple[str, ...]
    variables: tuple[frozenset[str], ...]
    places: tuple[str, ...]


def statements(text: str, language: str, path: str = "") -> list[Node]:
    """The statements of a text, outer ones first; none if it cannot be parsed."""
    tree = syntax_tree(text.encode(), grammar_for(language, path), _MAX_BYTES)
    if isinstance(tree, Unparsed):
        return []
    found: list[Node] = []
    waiting = [tree.root_node]
    while waiting:
        node = waiting.pop()
        waiting += reversed(node.named_children)
        if _is_statement(node):
            found.append(node)
    return found


def header(node: Node) -> str:
    """A statement without the statements in it, whatever its layout."""
    data, parts = node.text or b"", []
    for leaf in _leaves(node, whole_arguments=False):
        if leaf is not None and leaf[0] != "body":
            parts.append(data[leaf[1] - node.start_byte : leaf[2] - node.start_byte])
    return b" ".join(parts).decode(errors="replace")


def edits(old: Node, new: Node) -> Iterator[tuple[Node, Node]]:
    """A change, and the smaller ones that it is made of where both sides are built alike."""
    if old.text == new.text or not (old.named_children and new.named_children):
        return
    yield old, new
    if old.type == new.type and len(old.named_children) == len(new.named_children):
        for one, other in zip(old.named_children, new.named_children, strict=True):
            if one.type not in _BODIES:
                yield from edits(one, other)


def shapes_of(node: Node, whole_arguments: bool) -> StatementTemplate | None:
    """A statement as tokens; None if it is long, broken or has comments.

    Args:
        node: The statement.
        whole_arguments: Whether the arguments of a call are one token.
    """
    raw = (node.text or b"").decode(errors="replace")
    leaves = list(_leaves(node, whole_arguments))
    if node.has_error or not 2 <= len(leaves) <= _MAX_TOKENS or None in leaves:
        return None
    tokens, at, data = [], 0, node.text or b""
    for leaf in leaves:
        assert leaf is not None  # nosec B101: looked at above
        kind, start, end = leaf
        before = data[: start - node.start_byte].decode(errors="replace")
        word = data[start - node.start_byte : end - node.start_byte].decode(errors="replace")
        at = len(before)
        tokens.append(StatementToken(kind, word, at, at + len(word)))
    return StatementTemplate(raw, tuple(tokens), node.start_point.column)


def recurring(
    rows: Iterable[tuple[str, Sequence[StatementTemplate]]], least: int
) -> Iterator[Group]:
    """What is alike in at least so many places.

    Args:
        rows: Place (file or commit) and shapes that belong together, such as before and after.
        least: Fewest places.
    """
    by_skeleton: dict[tuple[tuple[str, ...], ...], list[tuple[str, Sequence[StatementTemplate]]]]
    by_skeleton = defaultdict(list)
    for place, shapes in rows:
        by_skeleton[tuple(shape.skeleton for shape in shapes)].append((place, shapes))
    for skeleton in sorted(by_skeleton):
        members = by_skeleton[skeleton]
        if len({place for place, _ in members}) >= least:
            yield from _alike(members, least)


def _alike(
    members: Sequence[tuple[str, Sequence[StatementTemplate]]], least: int
) -> Iterator[Group]:
    """Groups of members with the same frequent names."""
    values = [_values(shapes) for _, shapes in members]
    places: list[Mapping[str, set[str]]] = []
    for column in zip(*values, strict=True):
        seen: dict[str, set[str]] = defaultdict(set)
        for (place, _), token in zip(members, column, strict=True):
            seen[token.text].add(place)
        places.append(seen)
    groups: dict[tuple[str | None, ...], list[int]] = defaultdict(list)
    for number, row in enumerate(values):
        groups[tuple(_kept(token, places[at], least) for at, token in enumerate(row))].append(
            number
        )
    for key in sorted(groups, key=str):
        numbers = groups[key]
        if len({members[number][0] for number in numbers}) >= least:
            yield _group([members[number] for number in numbers], key)


def _kept(token: StatementToken, places: Mapping[str, set[str]], least: int) -> str | None:
    frequent = token.kind in ("name", "literal") and len(places[token.text]) >= least
    return token.text if frequent else None


def _values(shapes: Sequence[StatementTemplate]) -> list[StatementToken]:
    return [token for shape in shapes for token in shape.tokens if token.kind != "fixed"]


def _group(
    members: Sequence[tuple[str, Sequence[StatementTemplate]]], key: tuple[str | None, ...]
) -> Group:
    """The members as one, written as the first of them."""
    columns = list(zip(*(_values(shapes) for _, shapes in members), strict=True))
    called: dict[tuple[str, ...], str] = {}
    for kept, column in zip(key, columns, strict=True):
        vector = tuple(token.text for token in column)
        if kept is None and vector not in called:
            called[vector] = _metavariable(column[0].kind, len(called), called)
    shapes = min(members, key=lambda member: (member[1][0].text, member[0]))[1]
    words = [kept or called[tuple(token.text for token in column)]
             for kept, column in zip(key, columns, strict=True)]  # fmt: skip
    texts, used, at = [], [], 0
    for shape in shapes:
        count = len(_values([shape]))
        texts.append(_written(shape, words[at : at + count]))
        used.append(frozenset(word for word in words[at : at + count] if word.startswith("$")))
        at += count
    names = [kept for kept, column in zip(key, columns, strict=True)
             if kept and column[0].kind == "name"]  # fmt: skip
    places = sorted({place for place, _ in members})
    return Group(tuple(texts), tuple(dict.fromkeys(names)), tuple(used), tuple(places))


def _metavariable(kind: Kind, number: int, called: Mapping[tuple[str, ...], str]) -> str:
    if kind == "body":
        bodies = sum(name.startswith("$$$BODY") for name in called.values())
        return f"$$$BODY{bodies or ''}"
    letter = chr(ord("A") + number % 26) + (str(number // 26) if number >= 26 else "")
    return f"$$${letter}" if kind == "arguments" else f"${letter}"


def _written(shape: StatementTemplate, words: Sequence[str]) -> str:
    parts, at, waiting = list[str](), 0, list(words)
    for token in shape.tokens:
        word = token.text if token.kind == "fixed" else waiting.pop(0)
        if token.kind == "body" and token.text.startswith("{"):
            word = f"{{ {word} }}"
        parts += [shape.text[at : token.start], word]
        at = token.end
    return re.sub(rf"\n[ \t]{{0,{shape.indent}}}", "\n", "".join(parts))


def _is_statement(node: Node) -> bool:
    if node.type in _DECLARATIONS:
        return True
    return node.type.endswith("_statement") and not node.type.startswith(_NO_STATEMENTS)


def _leaves(node: Node, whole_arguments: bool) -> Iterator[tuple[Kind, int, int] | None]:
    """Tokens below a node; None for a comment."""
    for child in node.children:
        place = (child.start_byte, child.end_byte)
        if "comment" in child.type:
            yield None
        elif child.type in _BODIES:
            yield ("body", *place)
        elif child.type.startswith(_LITERALS) or child.type.endswith("_literal"):
            yield ("literal", *place)
        elif "identifier" in child.type and not child.children:
            yield ("name", *place)
        elif whole_arguments and child.type in _ARGUMENTS and child.named_children:
            yield from _arguments(child)
        elif child.children:
            yield from _leaves(child, whole_arguments)
        elif child.end_byte > child.start_byte:
            yield ("fixed", *place)


def _arguments(node: Node) -> Iterator[tuple[Kind, int, int]]:
    first, last = node.children[0], node.children[-1]
    yield "fixed", first.start_byte, first.end_byte
    yield "arguments", first.end_byte, last.start_byte
    yield "fixed", last.start_byte, last.end_byte
