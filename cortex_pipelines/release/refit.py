"""How far the served weights of a refit adapter are from the evaluated ones."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.jsonl import write_json

if TYPE_CHECKING:
    from cortex_pipelines.evaluation.adapter.measures.likelihood import ItemScorer

REFIT = "refit"
"""Folder of the weights in the release."""

_RECORD = "refit.json"


def record_difference(
    evaluated: Path,
    served: Path,
    version: str,
    datasets: Mapping[str, Path],
    scorer: "ItemScorer",
    settings: EvaluationSettings,
) -> None:
    """Write ``refit.json``: the evaluated version, and the mean absolute difference of the log probabilities of tokens.

    The probe set is of the validation rows, which only the served weights were trained on: on code that neither or
    both have seen, they differ less. The bound is the upper end of an interval by bootstrap over files.
    """
    from cortex_pipelines.prompts.examples import read_examples, sampled
    from cortex_pipelines.statistics.intervals import paired_bootstrap

    probe = [
        example
        for task, folder in datasets.items()
        for example in sampled(read_examples(folder, task, "validation"), settings.items, settings.seed)
    ]
    before, after = (scorer.scores(probe, folder) for folder in (evaluated, served))
    pairs = [
        (item.path, [b - a for a, b in zip(first.token_nats, second.token_nats, strict=True)])
        for item, first, second in zip(probe, before, after, strict=True)
        if first.token_nats
    ]
    record: dict[str, Any] = {"judged": version, "items": len(pairs), "tokens": sum(len(nats) for _, nats in pairs)}
    if pairs:
        interval = paired_bootstrap(
            [sum(map(abs, nats)) / len(nats) for _, nats in pairs],
            weights=[len(nats) for _, nats in pairs],
            clusters=[path for path, _ in pairs],
            **settings.bootstrap,
        )
        record |= {"mean_difference": interval.estimate, "bound": interval.high}
        record["mean_gain"] = -sum(sum(nats) for _, nats in pairs) / record["tokens"]
    write_json(served.parent / _RECORD, record)


def read_difference(release: Path) -> dict[str, Any] | None:
    """The record of a release; None if the evaluated weights are served."""
    path = release / _RECORD
    record: dict[str, Any] | None = json.loads(path.read_text()) if path.is_file() else None
    return record
