"""Multiple-choice questions about a team's code.

A small model generates hardly anything verbatim, but which of a few answers it finds most likely shows what it knows:

* ``naming``: the true name among four of the same kind, from the same file if possible; its end is scored too;
* ``fix``: the true code against the same with an injected error, both from where they differ, without a request:
  otherwise copying the prompt would win. Errors mostly remove code, so the longer version is kept right half the time;
* ``statement``: the next statement among four of the same project;
* ``correction``: code as corrected by a person against what a model had generated, as in ``fix``.

For names and statements the answer counts whose likelihood the prompt raises most (domain conditional pointwise mutual
information; Holtzman and others, *Surface Form Competition*, EMNLP 2021): by likelihood alone the most common text
would win. Two versions of the same code are about equally common, so there the highest log-likelihood per byte wins
(``acc_norm`` of the usual harness). A tie is wrong. Wrong answers come from the test split too, or an adapter would
know them, and none occurs in the prompt, where it could be ruled out by reading.
"""

import hashlib
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from math import inf
from pathlib import Path

import polars as pl

from cortex_pipelines.evaluation.adapter.measures.bits_per_byte import ROLES, ComparedModels
from cortex_pipelines.evaluation.adapter.measures.likelihood import ItemScore, ItemScorer
from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.prompts.examples import Example, cut, shuffled
from cortex_pipelines.schemas.datasets import CORRECTION, CORRECTION_REQUEST, CORRECTION_TITLE
from cortex_pipelines.schemas.evaluation import MULTIPLE_CHOICE
from cortex_pipelines.statistics.intervals import paired_bootstrap, wilson
from cortex_pipelines.statistics.significance import PairedDifferences

KINDS = ("naming", "fix", "statement", "correction")
_ANSWERS = 4
_SIMILAR = 2.0  # times as long or as short
_SHORTEST = 10  # characters of a statement worth asking for
_CLAUSE = re.compile(r"[\s}]*(?:elif|else|except|finally|case|catch|default)\b")
REPAIRS = ("error", "repair")
"""Kinds of examples that put code with an injected error right."""
_REQUEST_LINES = {
    "fix": (REPAIRS, "This code has an error.", "The fixed code:"),
    "correction": ((CORRECTION,), CORRECTION_REQUEST, CORRECTION_TITLE),
}
"""Kinds of examples, and the lines around the code before."""


@dataclass(frozen=True)
class ChoiceQuestion:
    """Examples that differ in the completion, and the index of the right answer."""

    kind: str
    answers: tuple[Example, ...]
    truth: int

    @property
    def chance(self) -> float:
        return 1 / len(self.answers)

    @property
    def alone(self) -> tuple[Example, ...]:
        """The answers after the part of the prompt common to all questions of the kind; empty for
        two versions of the same code."""
        lines = self.answers[0].prompt.splitlines() or [""]
        common = {"naming": lines[-1], "statement": lines[0]}.get(self.kind)
        if common is None:
            return ()
        return tuple(replace(answer, prompt=f"{common}\n") for answer in self.answers)


def build_questions(
    held_out: Mapping[str, Sequence[Example]], count: int, seed: int
) -> tuple[list[ChoiceQuestion], dict[str, int]]:
    """At most ``count`` questions of each kind, and the number of items of each kind without a question."""
    candidates_by_kind = {
        "naming": _naming(held_out.get("naming", ()), seed),
        "fix": _balanced(_fixes("fix", held_out.get("refactoring", ()), seed)),
        "statement": _statements(held_out.get("completion", ()), seed),
        "correction": _fixes("correction", held_out.get("feedback", ()), seed),
    }
    questions: list[ChoiceQuestion] = []
    rejected: dict[str, int] = {}
    for kind, candidates in candidates_by_kind.items():
        built = list(candidates)
        accepted = [question for question in built if question is not None]
        rejected[kind] = len(built) - len(accepted)
        questions += sorted(accepted[:count], key=lambda question: question.answers[0].example_id)
    return questions, rejected


def _naming(items: Sequence[Example], seed: int) -> Iterator[ChoiceQuestion | None]:
    for item in shuffled(items, seed):
        comparable = [other for other in items if (other.kind, other.language) == (item.kind, item.language)]
        same_file = [other.completion for other in comparable if other.path == item.path]
        yield _question("naming", item, same_file, [other.completion for other in comparable], seed)


def _statements(items: Sequence[Example], seed: int) -> Iterator[ChoiceQuestion | None]:
    bodies = [other for other in items if other.kind in ("function", "method")]
    pool = [(other, statement) for other in bodies for statement in _top_statements(other.completion)]
    for item in shuffled(bodies, seed):
        truth = next(iter(_top_statements(item.completion)), "")
        if len(truth.strip()) < _SHORTEST:
            continue
        indent = truth[: len(truth) - len(truth.lstrip())]
        distractors = [
            indent + statement.strip()
            for other, statement in pool
            if other.language == item.language and other.cluster != item.cluster
        ]
        yield _question("statement", replace(item, completion=truth), [], distractors, seed)


