"""Complexity of a unit, from one walk of its file's syntax tree.

Where tools differ, these figures follow the tool that people use for the language:

* *Cyclomatic*: one more than the decisions: branches, loops, handlers, cases but the default, each
  ``and`` and ``or``. In Python also what radon counts: ``assert``, a comprehension's ``for``
  and ``if``, the ``else`` of a loop or ``try``; in JavaScript and TypeScript what ESLint counts:
  ``?.``, ``??``, logical assignments and default values; in Rust ``?``, as lizard does.
* *Cognitive*: as SonarSource defines it (Campbell 2018): a construct costs one and as much more as
  it is levels deep; ``else`` and ``elif``, each change of logical operator (parentheses or not),
  jumps to labels and a function's direct call of itself, once, cost one. ``??`` and ``?.`` cost
  nothing. A decorator's inner function adds no level.
* *Halstead*: operands are names and literals (an interpolated string is its parts), operators all
  other tokens. A closing bracket belongs to its opening one; comments, docstrings, quotes and
  semicolons do not count.

A unit's figures are those of its whole span, nested functions included; a type's are the sum over its methods. In
arguments of Rust's macros only tokens are counted.
"""

from bisect import bisect_left
from dataclasses import dataclass
from decimal import Context, Decimal
from functools import cache

from cortex_pipelines.annotation.complexity.treewalk import WalkResult

_CONTEXT = Context(prec=30)
_DIGITS = Decimal("0.000001")


@dataclass(frozen=True)
class Halstead:
    """Token counts for Halstead's measures (Elements of Software Science, 1977).

    The C library's logarithm may differ in its last bit between machines, so it is computed in decimal, which is
    correctly rounded by definition. All else is a single rounded operation.
    """

    distinct_operators: int  # vocabulary, usually n1 and n2
    distinct_operands: int
    operators: int  # length, usually N1 and N2
    operands: int

    @property
    def volume(self) -> float:
        """Program length times log2 of the vocabulary size, to six digits."""
        vocabulary = self.distinct_operators + self.distinct_operands
        return _volume(self.operators + self.operands, vocabulary)


def _volume(length: int, vocabulary: int) -> float:
    if vocabulary < 2:
        return 0.0
    exact = _CONTEXT.multiply(Decimal(length), _log2(vocabulary))
    return float(exact.quantize(_DIGITS, context=_CONTEXT))


@cache
def _log2(number: int) -> Decimal:
    return _CONTEXT.divide(_CONTEXT.ln(Decimal(number)), _CONTEXT.ln(Decimal(2)))


@dataclass(frozen=True)
class Complexity:
    cyclomatic: int
    cognitive: int
    nesting: int  # maximum nesting depth of control flow
    deepest: tuple[int, int] | None  # byte span of a construct at that depth; None without control flow
    halstead: Halstead  # counts of tokens


def complexity_of(walk: WalkResult, start: int, end: int, body_start: int | None, starts: list[int]) -> Complexity:
    """Measure the complexity of a unit.

    ``start``: first byte of the unit. ``body_start``: where its implementation begins; None if it has none.
    ``starts``: first bytes of the walk's steps.
    """
    inside = walk.steps[bisect_left(starts, start) : bisect_left(starts, end)]
    base = walk.levels.get(start if body_start is None else body_start, 0)
    deepening = [step for step in inside if step.deepens]
    deepest = max(deepening, key=lambda step: step.level, default=None)
    return Complexity(
        cyclomatic=1 + sum(step.decisions for step in inside),
        cognitive=sum(step.reading for step in inside) + sum(max(step.level - base, 0) for step in deepening),
        nesting=0 if deepest is None else max(deepest.level - base, 0) + 1,
        deepest=None if deepest is None else (deepest.start, deepest.end),
        halstead=_halstead(walk, start, end),
    )


def _halstead(walk: WalkResult, start: int, end: int) -> Halstead:
    operators = walk.operator_kinds[bisect_left(walk.operators, start) : bisect_left(walk.operators, end)]
    operands = walk.operand_texts[bisect_left(walk.operands, start) : bisect_left(walk.operands, end)]
    return Halstead(len(set(operators)), len(set(operands)), len(operators), len(operands))
