"""Random choices by hash: reproducible and independent between units."""

import hashlib
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def draw(*parts: object) -> int:
    """A pseudo-random number in [0, 2**64) that depends on ``parts`` alone."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def choose(items: Sequence[T], *parts: object) -> T:
    return items[draw(*parts) % len(items)]
