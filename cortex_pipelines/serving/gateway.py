"""Core of the gateway without HTTP: choose model, condition and adapter for a request, and stream its answer."""

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import InitVar, dataclass, replace
from functools import partial
from pathlib import Path
from queue import SimpleQueue

from opentelemetry.trace import NoOpTracer, Tracer

from cortex_pipelines.config import Parameters
from cortex_pipelines.feedback.store import EventLog
from cortex_pipelines.prompts.retrieved_examples import SimilarExamples
from cortex_pipelines.release.answering import Condition, shows_context
from cortex_pipelines.release.experiments.analysis import RequestOutcome
from cortex_pipelines.release.experiments.running import Assignment, Experiments, Vote
from cortex_pipelines.serving.catalogue import CatalogueSource, ServedModel, Split, Variant
from cortex_pipelines.serving.deadlines import cursor_deadline
from cortex_pipelines.serving.engines.engine import (
    UPSTREAM_ENGINES,
    AdapterFiles,
    BusyError,
    Deadline,
    Engine,
    EngineError,
    Event,
    LoadedAdapter,
    Sampling,
    TextDelta,
    UnavailableError,
)
from cortex_pipelines.serving.engines.memory import is_short
from cortex_pipelines.serving.requests import AnswerBackend, PreparedRequest, PromptBuilder, PromptTarget
from cortex_pipelines.serving.response_cache import LruCache, job_key, storing_delivery
from cortex_pipelines.serving.rollout import Rollouts, request_user
from cortex_pipelines.serving.routing import RouterBatcher
from cortex_pipelines.serving.security.access import current_principal
from cortex_pipelines.serving.security.output_filter import OutputFilter, StreamFilter
from cortex_pipelines.serving.settings import ServingSettings
from cortex_pipelines.serving.telemetry import AnswerSpans, Metrics, ScreeningSpan
from cortex_pipelines.tokenization.text_encoder import encoder_of

_LOG = logging.getLogger("cortex_pipelines")
_LONGEST_WAIT = 300.0

_WITHOUT: Mapping[Condition, Condition] = {"context": "base", "both": "adapter", "adapter": "adapter"}
"""Condition that remains without retrieved context."""

OpenExamples = Callable[[Path], SimilarExamples]


