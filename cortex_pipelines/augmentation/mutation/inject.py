"""Inject bugs into a unit or file and verify the mutants' syntax."""

import importlib
import inspect
import pkgutil
import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, count

from tree_sitter import Node

from cortex_pipelines.augmentation.mutation import operators as folder
from cortex_pipelines.augmentation.mutation.namespaces import loses_last_use
from cortex_pipelines.augmentation.mutation.operator import Operator, TextEdit
from cortex_pipelines.augmentation.mutation.operators.calls import CALLS, callee_name
from cortex_pipelines.augmentation.node_table import BLOCKS, NodeTable, split_words
from cortex_pipelines.augmentation.python_code import PythonUnit, header_for
from cortex_pipelines.augmentation.seeding import draw
from cortex_pipelines.augmentation.snippets import parse_unit

_JUMPS = split_words("return_statement raise_statement continue_statement break_statement throw_statement")
_JUMPED_IN = split_words("switch_case switch_default switch_block_statement_group program")
_NEUTRAL = re.compile(r"^.*[\w)\]]\s*(?:[-+|^]\s*0(?:\.0*)?|(?:\*\*?|//?|%)\s*1(?:\.0*)?|(?:<<|>>)\s*0)$", re.DOTALL)
_LIST = r"\b(?:sorted|set|frozenset|list|tuple|sum|min|max|any|all|enumerate|dict|join)\($"
_NO_EFFECT = (
    # operator, text before the change that ends it, what was there: what then means the same
    ("removed_conversion", re.compile(_LIST), split_words("list tuple")),
    ("removed_conversion", re.compile(r"\bin $"), split_words("list tuple")),
    ("removed_conversion", re.compile(r"(?:\{|\bprint\()$"), split_words("str")),
    ("removed_conversion", re.compile(r"\b(?:if|while|not|and|or) $"), split_words("bool")),
)
_BEFORE = 24
_FIRST_OR_LAST = split_words("indexOf lastIndexOf find rfind Index LastIndex")
_IS_FOUND = re.compile(r"\((?:[^()]|\([^()]*\))*\)\s*(?:(?:[!=]==?|>)\s*-\s*1\b|(?:>=|<)\s*0\b|\.is_(?:some|none)\(\))")
_AFTER = 160
_RAISING = re.compile(r"(?:assert|to|should_?)?_?(?:throw|raise|reject)s?\w*", re.IGNORECASE)


def is_equivalent(operator: str, change: TextEdit, view: NodeTable) -> bool:
    """Whether a mutation is known to preserve behaviour (dead code, docstrings, annotations, neutral terms).

    So does any error in code that a test expects to raise one.
    """
    if _strip_parentheses(change.old) == _strip_parentheses(change.new) or _in_inert_code(change, view):
        return True
    if operator in ("arithmetic", "bitwise", "operand_swap", "broken_chain"):
        return operator != "operand_swap" and bool(_NEUTRAL.match(change.right))
    if operator == "augmented_assignment":
        return bool(re.search(r"[-+|]=\s*0$|[*/]=\s*1$", change.right))
    if operator == "similar_method" and change.old in ("split", "rsplit"):
        return "," not in change.right.rpartition(change.old)[2]
    if operator == "similar_method" and change.old in _FIRST_OR_LAST:
        return bool(_IS_FOUND.match(view.between(change.end, change.end + _AFTER)))
    before = view.between(max(0, change.start - _BEFORE), change.start)
    return any(name == operator and change.old in old and pattern.search(before) for name, pattern, old in _NO_EFFECT)


def _strip_parentheses(text: str) -> str:
    stripped = "".join(text.split())
    while stripped.startswith("(") and stripped.endswith(")") and _closes_at_end(stripped):
        stripped = stripped[1:-1]
    return stripped


def _closes_at_end(text: str) -> bool:
    depth = 0
    for index, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if depth == 0:
            return index == len(text) - 1
    return False


def _in_inert_code(change: TextEdit, view: NodeTable) -> bool:
    notes = view.notes.setdefault("inert", {})
    if not notes:  # spans where edits have no effect at run time, outermost only, in order
        outer: list[tuple[int, int]] = []
        for start, end in sorted(span for node in view.nodes for span in _inert_at(node, view)):
            if not outer or end > outer[-1][1]:
                outer.append((start, end))
        notes[0] = outer
    spans: list[tuple[int, int]] = notes[0]
    index = bisect_right(spans, (change.start, len(view.text) + 1)) - 1
    return index >= 0 and change.end <= spans[index][1]


