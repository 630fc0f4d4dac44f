"""Services of a project: lineage, outcome prediction, code search and so on."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache, partial
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import Any

from cortex_pipelines.adapters.model.base_model import base_digest
from cortex_pipelines.catalog import open_project
from cortex_pipelines.config import Parameters, load_parameters
from cortex_pipelines.coordination.logs import CoordinationError
from cortex_pipelines.ingestion.pretrained_models import PinnedModel, weights_folder
from cortex_pipelines.monitoring.anomalies.detector_store import DetectorError, score_new_records
from cortex_pipelines.privacy.typed_text import redacted
from cortex_pipelines.project_names import ROUTER
from cortex_pipelines.prompts.templates import project_templates
from cortex_pipelines.retrieval.notes.project_notes import ProjectNotes
from cortex_pipelines.routing.outcomes.predict import expect
from cortex_pipelines.routing.outcomes.predictors import PredictorError
from cortex_pipelines.routing.serving.router import Decision
from cortex_pipelines.serving.embeddings import CodeEncoder
from cortex_pipelines.serving.review_decisions import review_queue
from cortex_pipelines.serving.reviews import ReviewQueue
from cortex_pipelines.serving.security.access import current_principal
from cortex_pipelines.serving.services import ProjectServices, ServiceError
from cortex_pipelines.signing.verified_output import open_verified_output
from cortex_pipelines.tracking.lineage import lineage_of
from cortex_pipelines.versioning.lock_file import locked_stages, locked_version, stage_address
from cortex_pipelines.versioning.project import Project, ProjectError, look_up, read_yaml

_ADAPTER = "code_adapter"
_FORMAT_VERSION = 2
"""Format version of cached contexts; older ones have no ``known``."""


def project_services(root: Path) -> ProjectServices:
    """The services of a project."""
    code = _CodeSearch(root)
    params = load_parameters(root)
    return ProjectServices(
        expect=partial(_predict_outcome, root),
        score=partial(_score_records, root),
        search=code.search,
        context=code.context,
        relations=_Relations(root).ask,
        encoder=code_encoder(root),
        lineage=partial(_lineage, root),
        templates=partial(project_templates, root),
        redact=partial(redacted, params.privacy),
        memory=partial(open_memory, root),
        review=partial(_queue_reviews, review_queue(root)) if params.serving.review else None,
    )


def code_encoder(root: Path) -> CodeEncoder:
    """The pinned sentence encoder; loaded by the first request."""
    project = open_project(root)
    params = load_parameters(root)
    pin = look_up(read_yaml(project.root / "sources.lock"), "models.encoder")
    pinned = PinnedModel(params.models.encoder, pin or {})
    locate = partial(weights_folder, pinned.source, pinned.pin, root)
    return CodeEncoder(base_digest(pinned), locate, params.serving.threads)


def _queue_reviews(queue: ReviewQueue, texts: Sequence[str], decisions: Sequence[Decision]) -> None:
    queue.add(texts, decisions, datetime.now(UTC).isoformat(timespec="seconds"))


def _predict_outcome(root: Path, task: str, master: str | None) -> Mapping[str, Any]:
    project = open_project(root)
    tables, evaluation = (project.output(name, None) for name in ("coordination_tables", "outcome_evaluation"))
    settings = load_parameters(root).log_tables
    try:
        predictors, version = open_verified_output(project, "outcome_predictors")
        rows = expect(task, master, datetime.now(UTC), tables, predictors, evaluation, settings)
    except (ProjectError, PredictorError) as error:
        raise ServiceError(str(error)) from error
    return {"expected": rows, "version": version}


def _score_records(root: Path, log: str, records: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    project = open_project(root)
    try:
        detectors, version = open_verified_output(project, "worker_anomalies")
        watched = score_new_records(records, log, detectors, load_parameters(root))
    except (ProjectError, DetectorError, CoordinationError) as error:
        raise ServiceError(str(error)) from error
    return {**watched.as_json(), "version": version}


def _lineage(root: Path, name: str | None, version: str) -> Mapping[str, Any]:
    asset = ROUTER if name is None else _ADAPTER
    return lineage_of(open_project(root), asset, name, version).to_json()


class _CodeSearch:
    """Search over a project's files; reopened when their versions change."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._opened: dict[str | None, tuple[object, Any]] = {}
        self._lock = Lock()

    def search(self, query: str, name: str | None, k: int) -> Mapping[str, Any]:
        """Search results for a query."""

        def make() -> tuple[dict[str, Any], bool]:
            with self._lock:  # two threads would build the same index
                source, versions = self._source(name)
                notice = source.notice()
                results = source.searcher.search(query, k)
            rows = [result.as_json() for result in results]
            answer = {"results": rows, "notice": notice, "versions": versions}
            return answer, not source.searcher.note

        return self._cached_answer("search", name, [query, k], make)

    def context(self, task: str, name: str | None, tokens: int) -> Mapping[str, Any]:
        """The packed context of a task."""

        def make() -> tuple[dict[str, Any], bool]:
            with self._lock:
                source, versions = self._source(name)
                packed = source.context(task, tokens).as_json()
            del packed["task"]
            return {**packed, "versions": versions}, not source.searcher.note

        return self._cached_answer("context", name, [task, tokens, _FORMAT_VERSION], make)

    def _cached_answer(
        self, kind: str, name: str | None, request_key: list[Any], make: Callable[[], tuple[dict[str, Any], bool]]
    ) -> Mapping[str, Any]:
        """Answer from the project's cache, per caller: timing reveals no one else's queries."""
        if name is None:
            return make()[0]
        try:
            memory = open_memory(self._root, name)
        except ProjectError as error:
            raise ServiceError(str(error)) from error
        return memory.cached_answer(kind, [current_principal().name, *request_key], make)

    def _source(self, name: str | None) -> tuple[Any, dict[str, str | None]]:
        try:
            return self._opened_source(name)
        except ProjectError as error:
            raise ServiceError(str(error)) from error

    def _opened_source(self, name: str | None) -> tuple[Any, dict[str, str | None]]:
        project = open_project(self._root)
        names = [name] if name else list(project.partitions)
        versions = _versions(project, "search_documents", names)
        made_from = (versions, _versions(project, "code_embeddings", names))
        opened_versions, source = self._opened.get(name, (None, None))
        if source is None or opened_versions != made_from:
            contexts = import_module("cortex_pipelines.serving.task_context")
            source = contexts.project_context(project, name, load_parameters(self._root))
            self._opened[name] = (made_from, source)
        return source, versions


