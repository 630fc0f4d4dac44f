"""Skip single files that a stage cannot process, with the reason.

For the loop of a stage over its files. ``CAUSES`` lists the errors that a malformed file can cause
in correct code; any other error is a bug and is raised.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

CAUSES = (UnicodeError, RecursionError, OverflowError)
"""Errors by malformed files: text, recursion depth, numeric range."""


@dataclass(frozen=True)
class Damage:
    words: str


def attempt(work: Callable[[], T]) -> T | Damage:
    """The result of processing a file, or the reason why it failed; ``work`` does nothing else."""
    try:
        return work()
    except CAUSES as error:
        return Damage(f"{type(error).__name__}: {error}"[:200])


def encodable(text: str) -> str:
    """The text with ``?`` for lone surrogates, which JSON and YAML may contain."""
    return text.encode(errors="replace").decode()
