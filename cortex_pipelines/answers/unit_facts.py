"""Facts from the syntax of one function, method or type: parameters, returns, errors."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from tree_sitter import Node

from cortex_pipelines.answers.unit import ENDINGS
from cortex_pipelines.augmentation.snippets import parse_unit, text_of, walk
from cortex_pipelines.extraction.nesting import Unit
from cortex_pipelines.extraction.refactoring.model import Parameter
from cortex_pipelines.extraction.refactoring.unit_reader import read_file
from cortex_pipelines.extraction.settings import ExtractionSettings
from cortex_pipelines.extraction.units import file_units
from cortex_pipelines.schemas.vocabulary import DEFINITIONS

_FUNCTIONS = ("function", "method")
_NESTED = re.compile(r"function|lambda|closure|method|arrow|class_(definition|declaration|body)|func_literal")
_CONDITIONS = ("if_statement", "if_expression")
_RAISES = ("raise_statement", "throw_statement")
_ERROR = re.compile(r"(?:new\s+)?([A-Z]\w*(?:\.\w+)*|[a-z_]\w*\.[A-Z]\w*)")
_WRITES = ("assignment", "assignment_expression", "augmented_assignment", "assignment_statement")
_IDENTIFIER = re.compile(r"[^\W\d]\w*")
_LIMITS = ExtractionSettings(
    max_file_bytes=1_000_000, max_nesting=32, max_header_chars=1_000, max_repeated_bytes=100_000
)


@dataclass(frozen=True)
class Outcome:
    """A returned value or raised error (``text``), the condition of its ``if``, and its first byte."""

    text: str
    condition: str
    start: int = 0


@dataclass(frozen=True)
class UnitFacts:
    code: str
    language: str
    unit: Unit
    owner: str
    parameters: tuple[Parameter, ...]
    root: Node

    @property
    def name(self) -> str:
        return self.unit.name

    @property
    def is_function(self) -> bool:
        return self.unit.kind in _FUNCTIONS

    @cached_property
    def identifiers(self) -> frozenset[str]:
        return frozenset(_IDENTIFIER.findall(self.unit.code))

    @cached_property
    def body(self) -> Node | None:
        return self.root.child_by_field_name("body") or next(
            (node for node in walk(self.root) if node.child_by_field_name("body") is not None), self.root
        ).child_by_field_name("body")

    def _own_nodes(self) -> Iterator[Node]:
        """Nodes of the body, without those of functions and types inside it."""
        stack = [self.body] if self.body is not None else []
        while stack:
            node = stack.pop()
            yield node
            if node is self.body or not _NESTED.search(node.type):
                stack += reversed(node.named_children)

    @cached_property
    def returns(self) -> tuple[Outcome, ...]:
        outcomes = []
        for node in self._own_nodes():
            if node.type in ("return_statement", "return_expression") and node.named_children:
                outcomes.append(Outcome(_flat_text(node.named_children[0]), self._condition(node), node.start_byte))
        last = self.body.named_children[-1] if self.body is not None and self.body.named_children else None
        if self.body is not None and self.body.type not in ("block", "statement_block"):
            outcomes.append(Outcome(_flat_text(self.body), "", self.body.start_byte))  # an arrow function
        elif self.language == "rust" and last is not None and not last.type.endswith(("statement", "declaration")):
            outcomes.append(Outcome(_flat_text(last), "", last.start_byte))
        return tuple(outcome for outcome in outcomes if outcome.text)

    @cached_property
    def raises(self) -> tuple[Outcome, ...]:
        nodes = (node for node in self._own_nodes() if node.type in _RAISES and node.named_children)
        matches = ((_ERROR.match(_flat_text(node.named_children[0])), node) for node in nodes)
        return tuple(
            Outcome(match[1], self._condition(node), node.start_byte) for match, node in matches if match is not None
        )

    @cached_property
    def local_names(self) -> frozenset[str]:
        """Names that the body binds: variables of loops and assignments, and of functions inside it."""
        nodes = (node for node in walk(self.body) for node in _bound_parts(node)) if self.body is not None else ()
        names = {name for node in nodes for name in _IDENTIFIER.findall(re.sub(r"[.\[].*", "", text_of(node)))}
        return frozenset(names - {"self", "this"} - {each.name for each in self.parameters})

    def _condition(self, node: Node) -> str:
        """The condition of the only ``if`` around a node; empty without one, ``?`` for other control flow."""
        condition = ""
        for inner, outer in pairwise([node, *_ancestors(node)]):
            if outer == self.body or inner == self.body:
                return condition
            if outer.type in _CONDITIONS and not condition and inner == outer.child_by_field_name("consequence"):
                condition_node = outer.child_by_field_name("condition")
                condition = _flat_text(condition_node) if condition_node is not None else "?"
            elif not outer.type.endswith(("block", "body", "list", "expression_statement")):
                return "?"
        return condition


def _bound_parts(node: Node) -> Iterator[Node]:
    """The part of a statement that binds names."""
    if node.type in (
        *_WRITES,
        "for_statement",
        "for_in_statement",
        "for_in_clause",
        "range_clause",
        "named_expression",
    ):
        yield from filter(None, (node.child_by_field_name("left"), node.child_by_field_name("name")))
    elif node.type in (
        "short_var_declaration",
        "variable_declarator",
        "let_declaration",
        "for_expression",
        "as_pattern",
    ):
        fields = ("left", "name", "pattern", "alias")
        yield from filter(None, (node.child_by_field_name(name) for name in fields))


def _ancestors(node: Node | None) -> Iterator[Node]:
    while node is not None and (node := node.parent) is not None:
        yield node


def _flat_text(node: Node) -> str:
    text = " ".join(text_of(node).split())
    while node.type == "parenthesized_expression" and text.startswith("(") and text.endswith(")"):
        node, text = node.named_children[0], " ".join(text_of(node.named_children[0]).split())
    return text


def unit_facts(code: str, language: str, path: str = "") -> UnitFacts | None:
    """Facts of the outermost definition of a code text; None if it does not parse or has none."""
    snippet = parse_unit(code.encode(errors="replace"), language, "function", path)
    if snippet is None:
        return None
    data, first = snippet.prefix + snippet.code + snippet.suffix, len(snippet.prefix)
    name = f"unit.{path.rpartition('.')[2] if '.' in path else ENDINGS[language]}"
    definitions = [
        unit
        for unit in file_units(data, language, name, _LIMITS)
        if unit.kind in DEFINITIONS and first <= unit.start_byte and unit.end_byte <= first + len(snippet.code)
    ]
    if not definitions:
        return None
    unit, *inner = definitions
    is_one = bool(inner) and all(inner[0].end_byte >= other.end_byte for other in inner)
    if unit.kind not in _FUNCTIONS and is_one and _is_header(data[unit.start_byte : inner[0].start_byte]):
        unit = inner[0]  # a method under the header of its class
    parsed = read_file(name, data.decode(), _LIMITS.max_file_bytes)
    functions = parsed.functions if parsed is not None else ()
    position = (unit.name_line, unit.name)
    parameters = next((each.parameters for each in functions if (each.location.line, each.name) == position), ())
    root = snippet.tree.root_node.descendant_for_byte_range(unit.start_byte, unit.end_byte)
    inside = 1 if snippet.prefix.startswith(b"class C") else 0
    owner = ".".join(unit.qualified_name.split(".")[inside:-1])
    return None if root is None else UnitFacts(code, language, unit, owner, parameters, root)


def _is_header(text: bytes) -> bool:
    """Whether a type has no member before its first method."""
    return len(re.findall(rb"[:{]\s*\n", text)) <= 1 and not re.search(rb"[:{]\s*\n\s*[^\s@/#]", text)
