import numpy as np
from numpy.typing import NDArray


class UnionFind:
    def __init__(self, size: int) -> None:
        self._parents = list(range(size))
        self._labels: NDArray[np.int64] | None = np.arange(size)

    def labels(self) -> NDArray[np.int64]:
        if self._labels is None:
            roots = np.array(self._parents, dtype=np.int64)
            while not np.array_equal(roots, higher := roots[roots]):
                roots = higher
            self._labels = roots
            self._parents = roots.tolist()
        return self._labels

    def connected(self, first: int, second: int) -> bool:
        """Whether two elements are in the same group."""
        return self._find(first) == self._find(second)

    def join(self, first: int, second: int) -> None:
        self._parents[self._find(first)] = self._find(second)
        self._labels = None

    def join_all(self, firsts: NDArray[np.integer], seconds: NDArray[np.integer]) -> None:
        """Merge the groups of ``lefts[i]`` and ``rights[i]`` for every i."""
        labels = self.labels()
        apart = np.flatnonzero(labels[firsts] != labels[seconds])
        for first, second in zip(firsts[apart].tolist(), seconds[apart].tolist(), strict=True):
            self.join(first, second)

    def smallest_members(self) -> NDArray[np.int64]:
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
