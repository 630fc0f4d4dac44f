"""The way up from a literal through the syntax tree."""

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field

from tree_sitter import Node


@dataclass(frozen=True)
class ReachedName:
    """A name that a literal may reach, with the keys below it, joined by dots.

    It is not certain if, say, an unknown call is between: then only random-looking values count.
    """

    name: str
    is_certain: bool


Steps = Generator[ReachedName, None, Node | None]
"""Names at a node; what it returns is the node to continue from, None at the end."""


@dataclass
class Climb:
    """State of the climb from a literal to the root.

    ``keys`` between the literal and the node, outermost first; ``path``: index and number of elements
    of each list between, outermost last; ``is_default``: the literal is an argument that gives a default.
    """

    data: bytes
    is_certain: bool
    keys: list[str] = field(default_factory=list)
    path: list[tuple[int, int]] = field(default_factory=list)
    is_default: bool = False

    def reach(self, names: Iterable[str], is_certain: bool = True) -> Iterator[ReachedName]:
        """The names, each with the keys below it."""
        for name in names:
            if name:
                yield ReachedName(".".join([name, *self.keys]), self.is_certain and is_certain)
