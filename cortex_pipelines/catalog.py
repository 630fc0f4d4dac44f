"""Catalog of all assets and pins, and their graph."""

from functools import lru_cache
from pathlib import Path

from cortex_pipelines.config import PER_PROJECT, SECTIONS, resolve
from cortex_pipelines.coordination.settings import CoordinationSettings, CoordinationSource
from cortex_pipelines.feedback.settings import FeedbackSettings, FeedbackSource
from cortex_pipelines.ingestion.pretrained_models import ModelSource, PinnedModel
from cortex_pipelines.ingestion.project_sources import ProjectSettings, ProjectSource
from cortex_pipelines.project_names import MEANINGS, graph_meanings, name_refusal
from cortex_pipelines.release.ledger import FILE as RELEASES
from cortex_pipelines.release.ledger import load_pin
from cortex_pipelines.versioning.declared import declared
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

ASSETS = tuple(
    asset
    for module, names in {
        "ingestion.assets": "repository_files repository_commits line_times",
        "privacy.assets": "compliance",
        "coordination.assets": "coordination_events coordination_tables",
        "extraction.assets": "code_units refactoring_pairs architecture_facts",
        "annotation.assets": "annotated_units",
        "augmentation.assets": "augmented_units",
        "retrieval.assets": "code_graph search_documents code_embeddings",
        "feedback.assets": "interactions",
        "datasets.assets": "unit_splits completion_dataset refactoring_dataset naming_dataset architecture_dataset "
        "documentation_dataset tests_dataset feedback_dataset general_code",
        "adapters.assets": "code_adapter",
        "evaluation.adapter.assets": "code_adapter_evaluation",
        "routing.dataset.assets": "routing_dataset",
        "routing.assets": "task_router",
        "routing.outcomes.assets": "outcome_predictors outcome_evaluation",
        "routing.evaluation.assets": "task_router_evaluation",
        "routing.audit.assets": "routing_audit",
        "learned.forecast.assets": "performance_analyser",
        "learned.encoder.assets": "code_encoder",
        "learned.defects.assets": "pattern_recogniser",
        "release.assets": "code_adapter_release task_router_release",
        "monitoring.assets": "drift_report router_drift_report worker_anomalies",
    }.items()
    for asset in declared(module, *names.split())
)

_MEASURED = (
    *("annotated_units", "completion_dataset", "refactoring_dataset", "naming_dataset", "architecture_dataset"),
    *("documentation_dataset", "tests_dataset", "feedback_dataset", "code_adapter", "worker_anomalies"),
    *("performance_analyser", "code_encoder", "pattern_recogniser"),
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
    if refusal := _names_refusal(tuple(effective.parameters.projects)):
        raise ProjectError(f"params.yaml: projects.{refusal}")
    return effective


@lru_cache(maxsize=8)
def _names_refusal(names: tuple[str, ...]) -> str | None:
    return next((f"{name}: {refusal}" for name in names if (refusal := project_name_refusal(name))), None)


def project_name_refusal(name: str) -> str | None:
    """Why a name is not allowed for a project, with a suggestion; None if it is allowed."""
    registered = [asset.registers for asset in ASSETS if asset.registers]
    graph = graph_meanings((asset.name for asset in ASSETS), registered, (pin.name for pin in PINS))
    partitioned = [a.registers for a in ASSETS if a.registers and a.partitioned]
    return name_refusal(name, {**graph, **MEANINGS}, partitioned)
