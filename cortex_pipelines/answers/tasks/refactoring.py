"""Refactor code: fix its smells by rule, or have the model do what is requested."""

from collections.abc import Iterator, Mapping, Sequence

from cortex_pipelines.annotation.fixes.build import SmellFix, smell_fixes
from cortex_pipelines.annotation.labels.vocabulary import LABELS
from cortex_pipelines.answers.answer import SOURCE_NAMES, Candidate, Check, Means, Task
from cortex_pipelines.answers.open_files import open_files
from cortex_pipelines.answers.question import Question
from cortex_pipelines.answers.unit import CodeUnit, UnitError, parse_code
from cortex_pipelines.config import Parameters
from cortex_pipelines.datasets.unit_text import LINE_COMMENTS
from cortex_pipelines.prompts.examples import StopRule

OPEN_FILE, OPEN_FILE_BELIEF = "open-file", 0.9
"""Name and expected precision of the remark on a file that is opened without ``with``."""

_MOST_FIXES = 20
"""Each removes one smell; no real function has more that a rule fixes."""


def prompt(question: Question, _: Parameters) -> tuple[Mapping[str, str], StopRule]:
    context = question.context
    values = {
        "given": question.text.rstrip(),
        "path": context.path,
        "comment": LINE_COMMENTS[question.language],
        "smell": context.smell,
        "request": context.request,
    }
    return values, "unit" if question.language == "python" else "braced_unit"


def apply_rule_fixes(unit: CodeUnit, smell: str = "") -> tuple[str, list[SmellFix]]:
    """Code with its smells, or one of them, fixed by rule, and the applied fixes."""
    code, applied = unit.code, list[SmellFix]()
    while len(applied) < _MOST_FIXES:
        every = [*smell_fixes(code, unit.language, unit.path), *_open_file_fixes(code, unit.language)]
        fixes = [fix for fix in every if not smell or fix.smell == smell]
        if not fixes:
            break
        code = fixes[0].after
        applied.append(fixes[0])
    return code, applied


def _open_file_fixes(code: str, language: str) -> Iterator[SmellFix]:
    for file in open_files(code) if language == "python" else ():
        if file.code is not None:
            yield SmellFix(OPEN_FILE, "smell", code, file.code, "It is closed when the block ends, by an error too.")


def candidates(question: Question, means: Means) -> Iterator[Candidate]:
    unit, context = question.code, question.context
    smell = context.smell.strip().lower().replace(" ", "-").replace("_", "-")
    if not context.request:
        code, applied = apply_rule_fixes(unit, smell)
        if applied:
            beliefs = [LABELS[fix.smell].belief if fix.smell in LABELS else OPEN_FILE_BELIEF for fix in applied]
            yield Candidate(unit.with_margin(code), "analyser", min(beliefs))
            return
    if context.request or context.smell:
        values, extent = prompt(question, means.parameters)
        for generated in means.write(values, extent, sampled=1):
            yield Candidate(generated.text, "model", generated.score)


def checks(question: Question, means: Means) -> Sequence[Check]:
    before = question.code

    def parsed(result: str) -> CodeUnit:
        return parse_code(result, before.language, before.path)

    def parses(candidate: Candidate) -> str | None:
        try:
            parsed(candidate.result)
        except UnitError as error:
            return f"what {SOURCE_NAMES[candidate.source]} wrote {error}"
        return None

    def changed(candidate: Candidate) -> str | None:
        is_unchanged = parsed(candidate.result).snippet.tokens == before.snippet.tokens
        return f"{SOURCE_NAMES[candidate.source]} gave the code back unchanged" if is_unchanged else None

    def keeps_signature(candidate: Candidate) -> str | None:
        if parsed(candidate.result).signatures[: len(before.signatures)] != before.signatures:
            return f"what {SOURCE_NAMES[candidate.source]} wrote has another name or other parameters"
        return None

    def keeps_effects(candidate: Candidate) -> str | None:
        if candidate.source == "analyser":
            return None  # each fix was verified by its rule
        after = parsed(candidate.result).effects
        if lost := sorted((before.effects - after) + (after - before.effects)):
            difference = ", ".join(lost[:3])
            return f"what {SOURCE_NAMES[candidate.source]} wrote calls, returns or names something else: {difference}"
        return None

    return [
        Check("parses", parses),
        Check("changed", changed),
        Check("keeps signature", keeps_signature),
        Check("keeps effects", keeps_effects),
    ]


TASK = Task(
    candidates,
    checks,
    prompt,
    "no smell in it can be fixed by rule; say what to do in context.request or context.smell",
)
