"""The platform's own tasks, asked as in training: completion, refactoring, naming and so on."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

from pydantic import ConfigDict

from cortex_pipelines.datasets.prompts.unit_text import LINE_COMMENTS
from cortex_pipelines.datasets.settings import DatasetSettings
from cortex_pipelines.datasets.tasks.naming import NamingTarget, naming_example
from cortex_pipelines.evaluation.metrics.patterns import CODE, broken_patterns
from cortex_pipelines.ingestion.files.languages import language_of
from cortex_pipelines.prompts.stopping import (
    StopRule,
    cut,
    extent_of_test,
    is_complete,
)
from cortex_pipelines.serving.engines.engine import GeneratedToken, Sampling, TextDelta
from cortex_pipelines.serving.gateway import Gateway
from cortex_pipelines.serving.http.schemas import Short, Words
from cortex_pipelines.serving.request_prompts import task as asked_as
from cortex_pipelines.serving.requests import Answering, PreparedRequest

_DRAWN = 0.8
"""Temperature of alternatives (Chen et al. 2021)."""

_STANDS_FOR = "name_to_be_found"


class TaskError(ValueError):
    """A task cannot be asked so; the message says what is missing."""


@dataclass(frozen=True)
class TaskContext:
    """What else is known of a task's input.

    Args:
        path: File that it is from; its ending gives the language.
        language: Its language, where no path tells.
        code: Code from around it, shown before it.
        name: Of a naming: the name to find a better one for.
        kind: Of a naming: what is named (function, method, class, variable, constant).
        request: Of a refactoring: what to do, such as ``Extract Method``; without it (and without
            a smell) the code has an error. Of an architecture: the line that asks.
        smell: Of a refactoring: what to improve, such as ``long parameter list``.
        test_path: Of tests: the file that the test goes into.
    """

    __pydantic_config__: ClassVar = ConfigDict(strict=False)  # of a body, it is an object

    path: Short = ""
    language: Short = ""
    code: Words = ""
    name: Short = ""
    kind: Short = "function"
    request: Short = ""
    smell: Short = ""
    test_path: Short = ""


@dataclass(frozen=True)
class Alternative:
    """Another answer, and how sure the model is of it."""

    result: str
    confidence: float


@dataclass(frozen=True)
class Suggestion:
    """The answer to a task.

    Args:
        result: The answer.
        confidence: Geometric mean of its tokens' probabilities; no calibrated probability. 0 where
            an upstream server says none.
        alternatives: Other answers, the surest first.
        latency: Seconds.
        version: What answered: the adapter's DVC version, or the base's digest.
        model: Under which name.
        way: How.
        release: Version of the release.
        template: What the prompt was made by.
        flags: Rules by which the scan knew secrets or personal data in the answers, and
            ``pattern:<name>`` for each of the project's patterns that the result breaks.
        cached: Whether all of them were given before.
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

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self) | {"alternatives": [asdict(other) for other in self.alternatives]}


Prompted = tuple[Mapping[str, str], StopRule]
"""What the task's template is given, and where the answer ends."""


def suggest(
    gateway: Gateway,
    model: str | None,
    task: str,
    given: str,
    context: TaskContext,
    settings: DatasetSettings,
    others: int = 2,
) -> Suggestion:
    """Answer a task.

    Args:
        gateway: What answers.
        model: Under which name; None for the default.
        task: One of ``TASKS``; others are planned and refused.
        given: Code, or a description.
        context: What else is known.
        settings: Mask and bounds of the prompts, as the data sets were made with.
        others: How many alternatives are drawn.

    Raises:
        TaskError: something that the task needs is missing.
        UnknownModelError: there is no such model.
        BusyError: too many requests wait.
        EngineError: the engine failed.
    """
    began = time.perf_counter()
    if task not in TASKS:
        raise TaskError(
            f"task: {task} is not answered yet, as no adapter is trained for it; "
            f"there is {', '.join(TASKS)}"
        )
    values, extent = TASKS[task](given, context, settings)
    form = asked_as(task, **values)
    answering = gateway.answering(model, task, context=task == "completion")
    how = Sampling(gateway.settings.max_tokens, finished=_Complete(extent))
    asked = [gateway.ask(answering, form, how)]
    if others:
        varied = replace(how, temperature=_DRAWN, seed=1)
        asked.append(gateway.ask(answering, form, varied, others))
    best, *drawn = [answer for part in asked for answer in _answers(gateway, part, extent)]
    known = {
        other.result: other
        for other in drawn
        if other.result.strip() and other.result != best.result
    }
    flags = {rule for part in asked for rule in part.flags}
    flags |= _broken(answering, task, given, best.result, context)
    return Suggestion(
        best.result,
        best.confidence,
        tuple(sorted(known.values(), key=lambda other: (-other.confidence, other.result))),
        round(time.perf_counter() - began, 3),
        answering.version,
        answering.served.name,
        answering.way,
        answering.release,
        str(answering.served.templates[task]),
        tuple(sorted(flags)),
        all(part.known is not None for part in asked),
    )