def _fixes(kind: str, items: Sequence[Example], seed: int) -> Iterator[ChoiceQuestion | None]:
    kinds, request, title = _REQUEST_LINES[kind]
    for item in shuffled([item for item in items if item.kind in kinds], seed):
        lines = item.prompt.split("\n")
        if len(lines) <= 4 or not lines[1].endswith(request) or not lines[-2].endswith(title):
            yield None
            continue
        buggy, fixed = "\n".join(lines[2:-3]), item.completion
        line_pairs = zip(buggy.split("\n"), fixed.split("\n"), strict=False)
        before = "".join(f"{line}\n" for line, _ in takewhile(lambda two: two[0] == two[1], line_pairs))
        endings = [text[len(before) :] for text in (fixed, buggy)]
        if not all(ending.strip() for ending in endings) or endings[0] == endings[1]:
            yield None
            continue
        stem = replace(item, prompt=f"{lines[0]}\n{before}")
        yield _shuffled_question(kind, stem, endings[0], endings[1:], seed)


def _balanced(candidates: Iterable[ChoiceQuestion | None]) -> Iterator[ChoiceQuestion | None]:
    """Questions with two answers, the longer one right as often as the shorter one.

    A question whose right answer is the longer one is paired with one whose right answer is the
    shorter. None for each question without a partner.
    """
    longer, shorter = deque[ChoiceQuestion](), deque[ChoiceQuestion]()
    for question in candidates:
        sizes = [len(answer.completion.encode()) for answer in question.answers] if question else [0]
        if question is None or 2 * sizes[question.truth] == sum(sizes):
            yield question
            continue
        queue, opposite = (longer, shorter) if 2 * sizes[question.truth] > sum(sizes) else (shorter, longer)
        queue.append(question)
        if opposite:
            yield from (queue.popleft(), opposite.popleft())
    yield from (None for _ in (*longer, *shorter))


def _top_statements(body: str) -> list[str]:
    lines = body.split("\n")
    margin = len(lines[0]) - len(lines[0].lstrip())
    statements = []
    for number, line in enumerate(lines):
        begins = len(line) - len(line.lstrip()) == margin and not _CLAUSE.match(line)
        if begins and line.strip(" \t{}();"):
            statements.append(cut("\n".join(lines[number:]), "statement"))
    return [statement for statement in statements if len(statement.strip()) >= _SHORTEST]


def _question(
    kind: str, item: Example, nearby: Sequence[str], distant: Sequence[str], seed: int
) -> ChoiceQuestion | None:
    """A question that prefers distractors from nearby; None if there are too few."""
    truth = item.completion
    distractors: list[str] = []
    for pool in (nearby, distant):
        texts = [
            text
            for text in dict.fromkeys(pool)
            if text.strip() not in ("", truth.strip()) and not _stands_in(text.strip(), item.prompt)
        ]
        ratios = {text: (len(text) + 1) / (len(truth) + 1) for text in texts}
        similar = [text for text in texts if 1 / _SIMILAR <= ratios[text] <= _SIMILAR]
        similar.sort(key=lambda text: _rank(seed, item, text))
        dissimilar = sorted(set(texts) - set(similar), key=lambda text: (abs(len(text) - len(truth)), text))
        distractors += [text for text in (*similar, *dissimilar) if text not in distractors]
    if len(distractors) < _ANSWERS - 1:
        return None
    return _shuffled_question(kind, item, truth, distractors[: _ANSWERS - 1], seed)


def _shuffled_question(kind: str, item: Example, truth: str, distractors: Sequence[str], seed: int) -> ChoiceQuestion:
    # not by the hash that selected the wrong answers: their ranks are all small
    options = sorted([truth, *distractors], key=lambda answer: _rank(seed, item, f"place:{answer}"))
    answers = tuple(replace(item, completion=text) for text in options)
    return ChoiceQuestion(kind, answers, options.index(truth))


def _stands_in(answer: str, prompt: str) -> bool:
    """Whether an answer occurs in the prompt, with names matched as whole words."""
    # plain text first: an expression for each name of a large project takes minutes to compile
    return answer in prompt and bool(re.search(rf"(?<!\w){re.escape(answer)}(?!\w)", prompt))


def _rank(seed: int, item: Example, text: str) -> str:
    return hashlib.sha256(f"{seed}:{item.example_id}:{text}".encode()).hexdigest()


_WITH_CONTEXT = {"context": "base", "both": "challenger"}
"""Condition with similar examples before the question, and the role that answers."""

_CONTROL = "other_adapter"


