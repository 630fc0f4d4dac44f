"""Catalog of all assets and pins, and their graph."""

from pathlib import Path

from cortex_pipelines.adapters.assets import code_adapter
from cortex_pipelines.annotation.assets import annotated_units
from cortex_pipelines.augmentation.assets import augmented_units
from cortex_pipelines.config import PER_PROJECT, SECTIONS, resolve
from cortex_pipelines.coordination.assets import coordination_events, coordination_tables
from cortex_pipelines.coordination.logs import CoordinationSettings, CoordinationSource
from cortex_pipelines.datasets.assets import (
    architecture_dataset,
    completion_dataset,
    documentation_dataset,
    feedback_dataset,
    general_code,
    naming_dataset,
    refactoring_dataset,
    tests_dataset,
    unit_splits,
)
from cortex_pipelines.evaluation.adapter.assets import code_adapter_evaluation
from cortex_pipelines.extraction.assets import architecture_facts, code_units, refactoring_pairs
from cortex_pipelines.feedback.assets import interactions
from cortex_pipelines.feedback.settings import FeedbackSettings
from cortex_pipelines.feedback.store import FeedbackSource
from cortex_pipelines.ingestion.assets import line_times, repository_commits, repository_files
from cortex_pipelines.ingestion.pretrained_models import ModelSource, PinnedModel
from cortex_pipelines.ingestion.project_sources import ProjectSettings, ProjectSource
from cortex_pipelines.monitoring.assets import drift_report, router_drift_report, worker_anomalies
from cortex_pipelines.privacy.assets import compliance
from cortex_pipelines.project_names import MEANINGS, graph_meanings, name_refusal
from cortex_pipelines.release.assets import code_adapter_release, task_router_release
from cortex_pipelines.release.ledger import FILE as RELEASES
from cortex_pipelines.release.ledger import load_pin
from cortex_pipelines.retrieval.assets import code_embeddings, code_graph, search_documents
from cortex_pipelines.routing.assets import routing_dataset, task_router
from cortex_pipelines.routing.audit.assets import routing_audit
from cortex_pipelines.routing.evaluation.assets import task_router_evaluation
from cortex_pipelines.routing.outcomes.assets import outcome_evaluation, outcome_predictors
from cortex_pipelines.versioning.graph import AssetMetrics, Graph, Pin, Plot
from cortex_pipelines.versioning.parameters import ENTRY, Effective
from cortex_pipelines.versioning.project import Project, ProjectError

SOURCES = "sources.lock"

PINS = (
    Pin(
        name="project_source",
        lock=SOURCES,
        lock_key="projects.{project}",
        params_key=ENTRY,
        partitioned=True,
        load=lambda settings, pins: ProjectSource(ProjectSettings.model_validate(settings), tuple(pins or ())),
        description="Where a project's code comes from, and the revision last taken of it.",
    ),
    Pin(
        name="coordination_source",
        lock=SOURCES,
        lock_key="coordination",
        params_key="coordination",
        partitioned=False,
        load=lambda settings, pin: CoordinationSource(CoordinationSettings.model_validate(settings), pin or {}),
        description="The agent system's logs, and how much was last taken of each file.",
    ),
    Pin(
        name="feedback_source",
        lock=SOURCES,
        lock_key="feedback",
        params_key="feedback",
        partitioned=False,
        load=lambda settings, pin: FeedbackSource(FeedbackSettings.model_validate(settings), pin or {}),
        description="Events about completions, and how much was last taken of each file.",
    ),
    *(
        Pin(
            name=name,
            lock=SOURCES,
            lock_key=f"models.{key}",
            params_key=f"models.{key}",
            partitioned=False,
            load=lambda settings, pin: PinnedModel(ModelSource.model_validate(settings), pin or {}),
            description=description,
        )
        for name, key, description in (
            ("base_model", "base", "The language model that adapters are trained on."),
            ("sentence_encoder", "encoder", "The sentence encoder of the task router."),
        )
    ),
    *(
        Pin(
            name=f"{asset}_champion",
            lock=RELEASES,
            lock_key=f"champions.{asset}" + (".{project}" if partitioned else ""),
            params_key=None,
            partitioned=partitioned,
            load=load_pin,
            description=f"The version of {asset} that is champion, as releases.lock names it.",
        )
        for asset, partitioned in (("code_adapter", True), ("task_router", False))
    ),
)

ASSETS = (
    *(repository_files, repository_commits, line_times, compliance, coordination_events, coordination_tables),
    *(code_units, refactoring_pairs, architecture_facts, code_graph, annotated_units, augmented_units),
    *(search_documents, code_embeddings, unit_splits),
    *(completion_dataset, refactoring_dataset, naming_dataset, architecture_dataset, documentation_dataset),
    *(tests_dataset, interactions, feedback_dataset, general_code, routing_dataset),
    *(code_adapter, task_router, outcome_predictors, worker_anomalies),
    *(code_adapter_evaluation, task_router_evaluation, outcome_evaluation, routing_audit),
    *(code_adapter_release, task_router_release, drift_report, router_drift_report),
)

_MEASURED = (
    *("annotated_units", "completion_dataset", "refactoring_dataset", "naming_dataset", "architecture_dataset"),
    *("documentation_dataset", "tests_dataset", "feedback_dataset", "code_adapter", "worker_anomalies"),
    *("code_adapter_evaluation", "task_router_evaluation", "outcome_evaluation", "routing_audit", "drift_report"),
    "router_drift_report",
)
FIGURES = {
    **dict.fromkeys(_MEASURED, AssetMetrics()),
    "task_router": AssetMetrics(
        plots=(
            Plot("candidates.json", "accuracy", "model", "accuracy of candidates", "bar_horizontal"),
            Plot("trials.json", "number", "value", "loss of trials", "scatter"),
        )
    ),
}
"""Metrics and plots of each asset for DVC. Training curves are excluded, since DVC would draw the
two lists of a file over each other; MLflow and Dagster show them."""


def open_project(root: Path) -> Project:
    """The project in a folder, with the complete asset graph."""
    return Project(root, Graph(ASSETS, PINS, SECTIONS, PER_PROJECT), _resolve, FIGURES)


def _resolve(root: Path) -> Effective:
    effective = resolve(root)
    for name in effective.parameters.projects:
        if refusal := project_name_refusal(name):
            raise ProjectError(f"params.yaml: projects.{name}: {refusal}")
    return effective


def project_name_refusal(name: str) -> str | None:
    """Why a name is not allowed for a project, with a suggestion; None if it is allowed."""
    registered = [asset.registers for asset in ASSETS if asset.registers]
    graph = graph_meanings((asset.name for asset in ASSETS), registered, (pin.name for pin in PINS))
    partitioned = [a.registers for a in ASSETS if a.registers and a.partitioned]
    return name_refusal(name, {**graph, **MEANINGS}, partitioned)
