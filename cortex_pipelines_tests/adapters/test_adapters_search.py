import json
from pathlib import Path
from typing import Any
from unittest import mock

import polars as pl
import pytest

from cortex_pipelines.adapters.data.corpus import Corpus
from cortex_pipelines.adapters.data.packing import TokenisedExample, token_count
from cortex_pipelines.adapters.search import LEAST_GROUPS, search_settings
from cortex_pipelines.adapters.settings import AdapterSettings
from cortex_pipelines.adapters.training.history import TrainingResult, ValidationCallback
from cortex_pipelines.adapters.training.launch import TrainingJob, run_training
from cortex_pipelines_tests.adapters.tinymodel import SETTINGS, Datasets, settings, train_record, write_datasets

SPACE: dict[str, Any] = SETTINGS["search"]


def searched(root: Path, datasets: Datasets, out: Path, space: dict[str, Any], **changes: Any) -> dict[str, Any]:
    space = SPACE | {"trials": 4, "max_tokens": 800} | space
    usual = {"max_tokens": 1600, "validation_tokens": 200}
    record = train_record(root, datasets, out, search=space, **usual | changes)
    return record | {"search": json.loads((out / "trials.json").read_text())}


def many_files(folder: Path) -> Datasets:
    """Data sets whose test split has a file for each group of near-duplicates, not five files in all."""
    datasets = write_datasets(folder / "datasets")
    for of in datasets.values():
        pl.read_parquet(of / "test.parquet").with_columns(path=pl.col("cluster")).write_parquet(of / "test.parquet")
    return datasets


def test_a_better_trial_replaces_the_default_and_a_repetition_is_the_same(root: Path, tmp_path: Path) -> None:
    """The default rate hardly learns, so that any other trial is better."""
    datasets = many_files(tmp_path)
    record = searched(root, datasets, tmp_path / "one", {}, learning_rate=1e-6)
    search, metrics = record["search"], record["metrics"]
    trials = search["trials"]
    assert trials[0]["parameters"] == search["default"]
    assert search["default"] == {"rank": 4, "learning_rate": 1e-6, "target_modules": "all-linear", "step_size": 1}
    completed = [trial for trial in trials if trial["state"] == "complete"]
    best = min(completed, key=lambda trial: trial["value"])
    assert best["number"] > 0
    assert search["chosen"] == best["parameters"]
    trained = record["settings"]
    assert trained["learning_rate"] == best["parameters"]["learning_rate"]
    assert (trained["rank"], trained["alpha"]) == (best["parameters"]["rank"], 2 * best["parameters"]["rank"])
    assert trained["gradient_accumulation"] == best["parameters"]["step_size"]
    assert set(search["importance"]) == set(search["default"])
    assert search["trial_tokens"] <= 800
    assert LEAST_GROUPS <= search["test_groups"] < search["test_examples"]
    assert (search["kept_default_because"], metrics["search_adopted"]) == ("", 1.0)
    saved = search["saved"]
    assert 0 < saved["low"] < saved["estimate"] < saved["high"]
    assert metrics["search_saved"] == saved["estimate"]
    searched(root, datasets, tmp_path / "two", {}, learning_rate=1e-6)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name


def test_what_is_better_by_validation_alone_is_not_used(tmp_path: Path) -> None:
    """The higher the rate, the lower the validation loss, and the more bits the test examples need."""
    examples = tuple(TokenisedExample(str(number), "completion", (1, 2), 1, 1, 4) for number in range(12))
    corpus, rates = Corpus(examples, examples, test=examples), []

    def train(trial: AdapterSettings, of: Corpus, report: ValidationCallback | None) -> TrainingResult:
        rates.append(trial.learning_rate)
        for step in range(1, 5) if report else ():
            report(step, 1 / (step * trial.learning_rate))
        test = tuple(trial.learning_rate * (1 + number % 3) for number in range(len(of.test)))
        return TrainingResult({}, 4, True, (), (), 1.0, 4, test=test)

    configured = settings(search=SPACE | {"trials": 5}, learning_rate=1e-6)
    groups = [example.example_id for example in examples]
    chosen, metrics = search_settings(
        configured, corpus, corpus, groups, train, tmp_path / "s", tmp_path, warm_start=False
    )
    search = json.loads((tmp_path / "trials.json").read_text())
    assert search["best"] > 0
    assert search["saved"]["high"] < 0
    assert rates[-2:] == [1e-6, search["trials"][search["best"]]["parameters"]["learning_rate"]]
    assert search["kept_default_because"] == "the best trial is not shown to be better on the test split"
    assert (chosen, metrics["search_adopted"]) == (configured, 0.0)


