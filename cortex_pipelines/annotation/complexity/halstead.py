"""Halstead complexity measures, computed identically on every machine.

The C library's logarithm may differ in its last bit between machines, so it is computed in decimal,
which is correctly rounded by definition. All else is a single rounded operation.
"""

from dataclasses import dataclass
from decimal import Context, Decimal
from functools import cache

_CONTEXT = Context(prec=30)
_DIGITS = Decimal("0.000001")


@dataclass(frozen=True)
class Halstead:
    """Token counts for Halstead's measures (Elements of Software Science, 1977).

    Args:
        distinct_operators, distinct_operands: Vocabulary, usually n1 and n2.
        operators, operands: Length, usually N1 and N2.
    """

    distinct_operators: int
    distinct_operands: int
    operators: int
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
