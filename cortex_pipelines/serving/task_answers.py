"""Answers to tasks by a gateway: its models write within the task's budget, the rest is ``answers``."""

import contextvars
import math
import threading
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial

from cortex_pipelines.answers.answer import Answer, GeneratedText, Means, held_out_calibration
from cortex_pipelines.answers.answering import TASKS, answer, question_of
from cortex_pipelines.answers.question import Question, TaskContext
from cortex_pipelines.answers.team import Team
from cortex_pipelines.evaluation.metrics.grading import CODE, broken_patterns
from cortex_pipelines.prompts.examples import StopRule, cut, is_complete
from cortex_pipelines.prompts.templates import PromptFileError
from cortex_pipelines.serving.catalogue import ServedModel
from cortex_pipelines.serving.engines.engine import BusyError, EngineError, Sampling
from cortex_pipelines.serving.gateway import Gateway
from cortex_pipelines.serving.requests import AnswerBackend, PreparedRequest
from cortex_pipelines.serving.requests import task as asked_as
from cortex_pipelines.serving.settings import TaskBudget

_TEMPERATURE = 0.8
"""Of all texts but the likeliest (Chen et al. 2021)."""


@dataclass(frozen=True)
class Suggestion(Answer):
    """An answer, and what gave it.

    Args:
        latency: Seconds.
        version: The adapter's DVC version, or the base's digest.
        template: Template of the prompt; empty if no model was asked.
        flags: The output filter's rules that matched, and ``pattern:<name>`` for each of the project's patterns that
            the result breaks.
        cached: Whether all that the model wrote came from the cache.
    """

    latency: float = 0.0
    version: str = ""
    model: str = ""
    way: str = ""
    release: str = ""
    template: str = ""
    flags: tuple[str, ...] = ()
    cached: bool = False


def suggest(
    gateway: Gateway, model: str | None, task: str, text: str, context: TaskContext, alternatives: int = 2
) -> Suggestion:
    """Answer a question within the task's deadline; TaskError for a question that cannot be asked."""
    began = time.perf_counter()
    question = question_of(task, text, context, gateway.parameters)
    served = gateway.source.current.find(model)
    team = served.team() if served.team is not None else Team()
    budget: TaskBudget = getattr(gateway.settings.tasks, task)
    writer = GatewayWriter(gateway, model, served, question, budget, began + budget.seconds, team)
    calibration = held_out_calibration(gateway.settings.tasks.least_confidence)
    means = Means(writer, team, writer.remaining_seconds, gateway.parameters, calibration, alternatives)
    answered = answer(question, means)
    backend = writer.backend or gateway.backend_of(replace(served, adapter=None), task, context=False)
    flags = {rule for request in writer.requests for rule in request.flags} | _broken(served, question, answered)
    notice = "; ".join(filter(None, [answered.notice, writer.untaught, backend.notice]))
    facts = {name: getattr(answered, name) for name in ("result", "source", "confidence", "checks", "reason")}
    return Suggestion(
        **facts,
        alternatives=answered.alternatives,
        notice=notice,
        latency=round(time.perf_counter() - began, 3),
        version=backend.version,
        model=backend.served.name,
        way=backend.way,
        release=backend.release,
        template=str(backend.served.templates[TASKS[task].template or task]) if writer.requests else "",
        flags=tuple(sorted(flags)),
        cached=bool(writer.requests) and all(each.cached_deltas is not None for each in writer.requests),
    )


def _broken(served: ServedModel, question: Question, answered: Answer) -> set[str]:
    if served.patterns is None or question.task not in CODE or answered.result is None:
        return set()
    before = question.text if question.task == "completion" else ""
    names = broken_patterns(
        served.patterns(), question.task, before, answered.result, question.language, question.context.path
    )
    return {f"pattern:{name}" for name in names or ()}


