"""Accuracy of answers by task, source and score, measured on held-out units."""

import json
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
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
