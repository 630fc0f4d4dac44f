"""How far a correction is from what it corrects."""

from functools import lru_cache

from cortex_pipelines.evaluation.metrics.edit_similarity import edit_distance

_LONGEST = 1000
"""Characters whose edit distance is computed, as its cost grows with the square; a longer stretch
that differs counts as replaced."""


@lru_cache(maxsize=1 << 14)
def correction_distance(original: str, corrected: str) -> float:
    """Characters that a correction changes, as a share of the longer text; 0 changes none."""
    longest = max(len(original), len(corrected))
    start = shared_beginning(original, corrected)
    left, right = original[start:], corrected[start:]
    end = shared_beginning(left[::-1], right[::-1])
    left, right = left[: len(left) - end], right[: len(right) - end]
    most = max(len(left), len(right))
    changed = edit_distance(left, right) if most <= _LONGEST else most
    return changed / longest if longest else 0.0


def shared_beginning(left: str, right: str) -> int:
    """Characters that two texts begin with alike."""
    pairs = enumerate(zip(left, right, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(left), len(right)))
