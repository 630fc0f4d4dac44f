import json
from dataclasses import replace
from pathlib import Path

import polars as pl

from cortex_pipelines.evaluation.adapter.measures.likelihood import GenerationRequest, ItemScorer
from cortex_pipelines.evaluation.adapter.measures.memorisation import build_attempts, memorised_metrics
from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.prompts.examples import read_examples
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.evaluation import MEMORISED
from cortex_pipelines_tests.adapters import tinymodel
from cortex_pipelines_tests.evaluation.workshop import SETTINGS, Workshop

CHOSEN = EvaluationSettings.model_validate(SETTINGS)
RARE = "    raise ValueError('the quick brown fox jumps over the lazy dog')"
COMMON = "    return compute_the_usual_value_of_each(item, item, item)"


def scorer(workshop: Workshop, folder: Path) -> ItemScorer:
    return ItemScorer(tinymodel.pinned(workshop.root), workshop.root, CHOSEN, RowCache(folder, "v"))


def with_lines(folder: Path, texts: list[str]) -> tuple[Path, list[str]]:
    """A data set whose last training examples have these completions, and their ids."""
    dataset = tinymodel.write_datasets(folder, rows=9)["completion"]
    frame = pl.read_parquet(dataset / "train.parquet")
    all_texts = [COMMON] * (frame.height - len(texts)) + texts
    frame.with_columns(completion=pl.Series(all_texts)).write_parquet(dataset / "train.parquet")
    return dataset, frame["example_id"].to_list()[-len(texts) :]


def adapter_of(folder: Path, training_ids: list[str]) -> Path:
    folder.mkdir()
    (folder / "adapter_config.json").write_text("{}")
    (folder / "examples.json").write_text(json.dumps({"completion": training_ids}))
    return folder


def test_the_rarest_lines_are_tried_from_their_middle(tmp_path: Path) -> None:
    dataset, ids = with_lines(tmp_path / "data", [f"{COMMON}\n{RARE}\n    return 1"])
    attempts = build_attempts(adapter_of(tmp_path / "adapter", ids), dataset, 1, 7)
    (attempt,) = [candidate for candidate in attempts if candidate.split == "train"]
    assert attempt.item.example_id == ids[0]
    assert (attempt.item.prompt + attempt.item.completion).endswith(RARE)
    assert COMMON in attempt.item.prompt
    assert 10 < len(attempt.item.completion) < len(RARE) - 10


def test_only_lines_that_the_training_saw_are_tried(tmp_path: Path) -> None:
    dataset, (rarest, other) = with_lines(tmp_path / "data", [RARE, f"{COMMON}\n{RARE[:50]}"])
    for number, training_ids in enumerate(([rarest, other], [other], [])):
        attempts = build_attempts(adapter_of(tmp_path / str(number), training_ids), dataset, 5, 7)
        assert {attempt.item.example_id for attempt in attempts if attempt.split == "train"} == set(training_ids)


def test_lines_that_are_too_short_are_not_tried(workshop: Workshop) -> None:
    assert build_attempts(workshop.trained, workshop.datasets["completion"], 5, 7) == []


def test_what_greedy_generation_writes_is_what_counts_as_verbatim(workshop: Workshop, tmp_path: Path) -> None:
    """One forward pass gives the same result as generation."""
    examples = read_examples(workshop.datasets["completion"], "completion", "train")[:6]
    model = scorer(workshop, tmp_path / "cache")
    outputs = model.outputs([GenerationRequest(attempt, "paragraph") for attempt in examples], workshop.trained)
    cut = [replace(attempt, completion=text) for attempt, text in zip(examples, outputs, strict=True)]
    assert any(text for text in outputs)
    for score, item in zip(model.scores(cut, workshop.trained), cut, strict=True):
        assert score.verbatim == bool(item.completion)
    changed = [replace(attempt, completion="Z" + attempt.completion[1:]) for attempt in cut if attempt.completion]
    assert not any(attempt.verbatim for attempt in model.scores(changed, workshop.trained))


def test_shares_of_lines_by_split_and_beyond_the_base() -> None:
    outcomes = [("train", False, True), ("train", True, True), ("train", False, False)]
    outcomes += [("train", False, False), ("test", False, False)]
    rows = [
        {"example_id": str(number), "split": split, "path": "a.py", "prefix": "p", "secret": "s"}
        | {"base_verbatim": base, "challenger_verbatim": challenger}
        for number, (split, base, challenger) in enumerate(outcomes)
    ]
    table = MEMORISED.frame(rows)
    metrics = memorised_metrics(table, CHOSEN)
    assert metrics["extraction_rate"] == 0.5
    assert metrics["extraction_rate_base"] == metrics["extraction_beyond_base"] == 0.25
    assert metrics["extraction_rate_held_out"] == 0
    assert metrics["extraction_rate_low"] < 0.5 < metrics["extraction_rate_high"]
    assert memorised_metrics(MEMORISED.frame([]), CHOSEN) == {}
