"""The gateway's core: a request's model, its way, its adapter, and what comes of it.

It knows nothing of HTTP; the command line uses it as the web does.
"""

import asyncio
import logging
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from queue import SimpleQueue

from opentelemetry.trace import NoOpTracer, Tracer

from cortex_pipelines.datasets.settings import DatasetSettings
from cortex_pipelines.feedback.answer_events import EventLog
from cortex_pipelines.prompts.retrieved_examples import SimilarExamples
from cortex_pipelines.release.answering import Condition, shows_context
from cortex_pipelines.release.experiments.analysis import RequestOutcome
from cortex_pipelines.release.experiments.running import Assignment, Experiments, Vote
from cortex_pipelines.serving.catalogue import CatalogueSource, Served
from cortex_pipelines.serving.engines.engine import (
    AdapterFiles,
    BusyError,
    Engine,
    EngineError,
    Event,
    Ready,
    Sampling,
    TextDelta,
    UnavailableError,
)
from cortex_pipelines.serving.metrics import Metrics
from cortex_pipelines.serving.request_prompts import Form, PromptTarget
from cortex_pipelines.serving.requests import Answering, PreparedRequest
from cortex_pipelines.serving.response_cache import Remembered, job_key, keeping
from cortex_pipelines.serving.rollout import Rollouts, Split, Variant, user
from cortex_pipelines.serving.routing import RouterDesk
from cortex_pipelines.serving.security.access import caller
from cortex_pipelines.serving.security.screening import FilteredAnswers, Screen
from cortex_pipelines.serving.settings import ServingSettings
from cortex_pipelines.serving.tracing import AnswerSpans, ScreeningSpan

_LOG = logging.getLogger("cortex_pipelines")
_LONGEST_WAIT = 300.0

_WITHOUT: Mapping[Condition, Condition] = {
    "context": "base",
    "both": "adapter",
    "adapter": "adapter",
}
"""What is left of a way of answering when no similar code is shown."""

OpenExamples = Callable[[Path], SimilarExamples]


