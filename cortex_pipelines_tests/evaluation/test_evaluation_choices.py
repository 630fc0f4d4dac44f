from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from cortex_pipelines.evaluation.adapter.measures.bits_per_byte import ComparedModels
from cortex_pipelines.evaluation.adapter.measures.likelihood import ItemScore
from cortex_pipelines.evaluation.adapter.measures.multiple_choice import (
    ChoiceQuestion,
    build_questions,
    choice_metrics,
    choice_table,
)
from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.prompts.examples import Example
from cortex_pipelines_tests.adapters.tinymodel import example, numbered_example
from cortex_pipelines_tests.evaluation.workshop import SETTINGS, Workshop
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)
BUGGY = CASES["BUGGY"]
FIXED = "def f(a):\n    b = a\n    return a + b"


def names(count: int = 6) -> list[Example]:
    return [replace(example(n, "naming", f"prompt {n}", f"name_{n}"), path=f"m{n % 2}.py") for n in range(count)]


def bodies(count: int = 6) -> list[Example]:
    texts = [(f"def f{n}():\n", f"    value = compute_{n}(1)\n    return value") for n in range(count)]
    return [replace(example(n, "completion", *text), cluster=str(n)) for n, text in enumerate(texts)]


def only(kind: str, held_out: dict[str, list[Example]], count: int = 3) -> list[ChoiceQuestion]:
    return [item for item in build_questions(held_out, count, 7)[0] if item.kind == kind]


def choices_of(
    question: ChoiceQuestion, score: Callable[..., ItemScore], prior: ChoiceQuestion | None = None
) -> pl.DataFrame:
    """What a model chooses that has these scores."""

    class Model:
        def scores(self, items: tuple[Example, ...], *_how: object) -> list[ItemScore]:
            return list(map(score, items))

    return choice_table([question], [prior], ComparedModels(Path(), None), None, Model(), 512)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["naming", "statement"])
def test_four_different_answers_with_the_truth_among_them(kind: str) -> None:
    questions = only(kind, {"naming": names(), "completion": bodies()})
    assert len(questions) == 3
    for question in questions:
        texts = [answer.completion for answer in question.answers]
        assert len(set(texts)) == 4
        assert (len({answer.prompt for answer in question.answers}), question.chance) == (1, 0.25)
    truths = {item.answers[item.truth].completion for item in questions}
    all_names = {item.completion for item in (names() if kind == "naming" else [])}
    all_names |= {item.completion.split("\n")[0] for item in bodies()}
    assert truths <= all_names


def test_names_of_the_same_file_come_first_and_none_that_stands_in_the_prompt() -> None:
    items = [replace(item, path="near.py" if n < 4 else "far.py") for n, item in enumerate(names(12))]
    for question in only("naming", {"naming": items}, 12):
        texts = {answer.completion for answer in question.answers}
        if question.answers[0].path == "near.py":
            assert texts == {f"name_{n}" for n in range(4)}
    items = [replace(item, prompt="name_1 calls <NAME>(name_22)") for item in names(8)]
    questions = only("naming", {"naming": items}, 8)
    numbered = [(question.truth, *item) for question in questions for item in enumerate(question.answers)]
    wrong = {answer.completion for truth, index, answer in numbered if index != truth}
    assert "name_1" not in wrong
    assert "name_2" in wrong, "part of a longer name does not count as an occurrence"


def test_neither_a_clause_nor_a_longer_or_unscored_name_is_chosen() -> None:
    odd = "    try:\n        value = read_all()\n    except ValueError as error:\n        raise\n"
    items = [
        replace(item, completion=odd.replace("read_all", f"read_all_{number}")) for number, item in enumerate(bodies(8))
    ]
    questions = only("statement", {"completion": [*bodies(3), *items]}, 9)
    texts = [answer.completion for question in questions for answer in question.answers]
    assert texts
    assert not [text for text in texts if text.lstrip().startswith("except")]
    question = ChoiceQuestion(
        "naming", tuple(example(1, "naming", "p", text) for text in ("signer", "signer_factory")), 1
    )
    unfinished = {"signer": ItemScore(6.0, 1, 6, 0, end_nats=9.0)}
    unfinished |= {"signer_factory": ItemScore(15.0, 2, 14, 0, end_nats=0.1)}
    usual = {"signer": ItemScore(9.0, 1, 6, 0), "signer_factory": ItemScore(18.0, 2, 14, 0)}
    table = choices_of(question, lambda item: (unfinished if item.prompt == "p" else usual)[item.completion])
    assert table["base_chosen"].to_list() == [1]
    question = ChoiceQuestion("naming", tuple(example(1, "naming", "p\nq", text) for text in "ab"), 1)
    scores = {("p\nq", "a"): ItemScore(0.0, 0, 0, 0)}
    table = choices_of(question, lambda item: scores.get((item.prompt, item.completion), ItemScore(5.0, 1, 1, 0)))
    assert table["base_chosen"].to_list() == [1]


