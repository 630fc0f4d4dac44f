"""Calibration of answers from what was right on held-out units."""

from collections.abc import Sequence
from math import nextafter


def fit_steps(outcomes: Sequence[tuple[float, bool]], *, open_end: bool = False) -> list[tuple[float, float | None]]:
    """Steps from scores and whether each answer was right, by isotonic regression.

    ``open_end``: scores above the highest have no confidence, such as an adapter's where the base was measured.

    Shares are drawn to one half as if two more answers had been seen, one of them right (Laplace): a few answers that
    are all right do not make the next one certain.
    """
    from sklearn.isotonic import IsotonicRegression

    if not outcomes:
        return []
    scores = sorted({score for score, _ in outcomes})
    fitted = IsotonicRegression(y_min=0, y_max=1).fit(
        [score for score, _ in outcomes], [right for _, right in outcomes]
    )
    levels = fitted.predict(scores)
    steps: list[tuple[float, float | None]] = []
    for level in sorted(set(levels.tolist())):
        at_level = {score for score, value in zip(scores, levels, strict=True) if value == level}
        rights = [right for score, right in outcomes if score in at_level]
        steps.append((min(at_level), round((sum(rights) + 1) / (len(rights) + 2), 4)))
    return [*steps, (nextafter(scores[-1], 2), None)] if open_end else steps
