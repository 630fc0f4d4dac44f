"""``params.yaml`` as typed, validated objects."""

from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import ValidationError, ValidationInfo, field_validator

from cortex_pipelines.adapters.settings import AdapterSettings
from cortex_pipelines.annotation.settings import AnnotationSettings
from cortex_pipelines.augmentation.settings import AugmentationSettings
from cortex_pipelines.coordination.logs import CoordinationSettings
from cortex_pipelines.coordination.tables.settings import LogTableSettings
from cortex_pipelines.datasets.architecture.settings import ArchitectureExampleSettings
from cortex_pipelines.datasets.settings import DatasetSettings, GeneralSettings
from cortex_pipelines.evaluation.audit.settings import AuditSettings
from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.extraction.architecture.settings import ArchitectureSettings
from cortex_pipelines.extraction.pairs.settings import PairSettings
from cortex_pipelines.extraction.refactoring.settings import RefactoringSettings
from cortex_pipelines.extraction.settings import ExtractionSettings
from cortex_pipelines.ingestion.pretrained_models import ModelSource
from cortex_pipelines.ingestion.project_sources import ProjectSettings, is_url
from cortex_pipelines.ingestion.settings import IngestionSettings
from cortex_pipelines.privacy.paths import PathRedactor
from cortex_pipelines.privacy.pseudonyms import logs_key
from cortex_pipelines.privacy.settings import PrivacySettings
from cortex_pipelines.release.deployment import DeploymentSettings
from cortex_pipelines.release.settings import ReleaseSettings
from cortex_pipelines.routing.anomalies.settings import AnomalySettings
from cortex_pipelines.routing.outcomes.settings import PredictorSettings
from cortex_pipelines.routing.settings import RoutingSettings
from cortex_pipelines.settings import CronExpression, ProjectName, Settings, Text
from cortex_pipelines.versioning.project import ProjectError, read_yaml
from cortex_pipelines.versioning.yaml_text import describe_errors


class AutomationSettings(Settings):
    """The nightly retraining; no output depends on it."""

    nightly: CronExpression
    """Cron expression of the nightly run."""

    time_zone: Text
    """IANA name of the time zone that the expression is in."""

    @field_validator("time_zone")
    @classmethod
    def _known(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"no time zone {name}; a name is like Europe/Berlin or UTC") from error
        return name


class Models(Settings):
    """Pretrained models that training starts from."""

    base: ModelSource
    """Language model that the adapters are trained on."""

    encoder: ModelSource
    """Sentence encoder of the task router."""


class Parameters(Settings):
    """All of ``params.yaml``."""

    projects: dict[ProjectName, ProjectSettings]
    """Project by name; each is a partition."""

    coordination: CoordinationSettings
    """The agent system's logs."""

    log_tables: LogTableSettings
    """Tables made of the logs."""

    models: Models
    """Pretrained models."""

    automation: AutomationSettings
    """When the nightly run is."""

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

    general: GeneralSettings
    """Code that is not a project's own."""

    routing: RoutingSettings
    """The task router."""

    predictors: PredictorSettings
    """Outcomes of tasks before they are sent."""

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

    deployment: DeploymentSettings
    """How what is promoted is to be put to use."""

    @field_validator("general")
    @classmethod
    def _is_a_project(cls, general: GeneralSettings, given: ValidationInfo) -> GeneralSettings:
        projects = given.data.get("projects")
        if projects is None:  # what is wrong there is said there
            return general
        if general.project is not None and general.project not in projects:
            known = ", ".join(projects) or "none yet"
            raise ValueError(f"no project {general.project}; there is: {known}; or null for none")
        return general


_LARGEST = 2**20

OUTSIDE = frozenset({"projects", "models", "automation", "deployment"})
"""Parts of ``params.yaml`` that reach assets through pins, or not at all."""

SECTIONS: dict[str, type[Settings]] = {
    name: field.annotation
    for name, field in Parameters.model_fields.items()
    if name not in OUTSIDE and isinstance(field.annotation, type)
}
"""The sections that an asset can ask for by a parameter of that name."""


def load_parameters(root: Path, file: Path | None = None) -> Parameters:
    """The validated ``params.yaml`` of a project, or what is about to take its place.

    Raises:
        ProjectError: a key is missing, unknown, or of the wrong type; names the key and what it
            takes. A place of a source holds what looks private.
    """
    path = file or root / "params.yaml"
    if path.is_file() and path.stat().st_size > _LARGEST:
        raise ProjectError(
            f"params.yaml has {path.stat().st_size:,} bytes; at most {_LARGEST:,} are read, a "
            "usual one has 20,000; `git checkout params.yaml` brings back the last one"
        )
    values = read_yaml(path)
    if not values:
        raise ProjectError(
            "params.yaml is empty; `git checkout params.yaml` brings back the last one"
        )
    try:
        found = Parameters.model_validate(values)
    except ValidationError as error:
        words = describe_errors(error, path.read_text(encoding="utf-8"), Parameters)
        raise ProjectError(f"params.yaml: {words}") from error
    _refuse_private_places(found)
    return found


def _refuse_private_places(found: Parameters) -> None:
    """Places of sources are copied as they are to locks and histories, so none may be private."""
    shown = PathRedactor(found.privacy, logs_key(found.privacy))
    for where, place in _places(found):
        _, taken = shown.redact(place)
        if taken:
            raise ProjectError(
                f"params.yaml: {where} holds what looks private ({taken[0].rule}) and would be "
                "copied to dvc.lock, sources.lock and Dagster's history; rename the branch or "
                "folder, or name a commit, another path or a symbolic link; a name that is "
                "harmless goes into privacy.allowed"
            )


def _places(found: Parameters) -> Iterator[tuple[str, str]]:
    """Names of branches, tags and folders in ``params.yaml``, each with its key."""
    for name, project in found.projects.items():
        for number, source in enumerate(project.sources):
            for key, place in source.place.items():
                # what stands before the host of a URL is the account that git logs in with
                if key in ("ref", "directory", "archive") or (key == "git" and not is_url(place)):
                    yield f"projects.{name}.sources.{number}.{key}", place
    yield "coordination.logs", found.coordination.logs
