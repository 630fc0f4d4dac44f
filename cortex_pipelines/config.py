"""``params.yaml`` as typed, validated objects."""

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, ValidationInfo, field_validator

from cortex_pipelines.adapters.settings import AdapterSettings
from cortex_pipelines.annotation.settings import AnnotationSettings
from cortex_pipelines.atomic import package_state, unless_passed
from cortex_pipelines.augmentation.settings import AugmentationSettings
from cortex_pipelines.check.settings import CheckSettings
from cortex_pipelines.coordination.settings import CoordinationSettings, LogTableSettings
from cortex_pipelines.datasets.settings import (
    ArchitectureExampleSettings,
    DatasetSettings,
    FeedbackExampleSettings,
    GeneralSettings,
)
from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.extraction.settings import (
    ArchitectureSettings,
    ExtractionSettings,
    PairSettings,
    RefactoringSettings,
)
from cortex_pipelines.feedback.settings import FeedbackSettings
from cortex_pipelines.ingestion.connectors.declared import DltSource
from cortex_pipelines.ingestion.pretrained_models import ModelSource
from cortex_pipelines.ingestion.project_sources import ProjectSettings, is_url
from cortex_pipelines.ingestion.settings import IngestionSettings
from cortex_pipelines.learned.settings import DefectSettings, EncoderSettings, ForecastSettings
from cortex_pipelines.monitoring.settings import AnomalySettings, RetrainingSettings
from cortex_pipelines.parallel.settings import ExecutionSettings
from cortex_pipelines.privacy.settings import PrivacySettings
from cortex_pipelines.project_names import MEANINGS, case_clash, name_refusal
from cortex_pipelines.release.settings import DeploymentSettings, ReleaseSettings
from cortex_pipelines.retrieval.settings import RetrievalSettings
from cortex_pipelines.routing.settings import AuditSettings, PredictorSettings, RoutingSettings
from cortex_pipelines.serving.settings import PromotionGates, ServingSettings
from cortex_pipelines.settings import CronExpression, ProjectName, Settings, Text
from cortex_pipelines.versioning.parameters import Effective, ParameterLayout
from cortex_pipelines.versioning.parameters import resolve as resolve_parameters
from cortex_pipelines.versioning.root import ProjectError, find_root


class AutomationSettings(Settings):
    """Section ``automation`` of params.yaml; no output depends on it."""

    nightly: CronExpression
    """Cron expression of the nightly run."""
    weekly: CronExpression
    """Cron expression of the weekly run, which may train for longer."""
    time_zone: Text
    """IANA time zone of both expressions."""

    @field_validator("time_zone")
    @classmethod
    def _require_time_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"no time zone {name}; a name is like Europe/Berlin or UTC") from error
        return name


class Models(Settings):
    """Pretrained models."""

    base: ModelSource
    """Language model that the adapters are trained on."""
    encoder: ModelSource
    """Sentence encoder of the task router."""


Profile = Literal["standard", "demo", "thorough"]
"""Named defaults in ``cortex_pipelines/profiles``."""


def _require_free(name: str) -> str:
    if refusal := name_refusal(name, MEANINGS):
        raise ValueError(refusal)
    return name


NewProjectName = Annotated[ProjectName, AfterValidator(_require_free)]
"""Name of a project where it is declared."""


