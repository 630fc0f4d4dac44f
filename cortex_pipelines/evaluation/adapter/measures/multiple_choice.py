"""Multiple-choice questions about a team's code.

A small model writes hardly anything right word by word; asked which of a few answers is the
likelier one it shows what it knows. Four kinds:

* ``naming``: the true name among four of the same kind, from the same file where it has enough;
  a model is asked for the whole name, so that the name has to end there too;
* ``fix``: code as it is against the same code with an injected error, both from the place on where
  they differ, without a request: otherwise copying the code that is shown would win. Errors remove
  code more often than they add any, so some questions are left out, until the longer version is
  right as often as the shorter one;
* ``statement``: the statement that comes next among four of the same project;
* ``correction``: code as a person put it against what a model had written, as of ``fix``.

Of names and statements the answer is the one that the prompt makes likelier most: its
log-likelihood after the prompt less that without it (domain conditional pointwise mutual
information; Holtzman and others, *Surface Form Competition*, EMNLP 2021). By likelihood alone the
commonest text would win, whatever is asked. Two versions of the same code differ in little else
than how likely they are, so of those the one with the highest log-likelihood **a byte** counts (the
``acc_norm`` of the usual harness). A tie counts as wrong. Wrong answers come from
the test split as the right one does, or an adapter would know them from training; none stands in
the prompt, where it could be ruled out by reading: the right one is masked there. A line that can
only go on with another statement (``else``, ``except``, ``case``) is no statement.
"""

import hashlib
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from cortex_pipelines.prompts.examples import Example, shuffled
from cortex_pipelines.prompts.stopping import cut
from cortex_pipelines.schemas.datasets.feedback import CORRECTION, REQUEST, TITLE

KINDS = ("naming", "fix", "statement", "correction")
_ANSWERS = 4
_SIMILAR = 2.0  # times as long or as short
_SHORTEST = 10  # characters of a statement worth asking for
_CLAUSE = re.compile(r"[\s}]*(?:elif|else|except|finally|case|catch|default)\b")
_ASKED = {
    "fix": ("error", "This code has an error.", "The code put right:"),
    "correction": (CORRECTION, REQUEST, TITLE),
}
"""Kind of example, and the lines around the code before."""


@dataclass(frozen=True)
class Question:
    """A multiple-choice question.

    Args:
        kind: One of ``KINDS``.
        answers: Examples that differ in the completion; scored as any other.
        truth: Index of the right answer.
    """

    kind: str
    answers: tuple[Example, ...]
    truth: int

    @property
    def chance(self) -> float:
        """Expected accuracy of guessing."""
        return 1 / len(self.answers)

    @property
    def alone(self) -> tuple[Example, ...]:
        """The answers after what all questions of the kind have in common; empty for two versions
        of the same code."""
        lines = self.answers[0].prompt.splitlines() or [""]
        common = {"naming": lines[-1], "statement": lines[0]}.get(self.kind)
        if common is None:
            return ()
        return tuple(replace(answer, prompt=f"{common}\n") for answer in self.answers)


def questions(
    held_out: Mapping[str, Sequence[Example]], count: int, seed: int
) -> tuple[list[Question], dict[str, int]]:
    """Build at most ``count`` questions of each kind.

    Args:
        held_out: Data set to all examples of its test split.
        count: Most questions of a kind.
        seed: Of the choice of items, of wrong answers and of their order.

    Returns:
        The questions by kind and example, and how many items of each kind gave none because there
        were too few other answers, or because the length would tell which answer is right.
    """
    made = {
        "naming": _naming(held_out.get("naming", ()), seed),
        "fix": _balanced(_fixes("fix", held_out.get("refactoring", ()), seed)),
        "statement": _statements(held_out.get("completion", ()), seed),
        "correction": _fixes("correction", held_out.get("feedback", ()), seed),
    }
    asked: list[Question] = []
    without: dict[str, int] = {}
    for kind, candidates in made.items():
        some: list[Question] = []
        without[kind] = 0
        for question in candidates:
            if question is None:
                without[kind] += 1
            elif len(some) < count:
                some.append(question)
        asked += sorted(some, key=lambda question: question.answers[0].example_id)
    return asked, without


def _naming(items: Sequence[Example], seed: int) -> Iterator[Question | None]:
    for item in shuffled(items, seed):
        same = [
            other for other in items if (other.kind, other.language) == (item.kind, item.language)
        ]
        here = [other.completion for other in same if other.path == item.path]
        yield _question("naming", item, here, [other.completion for other in same], seed)


def _statements(items: Sequence[Example], seed: int) -> Iterator[Question | None]:
    bodies = [other for other in items if other.kind in ("function", "method")]
    pool = [
        (other, statement) for other in bodies for statement in _top_statements(other.completion)
    ]
    for item in shuffled(bodies, seed):
        truth = next(iter(_top_statements(item.completion)), "")
        if len(truth.strip()) < _SHORTEST:
            continue
        indent = truth[: len(truth) - len(truth.lstrip())]
        others = [
            indent + statement.strip()
            for other, statement in pool
            if other.language == item.language and other.cluster != item.cluster
        ]
        yield _question("statement", replace(item, completion=truth), [], others, seed)


