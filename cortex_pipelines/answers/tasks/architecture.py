"""Location, owner and allowed imports of code, by the project's files and imports."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import log

from cortex_pipelines.answers.answer import Candidate, Check, Means, NoAnswerError, Task
from cortex_pipelines.answers.question import Question
from cortex_pipelines.config import Parameters
from cortex_pipelines.datasets.architecture.dependency_rules import chain_text, import_chain
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
    location: str
    score: float


def prompt(question: Question, _: Parameters) -> tuple[Mapping[str, str], StopRule]:
    return {"given": question.text.rstrip(), "request": question.context.request}, "paragraph"


def candidates(question: Question, means: Means) -> Iterator[Candidate]:
    request = question.context.request
    if import_request := _MAY.search(request):
        yield from _direction(question, means, import_request[1].strip("`'\""), import_request[2].strip("`'\""))
        return
    locations = _locations(question, means)
    if not locations:
        return
    description = _LISTED.sub("", question.text)
    ranked = _ranking(description, locations)
    if ranked and (len(ranked) == 1 or ranked[0].score > ranked[1].score):
        total = sum(each.score for each in ranked[:3])
        yield Candidate(ranked[0].location, "analyser", ranked[0].score / total)
    if _LISTED.search(question.text) and len(locations) <= _MOST_CHOICES:
        choices = " | ".join(_quoted(location) for location in locations)
        values, extent = prompt(question, means.parameters)
        for generated in means.write(values, extent, grammar=f'answer ::= ({choices}) "\\n"?'):
            yield Candidate(generated.text.strip(), "model", generated.score)


def checks(question: Question, means: Means) -> Sequence[Check]:
    if _MAY.search(question.context.request):
        return [Check("follows from imports", lambda _: None)]
    locations = _locations(question, means)
    return [
        Check(
            "exists in the project", lambda each: None if each.result in locations else f"{each.result} does not exist"
        )
    ]


def _locations(question: Question, means: Means) -> Mapping[str, Sequence[str]]:
    """Locations with the names that they declare: those listed in the input, else the project's."""
    if listing := _LISTED.search(question.text):
        rows = (line.partition(": ") for line in listing[1].splitlines())
        return {location: names.split(", ") if names else [] for location, _, names in rows}
    owner = re.search(r"\b(?:package|own|owner|owns|module)\b", question.context.request, re.IGNORECASE)
    return means.team.owners if owner else means.team.files


def _ranking(text: str, locations: Mapping[str, Sequence[str]]) -> list[_Ranked]:
    """Locations by the words that they share with a text, weighted by inverse document frequency."""
    stems = {location: _stems(f"{location} {' '.join(names)}") for location, names in locations.items()}
    common = Counter(stem for location_stems in stems.values() for stem in location_stems)
    telling = _stems(text)
    scores = {
        location: sum(log(1 + len(locations) / common[stem]) for stem in telling & location_stems)
        / (1 + log(len(location_stems) or 1))
        for location, location_stems in stems.items()
    }
    ranked = sorted((score, location) for location, score in scores.items() if score > 0)
    return [_Ranked(location, score) for score, location in reversed(ranked)]


def _stems(text: str) -> set[str]:
    words = (part.lower() for word in _WORD.findall(text) for part in split_name(word))
    return {word[:_STEM] for word in words if len(word) >= _FEWEST_LETTERS}


def _direction(question: Question, means: Means, importer: str, imported: str) -> Iterator[Candidate]:
    listed_imports = [
        (upper, lower.strip()) for upper, lowers in _IMPORTS.findall(question.text) for lower in lowers.split(",")
    ]
    pairs = listed_imports or means.team.imports
    parts = {part for pair in pairs for part in pair}
    first, second = (_part(part, parts) for part in (importer, imported))
    if first is None or second is None:
        missing = importer if first is None else imported
        raise NoAnswerError(
            f"no import of {missing[:80]} is known, nor into it; name a file of the project by its path"
        )
    direct = {(first, second): [(first, second)], (second, first): [(second, first)]}
    forward, back = (direct[pair] if pair in pairs else [] for pair in direct)
    if not forward and not back:  # through other parts, unless they form a cycle
        forward, back = import_chain(first, second, pairs), import_chain(second, first, pairs)
    if forward and back:
        raise NoAnswerError(f"{first} and {second} import each other, so neither direction is a rule")
    if forward:
        yield Candidate(f"allowed: {first} may import {second}: {chain_text(forward)}.", "analyser")
    elif back:
        sentence = f"{first} must not import {second}: {chain_text(back)}; the import turns the direction round"
        yield Candidate(f"violation: {sentence}.", "analyser")


def _part(name: str, parts: set[str]) -> str | None:
    """A part by its name, path or dotted module."""
    path = name.replace(".", "/") if "/" not in name and not name.endswith((".py", ".go")) else name
    for candidate in (name, path, path.rsplit(".", 1)[0]):
        if candidate in parts:
            return candidate
    ends = [part for part in parts if part.endswith(f"/{path}")]
    return ends[0] if len(ends) == 1 else None


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
