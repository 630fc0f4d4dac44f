"""Files that change together in the history of a source (Zimmermann, Weissgerber, Diehl, Zeller:
Mining version histories to guide software changes, 2005)."""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import combinations

MOST_CHANGED = 30
"""Files of a commit above which it says nothing of any two of them, as there."""
LEAST_TOGETHER = 3
"""Commits that two files have to share."""
LEAST_SHARE = 0.25
"""Share of the commits of the one that is changed less often."""


def changed_together(commits: Iterable[Sequence[str]], paths: frozenset[str]) -> dict[tuple[str, str], int]:
    """Commits that changed both of two files, by the two in the order of their paths."""
    changed: Counter[str] = Counter()
    together: Counter[tuple[str, str]] = Counter()
    for commit in commits:
        if len(commit) > MOST_CHANGED:
            continue
        inside = sorted(path for path in set(commit) if path in paths)
        changed.update(inside)
        together.update(combinations(inside, 2))
    return {
        pair: count
        for pair, count in together.items()
        if count >= LEAST_TOGETHER and count >= LEAST_SHARE * min(changed[pair[0]], changed[pair[1]])
    }