class _Relations:
    """Code graphs of a project; reopened when their versions change."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._opened: dict[str | None, tuple[dict[str, str | None], Any]] = {}
        self._lock = Lock()

    def ask(self, question: str, name: str, to: str | None, project_name: str | None, depth: int) -> Mapping[str, Any]:
        """Answer a question about the code graph."""
        project = open_project(self._root)
        names = [project_name] if project_name else list(project.partitions)
        versions = _versions(project, "code_graph", names)
        with self._lock:
            opened_versions, graph = self._opened.get(project_name, ({}, None))
            if graph is None or opened_versions != versions:
                graphs = import_module("cortex_pipelines.retrieval.graph.open_graph")
                graph = graphs.project_graph(project, project_name)
                self._opened[project_name] = (versions, graph)
        return {**graph.ask(question, name, to, depth).as_json(), "versions": versions}


def _versions(project: Project, asset: str, names: list[str]) -> dict[str, str | None]:
    """DVC's hash of an asset, by project."""
    stages = locked_stages(project.root)
    return {name: locked_version(stages, stage_address(asset, name)) for name in names}


def open_memory(root: Path, name: str | None) -> ProjectNotes:
    """Open the notes of a project; without a name, of the only project.

    Raises:
        ProjectError: unknown project, or the name is missing.
    """
    file = (root / "params.yaml").stat()
    project, params = _read(root, (file.st_mtime_ns, file.st_size, file.st_ino))
    if name is None:
        if len(project.partitions) != 1:
            names = ", ".join(project.partitions) or "none yet"
            raise ProjectError(f"say which project it is about; there is: {names}")
        (name,) = project.partitions
    return ProjectNotes(project, name, params)


@lru_cache(maxsize=4)
def _read(root: Path, _: tuple[int, int, int]) -> tuple[Project, Parameters]:
    """Project and parameters, cached until params.yaml changes."""
    return open_project(root), load_parameters(root)
