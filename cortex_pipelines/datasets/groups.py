"""Union-find: which things belong together, directly or through others."""

from collections.abc import Hashable
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T", bound=Hashable)


class Groups(Generic[T]):
    """A partition of things that only ever grows coarser."""

    def __init__(self) -> None:
        self._parent: dict[T, T] = {}

    def find(self, item: T) -> T:
        """The thing that stands for the item's group."""
        self._parent.setdefault(item, item)
        root = item
        while self._parent[root] != root:
            root = self._parent[root]
        while self._parent[item] != root:
            self._parent[item], item = root, self._parent[item]
        return root

    def join(self, one: T, other: T) -> None:
        """Put the groups of two things together."""
        self._parent[self.find(one)] = self.find(other)


class Forest:
    """The same for numbers from 0 on, with the groups of all of them at once.

    Args:
        size: How many numbers there are.
    """

    def __init__(self, size: int) -> None:
        self._parents = list(range(size))
        self._labels: NDArray[np.int64] | None = np.arange(size)

    def labels(self) -> NDArray[np.int64]:
        """The number that stands for the group of each; not to be changed."""
        if self._labels is None:
            found = np.array(self._parents, dtype=np.int64)
            while not np.array_equal(found, higher := found[found]):
                found = higher
            self._labels = found
            self._parents = found.tolist()
        return self._labels

    def together(self, one: int, other: int) -> bool:
        """Whether two are in one group."""
        return self._find(one) == self._find(other)

    def join(self, one: int, other: int) -> None:
        """Put the groups of two together."""
        self._parents[self._find(one)] = self._find(other)
        self._labels = None

    def _find(self, item: int) -> int:
        parents = self._parents
        root = item
        while parents[root] != root:
            root = parents[root]
        while parents[item] != root:
            parents[item], item = root, parents[item]
        return root
