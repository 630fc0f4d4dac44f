"""This platform's tasks, prompted as in training: completion, refactoring, naming and so on."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

from pydantic import ConfigDict

from cortex_pipelines.datasets.settings import DatasetSettings
from cortex_pipelines.datasets.tasks.naming import NamingTarget, naming_example
from cortex_pipelines.datasets.unit_text import LINE_COMMENTS
from cortex_pipelines.evaluation.metrics.grading import CODE, broken_patterns
from cortex_pipelines.ingestion.files.languages import language_of
from cortex_pipelines.prompts.examples import StopRule, cut, extent_of_test, is_complete
from cortex_pipelines.serving.engines.engine import Sampling
from cortex_pipelines.serving.gateway import Gateway
from cortex_pipelines.serving.http.schemas import LongText, ShortText
from cortex_pipelines.serving.requests import PreparedRequest
from cortex_pipelines.serving.requests import task as asked_as

_ALTERNATIVE_TEMPERATURE = 0.8
"""Temperature of alternatives (Chen et al. 2021)."""

_PLACEHOLDER_NAME = "name_to_be_found"


class TaskError(ValueError):
    pass


@dataclass(frozen=True)
class TaskContext:
    """Context of a task's input.

    Args:
        path: Source file; its suffix determines the language.
        language: Language, if ``path`` is empty.
        code: Surrounding code, placed before the input.
        name: Naming: the name to improve.
        kind: Naming: kind of the named unit (function, method, class, variable, constant).
        request: Refactoring: what to do, such as ``Extract Method``; without it and without a
            smell, the code has an error. Architecture: the line that asks.
        smell: Refactoring: what to improve, such as ``long parameter list``.
        test_path: Tests: the target file of the test.
    """

    __pydantic_config__: ClassVar = ConfigDict(strict=False)  # an object in request bodies

    path: ShortText = ""
    language: ShortText = ""
    code: LongText = ""
    name: ShortText = ""
    kind: ShortText = "function"
    request: ShortText = ""
    smell: ShortText = ""
    test_path: ShortText = ""


@dataclass(frozen=True)
class Alternative:
    result: str
    confidence: float


@dataclass(frozen=True)
class Suggestion:
    """The answer to a task.

    Args:
        confidence: Geometric mean of its tokens' probabilities; not calibrated. 0 if an upstream
            server reports none.
        alternatives: Other answers, the most confident first.
        latency: Seconds.
        version: The adapter's DVC version, or the base's digest.
        template: Template of the prompt.
        flags: The output filter's rules that matched, and ``pattern:<name>`` for each of the
            project's patterns that the result breaks.
        cached: Whether all answers are cached.
    """

    result: str
    confidence: float
    alternatives: tuple[Alternative, ...]
    latency: float
    version: str
    model: str
    way: str
    release: str
    template: str
    flags: tuple[str, ...] = ()
    cached: bool = False


TaskPrompt = tuple[Mapping[str, str], StopRule]
"""Values for the task's template, and the rule for the answer's end."""


def suggest(
    gateway: Gateway, model: str | None, task: str, task_input: str, context: TaskContext, alternative_count: int = 2
) -> Suggestion:
    """Answer one of ``TASKS``; TaskError for incomplete input, and the errors of the gateway."""
    began = time.perf_counter()
    if task not in TASKS:
        raise TaskError(
            f"task: {task} is not answered yet, as no adapter is trained for it; there is {', '.join(TASKS)}"
        )
    values, extent = TASKS[task](task_input, context, gateway.datasets)
    builder = asked_as(task, **values)
    backend = gateway.backend_for(model, task, context=task == "completion")
    sampling = Sampling(gateway.settings.max_tokens, finished=partial(is_complete, extent=extent))
    requests = [gateway.prepare(backend, builder, sampling)]
    if alternative_count:
        varied = replace(sampling, temperature=_ALTERNATIVE_TEMPERATURE, seed=1)
        requests.append(gateway.prepare(backend, builder, varied, alternative_count))
    best, *sampled = [answer for request in requests for answer in _answers(gateway, request, extent)]
    distinct = {other.result: other for other in sampled if other.result.strip() and other.result != best.result}
    flags = {rule for request in requests for rule in request.flags}
    if backend.served.patterns is not None and task in CODE:
        before = task_input if task == "completion" else ""
        checks = backend.served.patterns()
        broken_names = broken_patterns(checks, task, before, best.result, _language(context), context.path)
        flags |= {f"pattern:{name}" for name in broken_names or ()}
    return Suggestion(
        best.result,
        best.confidence,
        tuple(sorted(distinct.values(), key=lambda other: (-other.confidence, other.result))),
        round(time.perf_counter() - began, 3),
        backend.version,
        backend.served.name,
        backend.way,
        backend.release,
        str(backend.served.templates[task]),
        tuple(sorted(flags)),
        all(request.cached_deltas is not None for request in requests),
    )


def _answers(gateway: Gateway, request: PreparedRequest, extent: StopRule) -> list[Alternative]:
    texts = [""] * request.count
    logprobs: list[list[float]] = [[] for _ in texts]
    for delta in gateway.stream_blocking(request):
        texts[delta.index] += delta.text
        logprobs[delta.index] += [-math.inf if token.logprob is None else token.logprob for token in delta.tokens]
    return [
        Alternative(cut(text, extent), round(math.exp(math.fsum(values) / len(values)), 6) if values else 0.0)
        for text, values in zip(texts, logprobs, strict=True)
    ]


def _completion_prompt(task_input: str, context: TaskContext, _settings: DatasetSettings) -> TaskPrompt:
    values = {
        "given": task_input,
        "path": context.path,
        "comment": LINE_COMMENTS[_language(context)] if context.path else "",
        "code": context.code.rstrip("\n"),
    }
    last_character = task_input.rstrip()[-1:]
    extents: Mapping[str, StopRule] = {":": "indented", "{": "braced"}
    return values, extents.get(last_character, "statement")


def _refactoring_prompt(task_input: str, context: TaskContext, _settings: DatasetSettings) -> TaskPrompt:
    values = _unit_values(task_input, context, "the code to change")
    extent: StopRule = "unit" if _language(context) == "python" else "braced_unit"
    return values | {"smell": context.smell, "request": context.request}, extent


def _naming_prompt(task_input: str, context: TaskContext, settings: DatasetSettings) -> TaskPrompt:
    code, name = task_input, context.name
    if not name:
        name = _PLACEHOLDER_NAME
        code = task_input.replace(settings.mask, name)
    unit = {"language": _language(context), "context": "", "indent": "", "code": code}
    room = settings.model_copy(update={"max_prompt_bytes": len(task_input.encode()) + 10_000})
    example = naming_example(unit, NamingTarget(context.kind, name), room)
    if example is None:
        raise TaskError(
            f"input: put {settings.mask} where the name belongs, or name it as context.name, "
            "which has to stand in the code"
        )
    return {"example": example}, "line"


def _architecture_prompt(task_input: str, context: TaskContext, _settings: DatasetSettings) -> TaskPrompt:
    if not context.request:
        raise TaskError("context.request: the line that asks is missing, such as '# Route (flask, src/app.py):'")
    return {"given": task_input.rstrip(), "request": context.request}, "paragraph"


def _documentation_prompt(task_input: str, context: TaskContext, _settings: DatasetSettings) -> TaskPrompt:
    return _unit_values(task_input, context), "paragraph"


def _tests_prompt(task_input: str, context: TaskContext, _settings: DatasetSettings) -> TaskPrompt:
    if not context.test_path:
        raise TaskError("context.test_path: the file that the test goes into is missing, such as tests/test_cart.py")
    values = _unit_values(task_input, context) | {"test_path": context.test_path}
    return values, extent_of_test(_language(context))


def _unit_values(
    task_input: str, context: TaskContext, subject: str = "the function, method or class"
) -> dict[str, str]:
    if not task_input.strip():
        raise TaskError(f"input: {subject} is missing")
    return {"given": task_input.rstrip(), "path": context.path, "comment": LINE_COMMENTS[_language(context)]}


TASKS: dict[str, Callable[[str, TaskContext, DatasetSettings], TaskPrompt]] = {
    "completion": _completion_prompt,
    "refactoring": _refactoring_prompt,
    "naming": _naming_prompt,
    "architecture": _architecture_prompt,
    "documentation": _documentation_prompt,
    "tests": _tests_prompt,
}
"""Task to its prompt."""


def _language(context: TaskContext) -> str:
    language_name = context.language or (language_of(context.path, "") if context.path else None)
    language = (language_name or "python").lower()
    if language not in LINE_COMMENTS:
        raise TaskError(f"context.language: {language[:40]} is not one of {', '.join(LINE_COMMENTS)}")
    return language
