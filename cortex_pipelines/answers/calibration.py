"""Accuracy of answers by task, source and score, measured on held-out units."""

import json
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from math import nextafter
from pathlib import Path

Steps = Sequence[tuple[float, float | None]]
"""Lowest score and share of right answers from it on, in rising order (isotonic regression); None: not measured."""

_FILE = Path(__file__).parent / "calibration.json"


@dataclass(frozen=True)
class Calibration:
    """``steps`` by task and source. ``min_confidence``: answers below it are withheld."""

    steps: Mapping[str, Mapping[str, Steps]] = field(default_factory=dict)
    min_confidence: float = 0.0

    def confidence(self, task: str, source: str, score: float) -> float | None:
        """Share of right answers, 0 to 1; None if it was not measured for the task and source."""
        steps = self.steps.get(task, {}).get(source)
        if not steps:
            return None
        index = bisect_right([lowest for lowest, _ in steps], score)
        return steps[max(index - 1, 0)][1]


@cache
def held_out_calibration(min_confidence: float) -> Calibration:
    """The calibration measured on held-out units of other projects (docs/evaluation.md)."""
    return Calibration(json.loads(_FILE.read_text(encoding="utf-8")), min_confidence)


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