def _inert_at(node: Node, view: NodeTable) -> list[tuple[int, int]]:
    kind = node.type
    if kind in _JUMPS:  # what follows in the block is not reached
        block, following, spans = view.parent(node), node.next_named_sibling, []
        if block is None or block.type not in BLOCKS - _JUMPED_IN:
            return []
        while following is not None:
            if not following.type.endswith(("declaration", "definition", "labeled_statement")):
                spans.append((following.start_byte, following.end_byte))
            following = following.next_named_sibling
        return spans
    raising = _raising_code(node, view)
    if raising is not None:
        return [(raising.start_byte, raising.end_byte)]
    is_docstring = kind == "string" and view.parent_type(node) == "expression_statement"
    if view.language == "python" and (kind == "type" or is_docstring):
        return [(node.start_byte, node.end_byte)]
    if kind in ("type_annotation", "type_arguments"):
        return [(node.start_byte, node.end_byte)]
    if kind in ("if_statement", "while_statement", "if_expression", "while_expression"):
        condition = node.child_by_field_name("condition")
        if condition is not None and view.code(condition).strip("()") in ("False", "false", "0"):
            dead = node.child_by_field_name("consequence") or node.child_by_field_name("body")
            return [(dead.start_byte, dead.end_byte)] if dead is not None else []
    return []


def _raising_code(node: Node, view: NodeTable) -> Node | None:
    """The code in which a test expects an error: a call such as ``assertThrows(...)``, or the body of a ``with``."""
    if node.type in CALLS[view.language]:
        name = callee_name(node)
        return node if name is not None and _RAISING.fullmatch(view.code(name)) else None
    body = node.child_by_field_name("body") if node.type == "with_statement" else None
    if body is None:
        return None
    inside = (part for part in view.descendants(node) if part.type == "call" and part.end_byte <= body.start_byte)
    return body if any(_raising_code(call, view) is not None for call in inside) else None


@cache
def operators() -> tuple[Operator, ...]:
    """The operators that the modules in ``operators/`` define, by name."""
    by_name: dict[str, Operator] = {}
    for info in pkgutil.iter_modules(folder.__path__):
        module = importlib.import_module(f"{folder.__name__}.{info.name}")
        for _, kind in inspect.getmembers(module, inspect.isclass):
            if not issubclass(kind, Operator) or kind.__module__ != module.__name__ or not hasattr(kind, "name"):
                continue
            if kind.name in by_name:
                raise RuntimeError(
                    f"two classes in {folder.__name__} are named {kind.name!r}: {type(by_name[kind.name])} and {kind}; "
                    "give one of them another name"
                )
            by_name[kind.name] = kind()
    return tuple(by_name[name] for name in sorted(by_name))


@cache
def operators_at(language: str) -> dict[str, list[Operator]]:
    by_type: dict[str, list[Operator]] = {}
    for operator in operators():
        for node_type in operator.places.get(language, ()):
            by_type.setdefault(node_type, []).append(operator)
    return by_type


CHECKS = ("reparses", "tree_differs", "not_equivalent", "reverses")
"""What every mutant has passed: no new syntax error; another tree, comments and layout aside; no
known equivalent mutation (for Python: other byte code); the change undone gives the same bytes."""


@dataclass(frozen=True)
class Mutant:
    """A unit with one injected bug; ``compiles`` is None where Python's compiler was not run."""

    operator: str
    error_type: str
    start_byte: int
    end_byte: int
    fixed_code: str
    buggy_code: str
    explanation: str
    compiles: bool | None = None

    @property
    def verification(self) -> tuple[str, ...]:
        return CHECKS