def test_a_trial_learns_faster_than_the_longer_training(root: Path, datasets: Datasets, tmp_path: Path) -> None:
    rates = []

    def note(run: TrainingJob, report: ValidationCallback | None = None) -> TrainingResult:
        rates.append((token_count(run.corpus.train), run.settings.learning_rate))
        return run_training(run, report)

    with mock.patch("cortex_pipelines.adapters.build.run_training", side_effect=note):
        search = searched(root, datasets, tmp_path / "out", {"trials": 1})["search"]
    (short, trial_rate), (full, rate) = rates
    assert short == search["trial_tokens"] < full
    assert trial_rate == pytest.approx(rate * (full / short) ** 0.32)


def test_on_too_few_files_of_the_test_split_the_default_stays(root: Path, datasets: Datasets, tmp_path: Path) -> None:
    search = searched(root, datasets, tmp_path / "out", {}, learning_rate=1e-6)["search"]
    assert search["best"] > 0
    assert search["chosen"] == search["default"]
    assert search["kept_default_because"] == "the test split has 5 groups of files, too few to compare on"


def test_the_default_stays_where_nothing_is_better(root: Path, datasets: Datasets, tmp_path: Path) -> None:
    """All other trials hardly learn, so that the default is the best, and is trained as without a search."""
    record = searched(root, datasets, tmp_path / "out", {"learning_rate": [1e-7, 1e-6]})
    search = record["search"]
    assert search["best"] == 0
    assert search["kept_default_because"] == "no trial was better by validation"
    assert (search["saved"], record["metrics"]["search_adopted"]) == (None, 0.0)
    without = train_record(root, datasets, tmp_path / "without", max_tokens=1600, validation_tokens=200)
    weights = [(tmp_path / name / "adapter_model.safetensors").read_bytes() for name in ("out", "without")]
    assert weights[0] == weights[1]
    assert "search_adopted" not in without["metrics"]


def test_a_hopeless_trial_ends_early(root: Path, datasets: Datasets, tmp_path: Path) -> None:
    space = {"trials": 7, "learning_rate": [1e-6, 1e-1]}
    trials = searched(root, datasets, tmp_path / "out", space)["search"]["trials"]
    pruned = [trial for trial in trials if trial["state"] == "pruned"]
    most = max(len(trial["steps"]) for trial in trials)
    assert 1 < most <= 4
    assert pruned
    assert all(len(trial["steps"]) < most for trial in pruned)


def test_attention_alone_is_adapted_and_a_warm_start_keeps_rank_and_layers(
    root: Path, datasets: Datasets, tmp_path: Path
) -> None:
    train_record(root, datasets, tmp_path / "parent", max_tokens=800, target_modules="attention", rank=2, alpha=4)
    configuration = json.loads((tmp_path / "parent" / "adapter_config.json").read_text())
    assert configuration["target_modules"] == ["k_proj", "o_proj", "q_proj", "v_proj"]
    changes = {"target_modules": "attention", "rank": 2, "alpha": 4, "parents": {"mine": str(tmp_path / "parent")}}
    search = searched(root, datasets, tmp_path / "child", {"trials": 2}, **changes)["search"]
    for trial in search["trials"]:
        assert (trial["parameters"]["rank"], trial["parameters"]["target_modules"]) == (2, "attention")


def test_without_validation_there_is_nothing_to_search_by() -> None:
    with pytest.raises(ValueError, match=r"raise it, or set adapters.search.trials to 0"):
        settings(search=SPACE | {"trials": 1}, validation_tokens=0)
    assert isinstance(settings(validation_tokens=0), AdapterSettings)