def _fixes(kind: str, items: Sequence[Example], seed: int) -> Iterator[Question | None]:
    for item in shuffled([change for change in items if change.kind == _ASKED[kind][0]], seed):
        yield _fix(kind, item, seed)


def _balanced(candidates: Iterable[Question | None]) -> Iterator[Question | None]:
    """Questions with two answers, the longer one right as often as the shorter one.

    A question whose right answer is the longer one waits for another whose is the shorter, and the
    other way round; None for each that waits in vain.
    """
    longer, shorter = deque[Question](), deque[Question]()
    for question in candidates:
        if question is None or not (more := _length_of_truth(question)):
            yield question
            continue
        own, opposite = (longer, shorter) if more > 0 else (shorter, longer)
        own.append(question)
        if opposite:
            yield from (own.popleft(), opposite.popleft())
    yield from (None for _ in (*longer, *shorter))


def _length_of_truth(question: Question) -> int:
    """How many bytes longer the right answer is than the wrong one."""
    sizes = [len(answer.completion.encode()) for answer in question.answers]
    return 2 * sizes[question.truth] - sum(sizes)


def _fix(kind: str, item: Example, seed: int) -> Question | None:
    _, request, title = _ASKED[kind]
    lines = item.prompt.split("\n")
    asked = len(lines) > 4 and lines[1].endswith(request) and lines[-2].endswith(title)
    if not asked:
        return None
    buggy, fixed = "\n".join(lines[2:-3]), item.completion
    both = zip(buggy.split("\n"), fixed.split("\n"), strict=False)
    before = "".join(f"{left}\n" for left, _ in takewhile(lambda two: two[0] == two[1], both))
    endings = [text[len(before) :] for text in (fixed, buggy)]
    if not all(ending.strip() for ending in endings) or endings[0] == endings[1]:
        return None
    asking = replace(item, prompt=f"{lines[0]}\n{before}")
    return _ordered(kind, asking, endings[0], endings[1:], seed)


def _top_statements(body: str) -> list[str]:
    """Top-level statements of a body."""
    lines = body.split("\n")
    margin = len(lines[0]) - len(lines[0].lstrip())
    statements = []
    for number, line in enumerate(lines):
        begins = len(line) - len(line.lstrip()) == margin and not _CLAUSE.match(line)
        if begins and line.strip(" \t{}();"):
            statements.append(cut("\n".join(lines[number:]), "statement"))
    return [statement for statement in statements if len(statement.strip()) >= _SHORTEST]


def _question(
    kind: str, item: Example, near: Sequence[str], far: Sequence[str], seed: int
) -> Question | None:
    """A question with distractors from nearby first; None if there are too few."""
    truth = item.completion
    chosen: list[str] = []
    for pool in (near, far):
        others = [
            candidate
            for candidate in dict.fromkeys(pool)
            if candidate.strip() not in ("", truth.strip())
            and not _stands_in(candidate.strip(), item.prompt)
        ]
        similar = [candidate for candidate in others if _similar(candidate, truth)]
        rest = [candidate for candidate in others if not _similar(candidate, truth)]
        rest.sort(key=lambda candidate: (abs(len(candidate) - len(truth)), candidate))
        for candidate in (
            *sorted(similar, key=lambda candidate: _rank(seed, item, candidate)),
            *rest,
        ):
            if candidate not in chosen and len(chosen) < _ANSWERS - 1:
                chosen.append(candidate)
    if len(chosen) < _ANSWERS - 1:
        return None
    return _ordered(kind, item, truth, chosen, seed)


def _ordered(kind: str, item: Example, truth: str, wrong: Sequence[str], seed: int) -> Question:
    # by another hash than the one that chose the wrong answers, whose ranks are all small
    ordered = sorted([truth, *wrong], key=lambda answer: _rank(seed, item, f"place:{answer}"))
    answers = tuple(replace(item, completion=text) for text in ordered)
    return Question(kind, answers, ordered.index(truth))


def _stands_in(answer: str, prompt: str) -> bool:
    """Whether a text occurs in another, with names matched as whole words."""
    # plain text first: an expression for each name of a large project takes minutes to compile
    return answer in prompt and bool(re.search(rf"(?<!\w){re.escape(answer)}(?!\w)", prompt))


def _similar(left: str, right: str) -> bool:
    return 1 / _SIMILAR <= (len(left) + 1) / (len(right) + 1) <= _SIMILAR


def _rank(seed: int, item: Example, text: str) -> str:
    return hashlib.sha256(f"{seed}:{item.example_id}:{text}".encode()).hexdigest()
