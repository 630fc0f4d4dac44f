"""Say what a reviewer would about a unit: its smells with what mends them, and names against the convention."""

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from cortex_pipelines.annotation.evidence import read_file
from cortex_pipelines.annotation.labels.vocabulary import LABELS
from cortex_pipelines.answers.answer import Candidate, Check, Means, Task
from cortex_pipelines.answers.names import restyled
from cortex_pipelines.answers.question import Question
from cortex_pipelines.answers.tasks.refactoring import mended
from cortex_pipelines.answers.unit import CodeUnit
from cortex_pipelines.config import Parameters
from cortex_pipelines.datasets.tasks.naming import style_of
from cortex_pipelines.extraction.units import file_units
from cortex_pipelines.prompts.examples import StopRule
from cortex_pipelines.syntax.grammars import grammar_for

_SURE = 0.8
"""Expected precision of a label from which it is said; the rest is right too seldom to be read."""
_LINE = re.compile(r"^line (\d+):", re.MULTILINE)


@dataclass(frozen=True)
class Comment:
    """A remark on a line of the unit, counted from 1; ``precision``: how often such remarks are right."""

    line: int
    text: str
    precision: float


def prompt(_question: Question, _parameters: Parameters) -> tuple[Mapping[str, str], StopRule]:
    return {}, "paragraph"  # no model is asked


def comments_on(unit: CodeUnit, means: Means) -> list[Comment]:
    return sorted([*_smells(unit, means), *_names(unit, means)], key=lambda comment: (comment.line, comment.text))


def _smells(unit: CodeUnit, means: Means) -> Iterator[Comment]:
    snippet, parameters = unit.snippet, means.parameters
    data = snippet.prefix + snippet.code + snippet.suffix
    grammar = grammar_for(unit.language, unit.path)
    units = [each._asdict() for each in file_units(data, unit.language, unit.path, parameters.extraction)]
    found, _ = read_file(snippet.tree, data, grammar, units, parameters.annotation)
    _, fixes = mended(unit)
    remedies = {fix.smell: fix.explanation.removeprefix(LABELS[fix.smell].explanation).strip() for fix in fixes}
    starts = [0, *(at + 1 for at, byte in enumerate(data) if byte == 10)]
    above = snippet.prefix.count(b"\n")
    inside = range(len(snippet.prefix), len(snippet.prefix) + len(snippet.code))
    for item in dict.fromkeys(found):
        label = LABELS[item.label]
        if label.kind == "pattern" or label.belief < _SURE or item.start not in inside:
            continue
        line = bisect_left(starts, item.start + 1) - above
        remedy = f" Mended: {remedies[item.label]}" if item.label in remedies else ""
        yield Comment(line, f"{label.explanation}{remedy} ({item.label})", label.belief)


def _names(unit: CodeUnit, means: Means) -> Iterator[Comment]:
    above = unit.snippet.prefix.count(b"\n")
    for function in unit.functions:
        kind = "method" if function.kind == "method" else "function"
        yield from _name(function.name, kind, function.location.line - above, unit, means)
        for parameter in function.parameters:
            yield from _name(parameter.name, "variable", parameter.line - above, unit, means)
    for each in unit.types:
        yield from _name(each.name, "class", each.location.line - above, unit, means)


def _name(name: str, kind: str, line: int, unit: CodeUnit, means: Means) -> Iterator[Comment]:
    style, has = means.team.convention(kind, unit.language), style_of(name)
    fits = {style, "lower"} if style in ("snake_case", "camelCase") else {style}
    exported = unit.language == "go" or (style == "PascalCase" and has == "UPPER_CASE")
    if not style or has in (*fits, "other") or exported or name.startswith("__"):
        return
    better = restyled(name, style, like=name)
    if better != name:
        whose = "in this project" if means.team.name else f"in {unit.language}"
        yield Comment(line, f"{name} is {has}; such names are {style} {whose}: {better}. (naming)", 0.9)


def candidates(question: Question, means: Means) -> Iterator[Candidate]:
    if comments := comments_on(question.code, means):
        text = "\n".join(f"line {comment.line}: {comment.text}" for comment in comments)
        yield Candidate(text, "analyser", min(comment.precision for comment in comments))


def checks(question: Question, _means: Means) -> Sequence[Check]:
    count = question.code.code.count("\n") + 1

    def has_lines(candidate: Candidate) -> str | None:
        lines = [int(number) for number in _LINE.findall(candidate.result)]
        return None if lines and max(lines) <= count else "a remark is on no line of the unit"

    return [Check("each remark has its line", has_lines)]


TASK = Task(candidates, checks, prompt, "the analysers find nothing to say about it")
