import json
import shutil
from dataclasses import replace
from math import log2
from pathlib import Path

import polars as pl
import pytest

from cortex_pipelines.adapters.examples import read_examples
from cortex_pipelines.evaluation.likelihood import ItemScorer
from cortex_pipelines.evaluation.memorisation import (
    CanaryError,
    attempts,
    exposure_metrics,
    memorised_metrics,
    planted_canaries,
)
from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.evaluation.writing import Request
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas import MEMORISED
from cortex_pipelines_tests.adapters import tinymodel
from cortex_pipelines_tests.evaluation.workshop import SETTINGS, Workshop

CHOSEN = EvaluationSettings.model_validate(SETTINGS | {"alternatives": 31})
RARE = "    raise ValueError('the quick brown fox jumps over the lazy dog')"
COMMON = "    return compute_the_usual_value_of_each(item, item, item)"


def scorer(workshop: Workshop, place: Path) -> ItemScorer:
    return ItemScorer(tinymodel.pinned(workshop.root), workshop.root, CHOSEN, RowCache(place, "v"))


def test_the_rarest_lines_are_tried_from_their_middle(workshop: Workshop, tmp_path: Path) -> None:
    folder = tinymodel.write_datasets(tmp_path / "data", rows=9)["completion"]
    path = folder / "train.parquet"
    frame = pl.read_parquet(path)
    texts = [COMMON] * (frame.height - 1) + [f"{COMMON}\n{RARE}\n    return 1"]
    frame.with_columns(completion=pl.Series(texts)).write_parquet(path)
    (one, *_) = [found for found in attempts(folder, 1, 7) if found.split == "train"]
    assert one.item.example_id == frame["example_id"][-1]
    assert (one.item.prompt + one.item.completion).endswith(RARE)
    assert COMMON in one.item.prompt
    assert 10 < len(one.item.completion) < len(RARE) - 10


def test_lines_that_are_too_short_are_not_tried(workshop: Workshop) -> None:
    assert attempts(workshop.datasets["completion"], 5, 7) == []


def test_what_greedy_generation_writes_is_what_counts_as_verbatim(
    workshop: Workshop, tmp_path: Path
) -> None:
    """One pass says the same as generation does."""
    known = read_examples(workshop.datasets["completion"], "completion", "train")[:6]
    model = scorer(workshop, tmp_path / "cache")
    written = model.outputs([Request(one, "paragraph") for one in known], workshop.trained)
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


def with_canaries(workshop: Workshop, place: Path, canaries: object) -> Path:
    shutil.copytree(workshop.trained, place)
    record = json.loads((place / "training.json").read_text())
    (place / "training.json").write_text(json.dumps(record | {"canaries": canaries}))
    return place


def test_what_was_learnt_is_exposed_and_what_was_not_is_not(
    workshop: Workshop, tmp_path: Path
) -> None:
    learnt = {"prefix": "def get_value_3(self):\n    ", "secret": "return self._value_3\n"}
    strange = {"prefix": "def get_value_3(self):\n    ", "secret": "zqxwvk jjjj._zzzzz_9\n"}
    model = scorer(workshop, tmp_path / "cache")
    most = log2(CHOSEN.alternatives + 1)
    found = exposure_metrics(with_canaries(workshop, tmp_path / "a", [learnt]), model, CHOSEN)
    assert found["exposure"] == most
    assert found["canaries"] == 1
    found = exposure_metrics(with_canaries(workshop, tmp_path / "b", [strange]), model, CHOSEN)
    assert found["exposure"] < most - 1
    both = with_canaries(workshop, tmp_path / "c", [strange, learnt])
    assert exposure_metrics(both, model, CHOSEN)["exposure"] == most  # the worst one counts


def test_without_canaries_there_is_no_exposure(workshop: Workshop, tmp_path: Path) -> None:
    assert planted_canaries(workshop.trained) == []
    model = scorer(workshop, tmp_path / "cache")
    assert exposure_metrics(workshop.trained, model, CHOSEN) == {}


def test_canaries_in_another_form_are_named(workshop: Workshop, tmp_path: Path) -> None:
    with pytest.raises(CanaryError, match="prefix and secret"):
        planted_canaries(with_canaries(workshop, tmp_path / "a", ["text"]))