class ProjectEntry(ProjectSettings):
    """A project of ``params.yaml``: its sources and its overrides."""

    profile: Profile | None = None
    """Profile of this project; without one that of all."""
    ingestion: IngestionSettings | None = None
    """Limits of what is read, for this project."""
    extraction: ExtractionSettings | None = None
    """Units of code, for this project."""
    refactoring: RefactoringSettings | None = None
    """Refactorings between two versions, for this project."""
    pairs: PairSettings | None = None
    """Refactorings from history, for this project."""
    architecture: ArchitectureSettings | None = None
    """Facts of a project's structure, for this project."""
    annotation: AnnotationSettings | None = None
    """Labels and measures of units, for this project."""
    augmentation: AugmentationSettings | None = None
    """Renamed and broken variants of units, for this project."""
    datasets: DatasetSettings | None = None
    """Filters, splits and sizes of the data sets, for this project."""
    architecture_examples: ArchitectureExampleSettings | None = None
    """Dependency rules and examples of architecture, for this project."""
    feedback_examples: FeedbackExampleSettings | None = None
    """What of its feedback is trained on."""
    adapters: AdapterSettings | None = None
    """LoRA training, for this project."""
    evaluation: EvaluationSettings | None = None
    """How its adapter is measured."""
    release: ReleaseSettings | None = None
    """What its adapter has to reach to be promoted."""


class Parameters(Settings):
    """All of ``params.yaml``, completed by its profile."""

    profile: Profile
    """Profile that holds wherever nothing else is written."""
    projects: dict[NewProjectName, ProjectEntry]
    """Project by name; each is a partition."""
    coordination: CoordinationSettings
    """The agent system's logs."""
    log_tables: LogTableSettings
    """Tables made of the logs."""
    models: Models
    """Pretrained models."""
    automation: AutomationSettings
    """When the nightly and the weekly run are."""
    execution: ExecutionSettings
    """Where rows are computed."""
    ingestion: IngestionSettings
    """Limits of what is read."""
    privacy: PrivacySettings
    """Secrets and personal data."""
    extraction: ExtractionSettings
    """Units of code."""
    refactoring: RefactoringSettings
    """Refactorings between two versions."""
    pairs: PairSettings
    """Refactorings from history."""
    architecture: ArchitectureSettings
    """Facts of a project's structure."""
    annotation: AnnotationSettings
    """Labels and measures of units."""
    augmentation: AugmentationSettings
    """Renamed and broken variants of units."""
    datasets: DatasetSettings
    """Filters, splits and sizes of the data sets."""
    architecture_examples: ArchitectureExampleSettings
    """Dependency rules, and what becomes an example of the architecture data set."""
    feedback_examples: FeedbackExampleSettings
    """What of people's feedback is trained on."""
    general: GeneralSettings
    """Code that is not a project's own."""
    retrieval: RetrievalSettings
    """Embeddings of code and commits."""
    routing: RoutingSettings
    """The task router."""
    predictors: PredictorSettings
    """Outcomes of tasks before they are sent."""
    forecasts: ForecastSettings
    """Forecasts of workers' metrics and other series."""
    defects: DefectSettings
    """Defects in functions."""
    encoder_training: EncoderSettings
    """The encoder of code."""
    anomalies: AnomalySettings
    """Unusual behaviour of workers."""
    adapters: AdapterSettings
    """LoRA training."""
    evaluation: EvaluationSettings
    """How models are measured."""
    audit: AuditSettings
    """What an estimate from logs, or a warning, has to rest on."""
    release: ReleaseSettings
    """What a model has to reach to be promoted."""
    check: CheckSettings
    """What `cortex check` reports."""
    gates: PromotionGates
    """What a promotion measures on this machine."""
    deployment: DeploymentSettings
    """How what is promoted is to be put to use."""
    serving: ServingSettings
    """What the gateway may use."""
    feedback: FeedbackSettings
    """What is kept of people's reactions to completions."""
    retraining: RetrainingSettings
    """When a model is trained again."""

    @field_validator("projects")
    @classmethod
    def _require_distinct(cls, projects: dict[str, ProjectEntry]) -> dict[str, ProjectEntry]:
        if clash := case_clash(projects):
            raise ValueError(clash)
        return projects

    @field_validator("general")
    @classmethod
    def _require_project(cls, general: GeneralSettings, info: ValidationInfo) -> GeneralSettings:
        projects = info.data.get("projects")  # without it, that field reports its own error
        if projects is not None and general.project not in (None, *projects):
            names = ", ".join(projects) or "none yet"
            raise ValueError(f"no project {general.project}; projects: {names}; or null for none")
        return general


