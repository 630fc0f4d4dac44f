"""The way up from a literal through the syntax tree."""

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field

from tree_sitter import Node


@dataclass(frozen=True)
class ReachedName:
    """A name that a literal may reach.

    Args:
        name: The name, with the keys below it, joined by dots.
        is_certain: Whether the syntax says that the name has this value. If not (an unknown
            call is between), only random-looking values count as secrets.
    """

    name: str
    is_certain: bool


Steps = Generator[ReachedName, None, Node | None]
"""Names at a node; what it returns is the node to continue from, None at the end."""


@dataclass
class Climb:
    """State of the climb from a literal to the root.

    Args:
        data: The text of the tree.
        is_certain: See `ReachedName`.
        keys: Keys between the literal and the node, outermost first.
        path: Index and number of elements of each list between, outermost last.
        is_default: Whether the literal is a keyword argument that gives a default.
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
