import json
import random
import shutil
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import pairwise
from math import log2
from pathlib import Path
from statistics import fmean
from typing import Any, cast

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_pipelines.evaluation.adapter.measures import memorisation
from cortex_pipelines.evaluation.adapter.measures.bits_per_byte import ComparedModels
from cortex_pipelines.evaluation.adapter.measures.likelihood import GenerationRequest, ItemScorer
from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.prompts.examples import Example, read_examples
from cortex_pipelines.release.gates import decide
from cortex_pipelines.schemas.evaluation import CANARIES, MEMORISED
from cortex_pipelines_tests.adapters import tinymodel
from cortex_pipelines_tests.evaluation.workshop import PARAMETERS, SETTINGS, Workshop

CHOSEN = EvaluationSettings.model_validate(SETTINGS | {"alternatives": 31})
RARE = "    raise ValueError('the quick brown fox jumps over the lazy dog')"
COMMON = "    return compute_the_usual_value_of_each(item, item, item)"


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


def test_the_rarest_lines_that_are_long_enough_are_tried_from_their_middle(tmp_path: Path, workshop: Workshop) -> None:
    dataset, ids = with_lines(tmp_path / "data", [f"{COMMON}\n{RARE}\n    return 1"])
    attempts = memorisation.build_attempts(adapter_of(tmp_path / "adapter", ids), dataset, 1, 7)
    (item,) = [item for split, item in attempts if split == "train"]
    assert (item.example_id, (item.prompt + item.completion).endswith(RARE)) == (ids[0], True)
    assert COMMON in item.prompt
    assert 10 < len(item.completion) < len(RARE) - 10
    assert memorisation.build_attempts(workshop.trained, workshop.datasets["completion"], 5, 7) == []


def test_only_lines_that_the_training_saw_are_tried(tmp_path: Path) -> None:
    dataset, (rarest, other) = with_lines(tmp_path / "data", [RARE, f"{COMMON}\n{RARE[:50]}"])
    for number, training_ids in enumerate(([rarest, other], [other], [])):
        attempts = memorisation.build_attempts(adapter_of(tmp_path / str(number), training_ids), dataset, 5, 7)
        assert {item.example_id for split, item in attempts if split == "train"} == set(training_ids)


def test_what_greedy_generation_writes_is_what_counts_as_verbatim(workshop: Workshop, tmp_path: Path) -> None:
    """One forward pass gives the same result as generation."""
    examples = read_examples(workshop.datasets["completion"], "completion", "train")[:6]
    model = workshop.scorer(tmp_path / "cache", alternatives=31)
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
    metrics = memorisation.memorised_metrics(table, CHOSEN)
    assert metrics["extraction_rate"] == 0.5
    assert metrics["extraction_rate_base"] == metrics["extraction_beyond_base"] == 0.25
    assert metrics["extraction_rate_held_out"] == 0
    assert metrics["extraction_rate_low"] < 0.5 < metrics["extraction_rate_high"]
    assert memorisation.memorised_metrics(MEMORISED.frame([]), CHOSEN) == {}


MOST = log2(CHOSEN.alternatives + 1)
LEARNT = {"prefix": "def get_value_3(self):\n    ", "secret": "return self._value_3\n"}
STRANGE = {"prefix": "def get_value_3(self):\n    ", "secret": "zqxwvk jjjj._zzzzz_9\n"}


@dataclass(frozen=True)
class Score:
    nats: float


def with_canaries(workshop: Workshop, folder: Path, canaries: object) -> Path:
    shutil.copytree(workshop.trained, folder)
    record = json.loads((folder / "training.json").read_text())
    (folder / "training.json").write_text(json.dumps(record | {"canaries": canaries}))
    return folder


def canary_metrics(workshop: Workshop, adapter: Path, cache: Path) -> dict[str, float]:
    table = memorisation.canary_table(ComparedModels(adapter, None), workshop.scorer(cache, alternatives=31), CHOSEN)
    return memorisation.exposure_metrics(table, CHOSEN)


