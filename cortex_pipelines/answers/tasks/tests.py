"""Write a test of a unit that passes on it and fails on a mutant: only Python's can be run here."""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path, PurePosixPath

import polars as pl

from cortex_pipelines.answers.answer import Candidate, Check, Means, NoAnswerError, Task
from cortex_pipelines.answers.question import Question
from cortex_pipelines.answers.team import Team
from cortex_pipelines.answers.unit_facts import unit_facts
from cortex_pipelines.answers.written_tests import (
    ALONE,
    TestedUnit,
    adapted_test,
    calls_in,
    doctest_test,
    first_test,
    imports_of,
    observed_test,
    unit_in_file,
)
from cortex_pipelines.augmentation.settings import AugmentationSettings
from cortex_pipelines.config import Parameters
from cortex_pipelines.datasets.unit_text import LINE_COMMENTS
from cortex_pipelines.execution.sandbox.sandbox import SandboxError, unavailable
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

_LEAST_SIMILARITY = 0.3
_SECONDS_FOR_MODEL = 6.0  # to write a test and to run it


def prompt(question: Question, _: Parameters) -> tuple[Mapping[str, str], StopRule]:
    context = question.context
    stem = PurePosixPath(context.path).stem or question.code.name or "unit"
    values = {
        "given": question.text.rstrip(),
        "path": context.path,
        "comment": LINE_COMMENTS[question.language],
        "test_path": context.test_path or _FORMS[question.language].format(stem),
    }
    return values, extent_of_test(question.language)


def candidates(question: Question, means: Means) -> Iterator[Candidate]:
    if question.language != "python":
        raise NoAnswerError(
            f"only Python tests are run here, and a test in {question.language} that was never run is not an answer"
        )
    if reason := unavailable():
        raise NoAnswerError(reason)
    unit = unit_of_question(question, means.team, means.parameters)
    if unit is None:
        raise NoAnswerError("it has no function or class to test; send one")
    values, extent = prompt(question, means.parameters)
    nearest = list(means.team.nearest("tests", question.language, values["given"], 2))
    if documented := doctest_test(unit):
        yield Candidate(_with_imports(documented, unit), "analyser")
    try:
        observed = observed_test(unit, calls_in((example.completion for example, _ in nearest), unit.name))
    except SandboxError as error:
        raise NoAnswerError(f"it cannot be run: {error}") from error
    if observed:
        yield Candidate(_with_imports(observed, unit), "analyser")
    for example, similarity in nearest:
        code = "\n".join(example.prompt.rstrip().split("\n")[1:-1])  # without the line of its path and the request
        if similarity >= _LEAST_SIMILARITY and (tested := unit_facts(code.strip("\n"), "python")):
            yield Candidate(
                _with_imports(adapted_test(example.completion, tested.name, unit), unit), "team", similarity
            )
    if any(not verdict.refusal for verdict in unit.verdicts.values()) or means.remaining_seconds() < _SECONDS_FOR_MODEL:
        return
    for output in means.write(values, extent):
        if test := first_test(output.text):
            yield Candidate(_with_imports(test, unit), "model", output.score)


def checks(question: Question, means: Means) -> Sequence[Check]:
    unit = unit_of_question(question, means.team, means.parameters)

    def refusal(candidate: Candidate) -> str | None:
        return (unit.verdict(candidate.result).refusal if unit else "") or None

    return [Check("passes in the sandbox and fails on a mutant", refusal)]


def _with_imports(test: str, unit: TestedUnit) -> str:
    """A test with the imports that it needs, of the unit too if its module is known."""
    return imports_of(test, unit, unit.module if unit.path != ALONE else "") + test


def unit_of_question(question: Question, team: Team, parameters: Parameters) -> TestedUnit | None:
    """The unit of a question, in the project's file if that contains it; None if it is not Python."""
    if question.language != "python":
        return None
    files = team.outputs.get("repository_files", Path()) / "files.parquet"
    return _cached_unit(
        question.text.strip(),
        question.code.code,
        question.context.path,
        question.context.code,
        str(files) if files.is_file() else "",
        files.stat().st_mtime_ns if files.is_file() else 0,
        parameters.augmentation.model_dump_json(),
    )


@lru_cache(maxsize=64)
def _cached_unit(
    question_text: str, code: str, path: str, preceding_code: str, files: str, _version: int, settings: str
) -> TestedUnit | None:
    """The unit of a question, shared by its candidates and checks."""
    facts = unit_facts(code, "python", path)
    if facts is None:
        return None
    texts = _texts(files, _version) if files else {}
    name = f"{facts.owner}.{facts.name}" if facts.owner else facts.name
    parameters = AugmentationSettings.model_validate_json(settings)
    in_file = (each for each in (question_text, facts.unit.code) if each in texts.get(path, ""))
    code = next(in_file, code)  # as it stands in its file, or on its own
    return unit_in_file(code, name, facts.unit.kind, path, preceding_code, texts, parameters)


@lru_cache(maxsize=4)
def _texts(files: str, _version: int) -> Mapping[str, str]:
    return dict(pl.read_parquet(files, columns=["path", "text"]).drop_nulls().iter_rows())


TASK = Task(
    candidates,
    checks,
    prompt,
    "no call with simple values tells it from a mutant, and no other test was found",
    learned_only=True,
)