@pytest.mark.parametrize(("kind", "prompt", "common"), CASES["a_text_that_is_always_likely_is_not_chosen_for_that"])
def test_a_text_that_is_always_likely_is_not_chosen_for_that(kind: str, prompt: str, common: str) -> None:
    texts = ("value", "rotated_key")
    question = ChoiceQuestion(kind, tuple(example(1, kind, prompt, text) for text in texts), 1)

    def habitual(item: Example) -> ItemScore:
        """Finds one text likely with any prompt, and the other one only after this prompt."""
        assert item.prompt == prompt or item.prompt.startswith(common)
        cost = 1.0 if item.completion == "value" else {prompt: 8.0}.get(item.prompt, 30.0)
        return ItemScore(cost, 2, 8, 0)

    table = choices_of(question, habitual, question)
    assert (table["base_chosen"].to_list(), table["context_chosen"].to_list()) == ([1], [1])


def test_the_order_of_items_does_not_matter_and_those_without_other_answers_are_counted() -> None:
    questions = only("naming", {"naming": names(20)}, 20)
    assert questions == only("naming", {"naming": names(20)[::-1]}, 20)
    assert {item.truth for item in questions} == {0, 1, 2, 3}
    questions, rejected = build_questions({"naming": names(3), "completion": bodies(2)}, 5, 7)
    assert (questions, rejected) == ([], {"naming": 3, "fix": 0, "statement": 2, "correction": 0})


def test_a_fix_and_a_correction_are_asked_against_what_was_there() -> None:
    item = replace(example(1, "refactoring", BUGGY, FIXED), kind="error")
    (question,) = only("fix", {"refactoring": [item]})
    assert question.answers[0].prompt == "# a.py\ndef f(a):\n    b = a\n"
    assert {answer.completion for answer in question.answers} == {"    return a + b", "    return a - b"}
    assert (question.answers[question.truth].completion, question.chance) == ("    return a + b", 0.5)
    item = numbered_example("feedback", 3)
    (question,) = only("correction", {"feedback": [item]})
    assert question.answers[0].prompt == "# a.py\ndef get_3(self):\n"
    texts = [answer.completion for answer in question.answers]
    assert sorted(texts) == ["    return self._value_3", "    return self.value_3"]
    assert texts[question.truth] == "    return self._value_3"
    assert only("correction", {"feedback": [replace(item, kind="retained")]}) == []


def test_the_longer_version_is_right_as_often_as_the_shorter_one() -> None:
    longer, shorter, equal = "    return min(a, b)", "    return a", "    return a % b"
    rights = [longer] * 5 + [shorter] * 2 + [equal]
    items = [
        replace(example(n, "refactoring", BUGGY, FIXED.replace("    return a + b", right)), kind="error")
        for n, right in enumerate(rights)
    ]
    for count, counts in ((20, 5), (3, 3)):
        questions, rejected = build_questions({"refactoring": items}, count, 7)
        sizes = [[len(answer.completion) for answer in question.answers] for question in questions]
        differences = [
            size[question.truth] - size[1 - question.truth] for size, question in zip(sizes, questions, strict=True)
        ]
        assert len(questions) == counts
        by_length = [sum(item > 0 for item in differences), sum(item < 0 for item in differences)]
        assert max(by_length) - min(by_length) <= count % 2
        assert rejected["fix"] == 3


@pytest.mark.parametrize(("cost_of_longer", "truth", "choice"), [(0.9, 1, 1), (1.0, 0, None)])
def test_the_likeliest_answer_a_byte_is_chosen(cost_of_longer: float, truth: int, choice: int | None) -> None:
    costs = {"short": 1.0, "a much longer answer": cost_of_longer}
    question = ChoiceQuestion("fix", tuple(example(1, "refactoring", "p", text) for text in costs), truth)
    sizes = {text: len(text) for text in costs}
    scores = {text: ItemScore(cost * sizes[text], sizes[text], sizes[text], 0) for text, cost in costs.items()}
    table = choices_of(question, lambda item: scores[item.completion])
    assert table["base_chosen"].to_list() == [choice]
    metrics = choice_metrics(table, EvaluationSettings.model_validate(SETTINGS))
    assert metrics["team_base_accuracy"] == (choice == truth)


def test_shares_have_intervals_chance_and_a_paired_difference(workshop: Workshop) -> None:
    tables, metrics = workshop.tables(workshop.trained, choices=8)
    choices = tables["team_choices"]
    assert choices.height == metrics["team_items"] > 0
    assert metrics["choice_naming_chance"] == 0.25
    right = (choices["challenger_chosen"] == choices["truth"]).sum()
    assert metrics["team_challenger_accuracy"] == pytest.approx(right / choices.height)
    low, high = (metrics[f"team_challenger_accuracy_{end}"] for end in ("low", "high"))
    assert low <= metrics["team_challenger_accuracy"] <= high
    naming = choices.filter(pl.col("kind") == "naming")
    assert metrics["choice_naming_items"] == naming.height
    assert metrics["choice_naming_difference"] == pytest.approx(
        metrics["choice_naming_challenger_accuracy"] - metrics["choice_naming_reference_accuracy"]
    )
    assert metrics["choice_naming_difference_low"] <= metrics["choice_naming_difference_high"]