class Gateway:
    """Everything that is served.

    Args:
        source: What there is.
        engine: What writes text.
        settings: Limits.
        datasets: Mask and bounds of the prompts of tasks.
        open_examples: Opens the examples that context is taken from.
        router: Routes tasks.
        state: Folder for what the gateway keeps, such as the editors' events.
        screen: Looks through what is written; None to let it pass.
        rollouts: Counts the answers of canaries; None to try none.
        experiments: Counts the answers of experiments; None to make none.
        pseudonym: What users are called in the editors' events; None to leave them out.
    """

    def __init__(
        self,
        source: CatalogueSource,
        engine: Engine,
        settings: ServingSettings,
        datasets: DatasetSettings,
        open_examples: OpenExamples,
        router: RouterDesk,
        state: Path,
        screen: Screen | None = None,
        rollouts: Rollouts | None = None,
        experiments: Experiments | None = None,
        pseudonym: Callable[[str], str] | None = None,
    ) -> None:
        self.source = source
        self.engine = engine
        self.settings = settings
        self.datasets = datasets
        self.router = router
        self.state = state
        self.events = EventLog(state, pseudonym)
        self.metrics = Metrics()
        self.remembered: Remembered[tuple[TextDelta, ...]] = Remembered(settings.cached_mib * 2**20)
        self.rollouts = rollouts
        self.experiments = experiments
        self.tracer: Tracer = NoOpTracer()
        self._shadows = threading.Semaphore(1)
        self._screen = screen
        self._open_examples = open_examples
        self._examples: dict[tuple[Path, str | None], SimilarExamples] = {}
        self._failures: dict[str, tuple[int, float, str]] = {}
        self._lock = threading.Lock()

    def answering(
        self,
        name: str | None,
        task: str = "completion",
        context: bool = True,
        for_user: str | None = None,
    ) -> Answering:
        """What answers under a name; loads its adapter, which may take a while.

        Args:
            name: The model's; None for the default.
            task: Which adapter, of a model with one a task.
            context: Whether similar code may stand before the prompt; only for code that is to be
                gone on with was that measured.
            for_user: Whom it is for, as a request's body says; the same variant answers them while
                a canary is tried or an experiment is under way.

        Raises:
            UnknownModelError: there is no such model.
        """
        models = self.source.current
        served = models.find(name)
        split = served.split if self.rollouts is not None else None
        if split is None and served.experiment is not None and self.experiments is not None:
            at = Assignment.for_user(served.experiment.plan, user(for_user))
            arm = served.experiment.arms[at.arm]
            return replace(self.answering_with(arm, task, context), assigned=at)
        if split is None:
            return self.answering_with(served, task, context)
        variant: Variant = "champion" if split.shadow else split.variant(user(for_user))
        if variant == "canary":
            served = models.find(f"{split.project}@canary")
        answering = self.answering_with(served, task, context)
        if variant == "canary" and answering.ready is None:
            self._tried(answering, (split, variant), failed=True)
        return replace(answering, trial=(split, variant))

    def answering_with(
        self, served: Served, task: str = "completion", context: bool = True
    ) -> Answering:
        """The same of a model that was looked up."""
        way = served.release.way if context else _WITHOUT.get(served.release.way, "base")
        if served.adapter is None:
            return self._named(Answering(served, way, None, served.notice))
        ready, why = self._load(served.adapter(task))
        if ready is not None:
            return self._named(Answering(served, way, ready, served.notice))
        self.metrics.fallbacks.labels(served.name).inc()
        return self._named(Answering(served, "base", None, why))

    def _named(self, answering: Answering) -> Answering:
        """With the upstream server's model, where that is what writes."""
        model = self.engine.elsewhere(answering.ready)
        if not model:
            return answering
        words = f"written by the model {model} of an upstream server; its weights were not verified"
        notice = "; ".join(filter(None, (answering.notice, words)))
        return replace(answering, upstream=model, notice=notice)

    def ask(
        self, answering: Answering, form: Form, sampling: Sampling, count: int = 1
    ) -> PreparedRequest:
        """A request as the engine takes it."""
        with self.tracer.start_as_current_span(
            "context",
            attributes=answering.attributes,
            record_exception=False,  # its message may quote the prompt
            set_status_on_exception=False,
        ) as span:
            most = min(sampling.max_tokens, self.settings.max_tokens, self.engine.window // 2)
            text = form(
                PromptTarget(
                    self.engine.tokenizer,
                    self.engine.window - most,
                    self._before(answering),
                    answering.served.templates,
                )
            )
            stop = tuple(dict.fromkeys((*sampling.stop, *text.stop)))
            sampling = replace(sampling, max_tokens=most, stop=stop)
            prompt = self.engine.prompt(text.segments, most)
            span.set_attribute("gen_ai.usage.input_tokens", len(prompt.ids))
        asked = PreparedRequest(answering, text, prompt, sampling, count)
        key = job_key(asked.job, answering.release)
        known = self.remembered.get(key) if key is not None else None
        outcome = "none" if key is None else "hit" if known is not None else "miss"
        self.metrics.remembered.labels(outcome).inc()
        return replace(asked, key=key, known=known)

    async def pieces(self, asked: PreparedRequest) -> AsyncIterator[TextDelta]:
        """The answers in pieces; leaving early cancels what is not written yet.

        Raises:
            BusyError: too many requests wait.
            EngineError: the engine failed.
        """
        with self._observed(asked):
            async with aclosing(self._pieces(asked)) as pieces:
                async for piece in pieces:
                    yield piece

    async def _pieces(self, asked: PreparedRequest) -> AsyncGenerator[TextDelta]:
        if asked.known is not None:
            for known in self._again(asked, asked.known):
                yield known
            return
        loop = asyncio.get_running_loop()
        events: asyncio.Queue[Event] = asyncio.Queue()

        def deliver(event: Event) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(events.put_nowait, event)

        began = time.perf_counter()
        first = True
        cancel = self._submit(asked, self._watched(asked, deliver))
        spend = caller().spend
        spend(len(asked.prompt.ids))
        screened = self._screened(asked)
        try:
            while (event := await events.get()) is not None:
                if isinstance(event, BaseException):
                    raise _failed(event)
                if first:
                    self.metrics.first_token.observe(time.perf_counter() - began)
                    first = False
                spend(event.generated)
                if (piece := screened(event)) is not None:
                    yield piece
        finally:
            cancel()
            screened.end(len(asked.flags))

    def written(self, asked: PreparedRequest) -> Iterator[TextDelta]:
        """The same for a caller without an event loop."""
        with self._observed(asked):
            yield from self._written(asked)

    def _written(self, asked: PreparedRequest) -> Iterator[TextDelta]:
        if asked.known is not None:
            yield from self._again(asked, asked.known)
            return
        events: SimpleQueue[Event] = SimpleQueue()
        cancel = self._submit(asked, self._watched(asked, events.put))
        spend = caller().spend
        spend(len(asked.prompt.ids))
        screened = self._screened(asked)
        try:
            while (event := events.get()) is not None:
                if isinstance(event, BaseException):
                    raise _failed(event)
                spend(event.generated)
                if (piece := screened(event)) is not None:
                    yield piece
        finally:
            cancel()
            screened.end(len(asked.flags))

    def _again(self, asked: PreparedRequest, pieces: Sequence[TextDelta]) -> Iterator[TextDelta]:
        """What was answered before, counted and screened as if it were written now."""
        screened = self._screened(asked)
        caller().spend(len(asked.prompt.ids) + sum(piece.generated for piece in pieces))
        for piece in pieces:
            if (shown := screened(piece)) is not None:
                yield shown
        screened.end(len(asked.flags))

    def _submit(
        self, asked: PreparedRequest, deliver: Callable[[Event], None]
    ) -> Callable[[], None]:
        """Ask the engine, and have its answer remembered."""
        if asked.key is not None:
            keep = partial(self.remembered.put, asked.key)
            deliver = keeping(deliver, asked.count, keep)
        spans = AnswerSpans(self.tracer, asked.answering.attributes)
        job = replace(asked.job, begun=spans.begun)
        try:
            return self.engine.submit(job, spans.watched(deliver))
        except Exception as error:
            spans.ended(error)
            raise

    def _watched(
        self, asked: PreparedRequest, deliver: Callable[[Event], None]
    ) -> Callable[[Event], None]:
        """Delivers, and counts the answer for the canary that is tried."""
        trial = asked.answering.trial
        if trial is None or self.rollouts is None:
            return deliver
        split, variant = trial
        began = time.perf_counter()

        def delivered(event: Event) -> None:
            if event is None or isinstance(event, BaseException):
                seconds = time.perf_counter() - began
                self._tried(asked.answering, trial, event is not None, seconds)
                if split.shadow and variant == "champion" and event is None:
                    self._shadow(asked, split)
            deliver(event)

        return delivered

    @contextmanager
    def _observed(self, asked: PreparedRequest) -> Iterator[None]:
        """Tells the experiment that a request belongs to what became of it."""
        began = time.perf_counter()
        became: RequestOutcome = "left"
        try:
            yield
            became = "answered"
        except Exception as error:
            became = "refused" if isinstance(error, BusyError) else "failed"
            raise
        finally:
            self._note(asked, became, time.perf_counter() - began)

    def _note(self, asked: PreparedRequest, became: RequestOutcome, seconds: float) -> None:
        answering = asked.answering
        at = answering.assigned
        if at is None or self.experiments is None:
            return
        adapted = answering.ready is not None or answering.served.adapter is None
        if became == "answered" and not adapted:
            became = "failed"  # the base answered for an adapter that could not be loaded
        self.experiments.add(at, answering.identity, became, bool(asked.flags), seconds)
        self.metrics.compared.labels(at.plan.project, at.arm, became).inc()
        self.metrics.compared_seconds.labels(at.plan.project, at.arm).observe(seconds)

    def _tried(
        self,
        answering: Answering,
        trial: tuple[Split, Variant],
        failed: bool,
        seconds: float | None = None,
    ) -> None:
        split, variant = trial
        assert self.rollouts is not None  # nosec B101: nothing is tried without
        if variant == "canary" and answering.ready is None and seconds is not None:
            return  # the base answered for it, which was counted when it could not be loaded
        self.rollouts.add(split, variant, failed)
        outcome = "failed" if failed else "answered"
        self.metrics.trials.labels(split.project, variant, outcome).inc()
        if seconds is not None:
            self.metrics.trial_seconds.labels(split.project, variant).observe(seconds)

    def _shadow(self, asked: PreparedRequest, split: Split) -> None:
        """Have the canary answer, too, where nobody waits; what it writes is not kept."""
        if self.engine.state()["waiting"] or not self._shadows.acquire(blocking=False):
            return
        release = self._shadows.release
        trial: tuple[Split, Variant] = (split, "canary")

        def answer() -> None:
            try:
                served = self.source.current.models[f"{split.project}@canary"]
                answering = replace(self.answering_with(served), trial=trial)
                if answering.ready is None:
                    self._tried(answering, trial, failed=True)
                    return
                done = SimpleQueue[Event]()
                again = replace(asked, answering=answering, key=None, known=None, flags=set())
                self.engine.submit(again.job, self._watched(again, done.put))
                while isinstance(done.get(), TextDelta):
                    pass
            except Exception as error:  # noqa: BLE001 - nobody waits for it
                _LOG.warning("the canary of %s was not asked: %s", split.project, error)
            finally:
                release()

        threading.Thread(target=answer, name="shadow", daemon=True).start()

    def require_room(self, asked: PreparedRequest) -> None:
        """Look whether a request would have to be refused, before an answer is begun.

        Raises:
            BusyError: too many requests wait.
        """
        waiting = self.engine.state()["waiting"]
        if waiting >= self.settings.waiting:
            self._note(asked, "refused", 0.0)
            raise BusyError(f"{waiting} requests wait already; try again in a second")

    def voted_down(self, version: str) -> None:
        """Count a vote against an answer of a canary, or of the champion beside one."""
        if self.rollouts is None:
            return
        for served in self.source.current.models.values():
            split = served.split
            if split is not None and version in (split.version, served.version):
                self.rollouts.vote_down(split, version)

    def voted(self, answer: str, vote: Vote) -> None:
        """Count what a person, or an editor, did with an answer of an experiment.

        Args:
            answer: The answer's id.
            vote: ``up`` where it was accepted.
        """
        if self.experiments is None:
            return
        identity = answer.rpartition("-")[2]
        for served in self.source.current.models.values():
            if served.experiment is not None:
                plan = served.experiment.plan
                arm = self.experiments.vote(plan, identity, vote)
                if arm is not None:
                    self.metrics.compared_votes.labels(plan.project, arm, vote).inc()

    def close(self) -> None:
        """End engine and router."""
        if self.rollouts is not None:
            self.rollouts.close()
        if self.experiments is not None:
            self.experiments.close()
        self.engine.close()
        self.router.close()

    def _screened(self, asked: PreparedRequest) -> ScreeningSpan:
        if self._screen is None:
            return ScreeningSpan(NoOpTracer(), lambda piece: piece)

        def note(rule: str) -> None:
            if rule not in asked.flags:
                self.metrics.flagged.labels(rule).inc()
                asked.flags.add(rule)

        return ScreeningSpan(self.tracer, FilteredAnswers(self._screen, asked.text.text, note).add)

    def _load(self, adapter: AdapterFiles) -> tuple[Ready | None, str]:
        """An adapter, or why it cannot be; tried again after a while that doubles each time."""
        count, until, why = self._failures.get(adapter.version, (0, 0.0, ""))
        if time.monotonic() < until:
            return None, why
        try:
            ready = self.engine.load(adapter)
        except UnavailableError:
            raise  # the base cannot be asked either, and no fault of the adapter was seen
        except Exception as error:  # noqa: BLE001 - whatever it is, the base can still answer
            why = f"{type(error).__name__}: {error}"
            wait = min(2.0**count, _LONGEST_WAIT)
            self._failures[adapter.version] = (count + 1, time.monotonic() + wait, why)
            self.metrics.adapter_loads.labels("refused").inc()
            _LOG.warning("adapter %s cannot be used: %s", adapter.version, why)
            return None, why
        self._failures.pop(adapter.version, None)
        self.metrics.adapter_loads.labels("ready").inc()
        return ready, ""

    def _before(self, answering: Answering) -> Callable[[str], str]:
        folder = answering.served.examples
        if not shows_context(answering.way) or folder is None:
            return lambda text: text
        key = (folder, answering.served.release.index)
        with self._lock:
            if key not in self._examples:
                self._examples[key] = self._open_examples(folder)
        return self._examples[key].before


def _failed(error: BaseException) -> BaseException:
    if isinstance(error, EngineError | BusyError):
        return error
    made = EngineError(f"the engine failed: {type(error).__name__}: {error}")
    made.__cause__ = error
    return made
