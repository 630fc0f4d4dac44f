"""What moved since each champion was trained."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from cortex_pipelines.coordination.logs import CoordinationSettings
from cortex_pipelines.embeddings.encoder import sentence_part
from cortex_pipelines.ingestion.pretrained_models import PinnedModel
from cortex_pipelines.monitoring.champion_data import NothingToCompareError, champions_data
from cortex_pipelines.monitoring.code_drift import (
    compare_code,
    original_examples,
    summarise_interactions,
    unseen_corrections,
)
from cortex_pipelines.monitoring.drift_evidence import Encode
from cortex_pipelines.monitoring.task_drift import compare_tasks, logged_tasks
from cortex_pipelines.pages import SAMPLE, page, paragraph
from cortex_pipelines.release.ledger import ReleasedModel
from cortex_pipelines.routing.assets import embedder
from cortex_pipelines.routing.serving.load import UnreadableChampionError, champion_decisions
from cortex_pipelines.routing.serving.router import Decision
from cortex_pipelines.routing.settings import RoutingSettings
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.feedback import INTERACTIONS
from cortex_pipelines.schemas.ingestion import REPOSITORY_COMMITS
from cortex_pipelines.versioning import versioned_asset
from cortex_pipelines.versioning.asset import LoadVersion
from cortex_pipelines.versioning.champions import ChampionPin
from cortex_pipelines.versioning.project import ProjectError

_TITLE = "What moved since the champion was trained"


@versioned_asset(determinism="machine", alarm="drifting", watches="code_adapter")
def drift_report(
    completion_dataset: Path,
    feedback_dataset: Path,
    repository_commits: Path,
    interactions: Path,
    code_adapter_champion: ChampionPin,
    sentence_encoder: PinnedModel,
    routing: RoutingSettings,
    load_version: LoadVersion,
    project: str,
    out: Path,
    root: Path,
    cache: RowCache,
) -> None:
    """A project's code and interactions today against what its champion was trained on."""
    model = ReleasedModel("code_adapter", project)
    retained, retained_parts = summarise_interactions(
        pl.read_parquet(interactions / f"{INTERACTIONS.name}.parquet"), project, code_adapter_champion.champion or ""
    )

    def load_training_version(asset: str) -> tuple[str, Path]:
        return champions_data(root, model, code_adapter_champion, asset, load_version)

    try:
        training_feedback = load_training_version("feedback_dataset")[1] if code_adapter_champion.champion else None
    except NothingToCompareError as reason:  # an unknown number does not trigger a training
        words = f"Corrections by people that the champion was not trained on: unknown. {reason}"
    else:
        unseen = unseen_corrections(training_feedback, feedback_dataset)
        retained["corrections"] = float(unseen)
        words = f"Corrections by people that the champion was not trained on: {unseen:,}."
    retained_parts.append(paragraph(words))
    try:
        version, data = load_training_version("completion_dataset")
    except NothingToCompareError as reason:
        _write(out, project, {"drifting": 0.0} | retained, [paragraph(str(reason)), *retained_parts])
        return
    figures, parts = compare_code(
        original_examples(data),
        original_examples(completion_dataset),
        pl.read_parquet(repository_commits / f"{REPOSITORY_COMMITS.name}.parquet"),
        _encoder(sentence_encoder, routing, root, cache),
    )
    _write(out, project, figures | retained, [_champion(version), *parts, *retained_parts])


@versioned_asset(partitioned=False, determinism="machine", alarm="drifting", watches="task_router")
def router_drift_report(
    routing_dataset: Path,
    task_router_champion: ChampionPin,
    sentence_encoder: PinnedModel,
    routing: RoutingSettings,
    coordination: CoordinationSettings,
    load_version: LoadVersion,
    out: Path,
    root: Path,
    cache: RowCache,
) -> None:
    """Tasks logged since the router's champion was trained: what moved, and how well it decides."""
    sample = [paragraph(SAMPLE, warning=True)] if coordination.sample else []
    model = ReleasedModel("task_router", None)
    try:
        version, data = champions_data(root, model, task_router_champion, "routing_dataset", load_version)
    except NothingToCompareError as reason:
        _write(out, "task router", {"drifting": 0.0}, [*sample, paragraph(str(reason))])
        return

    def decide(texts: Sequence[str]) -> list[Decision]:
        try:
            folder = load_version("task_router", None, version)
        except ProjectError as error:
            raise UnreadableChampionError(f"The champion cannot be read: {error}") from error
        return champion_decisions(folder, version, root, texts)

    figures, parts = compare_tasks(
        logged_tasks(data),
        logged_tasks(routing_dataset),
        decide,
        _encoder(sentence_encoder, routing, root, cache),
        routing,
    )
    _write(out, "task router", figures, [*sample, _champion(version), *parts])


def _encoder(pinned: PinnedModel, settings: RoutingSettings, root: Path, cache: RowCache) -> Encode:
    embed = embedder(pinned, settings, root, cache)
    return lambda texts: np.asarray(sentence_part(embed(texts)))


def _champion(version: str) -> str:
    return paragraph(f"The champion is {version}.")


def _write(out: Path, of: str, figures: Mapping[str, float], parts: Iterable[str]) -> None:
    text = json.dumps(figures, indent=2, sort_keys=True) + "\n"
    (out / "metrics.json").write_text(text, encoding="utf-8")
    (out / "report.html").write_text(page(f"{_TITLE}: {of}", parts), encoding="utf-8")
