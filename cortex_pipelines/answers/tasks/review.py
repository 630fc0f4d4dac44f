"""Review a unit: findings of `cortex check`, and what is unused, unclosed or too large."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from cortex_pipelines.annotation.evidence import SizeMetrics, read_file
from cortex_pipelines.annotation.labels.vocabulary import LABELS, NOT_IN_TESTS
from cortex_pipelines.annotation.settings import AnnotationSettings
from cortex_pipelines.answers.answer import Candidate, Check, Means, Task
from cortex_pipelines.answers.names import restyled
from cortex_pipelines.answers.question import Question
from cortex_pipelines.answers.tasks.refactoring import OPEN_FILE, OPEN_FILE_BELIEF, open_files
from cortex_pipelines.answers.unit import CodeUnit
from cortex_pipelines.check.check import NotCheckedError, check_text
from cortex_pipelines.check.rules import LIMITED, RULES
from cortex_pipelines.config import Parameters
from cortex_pipelines.datasets.tasks.naming import style_of
from cortex_pipelines.extraction.refactoring.model import OBJECT
from cortex_pipelines.extraction.test_cases import is_test
from cortex_pipelines.extraction.units import file_units
from cortex_pipelines.prompts.examples import StopRule
from cortex_pipelines.syntax.grammars import grammar_for

_SURE = 0.8
"""Expected precision from which a remark is made; the rest is right too seldom to be read."""

_OF_A_PLACE = frozenset({"existing-function", "forbidden-import"})
"""Rules that have to know the file: a function does the same as itself."""

_CLOSURES = ("python", "javascript", "typescript", "rust")
"""Languages whose functions mostly choose their parameters themselves; a handler of Go or a method may not."""

_LINE = re.compile(r"^line (\d+):", re.MULTILINE)
_WORD = re.compile(r"\b[^\W\d]\w*\b")
_EMPTY = re.compile(r"^\s*(?:pass|\.\.\.|raise NotImplementedError.*|todo!\(\)|unimplemented!\(\))$", re.MULTILINE)


@dataclass(frozen=True, order=True)
class Comment:
    """A remark on a line of the unit, counted from 1; ``precision``: how often such remarks are right."""

    line: int
    text: str
    precision: float


def prompt(_question: Question, _parameters: Parameters) -> tuple[Mapping[str, str], StopRule]:
    return {}, "paragraph"  # no model is asked


def comments_on(question: Question, means: Means) -> list[Comment]:
    """Remarks in the order of lines, each once."""
    unit, above = question.code, question.code.snippet.prefix.count(b"\n")
    last = above + unit.code.count("\n") + 1
    comments = [*_check_findings(question, means), *_too_large(question, means)]
    comments += [*_unused(unit), *_unclosed(unit), *_names(unit, means)]
    inside = {comment for comment in comments if above < comment.line <= last}
    return [Comment(each.line - above, each.text, each.precision) for each in sorted(inside)]


def _check_findings(question: Question, means: Means) -> Iterator[Comment]:
    """Findings of ``cortex check`` by the rules of sufficient precision."""
    unit, project = question.code, means.team.facts
    beliefs = {name: LABELS[name].belief if name in LABELS else 0.9 for name in RULES}
    rules = {name for name, belief in beliefs.items() if belief >= _SURE}
    rules -= set() if question.context.path else _OF_A_PLACE
    try:
        findings = check_text(unit.path, unit.text.decode(errors="replace"), project, rules)
    except NotCheckedError:
        return
    for finding in findings:
        fix = finding.fix.description if finding.fix is not None else ""
        remedy = f" Fix: {fix}" if fix else ""
        belief = beliefs.get(finding.rule.partition("/")[0], _SURE)
        yield Comment(finding.line, f"{finding.message}{remedy} ({finding.rule})", belief)


def _too_large(question: Question, means: Means) -> Iterator[Comment]:
    """Units that exceed the limits of ``annotation``, with their metrics."""
    unit, limits = question.code, means.parameters.annotation
    data = unit.text
    grammar = grammar_for(unit.language, unit.path)
    units = [each._asdict() for each in file_units(data, unit.language, unit.path, means.parameters.extraction)]
    labels = LIMITED - (NOT_IN_TESTS if is_test(question.context.path) else frozenset())
    reading = read_file(unit.snippet.tree, data, grammar, units, limits, labels)
    by_start = {each["start_byte"]: size for each, size in zip(units, reading.sizes, strict=True)}
    for item in reading.evidence:
        if item.label not in labels or LABELS[item.label].belief < _SURE:
            continue
        line, size = data.count(b"\n", 0, item.start) + 1, by_start.get(item.start)
        metrics = _metrics_text(item.label, size, limits) if size is not None else ""
        yield Comment(line, f"{metrics}{LABELS[item.label].explanation} ({item.label})", LABELS[item.label].belief)


def _metrics_text(label: str, size: SizeMetrics, limits: AnnotationSettings) -> str:
    complexity = size.complexity
    texts = {
        "long-method": (f"{size.lines} lines", limits.max_lines, "Give its steps functions of their own. "),
        "long-parameter-list": (
            f"{size.parameters} parameters",
            limits.max_parameters,
            "Group what belongs together. ",
        ),
        "complex-method": (f"{complexity.cyclomatic} paths", limits.max_cyclomatic, "Give its cases functions. "),
        "god-class": (f"{size.methods} methods", limits.max_methods, "Divide it by what they are for. "),
    }
    if label not in texts:
        return ""
    metric, usual, advice = texts[label]
    return f"{metric}, at most {usual} are usual. {advice}"


def _unused(unit: CodeUnit) -> Iterator[Comment]:
    for function in unit.functions if unit.language in _CLOSURES else ():
        code = function.location.code
        if function.kind == "method" or code.startswith("@") or is_test(unit.path) or function.name.startswith("test"):
            continue
        if not function.has_body or not function.statements or _EMPTY.search(code):
            continue
        words = _WORD.findall(code)
        names = [each.name for each in function.parameters if words.count(each.name) == 1 and each.name[:1] != "_"]
        if names:
            subject = f"{', '.join(names[:-1])} and {names[-1]} are" if names[1:] else f"{names[0]} is"
            yield Comment(function.location.line, f"{subject} never used. (unused-parameter)", 0.9)


def _unclosed(unit: CodeUnit) -> Iterator[Comment]:
    for file in open_files(unit.code) if unit.language == "python" else ():
        line = unit.snippet.prefix.count(b"\n") + file.line
        sentence = f"{file.name} stays open if an error comes before it is closed. Open it in a with statement."
        yield Comment(line, f"{sentence} ({OPEN_FILE})", OPEN_FILE_BELIEF)


def _names(unit: CodeUnit, means: Means) -> Iterator[Comment]:
    for function in unit.functions:
        line = function.location.line
        if len(function.name) == 1 and function.name.isalpha():
            yield Comment(line, f"{function.name} does not say what it does or returns. (naming)", 0.9)
        if means.team.facts is None:  # else `cortex check` knows the project's form
            kind = "method" if function.kind == "method" else "function"
            yield from _name(function.name, kind, line, unit, means)
        for parameter in function.parameters:
            yield from _name(parameter.name, "variable", parameter.line, unit, means)
    for each in unit.types if means.team.facts is None else ():
        if each.kind != OBJECT:
            yield from _name(each.name, "class", each.location.line, unit, means)


def _name(name: str, kind: str, line: int, unit: CodeUnit, means: Means) -> Iterator[Comment]:
    style, has = means.team.convention(kind, unit.language), style_of(name)
    fits = {style, "lower"} if style in ("snake_case", "camelCase") else {style}
    exported = unit.language == "go" or (style == "PascalCase" and has == "UPPER_CASE")
    exported = exported or (unit.language in ("javascript", "typescript") and has == "PascalCase")  # makes objects
    if not style or has in (*fits, "other") or exported or name.startswith("__") or len(name) == 1:
        return
    better = restyled(name, style, like=name)
    if better != name:
        yield Comment(line, f"{name} is {has}; such names are {style} in {unit.language}: {better}. (naming)", 0.9)


def candidates(question: Question, means: Means) -> Iterator[Candidate]:
    if comments := comments_on(question, means):
        text = "\n".join(f"line {comment.line}: {comment.text}" for comment in comments)
        yield Candidate(text, "analyser", min(comment.precision for comment in comments))


def checks(question: Question, _means: Means) -> Sequence[Check]:
    count = question.code.code.count("\n") + 1

    def has_lines(candidate: Candidate) -> str | None:
        lines = [int(number) for number in _LINE.findall(candidate.result)]
        return None if lines and max(lines) <= count else "a remark is on no line of the unit"

    return [Check("each remark has its line", has_lines)]


TASK = Task(candidates, checks, prompt, "the analysers find nothing to say about it")
