"""Convert a syntax tree into statements, without recursion: a file may nest as deeply as its size allows."""

import re
from bisect import bisect_left
from collections.abc import Collection, Iterator
from functools import partial
from hashlib import blake2b

from tree_sitter import Node

from cortex_pipelines.extraction.refactoring.model import Body, Statement
from cortex_pipelines.syntax.grammars import Grammar


def _set(names: str) -> frozenset[str]:
    return frozenset(names.split())


BLOCKS = _set(
    "module program source_file block statement_block statement_list class_body switch_body "
    "switch_block constructor_body declaration_list match_block field_declaration_list "
    "interface_body enum_body enum_body_declarations annotation_type_body enum_variant_list "
    "object_type enum_variant_list interface_type struct_type"
)
"""Nodes whose named children are statements."""

CLAUSES = _set(
    "elif_clause else_clause except_clause except_group_clause finally_clause case_clause "
    "catch_clause switch_case switch_default switch_block_statement_group switch_rule "
    "expression_case default_case type_case communication_case match_arm"
)
"""Statements inside another statement but not inside a block."""

DECLARATIONS = frozenset({"lexical_declaration", "variable_declaration", "local_variable_declaration"})
"""Declarations that are statements where a clause has no block of its own."""

LISTS = dict.fromkeys(("lexical_declaration", "variable_declaration"), "variable_declarator")
"""Declarations of several variables, and the nodes that declare one each."""

ASSIGNMENTS = DECLARATIONS | _set(
    "variable_declarator expression_statement short_var_declaration var_declaration let_declaration"
)

LITERALS = _set(
    "string string_literal raw_string_literal interpreted_string_literal char_literal "
    "character_literal rune_literal template_string regex text_block integer float number true "
    "false none null null_literal nil int_literal float_literal imaginary_literal "
    "integer_literal boolean_literal decimal_integer_literal hex_integer_literal "
    "octal_integer_literal binary_integer_literal decimal_floating_point_literal"
)
"""Literals taken as one token, unless code is interpolated."""

INTERPOLATIONS = frozenset({"interpolation", "template_substitution", "string_interpolation"})

IDENTIFIERS = _set(
    "identifier type_identifier shorthand_property_identifier "
    "shorthand_property_identifier_pattern shorthand_field_identifier package_identifier"
)
PROPERTIES = _set("property_identifier field_identifier private_property_identifier")
DOTS = frozenset({".", "?.", "::"})

_VARIABLES = {
    "left": "assignment for_statement for_in_clause for_in_statement short_var_declaration range_clause"
    " receive_statement",
    "name": "named_expression variable_declarator enhanced_for_statement catch_formal_parameter resource"
    " instanceof_expression var_spec const_spec",
    "alias": "as_pattern type_switch_statement",
    "parameter": "catch_clause",
    "pattern": "let_declaration for_expression let_condition match_arm",
}
_FUNCTIONS = "lambda arrow_function function_expression lambda_expression func_literal closure_expression"
DECLARING: dict[str, tuple[tuple[str, ...], str]] = {
    node: ((field,), "variable") for field, nodes in _VARIABLES.items() for node in nodes.split()
} | dict.fromkeys(_FUNCTIONS.split(), (("parameters", "parameter"), "parameter"))
"""Fields of a node that bind names, and as which kind."""

PATTERNS = _set(
    "pattern_list tuple_pattern list_pattern list_splat_pattern dictionary_splat_pattern "
    "as_pattern_target object_pattern array_pattern rest_pattern expression_list mut_pattern "
    "reference_pattern ref_pattern slice_pattern tuple_struct_pattern struct_pattern "
    "captured_pattern match_pattern or_pattern remaining_field_pattern formal_parameters "
    "lambda_parameters parameter_list parameters closure_parameters inferred_parameters "
    "typed_parameter"
)
"""Patterns that bind all that their children bind."""

