"""Services of a project: lineage, outcome prediction, code search, packed contexts and so on."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import lru_cache, partial
from pathlib import Path
from threading import Lock
from typing import Any

from cortex_pipelines.adapters.model.base_model import base_digest
from cortex_pipelines.catalog import open_project
from cortex_pipelines.config import Parameters, load_parameters
from cortex_pipelines.coordination.logs import CoordinationError
from cortex_pipelines.ingestion.pretrained_models import PinnedModel, weights_folder
from cortex_pipelines.monitoring.anomalies.detector_store import DetectorError, score_new_records
from cortex_pipelines.privacy.records import redacted
from cortex_pipelines.project_names import ROUTER
from cortex_pipelines.prompts.templates import project_templates
from cortex_pipelines.retrieval.graph.open_graph import project_graph
from cortex_pipelines.retrieval.graph.questions import CodeGraph
from cortex_pipelines.retrieval.notes.project_notes import ProjectNotes
from cortex_pipelines.retrieval.search import shown_lines
from cortex_pipelines.routing.outcomes.predict import expect
from cortex_pipelines.routing.outcomes.predictors import PredictorError
from cortex_pipelines.serving.project_context import ContextSource, project_context
from cortex_pipelines.serving.reviews import review_queue
from cortex_pipelines.serving.security.access import current_principal
from cortex_pipelines.serving.services import Answer, CodeEncoder, ProjectServices, ServiceError
from cortex_pipelines.signing.manifest import open_verified_output
from cortex_pipelines.tracking.leaderboard import leaderboard
from cortex_pipelines.tracking.lineage import lineage_of
from cortex_pipelines.versioning.lock_file import locked_stages, locked_version, stage_address
from cortex_pipelines.versioning.project import Project, ProjectError, look_up, read_yaml
from cortex_pipelines.words import folded_words

_ADAPTER = "code_adapter"
_FORMAT_VERSION = 2
"""Format version of cached contexts; older ones have no ``known``."""


def project_services(root: Path) -> ProjectServices:
    code = _ProjectCode(root)
    params = load_parameters(root)
    pin = look_up(read_yaml(root / "sources.lock"), "models.encoder")
    encoder = PinnedModel(params.models.encoder, pin or {})
    locate = partial(weights_folder, encoder.source, encoder.pin, root)

    def lineage(name: str | None, version: str) -> Answer:
        return lineage_of(open_project(root), ROUTER if name is None else _ADAPTER, name, version).to_json()

    return ProjectServices(
        expect=partial(_predict_outcome, root),
        score=partial(_score_records, root),
        search=code.search,
        context=code.context,
        relations=code.relations,
        encoder=CodeEncoder(base_digest(encoder), locate, params.serving.threads),
        lineage=lineage,
        templates=partial(project_templates, root),
        redact=partial(redacted, params.privacy),
        notes=partial(open_notes, root),
        leaderboard=lambda: leaderboard(open_project(root)),
        review=review_queue(root).add if params.serving.review else None,
    )


def _predict_outcome(root: Path, task: str, master: str | None) -> Answer:
    project = open_project(root)
    tables, evaluation = (project.output(name, None) for name in ("coordination_tables", "outcome_evaluation"))
    try:
        predictors, version = open_verified_output(project, "outcome_predictors")
        settings = load_parameters(root).log_tables
        rows = expect(task, master, datetime.now(UTC), tables, predictors, evaluation, settings)
    except (ProjectError, PredictorError) as error:
        raise ServiceError(str(error)) from error
    return {"expected": rows, "version": version}


def _score_records(root: Path, log: str, records: Sequence[Answer]) -> Answer:
    try:
        detectors, version = open_verified_output(open_project(root), "worker_anomalies")
        watched = score_new_records(records, log, detectors, load_parameters(root))
    except (ProjectError, DetectorError, CoordinationError) as error:
        raise ServiceError(str(error)) from error
    return {**watched, "version": version}


class _ProjectCode:
    """Search, contexts and relations of a project's code; reopened when their versions change."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._sources: dict[str | None, tuple[object, ContextSource]] = {}
        self._graphs: dict[str | None, tuple[object, CodeGraph]] = {}
        self._search_lock, self._graph_lock = Lock(), Lock()

    def search(self, query: str, name: str | None, k: int) -> Answer:
        def make(source: ContextSource) -> dict[str, Any]:
            notice, words = source.notice(), set(folded_words(query))
            hits = source.searcher.search(query, k)
            lines = ([line for _, line in shown_lines(hit, source.read(hit.path), words)] for hit in hits)
            rows = [hit.as_json() | {"text": "\n".join(each)} for hit, each in zip(hits, lines, strict=True)]
            return {"results": rows, "notice": notice}

        return self._cached_answer("search", name, [query, k, _FORMAT_VERSION], make)

    def context(self, task: str, name: str | None, tokens: int) -> Answer:
        def make(source: ContextSource) -> dict[str, Any]:
            packed = source.context(task, tokens).as_json()
            del packed["task"]
            return packed

        return self._cached_answer("context", name, [task, tokens, _FORMAT_VERSION], make)

    def relations(self, question: str, symbol: str, to: str | None, name: str | None, depth: int) -> Answer:
        project = open_project(self._root)
        versions = _versions(project, "code_graph", name)
        with self._graph_lock:
            if name not in self._graphs or self._graphs[name][0] != versions:
                self._graphs[name] = versions, project_graph(project, name)
            graph = self._graphs[name][1]
        return {**graph.ask(question, symbol, to, depth).as_json(), "versions": versions}

    def _cached_answer(
        self, kind: str, name: str | None, request_key: list[Any], make: Callable[[ContextSource], dict[str, Any]]
    ) -> Answer:
        """Answer from the project's cache, per caller: timing reveals no one else's queries."""

        def make_current() -> tuple[dict[str, Any], bool]:
            with self._search_lock:  # two threads would build the same index
                project = open_project(self._root)
                versions = _versions(project, "search_documents", name)
                made_from = (versions, _versions(project, "code_embeddings", name))
                if name not in self._sources or self._sources[name][0] != made_from:
                    self._sources[name] = made_from, project_context(project, name, load_parameters(self._root))
                source = self._sources[name][1]
                return {**make(source), "versions": versions}, not source.searcher.note

        try:
            if name is None:
                return make_current()[0]
            notes = open_notes(self._root, name)
            return notes.cached_answer(kind, [current_principal().name, *request_key], make_current)
        except ProjectError as error:
            raise ServiceError(str(error)) from error


def _versions(project: Project, asset: str, name: str | None) -> dict[str, str | None]:
    stages = locked_stages(project.root)
    return {
        each: locked_version(stages, stage_address(asset, each)) for each in ([name] if name else project.partitions)
    }


def open_notes(root: Path, name: str | None) -> ProjectNotes:
    """The notes of a project; without a name, of the only project. Raises ProjectError."""
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
    return open_project(root), load_parameters(root)
