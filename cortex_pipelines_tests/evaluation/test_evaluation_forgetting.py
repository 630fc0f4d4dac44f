from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_pipelines.evaluation.adapter.measures.bits_per_byte import extract_passage, general_items
from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.versioning.champions import ReferenceModel
from cortex_pipelines_tests.adapters import tinymodel
from cortex_pipelines_tests.evaluation.workshop import PARAMETERS, PROJECT, SETTINGS, Workshop

OTHER = [
    "    for number in range(count):\n        total += number * weight\n    return total, count",
    "    with open(path) as file:\n        lines = file.read().split()\n    return lines[first:]",
    "    if not self.ready or self.closed:\n        raise RuntimeError(state)\n    self.start()",
    "    names = sorted(found, key=len)\n    print(names, end='')\n    return dict(names)",
]


@pytest.fixture
def general(tmp_path: Path) -> Path:
    folder = tinymodel.write_datasets(tmp_path / "general", rows=12)["completion"]
    frame = pl.read_parquet(folder / "test.parquet")
    assert frame.height == len(OTHER)
    frame.with_columns(completion=pl.Series(OTHER)).write_parquet(folder / "test.parquet")
    return folder


def test_forgetting_is_a_rise_of_perplexity_and_a_gain_on_any_code_not_own(workshop: Workshop, general: Path) -> None:
    tables, metrics = workshop.tables(workshop.trained, general=(general, "other"))
    scores = tables["general_scores"]
    assert scores.height == metrics["general_items"] == 4
    rise = metrics["general_challenger_perplexity"] / metrics["general_base_perplexity"] - 1
    assert metrics["forgetting"] == pytest.approx(rise)
    assert metrics["forgetting_low"] <= metrics["forgetting"] <= metrics["forgetting_high"]
    assert "Relative rise of perplexity" in workshop.read()
    foreign = tables["foreign_scores"]
    assert metrics["foreign_items"] == foreign.height > 0
    gain = metrics["completion_improvement_over_base"] - metrics["foreign_improvement"]
    assert metrics["own_improvement"] == pytest.approx(gain)
    assert metrics["own_improvement_low"] <= gain <= metrics["own_improvement_high"]
    report = workshop.read()
    assert "the same adapter on another project" in report


def test_neither_no_update_nor_near_duplicates_forget(workshop: Workshop, general: Path, tmp_path: Path) -> None:
    zero = workshop.untouched
    _, metrics = workshop.tables(zero, general=(general, "other"))
    assert metrics["forgetting"] == metrics["forgetting_low"] == metrics["forgetting_high"] == 0
    dataset = tinymodel.write_datasets(tmp_path / "own", rows=6)["completion"]
    train = pl.read_parquet(dataset / "train.parquet")
    duplicate = OTHER[1].replace("first", "second")
    texts = [duplicate, *train["completion"].to_list()[1:]]
    train.with_columns(completion=pl.Series(texts)).write_parquet(dataset / "train.parquet")
    settings = EvaluationSettings.model_validate(SETTINGS)
    general_code = general_items(general, "other", PROJECT, dataset, PARAMETERS.datasets, settings)
    assert general_code.near_duplicates == 1
    texts = {item.prompt + item.completion for item in general_code.items}
    assert len(texts) == len(OTHER) - 1
    assert not [text for text in texts if text.endswith(OTHER[1])]


def test_items_are_short_passages_in_whole_lines_and_gaps_are_left_out(workshop: Workshop, general: Path) -> None:
    path = general / "test.parquet"
    frame = pl.read_parquet(path)
    lines = [f"    value_{number} = compute({number})" for number in range(9)]
    texts = pl.lit("\n".join(lines))
    gap = pl.int_range(frame.height) == 0
    frame.with_columns(
        prompt=texts, completion=texts, suffix=pl.lit(""), task=pl.when(gap).then(pl.lit("fim"))
    ).with_columns(pl.col("task").fill_null("completion")).write_parquet(path)
    settings = EvaluationSettings.model_validate(SETTINGS | {"general_characters": 90})
    dataset = workshop.datasets["completion"]
    general_code = general_items(general, "other", PROJECT, dataset, PARAMETERS.datasets, settings)
    assert len(general_code.items) == frame.height - 1
    for item in general_code.items:
        assert item.prompt + item.completion == "\n".join(lines[-3:]) + "\n".join(lines[:3])
        assert len(item.prompt) < len(item.completion)
    longer = settings.model_copy(update={"general_characters": 1000})
    general_code = general_items(general, "other", PROJECT, dataset, PARAMETERS.datasets, longer)
    assert {kept_item.prompt + kept_item.completion for kept_item in general_code.items} == {2 * "\n".join(lines)}


@given(st.text(alphabet="ab \n", max_size=200), st.integers(1, 120))
def test_a_passage_stands_around_the_border(text: str, characters: int) -> None:
    item = replace(tinymodel.completion_example(0), prompt=text, completion=text)
    passage = extract_passage(item, characters)
    passage_text = passage.prompt + passage.completion
    assert passage_text in text + text
    assert len(passage_text) <= 2 * characters
    assert bool(passage_text) == bool(text)


@pytest.mark.parametrize(("project", "reason"), [(None, "names no project"), (PROJECT, "is itself the project")])
def test_without_other_code_it_says_why(workshop: Workshop, general: Path, project: str | None, reason: str) -> None:
    champion = ReferenceModel("version", workshop.trained)
    tables, metrics = workshop.tables(workshop.trained, champion, general=(general, project), items=2)
    assert tables["general_scores"].is_empty()
    assert "forgetting" not in metrics
    assert reason in workshop.read()