NAMED_PATTERNS = {
    **dict.fromkeys(("assignment_pattern", "object_assignment_pattern"), "left"),
    **dict.fromkeys(("required_parameter", "optional_parameter", "parameter", "field_pattern"), "pattern"),
    **dict.fromkeys(("default_parameter", "typed_default_parameter", "formal_parameter"), "name"),
    **dict.fromkeys(("variable_declarator", "parameter_declaration", "variadic_parameter_declaration"), "name"),
    "pair_pattern": "value",
}
"""Patterns that bind what one of their fields binds."""

RECEIVERS = frozenset({"self", "cls", "this"})
DROPPED = frozenset({";", "{", "}"})
"""Tokens that only group."""

TYPES = frozenset({"class", "struct", "trait", "interface", "enum", "type"})
FUNCTIONS = frozenset({"function", "method"})

_CLOSERS = frozenset({")", "]", "}"})
_MAX_TOKENS = 2000  # a statement of code has dozens
_STRINGS = frozenset({"string", "concatenated_string"})


def bound_names(node: Node) -> Iterator[Node]:
    """The identifiers that a pattern, parameter or list of them binds, in order."""
    open_nodes = [node]
    while open_nodes:
        pattern = open_nodes.pop()
        if pattern.type in IDENTIFIERS:
            yield pattern
        elif pattern.type in NAMED_PATTERNS:
            open_nodes += reversed(pattern.children_by_field_name(NAMED_PATTERNS[pattern.type]))
            if pattern.type == "field_pattern" and not pattern.child_by_field_name("pattern"):
                open_nodes += pattern.children_by_field_name("name")
        elif pattern.type == "spread_parameter":  # of Java: its type is not a field
            open_nodes += [c for c in pattern.named_children if c.type == "variable_declarator"]
        elif pattern.type in PATTERNS:
            kind = pattern.child_by_field_name("type")
            open_nodes += [c for c in reversed(pattern.named_children) if kind is None or c != kind]


_BLANK_LINES = re.compile(rb"\A(?:[ \t\r]*\n)+")


