"""Skip single files that a stage cannot process, with the reason.

For the one place of a stage that goes through files. What a file can do to well-written code is
listed in ``CAUSES``; all else is an error of the program and is raised as such.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

CAUSES = (UnicodeError, RecursionError, OverflowError)
"""Errors by malformed files: text, recursion depth, numeric range."""


@dataclass(frozen=True)
class Damage:
    """Why a file was skipped, in words."""

    words: str


def attempted(work: Callable[[], T]) -> T | Damage:
    """The result of processing a file, or why it failed.

    Args:
        work: Works on the file, and on nothing else.
    """
    try:
        return work()
    except CAUSES as error:
        return Damage(f"{type(error).__name__}: {error}"[:200])


def encodable(text: str) -> str:
    """The text with ``?`` for lone surrogates, which JSON and YAML may contain."""
    return text.encode(errors="replace").decode()