def choice_table(
    questions: Sequence[ChoiceQuestion],
    questions_with_context: Sequence[ChoiceQuestion | None],
    models: ComparedModels,
    other: Path | None,
    scorer: ItemScorer,
    window: int,
) -> pl.DataFrame:
    choices: dict[str, list[int | None]] = {}
    priors: dict[str, list[list[ItemScore]]] = {}
    folders = {role: models.folder(role) for role in ROLES}
    folders |= {_CONTROL: other} if other else {}
    for role, folder in folders.items():
        priors[role] = _by_question([entry.alone for entry in questions], folder, scorer, None)
        choices[role] = _choices(questions, priors[role], folder, scorer, None)
    choices.setdefault(_CONTROL, [None] * len(questions))
    for condition, role in _WITH_CONTEXT.items():
        choices[condition] = _choices(questions_with_context, priors[role], models.folder(role), scorer, window)
    names = ("example_id", "path", "language", "cluster", "prompt")
    rows = [
        {
            **{name: getattr(question.answers[0], name) for name in names},
            "kind": question.kind,
            "candidates": [answer.completion for answer in question.answers],
            "truth": question.truth,
            "chance": question.chance,
            "shown": questions_with_context[index] is not None,
            **{f"{condition}_chosen": answers[index] for condition, answers in choices.items()},
        }
        for index, question in enumerate(questions)
    ]
    return MULTIPLE_CHOICE.frame(rows)


def _choices(
    questions: Sequence[ChoiceQuestion | None],
    priors: Sequence[Sequence[ItemScore]],
    adapter: Path | None,
    scorer: ItemScorer,
    window: int | None,
) -> list[int | None]:
    """Index of the answer to each question whose likelihood the prompt raises most (over its prior); None on a tie.

    Without priors the likeliest answer per byte wins.
    """
    answers = [question.answers if question else () for question in questions]
    choices = list[int | None]()
    for scores, alone in zip(_by_question(answers, adapter, scorer, window), priors, strict=True):
        costs = [score.total_nats / score.bytes if score.bytes else inf for score in scores]
        if scores and alone:
            pairs = zip(scores, alone, strict=True)
            costs = [score.total_nats - prior.total_nats if score.bytes else inf for score, prior in pairs]
        best = min(costs, default=inf)
        choices.append(costs.index(best) if costs.count(best) == 1 else None)
    return choices


def _by_question(
    texts: Sequence[Sequence[Example]], adapter: Path | None, scorer: ItemScorer, window: int | None
) -> list[list[ItemScore]]:
    # all at once: each call loads the adapter again
    scores = iter(scorer.scores([text for group in texts for text in group], adapter, window))
    return [[next(scores) for _ in group] for group in texts]


def choice_metrics(choices: pl.DataFrame, settings: EvaluationSettings) -> dict[str, float]:
    """Accuracy with Wilson intervals, and differences between conditions.

    Under ``team_`` for all questions and ``choice_<kind>_`` for each kind. With another project's adapter,
    ``own_difference`` is the challenger's accuracy minus that adapter's, which has learnt the form of the questions
    but not the project. Under ``shown_`` for the questions that were also asked with similar examples.
    """
    subsets = {"team_": choices} | {f"choice_{kind}_": choices.filter(pl.col("kind") == kind) for kind in KINDS}
    roles: tuple[str, ...] = (*ROLES, _CONTROL) if settings.other_adapter else ROLES
    metrics: dict[str, float] = {}
    for prefix, rows in subsets.items():
        if not rows.height:
            continue
        metrics |= {f"{prefix}items": rows.height, f"{prefix}chance": float(rows["chance"].to_numpy().mean())}
        if settings.other_adapter:
            metrics |= _difference_metrics(rows, "challenger", _CONTROL, f"{prefix}own_difference", settings)
        for role in roles:
            share = wilson(int(_correct(rows, role).sum()), rows.height, settings.confidence)
            metrics |= share.as_metrics(f"{prefix}{role}_accuracy")
        metrics |= _difference_metrics(rows, "challenger", "reference", f"{prefix}difference", settings)
    sampled_choices = choices.filter("shown")
    if sampled_choices.height:
        metrics["shown_items"] = sampled_choices.height
        for condition in ("base", "challenger", *_WITH_CONTEXT):
            metrics[f"shown_{condition}_accuracy"] = float(_correct(sampled_choices, condition).to_numpy().mean())
            if condition != "base":
                metrics |= _difference_metrics(
                    sampled_choices, condition, "base", f"shown_{condition}_difference", settings
                )
    return metrics


def choice_differences(choices: pl.DataFrame, settings: EvaluationSettings) -> dict[str, PairedDifferences]:
    differences = {}
    for kind in KINDS:
        rows = choices.filter(kind=kind)
        gains, clusters = _difference(rows, "challenger", "reference"), rows["cluster"].to_list()
        differences[f"choice_{kind}"] = PairedDifferences(gains, clusters, None, settings.smallest_accuracy)
    return differences


def _difference_metrics(
    rows: pl.DataFrame, condition: str, baseline: str, name: str, settings: EvaluationSettings
) -> dict[str, float]:
    gains, clusters = _difference(rows, condition, baseline), rows["cluster"].to_list()
    return paired_bootstrap(gains, clusters=clusters, **settings.bootstrap).as_metrics(name)


def _correct(rows: pl.DataFrame, condition: str) -> pl.Series:
    return rows[f"{condition}_chosen"].eq_missing(rows["truth"]).cast(pl.Int64)


def _difference(rows: pl.DataFrame, condition: str, baseline: str) -> list[float]:
    return [float(gain) for gain in _correct(rows, condition) - _correct(rows, baseline)]
