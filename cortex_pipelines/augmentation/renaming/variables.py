"""What a local variable is to the rooms that rename or mask it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class LocalVariable:
    """A local variable of one unit.

    Args:
        name: Its name.
        places: Byte spans in the unit's code where it is bound or used, in order.
    """

    name: str
    places: tuple[tuple[int, int], ...]