NOT_REQUESTABLE = frozenset(
    {"models", "automation", "execution", "check", "gates", "deployment", "serving", "retraining"}
)
"""Sections that assets can read through pins only, or not at all."""

LAYOUT = ParameterLayout(Parameters, "cortex_pipelines/profiles")

SECTIONS = {name: model for name, model in LAYOUT.sections.items() if name not in NOT_REQUESTABLE}
"""Sections that an asset can request by a parameter of that name."""

PER_PROJECT = LAYOUT.per_project
"""Sections that a project can override."""


def resolve(root: Path, file: Path | None = None) -> Effective:
    """The parameters of a project, or of ``file``; ProjectError names a wrong key, or a location that looks private."""
    return resolve_parameters(root, LAYOUT, file, _refuse_private)


def _refuse_private(root: Path, params: Parameters) -> None:
    """ProjectError: a source's location, which is copied verbatim to locks and histories, looks private."""
    locations = {"coordination.logs": params.coordination.logs, "feedback.events": params.feedback.events}
    tables = {f"coordination.sources.{number}": source for number, source in enumerate(params.coordination.sources)}
    for name, project in params.projects.items():
        for number, source in enumerate(project.sources):
            key = f"projects.{name}.sources.{number}"
            for field, location in source.declaration.items():
                # the part of a URL before the host is git's account
                if field in ("ref", "directory", "archive") or (field == "git" and not is_url(location)):
                    locations[f"{key}.{field}"] = location
            if isinstance(source, DltSource):
                tables[key] = source
    state = f"{locations}\n{tables}\n{params.privacy}\n{package_state('privacy')}"
    mark = root / ".cortex" / "cache" / "harmless-locations"
    # what recognises private values takes longer to import than most commands run
    unless_passed(mark, state, partial(_look_for_private, params.privacy, locations, tables))


def _look_for_private(settings: PrivacySettings, locations: dict[str, str], tables: dict[str, DltSource]) -> None:
    from cortex_pipelines.privacy.paths import PathRedactor
    from cortex_pipelines.privacy.pseudonyms import logs_key
    from cortex_pipelines.privacy.records import redact_record

    pseudonym_key = logs_key(settings)
    redactor = PathRedactor(settings, pseudonym_key)
    for key, location in locations.items():
        _, redactions = redactor.redact(location)
        if redactions:
            raise ProjectError(
                f"params.yaml: {key} contains what looks private ({redactions[0].rule}) and would be copied to "
                "dvc.lock, sources.lock and Dagster's history; rename the branch or folder, or name a commit, another "
                "path or a symbolic link; a name that is harmless goes into privacy.allowed"
            )
    for key, table in tables.items():
        if private := redact_record(table.rest, settings, pseudonym_key).redactions:
            raise ProjectError(
                f"params.yaml: {key}.rest contains what looks private ({private[0].rule}) and "
                "would be copied to dvc.lock and Dagster's history; write ${NAME} there and set "
                "the environment variable NAME; what is harmless goes into privacy.allowed"
            )


def load_parameters(root: Path, file: Path | None = None) -> Parameters:
    """The validated parameters for all projects; raises as ``resolve``."""
    parameters: Parameters = resolve(root, file).parameters
    return parameters


def load_parameters_anywhere(folder: str | Path | None = None) -> Parameters:
    """Parameters of the project around a folder (None: the current one), else those of the standard profile."""
    try:
        root = find_root(None if folder is None else Path(folder))
    except ProjectError:
        if folder is not None:
            raise
        with TemporaryDirectory() as empty:
            (Path(empty) / "params.yaml").write_text("profile: standard\nprojects: {}\n")
            return load_parameters(Path(empty))
    return load_parameters(root)
