"""Code as regions (functions, and what stands between them) of statements, in six languages."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from tree_sitter import Node

from cortex_pipelines.augmentation.node_table import COMMENTS, FUNCTIONS, split_words
from cortex_pipelines.augmentation.snippets import parse_unit
from cortex_pipelines.extraction.refactoring.statements import BLOCKS, CLAUSES, LITERALS

_TYPES = split_words(
    "class_definition class_declaration class abstract_class_declaration interface_declaration enum_declaration "
    "record_declaration annotation_type_declaration impl_item trait_item mod_item internal_module module "
    "decorated_definition export_statement ambient_declaration"
)
"""Definitions whose members are looked at one by one."""
_PARTS = _TYPES | BLOCKS | FUNCTIONS
_NO_STATEMENTS = COMMENTS | split_words(
    "import_statement import_from_statement future_import_statement import_declaration package_declaration "
    "package_clause use_declaration extern_crate_declaration attribute_item inner_attribute_item decorator "
    "pass_statement empty_statement type_alias_declaration struct_item enum_item type_declaration"
)
_STRINGS = frozenset({"string", "concatenated_string"})


@dataclass(frozen=True)
class StatementSpan:
    """Span in bytes of a statement without those inside it, its node type and how deep it is nested."""

    start: int
    end: int
    kind: str
    depth: int


@dataclass(frozen=True)
class Region:
    """Code that is read as one; ``start``: its first byte in the file, from which the spans of statements count."""

    code: bytes
    language: str
    start: int
    statements: tuple[StatementSpan, ...]

    def statement_at(self, offset: int) -> int | None:
        """The innermost statement around a byte."""
        holding = [number for number, each in enumerate(self.statements) if each.start <= offset <= each.end]
        return max(holding, key=lambda number: self.statements[number].start, default=None)

    def texts(self) -> list[str]:
        return [self.code[each.start : each.end].decode("utf-8", "replace") for each in self.statements]


def regions(root: Node, text: bytes, language: str) -> list[Region]:
    """Outermost functions and methods of a parsed file, and runs of other statements between them."""
    outermost: list[Region] = []
    run: list[StatementSpan] = []

    def add(start: int, end: int, statements: list[StatementSpan]) -> None:
        shifted = tuple(replace(each, start=each.start - start, end=each.end - start) for each in statements)
        outermost.append(Region(text[start:end], language, start, shifted))

    for node in _members(root):
        statements = list(_statements(node))
        is_whole = len(statements) > 1 or node.type in FUNCTIONS
        if run and is_whole:
            add(run[0].start, run[-1].end, run)
            run = []
        if not is_whole:
            run += statements
        elif statements:
            add(node.start_byte, node.end_byte, statements)
    if run:
        add(run[0].start, run[-1].end, run)
    return outermost


def unit_region(code: str, language: str, kind: str, path: str) -> Region | None:
    """A function or method that stands alone; None if it does not parse or says nothing."""
    snippet = parse_unit(code.encode(), language, kind, path)
    if snippet is None:
        return None
    shift, size = len(snippet.prefix), len(snippet.code)
    statements = tuple(
        replace(each, start=each.start - shift, end=each.end - shift)
        for node in _members(snippet.tree.root_node)
        for each in _statements(node)
        if shift <= each.start and each.end <= shift + size
    )
    return Region(snippet.code, language, 0, statements) if statements else None


def _members(root: Node) -> Iterator[Node]:
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if node is root or node.type in BLOCKS:
            waiting += reversed(node.named_children)
        elif node.type in _TYPES:
            parts = reversed(node.named_children)
            waiting += [part for part in parts if part.type in _PARTS or part.type.endswith("_declaration")]
        elif node.type not in _NO_STATEMENTS:
            yield node


def _statements(top: Node) -> Iterator[StatementSpan]:
    """Statements under a node, in order; the node too, where it is not a function."""
    waiting = [(top, "module", 0)]
    if top.type in FUNCTIONS:
        waiting = [(child, top.type, 0) for child in reversed(top.children)]
    while waiting:
        node, parent, depth = waiting.pop()
        if node.type in _NO_STATEMENTS:
            continue
        if _starts(node, parent):
            start = (node.child_by_field_name("condition") or node) if node.type == "do_statement" else node
            end, says_something = _head(start)
            if says_something:
                yield StatementSpan(start.start_byte, end, node.type, depth)
            depth += 1
        waiting += [(child, node.type, depth) for child in reversed(node.children)]


def _starts(node: Node, parent: str) -> bool:
    kind = node.type
    if parent in BLOCKS and node.is_named:
        return kind not in BLOCKS
    return kind in CLAUSES or (kind.endswith("_statement") and parent not in ("for_statement", "expression_statement"))


def _head(node: Node) -> tuple[int, bool]:
    """Where a statement's own code ends (before the first block or statement in it), and whether it is more than a
    bare word as ``else``, or documentation."""
    inner = node.named_children
    if node.type == "expression_statement" and len(inner) == 1 and inner[0].type in _STRINGS:
        return node.end_byte, False
    is_simple = node.type != "try_statement" and node.type not in CLAUSES
    end = node.start_byte
    waiting = [(child, node.type) for child in reversed(node.children)]
    while waiting:
        child, parent = waiting.pop()
        if child.type in BLOCKS or child.type in COMMENTS or _starts(child, parent):
            return end, is_simple and end > node.start_byte
        if child.children and child.type not in LITERALS:
            waiting += [(part, child.type) for part in reversed(child.children)]
        else:
            end = child.end_byte
            is_simple |= child.is_named
    return node.end_byte, True
