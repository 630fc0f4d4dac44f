"""Union-find over integers."""

import numpy as np
from numpy.typing import NDArray


class UnionFind:
    """A partition of the integers from 0 that only grows coarser.

    Args:
        size: How many numbers there are.
    """

    def __init__(self, size: int) -> None:
        self._parents = list(range(size))
        self._labels: NDArray[np.int64] | None = np.arange(size)

    def labels(self) -> NDArray[np.int64]:
        """Representative of each element's group; read-only."""
        if self._labels is None:
            roots = np.array(self._parents, dtype=np.int64)
            while not np.array_equal(roots, higher := roots[roots]):
                roots = higher
            self._labels = roots
            self._parents = roots.tolist()
        return self._labels

    def together(self, left: int, right: int) -> bool:
        """Whether two elements are in the same group."""
        return self._find(left) == self._find(right)

    def join(self, left: int, right: int) -> None:
        """Merge the groups of two elements."""
        self._parents[self._find(left)] = self._find(right)
        self._labels = None

    def join_all(self, lefts: NDArray[np.integer], rights: NDArray[np.integer]) -> None:
        """Merge the groups of ``lefts[i]`` and ``rights[i]`` for every i."""
        labels = self.labels()
        apart = np.flatnonzero(labels[lefts] != labels[rights])
        for left, right in zip(lefts[apart].tolist(), rights[apart].tolist(), strict=True):
            self.join(left, right)

    def smallest(self) -> NDArray[np.int64]:
        """Smallest element of each element's group."""
        labels = self.labels()
        first = np.arange(len(labels))
        np.minimum.at(first, labels, np.arange(len(labels)))
        return first[labels]

    def _find(self, item: int) -> int:
        parents = self._parents
        root = item
        while parents[root] != root:
            root = parents[root]
        while parents[item] != root:
            parents[item], item = root, parents[item]
        return root