@dataclass(eq=False)
class GatewayWriter:
    """The model of a request, until a deadline (``ends``, of ``time.perf_counter``); see ``answers.answer.Writer``."""

    gateway: Gateway
    model: str | None
    served: ServedModel
    question: Question
    budget: TaskBudget
    ends: float
    team: Team
    backend: AnswerBackend | None = None
    requests: list[PreparedRequest] = field(default_factory=list)
    _notes: dict[str, None] = field(default_factory=dict)

    def remaining_seconds(self) -> float:
        return self.ends - time.perf_counter()

    def notes(self) -> list[str]:
        return list(self._notes)

    @property
    def untaught(self) -> str:
        """Note on a task that the project's adapter was not trained on; else empty."""
        task = self.question.task
        if not self.team.learned or task in self.team.learned:
            return ""
        return f"the adapter of {self.team.name} never learned {task}; others answer"

    def __call__(
        self, values: Mapping[str, str], extent: StopRule, *, grammar: str = "", sampled: int = 0
    ) -> list[GeneratedText]:
        if TASKS[self.question.task].learned_only and (self.untaught or self.served.adapter is None):
            self._note(f"no model here learned {self.question.task}")
            return []
        texts: list[GeneratedText] = []
        stopped = threading.Event()
        errors: list[Exception] = []

        def write() -> None:
            try:
                self._write(values, extent, grammar, sampled, texts, stopped)
            except Exception as error:  # noqa: BLE001 - raised below, in the caller's thread
                errors.append(error)

        # the loading of an adapter and the reading of a prompt cannot be interrupted
        thread = threading.Thread(target=contextvars.copy_context().run, args=(write,), name="task", daemon=True)
        thread.start()
        thread.join(max(self.remaining_seconds(), 0))
        if thread.is_alive():
            stopped.set()
            self._note(
                f"the model did not end within {self.budget.seconds:g} seconds "
                f"(serving.tasks.{self.question.task}.seconds)"
            )
        if errors and not texts:
            if not isinstance(errors[0], EngineError | BusyError | PromptFileError):
                raise errors[0]
            self._note(f"the model cannot answer: {errors[0]}")
        return list(texts)

    def _write(
        self,
        values: Mapping[str, str],
        extent: StopRule,
        grammar: str,
        sampled: int,
        texts: list[GeneratedText],
        stopped: threading.Event,
    ) -> None:
        task = self.question.task
        backend = self.gateway.backend_for(self.model, task, context=task == "completion")
        if self.untaught:
            backend = replace(backend, adapter=None, way="base")
        self.backend = backend
        builder = asked_as(TASKS[task].template or task, **values)
        sampling = Sampling(self.budget.tokens, grammar=grammar, finished=partial(is_complete, extent=extent))
        varied = replace(sampling, temperature=_TEMPERATURE, seed=1)
        for request_sampling, count in ((sampling, 1), (varied, sampled)):
            if not count or stopped.is_set():
                continue
            request = self.gateway.prepare(backend, builder, request_sampling, count)
            if request.cut and task != "completion":
                self._note(f"{request.cut} tokens of the input do not fit the model's window (serving.window)")
                return
            self.requests.append(request)
            self._read(request, extent, texts, stopped)

    def _read(
        self, request: PreparedRequest, extent: StopRule, texts: list[GeneratedText], stopped: threading.Event
    ) -> None:
        outputs = [""] * request.count
        logprobs: list[list[float]] = [[] for _ in outputs]
        with closing(self.gateway.stream_blocking(request)) as deltas:
            for delta in deltas:
                if stopped.is_set():
                    return
                outputs[delta.index] += delta.text
                logprobs[delta.index] += [
                    -math.inf if token.logprob is None else token.logprob for token in delta.tokens
                ]
                if delta.finish == "length":
                    self._note(
                        f"the model was cut off after {self.budget.tokens} tokens "
                        f"(serving.tasks.{self.question.task}.tokens)"
                    )
                elif delta.finish == "stop":
                    values = logprobs[delta.index]
                    score = math.exp(math.fsum(values) / len(values)) if values else 0.0
                    texts.append(GeneratedText(cut(outputs[delta.index], extent), round(score, 6)))

    def _note(self, sentence: str) -> None:
        self._notes[sentence] = None
