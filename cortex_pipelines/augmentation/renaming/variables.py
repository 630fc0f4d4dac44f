"""Local variables, as renaming and masking use them."""

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
