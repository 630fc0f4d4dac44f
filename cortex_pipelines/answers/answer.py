"""Answers to tasks: the best candidate of several sources that passes all checks, or none."""

import json
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal, Protocol

from cortex_pipelines.answers.question import Question, TaskContext
from cortex_pipelines.answers.team import Team
from cortex_pipelines.config import Parameters
from cortex_pipelines.prompts.examples import StopRule

Steps = Sequence[tuple[float, float | None]]
"""Lowest score and share of right answers from it on, in rising order (isotonic regression); None: not measured."""

_FILE = Path(__file__).parent / "calibration.json"


@dataclass(frozen=True)
class Calibration:
    """Accuracy of answers, measured on held-out units.

    ``steps`` by task and source. ``min_confidence``: answers below it are withheld.
    """

    steps: Mapping[str, Mapping[str, Steps]] = field(default_factory=dict)
    min_confidence: float = 0.0

    def confidence(self, task: str, source: str, score: float) -> float | None:
        """Share of right answers, 0 to 1; None if it was not measured for the task and source."""
        steps = self.steps.get(task, {}).get(source)
        if not steps:
            return None
        index = bisect_right([lowest for lowest, _ in steps], score)
        return steps[max(index - 1, 0)][1]


@cache
def held_out_calibration(min_confidence: float) -> Calibration:
    """The calibration measured on held-out units of other projects (docs/evaluation.md)."""
    return Calibration(json.loads(_FILE.read_text(encoding="utf-8")), min_confidence)


Source = Literal["model", "analyser", "team"]
"""Who answers: a model; rules that read the code; the nearest example of the team."""

SOURCE_NAMES: Mapping[Source, str] = {"model": "the model", "analyser": "the analyser", "team": "the nearest example"}

_SHOWN_REASONS = 3


@dataclass(frozen=True)
class Candidate:
    """A possible answer.

    ``score``, 0 to 1, orders the candidates of one source and is what calibration starts from: of a model the geometric
    mean of its tokens' probabilities, of an example its similarity, of a rule its measured precision.
    """

    result: str
    source: Source
    score: float = 1.0


class NoAnswerError(Exception):
    """The question cannot be answered; the message is a sentence. Raised by a task's candidates."""


@dataclass(frozen=True)
class Check:
    """``refusal``: a sentence on the fault of an answer, or None."""

    name: str
    refusal: Callable[[Candidate], str | None]


@dataclass(frozen=True)
class AlternativeAnswer:
    result: str
    source: Source
    confidence: float | None


@dataclass(frozen=True)
class Answer:
    """The answer to a question.

    Args:
        result: None without a good answer; ``reason`` then says why.
        confidence: Share of such answers that are right on held-out units (``calibration``); None if not measured.
        checks: Names of the checks that the result passed.
        alternatives: Other answers that pass them, the best first.
        notice: Caveats, such as that the adapter never learned the task.
    """

    result: str | None
    source: Source | None
    confidence: float | None
    checks: tuple[str, ...]
    reason: str
    alternatives: tuple[AlternativeAnswer, ...] = ()
    notice: str = ""


@dataclass(frozen=True)
class GeneratedText:
    """A text by a model; ``score`` is the geometric mean of its tokens' probabilities."""

    text: str
    score: float


class Writer(Protocol):
    """A model that continues a task's prompt within the task's budget.

    Truncated texts are dropped, so there may be fewer than requested.
    """

    def __call__(
        self, values: Mapping[str, str], extent: StopRule, *, grammar: str = "", sampled: int = 0
    ) -> list[GeneratedText]:
        """The likeliest text and ``sampled`` others.

        ``values``: for the task's template. ``extent``: where a text ends. ``grammar``: rules in GBNF that define
        ``answer``, which all of the text has to match; empty for any text.
        """

    def notes(self) -> list[str]:
        """Reasons for dropped texts, in sentences."""


@dataclass(frozen=True)
class Means:
    """Model, team data and limits for answering a question.

    ``remaining_seconds``: until an answer has to be given. ``alternatives``: number besides the best answer.
    """

    write: Writer
    team: Team
    remaining_seconds: Callable[[], float]
    parameters: Parameters
    calibration: Calibration
    alternatives: int = 0


def input_itself(text: str, _context: TaskContext, _parameters: Parameters) -> str:
    return text


@dataclass(frozen=True)
class Task:
    """How a task is answered.

    Args:
        candidates: Possible answers, the cheapest first; the rest are skipped after the deadline.
        checks: What each answer has to pass, in order.
        prompt: Values for the task's template and where an answer ends; as in training.
        code: The unit of an input and its context, which has to parse; None for a task whose input is not code. Raises
            TaskError.
        needs: Fields of the context that have to be given, with a sentence each.
        nothing: Reason if no source has a candidate.
        template: Of the prompt; empty for the task's own.
        learned_only: Whether a model is asked only if it learned the task; what others write of it is right too seldom.
    """

    candidates: Callable[[Question, Means], Iterable[Candidate]]
    checks: Callable[[Question, Means], Sequence[Check]]
    prompt: Callable[[Question, Parameters], tuple[Mapping[str, str], StopRule]]
    nothing: str
    code: Callable[[str, TaskContext, Parameters], str] | None = input_itself
    needs: Mapping[str, str] | None = None
    template: str = ""
    learned_only: bool = False


def best_answer(name: str, task: Task, question: Question, means: Means) -> Answer:
    """The best candidate that passes all checks; equal confidences keep their order."""
    checks = task.checks(question, means)
    passed: dict[str, tuple[Candidate, float | None]] = {}
    refusals: Counter[str] = Counter()
    for candidate in _candidates(task, question, means, refusals):
        refusal = next((reason for check in checks if (reason := check.refusal(candidate)) is not None), None)
        if refusal is not None:
            refusals[refusal] += 1
            continue
        confidence = means.calibration.confidence(name, candidate.source, candidate.score)
        if confidence is not None and confidence < means.calibration.min_confidence:
            refusals[
                f"what {SOURCE_NAMES[candidate.source]} gives here is right too seldom ({confidence:.0%} of the time)"
            ] += 1
        elif candidate.result not in passed:
            passed[candidate.result] = candidate, confidence
        if means.remaining_seconds() <= 0:
            break
    notes = means.write.notes()
    if not passed:
        reasons = [reason for reason, _ in refusals.most_common(_SHOWN_REASONS)] or [task.nothing]
        return Answer(None, None, None, (), "; ".join([*notes, *reasons]))
    ranked = sorted(passed.values(), key=lambda each: -(1.0 if each[1] is None else each[1]))
    (best, confidence), *runners_up = ranked
    alternatives = tuple(
        AlternativeAnswer(other.result, other.source, sure) for other, sure in runners_up[: means.alternatives]
    )
    return Answer(best.result, best.source, confidence, tuple(check.name for check in checks), "", alternatives)


def _candidates(task: Task, question: Question, means: Means, refusals: Counter[str]) -> Iterator[Candidate]:
    try:
        yield from task.candidates(question, means)
    except NoAnswerError as error:
        refusals[str(error)] += 1
