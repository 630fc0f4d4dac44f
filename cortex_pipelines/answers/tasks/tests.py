"""Write a test of a unit."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from cortex_pipelines.answers.answer import Candidate, Check, Means, Task
from cortex_pipelines.answers.question import Question
from cortex_pipelines.answers.unit import UnitError, parse_code
from cortex_pipelines.config import Parameters
from cortex_pipelines.datasets.unit_text import LINE_COMMENTS
from cortex_pipelines.prompts.examples import StopRule, extent_of_test

_FORMS = {
    "python": "tests/test_{}.py",
    "javascript": "{}.test.js",
    "typescript": "{}.test.ts",
    "java": "src/test/java/{}Test.java",
    "go": "{}_test.go",
    "rust": "tests/{}.rs",
}
"""Where a test goes by custom, if the question does not say."""


def prompt(question: Question, _: Parameters) -> tuple[Mapping[str, str], StopRule]:
    context = question.context
    values = {
        "given": question.text.rstrip(),
        "path": context.path,
        "comment": LINE_COMMENTS[question.language],
        "test_path": context.test_path or _customary(question),
    }
    return values, extent_of_test(question.language)


def _customary(question: Question) -> str:
    stem = PurePosixPath(question.context.path).stem or question.code.name or "unit"
    return _FORMS[question.language].format(stem)


def candidates(question: Question, means: Means) -> Iterator[Candidate]:
    values, extent = prompt(question, means.parameters)
    for written in means.write(values, extent):
        yield Candidate(written.text, "model", written.score)


def checks(question: Question, _means: Means) -> Sequence[Check]:
    def refusal(candidate: Candidate) -> str | None:
        try:
            written = parse_code(candidate.result, question.language, question.context.test_path)
        except UnitError as error:
            return f"the test {error}"
        return None if question.code.name in written.words else f"the test does not use {question.code.name}"

    return [Check("parses and uses the unit", refusal)]


TASK = Task(candidates, checks, prompt, "nobody here can write a test of it")
