"""Assets of monitoring: drift since each champion was trained, and anomalies of workers' metrics."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from time import monotonic

import numpy as np
import polars as pl

from cortex_pipelines.coordination.settings import CoordinationSettings
from cortex_pipelines.embeddings.encoder import sentence_part
from cortex_pipelines.ingestion.pretrained_models import PinnedModel
from cortex_pipelines.jsonl import write_json
from cortex_pipelines.monitoring.anomalies.detect import anomaly_report, fit_and_score
from cortex_pipelines.monitoring.anomalies.detector_store import save_detectors
from cortex_pipelines.monitoring.code_drift import (
    compare_code,
    original_examples,
    summarise_interactions,
    unseen_corrections,
)
from cortex_pipelines.monitoring.drift_evidence import Encode
from cortex_pipelines.monitoring.settings import AnomalySettings
from cortex_pipelines.monitoring.task_drift import compare_tasks, logged_tasks
from cortex_pipelines.pages import SAMPLE, page, paragraph
from cortex_pipelines.release.ledger import ReleasedModel, inputs_of, moves
from cortex_pipelines.routing.assets import embedder
from cortex_pipelines.routing.serving.router import Decision, UnreadableChampionError, champion_decisions
from cortex_pipelines.routing.settings import RoutingSettings
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.coordination import SYSTEM_METRICS, WORKER_METRICS
from cortex_pipelines.schemas.feedback import INTERACTIONS
from cortex_pipelines.schemas.ingestion import REPOSITORY_COMMITS
from cortex_pipelines.schemas.monitoring import ANOMALY_ALERTS, ANOMALY_SERIES, ANOMALY_WINDOWS
from cortex_pipelines.versioning import versioned_asset
from cortex_pipelines.versioning.asset import LoadVersion
from cortex_pipelines.versioning.champions import ChampionPin
from cortex_pipelines.versioning.project import ProjectError


class NothingToCompareError(RuntimeError):
    """No champion, or its data is missing; the message is a sentence for the page."""


def champions_data(
    root: Path, model: ReleasedModel, pin: ChampionPin, asset: str, load_version: LoadVersion
) -> tuple[str, Path]:
    """Version of the champion, and the folder with an asset's version that it was trained on.

    The ledger names that version, and a version never changes, so the pin decides the answer. Raises
    NothingToCompareError: no champion, or its training data is unknown or missing.
    """
    if pin.champion is None:
        raise NothingToCompareError(f"{model.name} has no champion yet, so there is nothing to compare with.")
    input_versions = inputs_of(moves(root, model), pin.champion) or {}
    if asset not in input_versions:
        raise NothingToCompareError(
            f"releases.lock does not say which {asset} the champion {pin.champion} was trained "
            "on, for it was promoted before promotions noted that; the next one does."
        )
    try:
        return pin.champion, load_version(asset, model.partition, input_versions[asset])
    except ProjectError as error:
        raise NothingToCompareError(
            f"The data that the champion {pin.champion} was trained on cannot be read: {error}."
        ) from error


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
    champion = paragraph(f"The champion is {version}.")
    _write(out, project, figures | retained, [champion, *parts, *retained_parts])


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
    _write(out, "task router", figures, [*sample, paragraph(f"The champion is {version}."), *parts])


def _encoder(pinned: PinnedModel, settings: RoutingSettings, root: Path, cache: RowCache) -> Encode:
    embed = embedder(pinned, settings, root, cache)
    return lambda texts: np.asarray(sentence_part(embed(texts)))


def _write(out: Path, of: str, figures: Mapping[str, float], parts: Iterable[str]) -> None:
    write_json(out / "metrics.json", figures)
    (out / "report.html").write_text(page(f"{_TITLE}: {of}", parts), encoding="utf-8")


@versioned_asset(
    tables=(ANOMALY_SERIES, ANOMALY_WINDOWS, ANOMALY_ALERTS),
    partitioned=False,
    determinism="machine",
    alarm="alarmed_logs",
)
def worker_anomalies(
    coordination_tables: Path,
    anomalies: AnomalySettings,
    coordination: CoordinationSettings,
    out: Path,
    observe: Callable[[str, float], None],
) -> dict[str, pl.DataFrame]:
    """Anomaly scores of workers' metrics by the best of three detectors, and latest alerts."""
    began = monotonic()
    metrics = pl.concat(
        pl.read_parquet(coordination_tables / f"{table.name}.parquet") for table in (WORKER_METRICS, SYSTEM_METRICS)
    )
    watchers, tables = fit_and_score(metrics, anomalies)
    save_detectors(out, watchers, anomalies.window)
    latest = tables[ANOMALY_WINDOWS.name].filter(pl.col("part") == "latest")
    shares = latest.group_by("file").agg(pl.col("alert").mean())
    figures = {
        "hand_written_sample": float(coordination.sample),
        "watched_logs": float(tables[ANOMALY_SERIES.name]["chosen"].count()),
        "left_out_logs": float(tables[ANOMALY_SERIES.name]["left_out"].count()),
        "alerts": float(tables[ANOMALY_ALERTS.name].height),
        # with more anomalies in their latest windows than the false alarm rate allows
        "alarmed_logs": float(shares.filter(pl.col("alert") > anomalies.alarm_share).height),
    }
    write_json(out / "metrics.json", figures)
    report = anomaly_report(tables, anomalies.alarm_share, coordination.sample)
    (out / "report.html").write_text(report, encoding="utf-8")
    observe("watch_seconds", monotonic() - began)
    return tables
