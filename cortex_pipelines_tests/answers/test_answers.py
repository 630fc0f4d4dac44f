"""Answers to tasks: what is asked, who answers, what is refused, and how sure it is."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.calibration import fit_steps
from cortex_pipelines.answers.answer import Answer, Calibration, GeneratedText, Means
from cortex_pipelines.answers.answering import answer, question_of
from cortex_pipelines.answers.question import TaskContext, TaskError
from cortex_pipelines.answers.team import Team
from cortex_pipelines.answers.unit import UnitError, keywords, parse_code
from cortex_pipelines.config import load_parameters
from cortex_pipelines_tests.parameters import ROOT, load_cases

CASES = load_cases(__file__)
PARAMETERS = load_parameters(ROOT)


class Texts:
    """A model that writes given texts, the likeliest first."""

    def __init__(self, texts: Sequence[str], notes: Sequence[str] = ()) -> None:
        self._texts, self._notes = texts, notes
        self.asked: list[str] = []

    def __call__(
        self, values: Mapping[str, str], extent: str, *, grammar: str = "", sampled: int = 0
    ) -> list[GeneratedText]:
        self.asked.append(grammar)
        return [GeneratedText(text, 0.9 - number / 10) for number, text in enumerate(self._texts)]

    def notes(self) -> list[str]:
        return list(self._notes)


def ask(task: str, code: str, *texts: str, calibration: Calibration | None = None, **context: str) -> Answer:
    question = question_of(task, code, TaskContext(**context), PARAMETERS)
    means = Means(Texts(texts), Team(), lambda: 1.0, PARAMETERS, calibration or Calibration(), 2)
    return answer(question, means)


@pytest.mark.parametrize(("language", "code", "expected"), CASES["mended"])
def test_a_refactoring_mends_by_rule_and_keeps_the_signature(language: str, code: str, expected: str) -> None:
    response = ask("refactoring", code, "never asked", language=language)
    assert (response.result, response.source) == (expected, "analyser")
    assert response.checks == ("parses", "changed", "keeps signature", "keeps effects")


@pytest.mark.parametrize(("texts", "reason"), CASES["refused_refactorings"])
def test_what_a_model_makes_of_a_function_is_given_only_if_it_does_the_same(texts: list[str], reason: str) -> None:
    code = "def f(a, b):\n    c = a + b\n    return c\n"
    response = ask("refactoring", code, *texts, request="Inline Variable")
    assert (response.result, reason in response.reason) == (None, True), response.reason
    right = "def f(a, b):\n    return a + b\n"
    response = ask("refactoring", code, *texts, right, request="Inline Variable")
    assert (response.result, response.source, response.reason) == (right, "model", "")


@pytest.mark.parametrize(("language", "code", "name", "texts", "expected", "source"), CASES["names"])
def test_a_name_is_free_and_says_something(language, code, name, texts, expected: str | None, source: str) -> None:
    response = ask("naming", code, *texts, language=language, name=name)
    assert (response.result, response.source or response.reason) == (expected, source)


def test_a_masked_name_is_asked_for_within_its_unit() -> None:
    unit = "def f(cart):\n    <NAME> = total(cart)\n    return <NAME>\n"
    response = ask("naming", "<NAME> = 1", "cart_total", unit=unit)
    assert (response.result, response.checks[0]) == ("cart_total", "is a name")


@pytest.mark.parametrize(("language", "code", "remarks"), CASES["reviews"])
def test_a_review_says_what_is_wrong_and_where(language: str, code: str, remarks: list[str]) -> None:
    assert (ask("review", code, language=language).result or "").splitlines() == remarks


@pytest.mark.parametrize(("text", "request_line", "expected"), CASES["architecture"])
def test_places_and_imports_are_told_by_what_is_listed(text: str, request_line: str, expected: str | None) -> None:
    assert ask("architecture", text, request=request_line).result == expected


def test_a_translation_keeps_parameters_values_and_flow() -> None:
    code = "def is_big(size):\n    if size > 10:\n        return True\n    return False\n"
    right = "function isBig(size) {\n  if (size > 10) {\n    return true;\n  }\n  return false;\n}"
    wrong = [right.replace("10", "11"), right.replace("(size)", "(size, more)", 1), right[:-1]]
    assert ask("translation", code, *wrong, right, target="javascript").result == right
    assert ask("translation", code, *wrong, target="javascript").reason.count("what the model wrote") == 3


@pytest.mark.parametrize(("language", "code"), CASES["units"])
def test_a_unit_parses_as_it_stands_in_its_file(language: str, code: str) -> None:
    unit = parse_code(code, language)
    assert unit.name == "find"
    assert unit.with_margin(unit.code).rstrip() == code.rstrip()
    with pytest.raises(UnitError, match=f"does not parse as {language}: line "):
        parse_code(code + "\n) (", language)


def test_a_hostile_unit_is_refused_in_time() -> None:
    began = time.process_time()
    for language, text in (("python", "(" * 40_000), ("java", "a<" * 40_000), ("go", "[" * 40_000)):
        with pytest.raises(TaskError, match=f"input: does not parse as {language}"):
            ask("review", text, language=language)
    assert time.process_time() - began < 10
    with pytest.raises(TaskError, match="send one function, method or class of at most 100000"):
        ask("review", "x = 1\n" * 20_000)


def test_a_keyword_names_nothing() -> None:
    assert {"public", "return"} <= keywords("java")
    assert not {"record", "open"} & keywords("java")
    assert "x" not in keywords("rust")


def test_confidence_is_the_share_that_was_right_and_below_the_least_nothing_is_answered() -> None:
    outcomes = [(0.2, False)] * 18 + [(0.8, True)] * 18 + [(0.8, False)] * 2
    steps = fit_steps(outcomes)
    assert steps == [(0.2, round(1 / 20, 4)), (0.8, round(19 / 22, 4))]
    calibration = Calibration({"naming": {"model": steps}}, min_confidence=0.5)
    assert [calibration.confidence("naming", "model", score) for score in (0.1, 0.5, 0.9)] == [0.05, 0.05, 0.8636]
    assert calibration.confidence("naming", "team", 0.9) is None
    code = "def <NAME>(cart, prices):\n    return cart\n"
    sure = ask("naming", code, "cart_prices", calibration=calibration)
    assert (sure.result, sure.confidence) == ("cart_prices", 0.8636)
    seldom = Calibration({"naming": {"model": [(0.0, 0.3)]}}, min_confidence=0.5)
    assert "right too seldom (30% of the time)" in ask("naming", code, "cart_prices", calibration=seldom).reason


def test_what_a_project_uses_is_its_convention(tmp_path: Path) -> None:
    import polars as pl

    rows = [(f"e{n}", "a.py", "python", "variable", "x", name, "c") for n, name in enumerate(CASES["camel_names"])]
    columns = ["example_id", "path", "language", "kind", "prompt", "completion", "cluster"]
    frame: Any = pl.DataFrame(rows, schema=columns, orient="row")
    frame.write_parquet(tmp_path / "train.parquet")
    team = Team("shop", {"naming_dataset": tmp_path})
    assert [each.convention("variable", "python") for each in (team, Team())] == ["camelCase", "snake_case"]
    assert "basket" in team.name_words
    code = "def f(x):\n    y = get_open_order(x)\n    return y\n"
    question = question_of("naming", code, TaskContext(name="y"), PARAMETERS)
    response = answer(question, Means(Texts(()), team, lambda: 1.0, PARAMETERS, Calibration()))
    assert response.result == "openOrder"
