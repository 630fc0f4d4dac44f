"""Services of a project: lineage, outcome prediction, code search, packed contexts and so on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache, partial
from pathlib import Path
from threading import Lock
from typing import Any

from cortex_pipelines.adapters.model.base_model import base_digest
from cortex_pipelines.catalog import open_project
from cortex_pipelines.config import Parameters, load_parameters
from cortex_pipelines.coordination.logs import CoordinationError
from cortex_pipelines.ingestion.pretrained_models import PinnedModel, WeightsError, weights_folder
from cortex_pipelines.monitoring.anomalies.detector_store import DetectorError, score_new_records
from cortex_pipelines.privacy.records import redacted
from cortex_pipelines.project_names import ROUTER
from cortex_pipelines.prompts.templates import project_templates
from cortex_pipelines.retrieval.context import (
    APPROXIMATION,
    LEAST_BUDGET,
    PackedContext,
    ReadText,
    TokenCounter,
    background_text,
    pack_context,
)
from cortex_pipelines.retrieval.documents import read_text
from cortex_pipelines.retrieval.graph.open_graph import project_graph
from cortex_pipelines.retrieval.graph.questions import CodeGraph
from cortex_pipelines.retrieval.notes.note import NoteStoreUnavailableError
from cortex_pipelines.retrieval.notes.project_notes import PastWork, ProjectNotes
from cortex_pipelines.retrieval.open_index import open_searcher, reading_limits
from cortex_pipelines.retrieval.project_index import open_project_searcher, project_text
from cortex_pipelines.retrieval.search import Searcher
from cortex_pipelines.retrieval.shown_lines import shown_lines
from cortex_pipelines.routing.outcomes.predict import expect
from cortex_pipelines.routing.outcomes.predictors import PredictorError
from cortex_pipelines.serving.reviews import review_queue
from cortex_pipelines.serving.security.access import current_principal
from cortex_pipelines.serving.services import Answer, CodeEncoder, ProjectServices, ServiceError
from cortex_pipelines.signing.manifest import open_verified_output
from cortex_pipelines.tokenization.text_encoder import TextEncoder
from cortex_pipelines.tracking.lineage import lineage_of
from cortex_pipelines.versioning.lock_file import locked_stages, locked_version, stage_address
from cortex_pipelines.versioning.project import Project, ProjectError, look_up, read_yaml
from cortex_pipelines.words import folded_words

_ADAPTER = "code_adapter"
_FORMAT_VERSION = 2
"""Format version of cached contexts; older ones have no ``known``."""


_TOKENIZER = "tokenizer.json"
_BESIDES = 0.1
"""Share of the budget for notes and past attempts."""


@dataclass(frozen=True)
class ContextSource:
    """Source of packed contexts; ``read`` returns texts without private values."""

    searcher: Searcher
    read: ReadText
    counter: TokenCounter
    recall: Callable[[str], PastWork] | None = None

    def notice(self) -> str:
        note = self.searcher.note
        if not note and self.searcher.index.collection.vectors is None:
            note = "searched by words alone: the index was made without an encoder"
        return "; ".join(filter(None, (note, self.searcher.refresh())))

    def context(self, task: str, budget: int) -> PackedContext:
        """The context of a task, from the current files; raises QueryError, BudgetError or FilterError."""
        notice = self.notice()
        try:
            recalled, spent = self._recall_notes(task, budget)
        except NoteStoreUnavailableError as error:
            recalled, spent, notice = PastWork(), 0, f"{notice}; " * bool(notice) + str(error)
        packed = pack_context(self.searcher, task, self.read, budget - spent, self.counter, notice=notice)
        tokens, attempts, notes = packed.tokens + spent, recalled.attempts, recalled.notes
        return replace(packed, tokens=tokens, budget=budget, attempts=attempts, notes=notes)

    def _recall_notes(self, task: str, budget: int) -> tuple[PastWork, int]:
        """Notes and past attempts that fit their share of the budget, and their tokens."""
        most = int(min(budget * _BESIDES, budget - LEAST_BUDGET))
        if self.recall is None or most <= 0 or not task.strip():
            return PastWork(), 0
        every, recalled, spent = self.recall(task), PastWork(), 0
        more = [PastWork(notes=(note,)) for note in every.notes]  # first, as people wrote them
        more += [PastWork(attempts=(attempt,)) for attempt in every.attempts]
        for candidate in more:
            both = PastWork(recalled.attempts + candidate.attempts, recalled.notes + candidate.notes)
            tokens = self.counter.count(background_text(both.attempts, both.notes))
            if tokens <= most:
                recalled, spent = both, tokens
        return recalled, spent


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


def index_context(folder: Path, params: Parameters) -> ContextSource:
    searcher = open_searcher(folder, params)
    root, limits = Path(searcher.index.manifest.root), reading_limits(params)
    return ContextSource(searcher, lambda path: read_text(root, path, limits), APPROXIMATION)


def project_context(project: Project, name: str | None, params: Parameters) -> ContextSource:
    """Contexts of one project, or of all (``name`` None), whose names then prefix the paths."""
    project_notes = [ProjectNotes(project, each, params) for each in ([name] if name else project.partitions)]

    def recall(task: str) -> PastWork:
        recalled = [notes.recall(task) for notes in project_notes]
        attempts = recalled[0].attempts if recalled else ()  # from the logs, so the same for each project
        return PastWork(attempts, tuple(note for each in recalled for note in each.notes))

    return ContextSource(
        open_project_searcher(project, name, params), project_text(project, name), _counter(project), recall
    )


def _counter(project: Project) -> TokenCounter:
    """The base's tokenizer if it is unpacked, else the approximation."""
    from cortex_pipelines.adapters.model.base_model import BaseModelError, base_name, resolve_base
    from cortex_pipelines.release.open_model import pinned_base

    pinned = pinned_base(project)
    try:
        folder = weights_folder(pinned.source, pinned.pin, project.root)
        unpacked_models = project.state / "cache" / "models"
        if not (folder / _TOKENIZER).is_file() and any(unpacked_models.glob(f"*/{_TOKENIZER}")):
            folder = resolve_base(pinned, project.root).folder
    except (WeightsError, BaseModelError):
        return APPROXIMATION
    if not (folder / _TOKENIZER).is_file():
        return APPROXIMATION  # weights in one file are unpacked by the first training
    from tokenizers import Tokenizer

    encoder = TextEncoder(Tokenizer.from_file(str(folder / _TOKENIZER)))
    return TokenCounter(f"tokenizer of {base_name(pinned)}", lambda text: len(encoder.ids([text])[0]))
