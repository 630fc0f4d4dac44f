"""Why a task goes to a master: what each word counts for, the nearest training tasks, what would send it elsewhere.

A word's weight is what the log-probability of the master loses without it (leave one out). Each text costs a decision,
so a long task is divided into runs of words, which are left out as one. All models decide each text, also where TF-IDF
alone decided the task, as the two cannot be compared.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, log
from typing import Any

from cortex_pipelines.routing.serving.router import Decision, Router

WORD = re.compile(r"\w+(?:['’.-]\w+)*")
_MOST_RUNS = 50  # of words
_LEAST = 1e-9  # probability
_MOST_REMOVED = 5


@dataclass(frozen=True)
class Explanation:
    decision: Decision
    attributions: tuple[tuple[str, float], ...]  # words, or runs of them, in their order
    counterfactual: tuple[tuple[str, ...], str] | None  # words without which another is chosen, and which

    def as_json(self) -> dict[str, Any]:
        removed = self.counterfactual
        return {
            "master": self.decision.master,
            "attributions": [{"word": word, "weight": round(weight, 6)} for word, weight in self.attributions],
            "evidence": [dict(task) for task in self.decision.evidence],
            "counterfactual": {"without": list(removed[0]), "master": removed[1]} if removed else None,
        }


def explain(router: Router, text: str) -> Explanation:
    words = [match.span() for match in WORD.finditer(text)]
    length = ceil(len(words) / _MOST_RUNS) or 1
    runs = (words[start : start + length] for start in range(0, len(words), length))
    spans = [(run[0][0], run[-1][1]) for run in runs]
    decision, *others = router.route_by_all([text, *(without(text, [span]) for span in spans)])
    weights = [_log(decision, decision.master) - _log(other, decision.master) for other in others]
    order = sorted(range(len(spans)), key=lambda index: (-weights[index], index))
    steps = [order[:count] for count in range(1, min(_MOST_REMOVED, len(order)) + 1)]
    changed = router.route_by_all([without(text, [spans[index] for index in step]) for step in steps])
    counterfactual = next(
        (
            (tuple(text[slice(*spans[index])] for index in sorted(step)), str(other.master))
            for step, other in zip(steps, changed, strict=True)
            if other.master != decision.master and len(step) < len(spans)
        ),
        None,
    )
    attributions = tuple((text[slice(*span)], weight) for span, weight in zip(spans, weights, strict=True))
    return Explanation(decision, attributions, counterfactual)


def without(text: str, spans: Sequence[tuple[int, int]]) -> str:
    """The text without some of its words."""
    for start, end in sorted(spans, reverse=True):
        text = f"{text[:start]} {text[end:]}"
    return " ".join(text.split())


def _log(decision: Decision, master: str | None) -> float:
    return log(max(decision.probabilities.get(master or "", 0.0), _LEAST))
