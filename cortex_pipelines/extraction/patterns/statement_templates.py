"""Statements as token sequences, and the template that many of them share.

Among statements with the same skeleton, recurring names and literals are kept and the others
become metavariables: the least general generalisation of the group (Plotkin 1970), of sequences,
not of trees.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from tree_sitter import Node

from cortex_pipelines.damage import SkipReason
from cortex_pipelines.syntax.grammars import grammar_for
from cortex_pipelines.syntax.unparsable import syntax_tree

Kind = Literal["name", "literal", "arguments", "body", "fixed"]

_DECLARATIONS = frozenset(
    {
        *("let_declaration", "short_var_declaration", "local_variable_declaration"),
        *("lexical_declaration", "variable_declaration", "var_declaration"),
    }
)
_NOT_STATEMENTS = ("import", "package", "block", "future", "export", "labeled", "empty")
_BODIES = frozenset(("block", "statement_block", "class_body", "switch_block", "declaration_list"))
_ARGUMENTS = frozenset(("argument_list", "arguments"))
_LITERALS = ("string", "integer", "float", "number", "char", "rune", "template", "regex")
_MAX_BYTES = 1_000_000
_MAX_TOKENS = 60


class StatementToken(NamedTuple):
    """A token of a statement, or a placeholder for several: arguments, the body of a block."""

    kind: Kind
    text: str
    start: int
    end: int


@dataclass(frozen=True)
class StatementTemplate:
    text: str
    tokens: tuple[StatementToken, ...]
    indent: int

    @property
    def skeleton(self) -> tuple[str, ...]:
        return tuple(token.text if token.kind == "fixed" else f"<{token.kind}>" for token in self.tokens)


_Member = tuple[str, Sequence[StatementTemplate]]
"""An occurrence (file or commit) and its templates, such as before and after."""


@dataclass(frozen=True)
class RecurringGroup:
    """Similar template sequences, generalised by metavariables; ``names`` are those that stay."""

    texts: tuple[str, ...]
    names: tuple[str, ...]
    variables: tuple[frozenset[str], ...]
    occurrences: tuple[str, ...]


def find_statements(text: str, language: str, path: str = "") -> list[Node]:
    """The statements of a text, outer ones first; none if it cannot be parsed."""
    tree = syntax_tree(text.encode(), grammar_for(language, path), _MAX_BYTES)
    if isinstance(tree, SkipReason):
        return []
    result: list[Node] = []
    pending = [tree.root_node]
    while pending:
        node = pending.pop()
        pending += reversed(node.named_children)
        is_statement = node.type.endswith("_statement") and not node.type.startswith(_NOT_STATEMENTS)
        if is_statement or node.type in _DECLARATIONS:
            result.append(node)
    return result


def header(node: Node) -> str:
    """A statement without the statements in it, whatever its layout."""
    data, parts = node.text or b"", []
    for leaf in _leaves(node, whole_arguments=False):
        if leaf is not None and leaf[0] != "body":
            parts.append(data[leaf[1] - node.start_byte : leaf[2] - node.start_byte])
    return b" ".join(parts).decode(errors="replace")


def find_edits(old: Node, new: Node) -> Iterator[tuple[Node, Node]]:
    """An edit, and the smaller edits inside it where both sides have the same structure."""
    if old.text == new.text or not (old.named_children and new.named_children):
        return
    yield old, new
    if old.type == new.type and len(old.named_children) == len(new.named_children):
        for old_child, new_child in zip(old.named_children, new.named_children, strict=True):
            if old_child.type not in _BODIES:
                yield from find_edits(old_child, new_child)


def statement_template(node: Node, whole_arguments: bool) -> StatementTemplate | None:
    """A statement as tokens; None if it is long, broken or has comments."""
    found = list(_leaves(node, whole_arguments))
    leaves = [leaf for leaf in found if leaf is not None]
    if node.has_error or len(leaves) < len(found) or not 2 <= len(leaves) <= _MAX_TOKENS:
        return None
    tokens, data = [], node.text or b""
    for kind, start, end in leaves:
        offset = len(data[: start - node.start_byte].decode(errors="replace"))
        word = data[start - node.start_byte : end - node.start_byte].decode(errors="replace")
        tokens.append(StatementToken(kind, word, offset, offset + len(word)))
    return StatementTemplate(data.decode(errors="replace"), tuple(tokens), node.start_point.column)


def recurring_groups(rows: Iterable[_Member], min_occurrences: int) -> Iterator[RecurringGroup]:
    by_skeleton: dict[tuple[tuple[str, ...], ...], list[_Member]] = defaultdict(list)
    for occurrence, templates in rows:
        by_skeleton[tuple(template.skeleton for template in templates)].append((occurrence, templates))
    for skeleton in sorted(by_skeleton):
        members = by_skeleton[skeleton]
        if len({source for source, _ in members}) >= min_occurrences:
            yield from _frequency_groups(members, min_occurrences)


def _frequency_groups(members: Sequence[_Member], min_occurrences: int) -> Iterator[RecurringGroup]:
    values = [_variable_tokens(templates) for _, templates in members]
    occurrences_by_text: list[Mapping[str, set[str]]] = []
    for column in zip(*values, strict=True):
        by_text: dict[str, set[str]] = defaultdict(set)
        for (occurrence, _), token in zip(members, column, strict=True):
            by_text[token.text].add(occurrence)
        occurrences_by_text.append(by_text)
    groups: dict[tuple[str | None, ...], list[int]] = defaultdict(list)
    for number, row in enumerate(values):
        key = tuple(
            token.text
            if token.kind in ("name", "literal") and len(occurrences[token.text]) >= min_occurrences
            else None
            for token, occurrences in zip(row, occurrences_by_text, strict=True)
        )
        groups[key].append(number)
    for key in sorted(groups, key=str):
        numbers = groups[key]
        if len({members[number][0] for number in numbers}) >= min_occurrences:
            yield _group([members[number] for number in numbers], key)


def _variable_tokens(templates: Sequence[StatementTemplate]) -> list[StatementToken]:
    return [token for shape in templates for token in shape.tokens if token.kind != "fixed"]


def _group(members: Sequence[_Member], key: tuple[str | None, ...]) -> RecurringGroup:
    columns = list(zip(*(_variable_tokens(templates) for _, templates in members), strict=True))
    metavariables: dict[tuple[str, ...], str] = {}
    for text, column in zip(key, columns, strict=True):
        vector = tuple(token.text for token in column)
        if text is not None or vector in metavariables:
            continue
        kind, number = column[0].kind, len(metavariables)
        if kind == "body":
            bodies = sum(name.startswith("$$$BODY") for name in metavariables.values())
            metavariables[vector] = f"$$$BODY{bodies or ''}"
        else:
            letter = chr(ord("A") + number % 26) + (str(number // 26) if number >= 26 else "")
            metavariables[vector] = f"$$${letter}" if kind == "arguments" else f"${letter}"
    templates = min(members, key=lambda member: (member[1][0].text, member[0]))[1]
    words = [fixed_text or metavariables[tuple(token.text for token in column)]
             for fixed_text, column in zip(key, columns, strict=True)]  # fmt: skip
    texts, variables, offset = [], [], 0
    for template in templates:
        count = len(_variable_tokens([template]))
        texts.append(_render(template, words[offset : offset + count]))
        variables.append(frozenset(word for word in words[offset : offset + count] if word.startswith("$")))
        offset += count
    names = [fixed_text for fixed_text, column in zip(key, columns, strict=True)
             if fixed_text and column[0].kind == "name"]  # fmt: skip
    occurrences = sorted({occurrence for occurrence, _ in members})
    return RecurringGroup(tuple(texts), tuple(dict.fromkeys(names)), tuple(variables), tuple(occurrences))


def _render(template: StatementTemplate, words: Sequence[str]) -> str:
    parts, offset, pending = list[str](), 0, list(words)
    for token in template.tokens:
        word = token.text if token.kind == "fixed" else pending.pop(0)
        if token.kind == "body" and token.text.startswith("{"):
            word = f"{{ {word} }}"
        parts += [template.text[offset : token.start], word]
        offset = token.end
    return re.sub(rf"\n[ \t]{{0,{template.indent}}}", "\n", "".join(parts))


def _leaves(node: Node, whole_arguments: bool) -> Iterator[tuple[Kind, int, int] | None]:
    """Tokens below a node; None for a comment."""
    for child in node.children:
        span = (child.start_byte, child.end_byte)
        if "comment" in child.type:
            yield None
        elif child.type in _BODIES:
            yield ("body", *span)
        elif child.type.startswith(_LITERALS) or child.type.endswith("_literal"):
            yield ("literal", *span)
        elif "identifier" in child.type and not child.children:
            yield ("name", *span)
        elif whole_arguments and child.type in _ARGUMENTS and child.named_children:
            first, last = child.children[0], child.children[-1]
            yield "fixed", first.start_byte, first.end_byte
            yield "arguments", first.end_byte, last.start_byte
            yield "fixed", last.start_byte, last.end_byte
        elif child.children:
            yield from _leaves(child, whole_arguments)
        elif child.end_byte > child.start_byte:
            yield ("fixed", *span)
