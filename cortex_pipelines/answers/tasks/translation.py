"""Write a unit in another language; answered only where what can be checked agrees, since no adapter learned it."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from cortex_pipelines.answers.answer import Candidate, Check, Means, Task
from cortex_pipelines.answers.question import Question, TaskContext, TaskError, language_in
from cortex_pipelines.answers.unit import CodeUnit, UnitError, parse_code
from cortex_pipelines.config import Parameters
from cortex_pipelines.datasets.unit_text import LINE_COMMENTS
from cortex_pipelines.prompts.examples import StopRule
from cortex_pipelines.schemas.vocabulary import LANGUAGES
from cortex_pipelines.words import split_name

_FLOW = frozenset({"return", "if", "for", "while", "match", "switch", "throw", "raise", "yield"})
_SAME = {"raise": "throw", "switch": "match", "while": "for"}


def code_of(text: str, context: TaskContext, _: Parameters) -> str:
    targets = [each for each in LANGUAGES if each != language_in(context)]
    if context.target.strip().lower() not in targets:
        raise TaskError(f"context.target: {context.target[:40]} is not one of {', '.join(targets)}")
    return text


def target_of(question: Question) -> str:
    return question.context.target.strip().lower()


def prompt(question: Question, _: Parameters) -> tuple[Mapping[str, str], StopRule]:
    target = target_of(question)
    values = {
        "path": f"code in {question.language}",
        "comment": LINE_COMMENTS[question.language],
        "code": question.code.code.rstrip(),
        "given": f"{LINE_COMMENTS[target]} The same in {target}:\n",
    }
    return values, "unit" if target == "python" else "braced_unit"


def candidates(question: Question, means: Means) -> Iterator[Candidate]:
    values, extent = prompt(question, means.parameters)
    for generated in means.write(values, extent):
        yield Candidate(generated.text.strip("\n"), "model", generated.score)


def checks(question: Question, _means: Means) -> Sequence[Check]:
    before, target = question.code, target_of(question)

    def parses(candidate: Candidate) -> str | None:
        try:
            parse_code(candidate.result, target)
        except UnitError as error:
            return f"what the model wrote {error}"
        return None

    def keeps_signature(candidate: Candidate) -> str | None:
        shapes = [_shape(each) for each in parse_code(candidate.result, target).functions]
        if shapes and shapes == [_shape(each) for each in before.functions]:
            return None
        return "what the model wrote has another name or other parameters"

    def keeps_steps(candidate: Candidate) -> str | None:
        after = parse_code(candidate.result, target)
        if different := sorted((_steps(before) - _steps(after)) + (_steps(after) - _steps(before))):
            return f"what the model wrote differs in {', '.join(different[:3])}"
        return None

    return [
        Check("parses", parses),
        Check("keeps signature", keeps_signature),
        Check("keeps values and flow", keeps_steps),
    ]


def _shape(function: object) -> tuple[str, int]:
    name, parameters = getattr(function, "name", ""), getattr(function, "parameters", ())
    return "".join(split_name(name)).lower(), len(parameters)


def _steps(unit: CodeUnit) -> Counter[str]:
    """Literals and control-flow statements, each under one name in all languages."""
    steps = Counter[str]()
    for function in unit.functions:
        for statement in function.statements:
            for text, mark in zip(statement.texts, statement.marks, strict=True):
                if mark == "l":
                    steps[_literal(text)] += 1
                elif text in _FLOW:
                    steps[_SAME.get(text, text)] += 1
    return steps


def _literal(text: str) -> str:
    null_names = {"none": "null", "nil": "null", "undefined": "null"}
    return null_names.get(text.lower(), text.lower() if text.isalpha() else text.replace("'", '"'))


TASK = Task(
    candidates,
    checks,
    prompt,
    "no model here translates",
    code_of,
    needs={"target": "the language to translate to is missing, such as go"},
    template="completion",
)
