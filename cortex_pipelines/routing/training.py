"""Training the task router on a routing data set."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from cortex_pipelines.routing.encoder import Floats, pinned_threads
from cortex_pipelines.routing.head import Examples, Head
from cortex_pipelines.routing.router import RouterConfig, save_router
from cortex_pipelines.routing.search import Trial, search_head
from cortex_pipelines.routing.settings import RoutingSettings

Embed = Callable[[Sequence[str]], Floats]


def train_router(
    train: pl.DataFrame,
    validation: pl.DataFrame,
    embed: Embed,
    settings: RoutingSettings,
    encoder_pin: Mapping[str, Any],
    rules: Mapping[str, Any] | None,
    out: Path,
) -> dict[str, float]:
    """Train a head, calibrate it, and write the router to a folder.

    Args:
        train: ``schemas.ROUTING_DATASET``, to train on.
        validation: The same, to choose and calibrate on.
        embed: Texts to embeddings.
        settings: The section ``routing``.
        encoder_pin: Which encoder ``embed`` uses.
        rules: Keyword rules for the fallback, if there are any.
        out: Folder that gets the head, its configuration, every trial and the figures.

    Returns:
        The figures that ``metrics.json`` holds.
    """
    masters = tuple(sorted(train["master"].unique()))
    # A master that never trains cannot be predicted; it says nothing about which head is best.
    known = validation.filter(pl.col("master").is_in(masters))
    with pinned_threads(settings.threads):
        fit, held = (_examples(frame, masters, embed) for frame in (train, known))
        head, trials = search_head(fit, held, len(masters), settings)
    config = RouterConfig(
        masters=masters,
        temperature=head.temperature,
        accept=settings.accept,
        supporting=settings.supporting,
        fallback_master=settings.fallback_master,
        max_tokens=settings.max_tokens,
        batch=settings.batch,
        threads=settings.threads,
        encoder=encoder_pin,
    )
    save_router(out, head, config, rules)
    metrics = _metrics(head, fit, held, trials, len(masters))
    _write_json(out / "trials.json", [trial.row() for trial in trials])
    _write_json(out / "metrics.json", metrics)
    return metrics


def _examples(frame: pl.DataFrame, masters: Sequence[str], embed: Embed) -> Examples:
    number = {master: place for place, master in enumerate(masters)}
    return Examples(
        embeddings=embed(frame["text"].to_list()),
        labels=np.array([number[master] for master in frame["master"]], dtype=np.int64),
        weights=frame["weight"].to_numpy().astype(np.float32),
    )


def _metrics(
    head: Head, fit: Examples, held: Examples, trials: Sequence[Trial], masters: int
) -> dict[str, float]:
    right = head.logits(held.embeddings).argmax(axis=1) == held.labels
    return {
        "masters": float(masters),
        "temperature": head.temperature,
        "train_loss": head.loss(fit),
        "train_tasks": float(len(fit.labels)),
        "trials": float(len(trials)),
        "validation_accuracy": float(right.mean()),
        "validation_loss": head.loss(held),
        "validation_tasks": float(len(held.labels)),
    }


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")
