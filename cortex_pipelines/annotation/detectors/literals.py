"""Magic numbers, SQL injection and other suspicious literals."""

import re
from collections.abc import Iterator
from typing import ClassVar

from tree_sitter import Node

from cortex_pipelines.annotation.complexity.nodes import STRINGS, child, normalized_text, text
from cortex_pipelines.annotation.complexity.treewalk import NodeVisit
from cortex_pipelines.annotation.detector import Detector, Evidence, FileContext, evidence
from cortex_pipelines.schemas.vocabulary import LANGUAGES

_NUMBERS = frozenset(
    {
        "integer",
        "float",
        "number",
        "int_literal",
        "float_literal",
        "integer_literal",
        "decimal_integer_literal",
        "decimal_floating_point_literal",
    }
)
# Self-explanatory: identities, halves, tens, powers of two up to a byte.
_PLAIN = {0, 1, 2, 3, 4, 8, 10, 16, 32, 64, 100, 128, 255, 256, 1000, 1024, 0.5}
_OPERATIONS = frozenset(
    {
        "binary_operator",
        "binary_expression",
        "comparison_operator",
        "augmented_assignment",
        "augmented_assignment_expression",
        "compound_assignment_expr",
    }
)
_TESTS = re.compile(r"(?i)\b(len|length|size|count|status|argc|shape|ndim)\b|version_info")


class MagicNumber(Detector):
    labels = ("magic-number",)
    types: ClassVar = dict.fromkeys(LANGUAGES, _NUMBERS)

    def find(self, visit: NodeVisit, context: FileContext) -> Iterator[Evidence]:
        """Numbers in comparisons and calculations, except common ones."""
        outer = visit.parent
        if visit.function is None or outer is None:
            return
        if outer.type == "unary_operator" and visit.grandparent is not None:
            outer = visit.grandparent
        if outer.type not in _OPERATIONS or _value(visit.node) in _PLAIN:
            return
        if text(child(outer, "operator")) in ("||", "&&", "??"):
            return
        siblings = [sibling for sibling in outer.named_children if sibling.id != visit.node.id]
        # a count of arguments is what it is; two numbers are a calculation written out
        if any(_TESTS.search(normalized_text(sibling)) or sibling.type in _NUMBERS for sibling in siblings):
            return
        yield evidence("magic-number", visit.node)


def _value(node: Node) -> float:
    digits = text(node).replace("_", "").lower()
    digits = re.sub(r"(?<=[\d.])(u8|u16|u32|u64|usize|i8|i16|i32|i64|isize|f32|f64|[lfdn])$", "", digits)
    try:
        return float(digits) if not digits.startswith("0x") else float(int(digits, 16))
    except (ValueError, OverflowError):
        return 0.0  # a literal in a language-specific notation: not a magic number


_QUERY = re.compile(
    r"\W*(SELECT\s[^;]*\sFROM\s|INSERT\s+INTO\s|UPDATE\s+\S+\s+SET\s|DELETE\s+FROM\s"
    r"|DROP\s+TABLE\s)",
    re.IGNORECASE,
)
_JOINING = frozenset({"binary_operator", "binary_expression"})
_FORMATTING = re.compile(r"(\.format|^fmt\.S?printf|^String\.format|Sprintf)$")


class QueryByConcatenation(Detector):
    labels = ("sql-concatenation",)
    types: ClassVar = STRINGS | {"rust": frozenset({"macro_invocation"})}

    def find(self, visit: NodeVisit, context: FileContext) -> Iterator[Evidence]:
        """Queries with a value concatenated, formatted or interpolated."""
        node = visit.node
        if node.type == "macro_invocation":
            if normalized_text(node).startswith("format!") and _query(normalized_text(node)[7:]) and "{" in text(node):
                yield evidence("sql-concatenation", node)
        elif _query(normalized_text(node)) and (assembled := _assembled(visit)) is not None:
            yield evidence("sql-concatenation", assembled)


def _query(string: str) -> bool:
    return _QUERY.match(string[:400].lstrip("rRbBfFuU")) is not None


def _assembled(visit: NodeVisit) -> Node | None:
    """Node that inserts a value into a string: interpolation, operator or formatting call."""
    node, outer = visit.node, visit.parent
    if any(part.type in ("interpolation", "template_substitution") for part in node.named_children):
        # a tag takes the values apart again
        tagged = outer is not None and child(outer, "arguments") == node
        return None if tagged else node
    if outer is None:
        return None
    if outer.type in _JOINING:
        operator = text(child(outer, "operator"))
        siblings = [part for part in outer.named_children if part.id != node.id]
        constant = all(part.type == node.type for part in siblings)
        return outer if operator in ("+", "%") and not constant else None
    if outer.type in ("attribute", "argument_list") and visit.grandparent is not None:
        callee = child(visit.grandparent, "function")
        name = normalized_text(callee) or ".".join(
            normalized_text(child(visit.grandparent, field)) for field in ("object", "name")
        )
        formatted = outer.type == "attribute" or outer.named_children[0].id == node.id
        if formatted and _FORMATTING.search(name):
            return visit.grandparent
    return None


class HardCodedBind(Detector):
    labels = ("hard-coded-bind",)
    types: ClassVar = STRINGS

    def find(self, visit: NodeVisit, context: FileContext) -> Iterator[Evidence]:
        """The wildcard address as a call argument, with or without a port."""
        inside = text(visit.node).strip("\"'`") if visit.node.end_byte - visit.node.start_byte < 40 else ""
        outer = visit.parent
        is_argument = outer is not None and outer.type not in _JOINING | {"comparison_operator", "pair"}
        if is_argument and visit.function is not None and re.fullmatch(r"(tcp://)?0\.0\.0\.0(:\d+)?", inside):
            yield evidence("hard-coded-bind", visit.node)


class RawHtml(Detector):
    labels = ("raw-html",)
    types: ClassVar = dict.fromkeys(("javascript", "typescript"), frozenset({"jsx_attribute"}))

    def find(self, visit: NodeVisit, context: FileContext) -> Iterator[Evidence]:
        if normalized_text(visit.node).startswith("dangerouslySetInnerHTML"):
            yield evidence("raw-html", visit.node)
