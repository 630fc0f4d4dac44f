"""One file that a stage cannot work on is set aside with the reason; the others go on.

For the one place of a stage that goes through files. What a file can do to well-written code is
listed in ``CAUSES``; all else is an error of the program and is raised as such.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

CAUSES = (UnicodeError, RecursionError, OverflowError)
"""Text that is none, nesting that no stack holds, numbers beyond all types."""


@dataclass(frozen=True)
class Damage:
    """Why a file was set aside, in words."""

    words: str


def attempted(work: Callable[[], T]) -> T | Damage:
    """What is made of a file, or why nothing could be.

    Args:
        work: Works on the file, and on nothing else.
    """
    try:
        return work()
    except CAUSES as error:
        return Damage(f"{type(error).__name__}: {error}"[:200])


def encodable(text: str) -> str:
    """The text with ``?`` for each half of a surrogate pair: JSON and YAML may spell one."""
    return text.encode(errors="replace").decode()