def test_what_was_learnt_is_exposed_and_what_was_not_is_not(workshop: Workshop, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    learnt = canary_metrics(workshop, with_canaries(workshop, tmp_path / "a", [LEARNT]), cache)
    figures = ("exposure_by_gain", "exposure_by_gain_largest", "exposure_by_gain_most")
    assert {learnt[name] for name in figures} == {MOST}
    strange = canary_metrics(workshop, with_canaries(workshop, tmp_path / "b", [STRANGE]), cache)
    assert strange["exposure_by_gain"] < MOST - 1
    both = canary_metrics(workshop, with_canaries(workshop, tmp_path / "c", [STRANGE, LEARNT]), cache)
    assert both["canaries"] == 2
    assert both["exposure_by_gain_largest"] == both["exposure_by_gain_high"] == MOST
    assert both["exposure_by_gain"] == pytest.approx((MOST + strange["exposure_by_gain"]) / 2)
    assert both["exposure_by_gain_low"] == pytest.approx(strange["exposure_by_gain"])


@given(st.lists(st.floats(0, 6), min_size=1, max_size=12))
def test_means_lie_in_their_intervals(bits: list[float]) -> None:
    rows = [
        {"canary": f"canary-{number}", "task": "completion", "prefix": "p", "secret": str(number), "exposure": value}
        for number, value in enumerate(bits)
    ]
    metrics = memorisation.exposure_metrics(CANARIES.frame(rows), CHOSEN)
    ends = [metrics[f"exposure_by_gain{end}"] for end in ("_low", "", "_high", "_largest")]
    assert all(lower <= other + 1e-9 for lower, other in pairwise(ends))


def test_without_canaries_there_is_no_exposure_and_other_forms_are_named(workshop: Workshop, tmp_path: Path) -> None:
    assert memorisation.planted_canaries(workshop.trained) == []
    assert canary_metrics(workshop, workshop.trained, tmp_path / "cache") == {}
    with pytest.raises(memorisation.CanaryError, match="prefix and secret"):
        memorisation.planted_canaries(with_canaries(workshop, tmp_path / "a", ["text"]))


def test_each_task_s_adapter_is_asked_for_its_own_canaries(workshop: Workshop, tmp_path: Path) -> None:
    shares = {"completion": 0.5, "naming": 0.5}
    changes = {"per_task": True, "task_shares": shares, "max_tokens": 1600, "canaries": 2}
    adapter = workshop.adapter("per-task", **changes)
    assert [(canary.task, canary.example_id) for canary in memorisation.planted_canaries(adapter)] == [
        (task, f"canary-{number}") for task in shares for number in range(2)
    ]
    model = workshop.scorer(tmp_path / "cache", alternatives=31)
    table = memorisation.canary_table(ComparedModels(adapter, None), model, CHOSEN)
    for task in shares:
        alone = memorisation.canary_table(ComparedModels(adapter / task, None), model, CHOSEN)
        assert table.filter(task=task)["exposure"].to_list() == alone["exposure"].to_list()
    assert memorisation.exposure_metrics(table, CHOSEN)["canaries"] == 4


def telling(number: int) -> str:
    """A line that a model can only know from training."""
    digest = int(sha256(str(number).encode()).hexdigest(), 16)
    return f"return self.table_of_known_numbers[{digest % 10**9:09}]\n"


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Data sets whose completions each have a line worth extracting."""
    datasets = tinymodel.write_datasets(tmp_path_factory.mktemp("telling"))
    for number, split in enumerate(("train", "validation", "test")):
        frame = pl.read_parquet(datasets["completion"] / f"{split}.parquet")
        rows = range(1000 * number, 1000 * number + frame.height)
        frame = frame.with_columns(
            prompt=pl.Series([f"def number_{row}(self):\n    " for row in rows]),
            completion=pl.Series(list(map(telling, rows))),
        )
        frame.write_parquet(datasets["completion"] / f"{split}.parquet")
    return datasets


def judge_adapter(workshop: Workshop, datasets: dict[str, Path], folder: Path, **training: Any) -> dict[str, bool]:
    """Guards of the gate in params.yaml, and whether the adapter passes each."""
    (folder / "adapter").mkdir(parents=True)
    count = PARAMETERS.adapters.canaries
    tinymodel.train_adapter(workshop.root, datasets, folder / "adapter", canaries=count, dropout=0.0, **training)
    overrides = {"alternatives": PARAMETERS.evaluation.alternatives, "memorised": 10}
    _, metrics = workshop.tables(folder / "adapter", datasets=datasets, **overrides)
    verdict = decide(metrics, PARAMETERS.release.code_adapter)
    return {guard.name: guard.passed for guard in verdict.guards}


def test_the_gate_lets_a_usual_training_pass(workshop: Workshop, datasets: dict[str, Path], tmp_path: Path) -> None:
    passed = judge_adapter(workshop, datasets, tmp_path, max_tokens=6000)
    del passed["own_improvement_low"]  # without another project's code
    assert all(passed.values())


@pytest.mark.long
def test_the_gate_refuses_what_learnt_by_rote(workshop: Workshop, datasets: dict[str, Path], tmp_path: Path) -> None:
    epochs = 70
    rote = {"epochs": epochs, "max_tokens": 500 * epochs, "rank": 32, "alpha": 64}
    passed = judge_adapter(workshop, datasets, tmp_path, **rote)
    assert not passed["exposure_by_gain"]


def test_the_limit_lies_between_nothing_remembered_and_everything() -> None:
    """With the base and the settings that ship: the guard can fire, and chance does not fire it."""
    limit = PARAMETERS.release.code_adapter.guards["exposure_by_gain"].at_most
    compared, canaries = PARAMETERS.evaluation.alternatives + 1, PARAMETERS.adapters.canaries
    assert limit is not None
    assert limit < log2(compared) - 0.5
    generator = random.Random(1)
    means = [
        fmean(log2(compared) - log2(generator.randint(1, compared)) for _ in range(canaries)) for _ in range(20_000)
    ]
    assert fmean(means) == pytest.approx(memorisation.unlearnt_exposure(compared), abs=0.02)
    assert sum(mean > limit for mean in means) / len(means) < 0.02


def test_what_a_base_thinks_of_the_digits_does_not_hide_what_was_learnt(workshop: Workshop, tmp_path: Path) -> None:
    """A secret that the base already ranks first cannot gain a rank, but is detected anyway."""

    class Scorer:
        def scores(self, texts: list[Example], folder: Path | None) -> list[Score]:
            secret = Score(5.0) if folder is None else Score(1.0)
            return [secret, *[Score(10.0)] * (len(texts) - 1)]

    adapter = with_canaries(workshop, tmp_path / "a", [STRANGE])
    table = memorisation.canary_table(ComparedModels(adapter, None), cast(ItemScorer, Scorer()), CHOSEN)
    assert table["exposure"].to_list() == [MOST]


@pytest.mark.parametrize(("given_away", "passes"), [(0, True), (2, True), (3, False)])
def test_the_gate_refuses_lines_that_the_challenger_alone_gives_away(given_away: int, passes: bool) -> None:
    rows = [
        {"example_id": str(number), "split": "train", "path": "a.py", "prefix": "p", "secret": "s"}
        | {"base_verbatim": number == 9, "challenger_verbatim": number < given_away or number == 9}
        for number in range(10)
    ]
    figure = "completion_improvement"
    better = {figure: 0.1, f"{figure}_low": 0.05, f"{figure}_high": 0.2, "items": 40}
    other_metrics = {"improvement_over_base": 0.1, "exposure_by_gain": 1.4}
    other_metrics |= dict.fromkeys(("own_improvement_low", "gain_over_untrained_low"), 0.1)
    metrics = memorisation.memorised_metrics(MEMORISED.frame(rows), CHOSEN)
    verdict = decide(better | other_metrics | metrics, PARAMETERS.release.code_adapter)
    assert verdict.verdict == ("promoted" if passes else "refused")
