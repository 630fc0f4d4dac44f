"""Distance between a correction and the original."""

from functools import lru_cache

from cortex_pipelines.evaluation.metrics.grading import edit_distance

_LONGEST = 1000
"""Characters whose edit distance is computed, as its cost grows with the square; a longer span
that differs counts as replaced."""


@lru_cache(maxsize=1 << 14)
def correction_distance(original: str, corrected: str) -> float:
    """Characters that a correction changes, as a share of the longer text; 0 changes none."""
    longest = max(len(original), len(corrected))
    start = common_prefix_length(original, corrected)
    original_middle, corrected_middle = original[start:], corrected[start:]
    end = common_prefix_length(original_middle[::-1], corrected_middle[::-1])
    original_middle, corrected_middle = (
        original_middle[: len(original_middle) - end],
        corrected_middle[: len(corrected_middle) - end],
    )
    most = max(len(original_middle), len(corrected_middle))
    changed = edit_distance(original_middle, corrected_middle) if most <= _LONGEST else most
    return changed / longest if longest else 0.0


def common_prefix_length(first: str, second: str) -> int:
    """Length of the common prefix of two texts."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((index for index, (a, b) in pairs if a != b), min(len(first), len(second)))
