"""Say where code belongs, who owns it and what may import what: by the project's files and imports."""

import re
from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import log

from cortex_pipelines.answers.answer import Candidate, Check, Means, NoAnswerError, Task
from cortex_pipelines.answers.question import Question
from cortex_pipelines.config import Parameters
from cortex_pipelines.prompts.examples import StopRule
from cortex_pipelines.words import split_name

_MAY = re.compile(r"\bmay\s+(\S+)\s+import\s+([^\s?]+)", re.IGNORECASE)
_IMPORTS = re.compile(r"^(\S+) imports (.+)$", re.MULTILINE)
_LISTED = re.compile(r"^(?:Files|Packages) and what they declare:\n((?:(?!New: ).+\n)+)(?:New: )?", re.MULTILINE)
_STEM, _FEWEST_LETTERS = 5, 3
"""Letters by which words count as the same, and the fewest of a word: as in the data set."""
_WORD = re.compile(r"[^\W\d]\w*")
_MOST_CHOICES = 12


@dataclass(frozen=True)
class _Ranked:
    place: str
    score: float


def prompt(question: Question, _: Parameters) -> tuple[Mapping[str, str], StopRule]:
    return {"given": question.text.rstrip(), "request": question.context.request}, "paragraph"


def candidates(question: Question, means: Means) -> Iterator[Candidate]:
    request = question.context.request
    if asked := _MAY.search(request):
        yield from _direction(question, means, asked[1].strip("`'\""), asked[2].strip("`'\""))
        return
    places = _places(question, means)
    if not places:
        return
    asked_about = _LISTED.sub("", question.text)
    ranked = _ranking(asked_about, places)
    if ranked and (len(ranked) == 1 or ranked[0].score > ranked[1].score):
        total = sum(each.score for each in ranked[:3])
        yield Candidate(ranked[0].place, "analyser", ranked[0].score / total)
    if _LISTED.search(question.text) and len(places) <= _MOST_CHOICES:
        choices = " | ".join(_quoted(place) for place in places)
        values, extent = prompt(question, means.parameters)
        for written in means.write(values, extent, grammar=f'answer ::= ({choices}) "\\n"?'):
            yield Candidate(written.text.strip(), "model", written.score)


def checks(question: Question, means: Means) -> Sequence[Check]:
    if _MAY.search(question.context.request):
        return [Check("follows from imports", lambda _: None)]
    places = _places(question, means)
    return [
        Check("is a place of the project", lambda each: None if each.result in places else f"there is no {each.result}")
    ]


def _places(question: Question, means: Means) -> Mapping[str, Sequence[str]]:
    """Places and the names that they declare: those listed in the input, else the project's."""
    if listed := _LISTED.search(question.text):
        rows = (line.partition(": ") for line in listed[1].splitlines())
        return {place: names.split(", ") if names else [] for place, _, names in rows}
    owner = re.search(r"\b(?:package|own|owner|owns|module)\b", question.context.request, re.IGNORECASE)
    return means.team.owners if owner else means.team.files


def _ranking(text: str, places: Mapping[str, Sequence[str]]) -> list[_Ranked]:
    """Places by the words that they share with a text; words of few places tell more."""
    stems = {place: _stems(f"{place} {' '.join(names)}") for place, names in places.items()}
    common = Counter(stem for of_place in stems.values() for stem in of_place)
    telling = _stems(text)
    scores = {
        place: sum(log(1 + len(places) / common[stem]) for stem in telling & of_place) / (1 + log(len(of_place) or 1))
        for place, of_place in stems.items()
    }
    ranked = sorted((score, place) for place, score in scores.items() if score > 0)
    return [_Ranked(place, score) for score, place in reversed(ranked)]


def _stems(text: str) -> set[str]:
    words = (part.lower() for word in _WORD.findall(text) for part in split_name(word))
    return {word[:_STEM] for word in words if len(word) >= _FEWEST_LETTERS}


def _direction(question: Question, means: Means, importer: str, imported: str) -> Iterator[Candidate]:
    listed = [
        (upper, lower.strip()) for upper, lowers in _IMPORTS.findall(question.text) for lower in lowers.split(",")
    ]
    pairs = listed or means.team.imports
    known = {part for pair in pairs for part in pair}
    first, second = (_part(part, known) for part in (importer, imported))
    if first is None or second is None:
        missing = importer if first is None else imported
        raise NoAnswerError(
            f"no import of {missing[:80]} is known, nor into it; name a file of the project by its path"
        )
    direct = {(first, second): [(first, second)], (second, first): [(second, first)]}
    forward, back = (direct[pair] if pair in pairs else [] for pair in direct)
    if not forward and not back:  # by way of others, unless they go round
        forward, back = _chain(first, second, pairs), _chain(second, first, pairs)
    if forward and back:
        raise NoAnswerError(f"{first} and {second} import each other, so neither direction is a rule")
    if forward:
        yield Candidate(f"allowed: {first} may import {second}: {_said(forward)}.", "analyser")
    elif back:
        sentence = f"{first} must not import {second}: {_said(back)}; the import turns the direction round"
        yield Candidate(f"violation: {sentence}.", "analyser")


def _part(name: str, known: set[str]) -> str | None:
    """A part by its name, path or dotted module."""
    path = name.replace(".", "/") if "/" not in name and not name.endswith((".py", ".go")) else name
    for candidate in (name, path, path.rsplit(".", 1)[0]):
        if candidate in known:
            return candidate
    ends = [part for part in known if part.endswith(f"/{path}")]
    return ends[0] if len(ends) == 1 else None


def _chain(start: str, end: str, pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Shortest way of imports from one part to another; empty for none."""
    lower_parts: dict[str, list[str]] = defaultdict(list)
    for upper, lower in pairs:
        lower_parts[upper].append(lower)
    came: dict[str, tuple[str, str] | None] = {start: None}
    queue = deque([start])
    while queue and end not in came:
        part = queue.popleft()
        for lower in lower_parts[part]:
            if lower not in came:
                came[lower] = (part, lower)
                queue.append(lower)
    chain, step = list[tuple[str, str]](), came.get(end)
    while step is not None:
        chain.append(step)
        step = came[step[0]]
    return chain[::-1]


def _said(chain: Sequence[tuple[str, str]]) -> str:
    return ", ".join(f"{upper} imports {lower}" for upper, lower in chain)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


TASK = Task(
    candidates,
    checks,
    prompt,
    "neither the project's files nor its imports decide it; ask `In which file does it belong?`, "
    "`Which package owns it?` or `May A import B?`",
    code=None,
    needs={"request": "the line that asks is missing, such as `In which file does it belong?`"},
)
