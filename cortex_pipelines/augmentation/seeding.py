"""Choices by hash: reproducible, and independent from one unit to the next."""

import hashlib
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def draw(*parts: object) -> int:
    """A number in [0, 2**64) that is a function of ``parts`` alone."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def choose(items: Sequence[T], *parts: object) -> T:
    """One of ``items``, by the hash of ``parts``."""
    return items[draw(*parts) % len(items)]
