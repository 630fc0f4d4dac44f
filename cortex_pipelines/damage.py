"""Skip single files that a stage cannot process, with the reason.

For the loop of a stage over its files. ``CAUSES`` lists the errors that a malformed file can cause
in correct code; any other error is a bug and is raised.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

T = TypeVar("T")

CAUSES = (UnicodeError, RecursionError, OverflowError)
"""Errors by malformed files: text, recursion depth, numeric range."""


class SkipReason(NamedTuple):
    """Reason for skipping a file: a short code and an explanation."""

    reason: str
    detail: str


def attempt(work: Callable[[], T]) -> T | SkipReason:
    """The result of ``work``, which processes a file and nothing else, or the reason why it failed."""
    try:
        return work()
    except CAUSES as error:
        return SkipReason("damaged", f"{type(error).__name__}: {error}"[:200])


def encodable(text: str) -> str:
    """The text with ``?`` for lone surrogates, which JSON and YAML may contain."""
    return text.encode(errors="replace").decode()
