"""What moved between two samples or within a stream, with examples, as parts of a page."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from cortex_pipelines.monitoring.drift.compare import CHARACTERS, compare
from cortex_pipelines.monitoring.drift.kinds import as_values
from cortex_pipelines.pages import code, collapsible, paragraph, table

Encode = Callable[[Sequence[str]], np.ndarray]
Records = Sequence[dict[str, Any]]

_HOW = (
    "Tests by column as by `cortex drift`, with Holm's correction over the columns at 1 %: rows of "
    "one distribution raise an alarm at most once in a hundred times. Rows of one file, or of one "
    "request that comes again, are not independent; one large new file can raise it alone."
)
_LEVELS = 3
_EXAMPLES = 3
_SHOWN = 600  # characters of an example


def compare_with_examples(before: Records, since: Records, encode: Encode) -> tuple[float, list[str]]:
    """The number of columns that drift between two samples, and parts of a page that say which and how."""
    embedding_of: dict[str, np.ndarray] = {}

    def encode_new(texts: Sequence[str]) -> np.ndarray:
        cut = [text[:CHARACTERS] for text in texts]
        new = list(dict.fromkeys(text for text in cut if text not in embedding_of))
        if new:
            embedding_of.update(zip(new, encode(new), strict=True))
        return np.stack([embedding_of[text] for text in cut])

    drift = compare(before, since, encode_new)
    rows = []
    for feature in drift.features:
        chance = "" if feature.p_value is None else f"{feature.p_value:.2g}"
        values = [[row[feature.name] for row in sample] for sample in (before, since)]
        summaries = _sample_summaries(feature.kind, *values)
        drifts = "yes" if feature.drift else ""
        rows.append([feature.name, feature.kind, feature.test or "not compared", chance, drifts, *summaries])
    head = ("column", "kind", "test", "p", "drift", "then", "since")
    parts = [paragraph(_HOW), table(head, rows)]
    for name in (feature.name for feature in drift.features if feature.drift and feature.kind == "text"):
        # texts since then whose nearest text from before is furthest away, of those compared
        old, new = (
            sorted({row[name][:CHARACTERS] for row in sample} & embedding_of.keys()) for sample in (before, since)
        )
        vectors = [np.stack([embedding_of[text] for text in texts]) for texts in (new, old)]
        nearest = (vectors[0] @ vectors[1].T).max(axis=1)
        order = np.argsort(nearest, kind="stable")[:_EXAMPLES]
        examples = [code(f"at most {nearest[index]:.2f} like any from before", new[index][:_SHOWN]) for index in order]
        parts.append(collapsible(f"{name}: the least like what was there before", examples, "bad"))
    return float(sum(feature.drift for feature in drift.features)), parts


def _sample_summaries(kind: str, before: list[Any], since: list[Any]) -> tuple[str, str]:
    """Both samples of a column: the median of numbers, the levels whose share changed most."""
    if kind == "number":
        numbers = as_values([*before, *since])
        halves = numbers[: len(before)], numbers[len(before) :]
        reference, current = ([value for value in half if value is not None] for half in halves)
        return f"median {median(reference):g}", f"median {median(current):g}"
    if kind != "category":
        return "", ""
    shares = [
        {level: count / len(values) for level, count in Counter(map(str, values)).items()} for values in (before, since)
    ]
    levels = sorted(
        shares[0].keys() | shares[1].keys(),
        key=lambda level: (-abs(shares[0].get(level, 0) - shares[1].get(level, 0)), level),
    )[:_LEVELS]
    texts = [", ".join(f"{level} {sample_shares.get(level, 0):.0%}" for level in levels) for sample_shares in shares]
    return texts[0], texts[1]


_DELTA = 0.002  # of ADWIN (Bifet and Gavaldà 2007): its bound on the chance of a false alarm at a check


@dataclass(frozen=True)
class MeanShift:
    """A change of the mean of a stream, noticed at that index; it began before.

    ``since`` is the mean of the values that ADWIN still takes for one distribution.
    """

    noticed: int
    before: float
    since: float


def detect_changes(values: Sequence[float]) -> list[MeanShift]:
    """Changes of the mean of a stream of values from 0 to 1, by ADWIN."""
    from river.drift import ADWIN

    detector, shifts = ADWIN(delta=_DELTA), []
    for index, value in enumerate(values):
        before = detector.estimation
        detector.update(value)
        if detector.drift_detected:
            shifts.append(MeanShift(index, before, detector.estimation))
    return shifts