class StatementReader:
    """Reads the statements under a node, without those of ``units`` in it."""

    def __init__(self, data: bytes, grammar: Grammar, units: Collection[Node]) -> None:
        self._data, self._grammar = data, grammar
        self._unit_ids = {unit.id for unit in units}
        self._unit_spans = sorted((unit.start_byte, unit.end_byte) for unit in units)

    def body(self, node: Node) -> Body:
        if node.has_error:  # what stands around it may have been taken for a part
            return Body(partial(self.read, node))
        key = self._grammar, node.type, node.start_point[1], *self._own_text(node.start_byte, node.end_byte)
        return Body(partial(self.read, node), key)

    def _own_text(self, start: int, end: int) -> Iterator[bytes]:
        """What stands between the units in a span, without blank lines around them."""
        first = bisect_left(self._unit_spans, (start, start))
        for unit_start, unit_end in self._unit_spans[first : bisect_left(self._unit_spans, (end, end))]:
            if unit_start >= start:  # not in the one before
                yield from self._piece(start, unit_start)
                start = unit_end
        yield from self._piece(start, end)

    def _piece(self, start: int, end: int) -> Iterator[bytes]:
        piece = _BLANK_LINES.sub(b"", self._data[start:end].rstrip())
        if piece:
            yield piece

    def read(self, body: Node) -> list[Statement]:
        """The statements of a body: a block, or an expression that is returned."""
        self._first_row = body.start_point[0]
        self._statements: list[Statement] = []
        self._tokens: list[list[tuple[str, str, int]]] = []
        self._declarations: dict[int, str] = {}
        if body.type in BLOCKS:
            self._walk(body, -1)
        else:
            index = self._begin("return_statement", body, -1)
            self._tokens[index].append(("return", "o", body.start_byte))
            self._walk(body, index)
        for index, statement in enumerate(self._statements):
            tokens = self._tokens[index]
            if len(tokens) > _MAX_TOKENS:
                overflow = "\0".join(text for text, _, _ in tokens[_MAX_TOKENS:])
                digest = blake2b(overflow.encode(errors="replace"), digest_size=16).hexdigest()
                tokens[_MAX_TOKENS:] = [(digest, "l", tokens[_MAX_TOKENS][2])]
            if tokens and tokens[-1][0] in (",", ":"):
                tokens.pop()
            statement.texts = tuple(text for text, _, _ in tokens)
            statement.marks = "".join(mark for _, mark, _ in tokens)
            statement.declarations = tuple(
                (position, self._declarations[start])
                for position, (text, _, start) in enumerate(tokens)
                if start in self._declarations and not (text[:1].isupper() and "match" in statement.kind)
            )
            if statement.parent >= 0:
                self._statements[statement.parent].children.append(index)
        return self._statements

    def _begin(self, kind: str, node: Node, parent: int) -> int:
        self._statements.append(Statement(kind, node.start_point[0] - self._first_row, parent))
        self._tokens.append([])
        return len(self._statements) - 1

    def _walk(self, top: Node, current: int) -> None:
        # parents are carried along: `node.parent` costs as much as the nesting is deep
        open_nodes: list[tuple[Node, Node, int, bool]] = [(top, top, current, False)]
        while open_nodes:
            node, parent, statement_index, starts = open_nodes.pop()
            kind = node.type  # each access makes a string
            if kind.endswith("comment") or (node.id in self._unit_ids and node.id != top.id):
                continue
            if starts and kind in LISTS:
                # each of ``var a = 1, b = 2`` is a statement, whatever the word before it
                declared = [child for child in node.children if child.type == LISTS[kind]]
                open_nodes += [(child, node, statement_index, True) for child in reversed(declared)]
                continue
            if starts:
                inner = node.named_children if kind == "expression_statement" else []
                is_documentation = len(inner) == 1 and inner[0].type in _STRINGS
                if is_documentation or kind in ("pass_statement", "empty_statement"):
                    continue
                statement_index = self._begin(kind, node, statement_index)
            children = node.children
            if not children or (
                kind in LITERALS and not any(child.type in INTERPOLATIONS for child in node.named_children)
            ):
                self._add(node, kind, parent, statement_index)
                continue
            if kind in DECLARING:
                fields, declared_kind = DECLARING[kind]
                for binder in (child for field in fields for child in node.children_by_field_name(field)):
                    self._declarations |= {name.start_byte: declared_kind for name in bound_names(binder)}
            open_nodes += [(child, node, statement_index, _starts(child, kind)) for child in reversed(children)]

    def _add(self, node: Node, kind: str, parent: Node, statement_index: int) -> None:
        start = node.start_byte
        text = self._data[start : node.end_byte].decode(errors="replace")
        if statement_index < 0 or not text.strip() or (text in DROPPED and (kind == ";" or parent.type in BLOCKS)):
            return
        tokens = self._tokens[statement_index]
        last = tokens[-1][0] if tokens else ""
        if last == "," and text in _CLOSERS:
            tokens.pop()
        mark = "l" if kind in LITERALS else "o"
        if kind in PROPERTIES:
            mark = "p"
        elif kind in IDENTIFIERS:
            is_keyword_name = parent.type == "keyword_argument" and parent.children[0] == node
            mark = "p" if last in DOTS or is_keyword_name else "i"
        tokens.append((text, mark, start))


def _starts(child: Node, parent: str) -> bool:
    """Whether a child of a node of the type ``parent`` is a statement."""
    if parent in BLOCKS and child.is_named:
        return child.type not in BLOCKS
    kind = child.type
    if kind in CLAUSES or (parent in CLAUSES and kind in DECLARATIONS):
        return True
    return kind.endswith("_statement") and parent != "for_statement"