def _broken(
    answering: Answering, task: str, given: str, result: str, context: TaskContext
) -> set[str]:
    """Flags of the project's patterns that an answer breaks."""
    if answering.served.patterns is None or task not in CODE:
        return set()
    before = given if task == "completion" else ""
    checks = answering.served.patterns()
    broken = broken_patterns(checks, task, before, result, _language(context), context.path)
    return {f"pattern:{name}" for name in broken or ()}


@dataclass(frozen=True)
class _Complete:
    """Whether an answer extends as far as it should."""

    extent: StopRule

    def __call__(self, text: str) -> bool:
        return is_complete(text, self.extent)


def _answers(gateway: Gateway, asked: PreparedRequest, extent: StopRule) -> list[Alternative]:
    pieces: list[list[TextDelta]] = [[] for _ in range(asked.count)]
    for piece in gateway.written(asked):
        pieces[piece.index].append(piece)
    return [
        Alternative(
            cut("".join(piece.text for piece in own), extent),
            _confidence([token for piece in own for token in piece.tokens]),
        )
        for own in pieces
    ]


def _confidence(tokens: Sequence[GeneratedToken]) -> float:
    known = [token.logprob for token in tokens if token.logprob is not None]
    if not known or len(known) < len(tokens):
        return 0.0
    return round(math.exp(sum(known) / len(known)), 6)


def _completed(given: str, context: TaskContext, _settings: DatasetSettings) -> Prompted:
    values = {
        "given": given,
        "path": context.path,
        "comment": _comment(context) if context.path else "",
        "code": context.code.rstrip("\n"),
    }
    end = given.rstrip()
    if end.endswith(":"):
        return values, "indented"
    return values, "braced" if end.endswith("{") else "statement"


def _refactored(given: str, context: TaskContext, _settings: DatasetSettings) -> Prompted:
    if not given.strip():
        raise TaskError("input: the code to change is missing")
    values = {
        "given": given.rstrip(),
        "path": context.path,
        "comment": _comment(context),
        "smell": context.smell,
        "request": context.request,
    }
    return values, "unit" if _language(context) == "python" else "braced_unit"


def _named(given: str, context: TaskContext, settings: DatasetSettings) -> Prompted:
    code, name = given, context.name
    if not name:
        name = _STANDS_FOR
        code = given.replace(settings.mask, name)
    unit = {"language": _language(context), "context": "", "indent": "", "code": code}
    room = settings.model_copy(update={"max_prompt_bytes": len(given.encode()) + 10_000})
    example = naming_example(unit, NamingTarget(context.kind, name), room)
    if example is None:
        raise TaskError(
            f"input: put {settings.mask} where the name belongs, or name it as context.name, "
            "which has to stand in the code"
        )
    return {"example": example}, "line"


def _structured(given: str, context: TaskContext, _settings: DatasetSettings) -> Prompted:
    if not context.request:
        raise TaskError(
            "context.request: the line that asks is missing, such as '# Route (flask, src/app.py):'"
        )
    return {"given": given.rstrip(), "request": context.request}, "paragraph"


def _documented(given: str, context: TaskContext, _settings: DatasetSettings) -> Prompted:
    return _shown(given, context), "paragraph"


def _tested(given: str, context: TaskContext, _settings: DatasetSettings) -> Prompted:
    if not context.test_path:
        raise TaskError(
            "context.test_path: the file that the test goes into is missing, such as "
            "tests/test_cart.py"
        )
    values = _shown(given, context) | {"test_path": context.test_path}
    return values, extent_of_test(_language(context))


def _shown(given: str, context: TaskContext) -> dict[str, str]:
    if not given.strip():
        raise TaskError("input: the function, method or class is missing")
    return {"given": given.rstrip(), "path": context.path, "comment": _comment(context)}


TASKS: dict[str, Callable[[str, TaskContext, DatasetSettings], Prompted]] = {
    "completion": _completed,
    "refactoring": _refactored,
    "naming": _named,
    "architecture": _structured,
    "documentation": _documented,
    "tests": _tested,
}
"""What each task's template is given."""


def _language(context: TaskContext) -> str:
    known = context.language or (language_of(context.path, "") if context.path else None)
    language = (known or "python").lower()
    if language not in LINE_COMMENTS:
        raise TaskError(f"context.language: {language[:40]} is none of {', '.join(LINE_COMMENTS)}")
    return language


def _comment(context: TaskContext) -> str:
    return LINE_COMMENTS[_language(context)]