@dataclass
class MutatedUnit:
    """A span of parsed text to mutate, with its name in explanations; ``python`` is None in other languages."""

    view: NodeTable
    start: int
    end: int
    name: str
    python: PythonUnit | None

    def mutant(self, operator: Operator, change: TextEdit) -> Mutant | None:
        snippet = self.view.snippet
        shift = len(snippet.prefix)
        start, end = change.start - shift, change.end - shift
        replacement = change.replacement.encode()
        fixed = snippet.code[self.start : self.end]
        if not self.start <= start <= end <= self.end or snippet.code[start:end] == replacement:
            return None
        buggy = snippet.code[self.start : start] + replacement + snippet.code[end : self.end]
        if is_equivalent(operator.name, change, self.view) or not operator.is_shown(change, self.view):
            return None
        if loses_last_use(change.start, change.end, change.replacement, self.view):
            return None
        differs = self.python.does_something_else(buggy) if self.python is not None else None
        if differs is False:
            return None
        # the change adds no syntax error, changes the tree and can be undone
        other, removed = snippet.with_change(start, end, replacement), snippet.code[start:end]
        restored = other.code[:start] + removed + other.code[start + len(replacement) :]
        if other.errors > snippet.errors or restored != snippet.code or snippet.same_tree(other, start):
            return None
        try:
            fixed_text, buggy_text = fixed.decode(), buggy.decode()
        except UnicodeDecodeError:
            return None
        # removed text may begin with a line break
        code_start = start + len(removed) - len(removed.lstrip())
        line = snippet.code.count(b"\n", self.start, code_start) + 1
        location = f"Line {line} of `{self.name}`" if self.name else f"Line {line}"
        explanation = f"{location}: {operator.explain(change)}"
        span = (self.start, self.end)
        names = (operator.name, operator.error_type)
        return Mutant(*names, *span, fixed_text, buggy_text, explanation, differs)


def mutate_unit(code: str, language: str, kind: str, path: str, name: str, limit: int, *seed: object) -> list[Mutant]:
    snippet = parse_unit(code.encode(), language, kind, path)
    if snippet is None:
        return []
    view = NodeTable(snippet)
    python = None
    if language == "python":
        python = PythonUnit(snippet.code, header_for(view.nodes, snippet.prefix))
    unit = MutatedUnit(view, 0, len(snippet.code), name, python)
    return sampled([(unit, site) for site in sites(view)], limit, *seed)


Site = tuple[Operator, Node]


def sites(view: NodeTable) -> Iterator[Site]:
    by_type = operators_at(view.language)
    start, end = len(view.snippet.prefix), len(view.snippet.prefix) + len(view.snippet.code)
    for node in view.nodes:
        operators_here = by_type.get(node.type)
        if operators_here and start <= node.start_byte and node.end_byte <= end:
            for operator in operators_here:
                yield operator, node


def sampled(units: list[tuple[MutatedUnit, Site]], limit: int, *seed: object) -> list[Mutant]:
    """At most ``limit`` mutants, drawn by weight without replacement, in source order.

    An operator is drawn by its weight, then one of its positions: the mix of bugs follows the weights however many
    identifiers there are per operator sign. An operator is drawn again only after all others.
    """
    by_name = {operator.name: operator for _, (operator, _) in units}
    places: dict[str, list[tuple[MutatedUnit, Node | TextEdit]]] = {}
    for unit, (operator, node) in units:
        places.setdefault(operator.name, []).append((unit, node))
    numbers = (draw(*seed, number) for number in count(1))
    mutants: dict[tuple[int, str], Mutant] = {}
    waiting: list[str] = []
    while places and len(mutants) < limit:
        waiting = waiting or sorted(places)
        weights = list(accumulate(by_name[name].weight for name in waiting))
        name = waiting.pop(bisect_right(weights, next(numbers) % weights[-1]))
        mutant = _draw_mutant(by_name[name], places[name], numbers)
        if mutant is None:
            del places[name]
        else:
            mutants.setdefault((mutant.start_byte, mutant.buggy_code), mutant)
    return sorted(mutants.values(), key=lambda mutant: (mutant.start_byte, mutant.end_byte, mutant.buggy_code))


def _draw_mutant(
    operator: Operator, candidates: list[tuple[MutatedUnit, Node | TextEdit]], numbers: Iterator[int]
) -> Mutant | None:
    """A mutant of one of the candidates, which it takes out; a node gives place to the edits at it."""
    while candidates:
        ticket = next(numbers) % len(candidates)
        candidates[ticket], candidates[-1] = candidates[-1], candidates[ticket]
        unit, candidate = candidates.pop()
        if isinstance(candidate, TextEdit):
            mutant = unit.mutant(operator, candidate)
            if mutant is not None:
                return mutant
        else:
            candidates += [(unit, change) for change in operator.edits_at(candidate, unit.view)]
    return None
