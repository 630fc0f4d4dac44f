"""Assets of the task router and its data set."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic

import polars as pl

from cortex_pipelines.embeddings.encoder import HALF, Floats, SentenceEncoder, cached_embeddings, machine_precision
from cortex_pipelines.ingestion.cache import CACHE
from cortex_pipelines.ingestion.pretrained_models import PinnedModel, weights_folder
from cortex_pipelines.routing.dataset.assets import RULES_FILE, routing_dataset
from cortex_pipelines.routing.dataset.build import split_of
from cortex_pipelines.routing.outcomes.attempts import attempts
from cortex_pipelines.routing.settings import RoutingSettings
from cortex_pipelines.routing.train import train_router
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.coordination import DECISIONS, FEATURES, OUTCOMES
from cortex_pipelines.versioning import versioned_asset

_TRAINED_ON = ("train", "validation")  # splits on which candidates are compared, weighted and calibrated out of fold
__all__ = ["routing_dataset", "task_router"]


@versioned_asset(partitioned=False, determinism="machine")
def task_router(
    routing_dataset: Path,
    coordination_tables: Path,
    sentence_encoder: PinnedModel,
    routing: RoutingSettings,
    out: Path,
    root: Path,
    cache: RowCache,
    observe: Callable[[str, float], None],
) -> None:
    """The trained task router with its candidates, weights and search trials."""
    began = monotonic()
    rules = routing_dataset / RULES_FILE
    train_router(
        pl.concat([pl.read_parquet(routing_dataset / f"{split}.parquet") for split in _TRAINED_ON]),
        embedder(sentence_encoder, routing, root, cache),
        routing,
        sentence_encoder.pin,
        json.loads(rules.read_text(encoding="utf-8")) if rules.exists() else None,
        out,
        root / CACHE / "studies",
        attempts=judged_attempts(coordination_tables, routing),
    )
    observe("train_seconds", monotonic() - began)


def judged_attempts(coordination_tables: Path, settings: RoutingSettings) -> pl.DataFrame:
    """What tasks came to, and whether their text is one of those that a router is judged on."""
    decisions, outcomes, features = (table.read(coordination_tables) for table in (DECISIONS, OUTCOMES, FEATURES))
    tried = attempts(decisions, outcomes, features)
    judged = [split_of(cluster, settings) == "test" for cluster in tried["cluster"]]
    return tried.with_columns(judged=pl.Series(judged, dtype=pl.Boolean))


def embedder(
    pinned: PinnedModel, settings: RoutingSettings, root: Path, cache: RowCache
) -> Callable[[Sequence[str]], Floats]:
    """Embedding function of a pinned encoder, with a cache."""
    loaded: list[SentenceEncoder] = []
    precision = machine_precision(settings.precision, HALF)
    identity = ("pooled", pinned.pin, settings.max_tokens, settings.batch, settings.threads, precision)

    def load() -> SentenceEncoder:
        if not loaded:
            folder = weights_folder(pinned.source, dict(pinned.pin), root)
            loaded.append(SentenceEncoder(folder, settings.max_tokens, settings.batch, settings.threads, precision))
        return loaded[0]

    return lambda texts: cached_embeddings(texts, load, cache, *identity)
