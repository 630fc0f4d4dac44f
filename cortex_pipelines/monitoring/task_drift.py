"""The router's champion against the tasks that were logged after its training."""

from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from cortex_pipelines.monitoring.drift_evidence import Encode, MeanShift, compare_with_examples, detect_changes
from cortex_pipelines.pages import heading, paragraph, table
from cortex_pipelines.routing.dataset.labels import normalised
from cortex_pipelines.routing.selection.ensemble import expected_calibration_error
from cortex_pipelines.routing.serving.router import Decision, UnreadableChampionError
from cortex_pipelines.routing.settings import RoutingSettings
from cortex_pipelines.schemas.vocabulary import SPLITS
from cortex_pipelines.statistics.intervals import two_sample_bootstrap, wilson

Decide = Callable[[Sequence[str]], list[Decision]]
_OUTCOME = "outcome"
_ESTIMATED = (
    "Without outcomes, the mean of the champion's calibrated probabilities estimates its accuracy; "
    "the estimate holds as far as the calibration does."
)
_STREAM = (
    "ADWIN over the tasks with an outcome in order of time, those held out from the champion's "
    "training and the later ones: whether the share of right decisions changed."
)


def logged_tasks(dataset: Path) -> pl.DataFrame:
    """Logged tasks of a routing data set, with ``key`` (equal texts) and ``split``, by time."""
    splits = [pl.read_parquet(dataset / f"{split}.parquet").with_columns(split=pl.lit(split)) for split in SPLITS]
    tasks = pl.concat(splits).filter(pl.col("label_source").is_in([_OUTCOME, "decision"]))
    keys = pl.Series("key", [normalised(text) for text in tasks["text"]], pl.String)
    return tasks.with_columns(keys).sort("occurred_at", "example_id", nulls_last=False)


def compare_tasks(
    training: pl.DataFrame, current: pl.DataFrame, decide: Decide, encode: Encode, settings: RoutingSettings
) -> tuple[dict[str, float], list[str]]:
    """Metrics and parts of a page: what moved since the champion was trained, what it costs.

    ``decide`` raises ``UnreadableChampionError`` if the champion cannot run.
    """
    later = current.filter(~pl.col("key").is_in(training["key"].implode()))
    figures = {
        "drifting": 0.0,
        "known": float(training.height),
        "new": float(later.height),
        "new_share": later.height / max(training.height, 1),
        "worse": 0.0,
    }
    if later.is_empty() or training.is_empty():
        return figures, [paragraph("No task was logged since that was not known then.")]
    words = pl.col("text").str.split(" ").list.len().alias("words")
    # not the source of the label: outcomes of the latest tasks are often still to come
    before, since = (tasks.select("text", words, "master").to_dicts() for tasks in (training, later))
    figures["drifting"], evidence = compare_with_examples(before, since, encode)
    first: Any = later["occurred_at"].min()
    parts = [
        paragraph(
            f"{training.height:,} tasks were known then, {later.height:,} came since"
            f"{'' if first is None else f', the first on {_day(first)}'}."
        ),
        heading("Tasks"),
        *evidence,
        heading("Decisions"),
    ]
    try:
        realised, decision_parts = _realised_quality(training, later, decide, settings)
    except UnreadableChampionError as error:
        realised = {}
        decision_parts = [paragraph(f"{error}, so its decisions are not known.", warning=True)]
    return figures | realised, parts + decision_parts


def _realised_quality(
    training: pl.DataFrame, later: pl.DataFrame, decide: Decide, settings: RoutingSettings
) -> tuple[dict[str, float], list[str]]:
    borne_out = pl.col("label_source") == _OUTCOME
    held_out, with_outcome = training.filter(borne_out, split="test"), later.filter(borne_out)
    estimated = decide(later["text"].to_list())
    figures = {"estimated": float(np.mean([decision.confidence for decision in estimated]))}
    parts = [paragraph(f"{_ESTIMATED} Here: {figures['estimated']:.1%}.")]
    if held_out.is_empty() or with_outcome.is_empty():
        return figures, [*parts, paragraph("No later task has an outcome yet.")]
    samples = (held_out, with_outcome)
    decisions = [decide(sample["text"].to_list()) for sample in samples]
    right = [
        [decision.master == master for decision, master in zip(correct, sample["master"], strict=True)]
        for correct, sample in zip(decisions, samples, strict=True)
    ]
    shares = [wilson(sum(correct), len(correct), settings.confidence) for correct in right]
    errors = [
        expected_calibration_error([decision.confidence for decision in correct], truth)
        for correct, truth in zip(decisions, right, strict=True)
    ]
    difference = two_sample_bootstrap(
        *((np.array(correct, dtype=float), np.ones(len(correct))) for correct in reversed(right)), **settings.bootstrap
    )
    rows = [
        (name, len(correct), f"{share:.1%}", f"{error:.3f}")
        for name, correct, share, error in zip(("held out", "since"), right, shares, errors, strict=True)
    ]
    head = ("tasks with an outcome", "count", "accuracy (interval)", "calibration error")
    stream = detect_changes([float(value) for value in chain(*right)])
    later_shifts = [change for change in stream if change.noticed >= len(right[0])]
    is_worse = difference.high < 0
    figures |= {
        "accuracy_then": shares[0].estimate,
        "accuracy_since": shares[1].estimate,
        "calibration_error_since": errors[1],
        "errors_since": 1 - shares[1].estimate,
        "errors_since_low": 1 - shares[1].high,
        **difference.as_metrics("difference"),
        "worse": float(is_worse or any(change.since < change.before for change in later_shifts)),
    }
    verdict = "worse by more than chance explains" if is_worse else "no fall beyond chance"
    words = f"Since minus then: {difference:+.1%}, which is {verdict}."
    times = [*held_out["occurred_at"], *with_outcome["occurred_at"]]
    return figures, [
        *parts,
        table(head, rows),
        paragraph(words, warning=is_worse),
        paragraph(_STREAM),
        stream_table(stream, times),
    ]


def stream_table(stream: Sequence[MeanShift], times: Sequence[datetime | None]) -> str:
    rows = [(_day(times[change.noticed]), f"{change.before:.1%}", f"{change.since:.1%}") for change in stream]
    return table(("change noticed", "mean before", "mean since"), rows)


def _day(moment: datetime | None) -> str:
    return "at an unknown time" if moment is None else moment.date().isoformat()