@dataclass(eq=False)
class Gateway:
    """Serves a catalogue of models with one engine.

    ``parameters`` are the project's, for the analysers and the prompts of tasks; ``state`` is a folder. Without
    ``output_filter`` answers pass unchanged, without ``pseudonym`` the editors' events name no users.
    """

    source: CatalogueSource
    engine: Engine
    settings: ServingSettings
    parameters: Parameters
    open_examples: OpenExamples
    router: RouterBatcher
    state: Path
    output_filter: OutputFilter | None = None
    rollouts: Rollouts | None = None
    experiments: Experiments | None = None
    pseudonym: InitVar[Callable[[str], str] | None] = None

    def __post_init__(self, pseudonym: Callable[[str], str] | None) -> None:
        self.events = EventLog(self.state, pseudonym)
        self.metrics = Metrics()
        self.response_cache: LruCache[tuple[TextDelta, ...]] = LruCache(self.settings.cached_mib * 2**20)
        self.tracer: Tracer = NoOpTracer()
        self._shadows = threading.Semaphore(1)
        self._loads_ahead = threading.Semaphore(1)
        self._examples: dict[tuple[Path, str | None], SimilarExamples] = {}
        self._failures: dict[str, tuple[int, float, str]] = {}
        self._lock = threading.Lock()

    def backend_for(
        self, name: str | None, task: str = "completion", context: bool = True, for_user: str | None = None
    ) -> AnswerBackend:
        """Choose the backend of a request and load its adapter, which may take a while; UnknownModelError."""
        models = self.source.current
        served = models.find(name)
        split = served.split if self.rollouts is not None else None
        if split is None:
            if served.experiment is None or self.experiments is None:
                return self.backend_of(served, task, context)
            plan = served.experiment.plan
            unit = plan.unit(request_user(for_user))
            assignment = Assignment(plan, plan.arm(unit), unit)
            arm = served.experiment.arms[assignment.arm]
            return replace(self.backend_of(arm, task, context), assigned=assignment)
        variant: Variant = "champion" if split.shadow else split.variant(request_user(for_user))
        if variant == "canary":
            served = models.find(f"{split.project}@canary")
        backend = self.backend_of(served, task, context)
        if variant == "canary" and backend.adapter is None:
            self._count_trial_answer(backend, (split, variant), failed=True)
        return replace(backend, trial=(split, variant))

    def backend_of(self, served: ServedModel, task: str = "completion", context: bool = True) -> AnswerBackend:
        way = served.release.way if context else _WITHOUT.get(served.release.way, "base")
        backend = AnswerBackend(served, way, None, served.notice)
        if served.adapter is not None:
            adapter, reason = self._load(served.adapter(task))
            if adapter is None:
                self.metrics.fallbacks.labels(served.name).inc()
                backend = AnswerBackend(served, "base", None, reason)
            else:
                backend = replace(backend, adapter=adapter)
        model = self.engine.upstream_model(backend.adapter)
        if not model:
            return backend
        warning = f"written by the model {model} of an upstream server; its weights were not verified"
        notice = "; ".join(filter(None, (backend.notice, warning)))
        return replace(backend, upstream=model, notice=notice)

    def load_ahead(self, project: str | None) -> None:
        """Load the adapter of a project, such as a session's, before it is asked for, where memory is left."""
        served = self.source.current.models.get(project or "")
        if served is None or served.adapter is None or self.settings.engine in UPSTREAM_ENGINES:
            return
        files = served.adapter

        def load() -> None:
            try:
                adapter = files("completion")
                reserve = self.settings.free_mib * 2**20
                if adapter.version not in self.engine.state()["resident"] and not (reserve and is_short(reserve)):
                    self._load(adapter)
            finally:
                self._loads_ahead.release()

        if self._loads_ahead.acquire(blocking=False):  # one at a time: a session asks often
            threading.Thread(target=load, name="load ahead", daemon=True).start()

    def prepare(
        self,
        backend: AnswerBackend,
        builder: PromptBuilder,
        sampling: Sampling,
        count: int = 1,
        least_tokens: int | None = None,
    ) -> PreparedRequest:
        """Build the prompt, which leaves room for the answer, or for ``least_tokens`` of it."""
        with self.tracer.start_as_current_span(
            "context",
            attributes=backend.attributes,
            record_exception=False,  # its message may quote the prompt
            set_status_on_exception=False,
        ) as span:
            engine = self.engine
            most = min(sampling.max_tokens, self.settings.max_tokens, engine.window // 2)
            deadline = cursor_deadline(self.settings)
            reserved = most if least_tokens is None else min(least_tokens, most)
            room = engine.window - reserved - len(encoder_of(engine.tokenizer).start)
            add_context = self._context_adder(backend)
            quick_room = room if deadline is None else min(room, engine.prompt_capacity(deadline))
            text = builder(PromptTarget(engine.tokenizer, room, add_context, backend.served.templates, quick_room))
            stop = tuple(dict.fromkeys((*sampling.stop, *text.stop)))
            prompt = engine.prompt(text.segments, reserved)
            free = engine.window - len(prompt.ids) - len(prompt.start.encode())
            sampling = replace(sampling, max_tokens=min(most, max(free, reserved)), stop=stop)
            if text.at_cursor:
                sampling = replace(sampling, deadline=deadline, ending=text.ending)
            if text.ending is not None:
                prompt = replace(prompt, lead=text.ending.lead)
            span.set_attribute("gen_ai.usage.input_tokens", len(prompt.ids))
        request = PreparedRequest(backend, text, prompt, sampling, count)
        key = job_key(request.job, backend.release)
        cached_deltas = self.response_cache.get(key) if key is not None else None
        outcome = "none" if key is None else "hit" if cached_deltas is not None else "miss"
        self.metrics.cache_requests.labels(outcome).inc()
        if cached_deltas is not None and sampling.deadline is not None:
            sampling.deadline.claim.tokens = 0
        return replace(request, key=key, cached_deltas=cached_deltas)

    async def stream(self, request: PreparedRequest) -> AsyncIterator[TextDelta]:
        """Stream the answers; closing the iterator cancels the rest. Raises BusyError or EngineError."""
        loop = asyncio.get_running_loop()
        events: asyncio.Queue[Event] = asyncio.Queue()

        def deliver(event: Event) -> None:
            with suppress(RuntimeError):  # the loop is closed: the client has gone
                loop.call_soon_threadsafe(events.put_nowait, event)

        began = time.perf_counter()
        first = True
        with self._recording_outcome(request), self._submitted(request, deliver) as receive:
            while (event := await events.get()) is not None:
                delta = receive(event)
                if first and request.cached_deltas is None:
                    self.metrics.first_token.observe(time.perf_counter() - began)
                first = False
                if delta is not None:
                    yield delta

    def stream_blocking(self, request: PreparedRequest) -> Generator[TextDelta]:
        events: SimpleQueue[Event] = SimpleQueue()
        with self._recording_outcome(request), self._submitted(request, events.put) as receive:
            while (event := events.get()) is not None:
                if (delta := receive(event)) is not None:
                    yield delta

    @contextmanager
    def _submitted(
        self, request: PreparedRequest, deliver: Callable[[Event], None]
    ) -> Iterator[Callable[[TextDelta | BaseException], TextDelta | None]]:
        """Submit a request, cancelled on exit, or replay its cached answer; yields what counts and filters deltas."""
        cancel = self._submit(request, deliver)
        spend = current_principal().spend
        spend(len(request.prompt.ids))
        filter_delta = self._start_filter(request)

        def receive(event: TextDelta | BaseException) -> TextDelta | None:
            if isinstance(event, EngineError | BusyError):
                raise event
            if isinstance(event, BaseException):
                raise EngineError(f"the engine failed: {type(event).__name__}: {event}") from event
            spend(event.generated)
            return filter_delta(request.noted(event))

        try:
            yield receive
        finally:
            cancel()
            filter_delta.end(len(request.flags))

    def _submit(self, request: PreparedRequest, deliver: Callable[[Event], None]) -> Callable[[], None]:
        if request.cached_deltas is not None:
            for event in (*request.cached_deltas, None):
                deliver(event)
            return lambda: None
        deliver = self._counting_delivery(request, deliver)
        if request.key is not None:
            store = partial(self.response_cache.store, request.key)
            deliver = storing_delivery(deliver, request.count, store)
        spans = AnswerSpans(self.tracer, request.backend.attributes)
        job = replace(request.job, on_start=spans.start_engine)
        try:
            return self.engine.submit(job, spans.wrap(deliver))
        except Exception as error:
            spans.finish(error)
            raise

    def _counting_delivery(self, request: PreparedRequest, deliver: Callable[[Event], None]) -> Callable[[Event], None]:
        trial = request.backend.trial
        if trial is None or self.rollouts is None:
            return deliver
        split, variant = trial
        began = time.perf_counter()

        def delivered(event: Event) -> None:
            if event is None or isinstance(event, BaseException):
                seconds = time.perf_counter() - began
                self._count_trial_answer(request.backend, trial, event is not None, seconds)
                if split.shadow and variant == "champion" and event is None:
                    self._shadow(request, split)
            deliver(event)

        return delivered

    @contextmanager
    def _recording_outcome(self, request: PreparedRequest) -> Iterator[None]:
        began = time.perf_counter()
        outcome: RequestOutcome = "left"
        try:
            yield
            outcome = "answered"
        except Exception as error:
            outcome = "refused" if isinstance(error, BusyError) else "failed"
            raise
        finally:
            self._record_outcome(request, outcome, time.perf_counter() - began)

    def _record_outcome(self, request: PreparedRequest, outcome: RequestOutcome, seconds: float) -> None:
        backend = request.backend
        assignment = backend.assigned
        if assignment is None or self.experiments is None:
            return
        adapted = backend.adapter is not None or backend.served.adapter is None
        if outcome == "answered" and not adapted:
            outcome = "failed"  # the base answered for an adapter that could not be loaded
        self.experiments.add(assignment, backend.identity, outcome, bool(request.flags), seconds)
        self.metrics.experiment_answers.labels(assignment.plan.project, assignment.arm, outcome).inc()
        self.metrics.experiment_seconds.labels(assignment.plan.project, assignment.arm).observe(seconds)

    def _count_trial_answer(
        self, backend: AnswerBackend, trial: tuple[Split, Variant], failed: bool, seconds: float | None = None
    ) -> None:
        split, variant = trial
        assert self.rollouts is not None  # nosec B101: trials need rollouts
        if variant == "canary" and backend.adapter is None and seconds is not None:
            return  # the base answered for it, which was counted when it could not be loaded
        self.rollouts.add(split, variant, failed)
        outcome = "failed" if failed else "answered"
        self.metrics.trials.labels(split.project, variant, outcome).inc()
        if seconds is not None:
            self.metrics.trial_seconds.labels(split.project, variant).observe(seconds)

    def _shadow(self, request: PreparedRequest, split: Split) -> None:
        """Let the canary answer, too, if no request waits; its answer is discarded."""
        if self.engine.state()["waiting"] or not self._shadows.acquire(blocking=False):
            return
        trial: tuple[Split, Variant] = (split, "canary")

        def answer() -> None:
            try:
                served = self.source.current.models[f"{split.project}@canary"]
                backend = replace(self.backend_of(served), trial=trial)
                if backend.adapter is None:
                    self._count_trial_answer(backend, trial, failed=True)
                    return
                events = SimpleQueue[Event]()
                deadline = request.sampling.deadline
                sampling = replace(request.sampling, deadline=deadline and Deadline(deadline.seconds))
                shadow_request = replace(
                    request, backend=backend, sampling=sampling, key=None, cached_deltas=None, flags=set()
                )
                self.engine.submit(shadow_request.job, self._counting_delivery(shadow_request, events.put))
                while isinstance(events.get(), TextDelta):
                    pass
            except Exception as error:  # noqa: BLE001 - in the background
                _LOG.warning("the canary of %s did not answer: %s", split.project, error)
            finally:
                self._shadows.release()

        threading.Thread(target=answer, name="shadow", daemon=True).start()

    def vote_down(self, version: str) -> None:
        for served in self.source.current.models.values() if self.rollouts else ():
            if self.rollouts and served.split and version in (served.split.version, served.version):
                self.rollouts.vote_down(served.split, version)

    def record_vote(self, answer: str, vote: Vote) -> None:
        identity = answer.rpartition("-")[2]
        for served in self.source.current.models.values():
            if self.experiments is None or served.experiment is None:
                continue
            plan = served.experiment.plan
            if (arm := self.experiments.vote(plan, identity, vote)) is not None:
                self.metrics.experiment_votes.labels(plan.project, arm, vote).inc()

    def close(self) -> None:
        if self.rollouts is not None:
            self.rollouts.close()
        if self.experiments is not None:
            self.experiments.close()
        self.engine.close()
        self.router.close()

    def _start_filter(self, request: PreparedRequest) -> ScreeningSpan:
        if self.output_filter is None:
            return ScreeningSpan(NoOpTracer(), lambda piece: piece)

        def note(rule: str) -> None:
            if rule not in request.flags:
                self.metrics.flagged.labels(rule).inc()
                request.flags.add(rule)

        return ScreeningSpan(self.tracer, StreamFilter(self.output_filter, request.text.text, note).add)

    def _load(self, adapter: AdapterFiles) -> tuple[LoadedAdapter | None, str]:
        """Load an adapter; None and the reason if refused. Retries with exponential backoff."""
        count, until, reason = self._failures.get(adapter.version, (0, 0.0, ""))
        if time.monotonic() < until:
            return None, reason
        try:
            ready = self.engine.load(adapter)
        except UnavailableError:
            raise  # the base is unavailable, too; the adapter is not at fault
        except Exception as error:  # noqa: BLE001 - the base can still answer
            reason = f"{type(error).__name__}: {error}"
            wait = min(2.0**count, _LONGEST_WAIT)
            self._failures[adapter.version] = (count + 1, time.monotonic() + wait, reason)
            self.metrics.adapter_loads.labels("refused").inc()
            _LOG.warning("adapter %s cannot be used: %s", adapter.version, reason)
            return None, reason
        self._failures.pop(adapter.version, None)
        self.metrics.adapter_loads.labels("ready").inc()
        return ready, ""

    def _context_adder(self, backend: AnswerBackend) -> Callable[[str], str]:
        folder = backend.served.examples
        if not shows_context(backend.way) or folder is None:
            return lambda text: text
        key = (folder, backend.served.release.index)
        with self._lock:
            if key not in self._examples:
                self._examples[key] = self.open_examples(folder)
        return self._examples[key].prepend_examples
