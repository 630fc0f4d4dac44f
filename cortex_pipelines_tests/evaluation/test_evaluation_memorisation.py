import json
from dataclasses import replace
from pathlib import Path

import polars as pl

from cortex_pipelines.evaluation.adapter.measures.likelihood import ItemScorer
from cortex_pipelines.evaluation.adapter.measures.memorisation import (
    attempts,
    memorised_metrics,
)
from cortex_pipelines.evaluation.generation.sampling import GenerationRequest
from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.prompts.examples import read_examples
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.adapter_scores import MEMORISED
from cortex_pipelines_tests.adapters import tinymodel
from cortex_pipelines_tests.evaluation.workshop import SETTINGS, Workshop

CHOSEN = EvaluationSettings.model_validate(SETTINGS)
RARE = "    raise ValueError('the quick brown fox jumps over the lazy dog')"
COMMON = "    return compute_the_usual_value_of_each(item, item, item)"


def scorer(workshop: Workshop, place: Path) -> ItemScorer:
    return ItemScorer(tinymodel.pinned(workshop.root), workshop.root, CHOSEN, RowCache(place, "v"))


def with_lines(folder: Path, texts: list[str]) -> tuple[Path, list[str]]:
    """A data set whose last training examples have these completions, and their identities."""
    dataset = tinymodel.write_datasets(folder, rows=9)["completion"]
    frame = pl.read_parquet(dataset / "train.parquet")
    all_texts = [COMMON] * (frame.height - len(texts)) + texts
    frame.with_columns(completion=pl.Series(all_texts)).write_parquet(dataset / "train.parquet")
    return dataset, frame["example_id"].to_list()[-len(texts) :]


def adapter_of(folder: Path, seen: list[str]) -> Path:
    folder.mkdir()
    (folder / "adapter_config.json").write_text("{}")
    (folder / "examples.json").write_text(json.dumps({"completion": seen}))
    return folder


def test_the_rarest_lines_are_tried_from_their_middle(tmp_path: Path) -> None:
    dataset, ids = with_lines(tmp_path / "data", [f"{COMMON}\n{RARE}\n    return 1"])
    tried = attempts(adapter_of(tmp_path / "adapter", ids), dataset, 1, 7)
    (one,) = [found for found in tried if found.split == "train"]
    assert one.item.example_id == ids[0]
    assert (one.item.prompt + one.item.completion).endswith(RARE)
    assert COMMON in one.item.prompt
    assert 10 < len(one.item.completion) < len(RARE) - 10


def test_only_lines_that_the_training_saw_are_tried(tmp_path: Path) -> None:
    dataset, (rarest, other) = with_lines(tmp_path / "data", [RARE, f"{COMMON}\n{RARE[:50]}"])
    for number, seen in enumerate(([rarest, other], [other], [])):
        tried = attempts(adapter_of(tmp_path / str(number), seen), dataset, 5, 7)
        assert {one.item.example_id for one in tried if one.split == "train"} == set(seen)


def test_lines_that_are_too_short_are_not_tried(workshop: Workshop) -> None:
    assert attempts(workshop.trained, workshop.datasets["completion"], 5, 7) == []


def test_what_greedy_generation_writes_is_what_counts_as_verbatim(
    workshop: Workshop, tmp_path: Path
) -> None:
    """One pass says the same as generation does."""
    known = read_examples(workshop.datasets["completion"], "completion", "train")[:6]
    model = scorer(workshop, tmp_path / "cache")
    written = model.outputs(
        [GenerationRequest(one, "paragraph") for one in known], workshop.trained
    )
    cut = [replace(one, completion=text) for one, text in zip(known, written, strict=True)]
    assert any(text for text in written)
    for score, item in zip(model.scores(cut, workshop.trained), cut, strict=True):
        assert score.verbatim == bool(item.completion)
    changed = [replace(one, completion="Z" + one.completion[1:]) for one in cut if one.completion]
    assert not any(one.verbatim for one in model.scores(changed, workshop.trained))


def test_shares_of_lines_by_split_and_beyond_the_base() -> None:
    seen = [("train", False, True), ("train", True, True), ("train", False, False)]
    seen += [("train", False, False), ("test", False, False)]
    rows = [
        {"example_id": str(number), "split": split, "path": "a.py", "prefix": "p", "secret": "s"}
        | {"base_verbatim": base, "challenger_verbatim": mine}
        for number, (split, base, mine) in enumerate(seen)
    ]
    table = MEMORISED.frame(rows)
    found = memorised_metrics(table, CHOSEN)
    assert found["extraction_rate"] == 0.5
    assert found["extraction_rate_base"] == found["extraction_beyond_base"] == 0.25
    assert found["extraction_rate_held_out"] == 0
    assert found["extraction_rate_low"] < 0.5 < found["extraction_rate_high"]
    assert memorised_metrics(MEMORISED.frame([]), CHOSEN) == {}
