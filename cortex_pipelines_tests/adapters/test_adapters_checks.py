import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cortex_pipelines.adapters.data.checks import TrainingRefusedError, check_training
from cortex_pipelines.config import load_parameters
from cortex_pipelines_tests.adapters.tinymodel import SETTINGS, Datasets, settings, train_adapter
from cortex_pipelines_tests.messages import refusal

PARAMETERS = load_parameters(Path(__file__).parents[2])
LIMITS: dict[str, Any] = SETTINGS["checks"]  # type: ignore[assignment]
# assembled here, so that scanners do not report this file
KEY = "AKIA" + "Q3EGRJ7ZPWLTXV2M"


@pytest.fixture
def dataset_copies(datasets: Datasets, tmp_path: Path) -> Datasets:
    """A copy of the data sets that a test may change."""
    return {task: Path(shutil.copytree(folder, tmp_path / "own" / task)) for task, folder in datasets.items()}


def check(datasets: Datasets, **limits: Any) -> None:
    rules = PARAMETERS.datasets, PARAMETERS.privacy, PARAMETERS.ingestion.trainable_licences
    check_training(datasets, settings(checks=LIMITS | limits), *rules)


def spoil(folder: Path, split: str, column: str, value: str) -> None:
    """Write a value into the first row."""
    frame = pl.read_parquet(folder / f"{split}.parquet")
    first = pl.int_range(frame.height) == 0
    changed = frame.with_columns(pl.when(first).then(pl.lit(value)).otherwise(column).alias(column))
    changed.write_parquet(folder / f"{split}.parquet")


def test_good_data_with_their_manifests_pass_whatever_tasks_without_a_share_have(dataset_copies: Datasets) -> None:
    check(dataset_copies, max_file_share=0.3, max_kind_share=1.0, min_examples=120)
    shutil.rmtree(dataset_copies["architecture"])
    check(dataset_copies)
    (dataset_copies["naming"] / "manifest.parquet").unlink()
    assert "cortex run naming_dataset" in refusal(TrainingRefusedError, check, dataset_copies)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"min_examples": 121}, r"120 examples.*min_examples is 121.*add sourc"),
        ({"max_file_share": 0.1}, r"module_0.py gives 20% .*max_file_share is 10%"),
        ({"max_kind_share": 0.9}, r"100% of naming_dataset is of the kind functi"),
    ],
)
def test_too_few_examples_and_what_dominates(datasets: Datasets, limits: dict[str, Any], message: str) -> None:
    with pytest.raises(TrainingRefusedError, match=message):
        check(datasets, **limits)


def test_what_is_held_out_must_be_like_what_is_learnt(dataset_copies: Datasets) -> None:
    folder = dataset_copies["completion"]
    for split, tests in {"train": 20, "validation": 20, "test": 80}.items():
        rows = pl.read_parquet(folder / f"{split}.parquet").head(1)
        paths = ["tests/test_a.py" if number < tests else "a.py" for number in range(100)]
        pl.concat([rows] * 100).with_columns(path=pl.Series(paths)).write_parquet(folder / f"{split}.parquet")
    with pytest.raises(TrainingRefusedError, match=r"test of completion_dataset is 0.28 bits from train.*is 0.15"):
        check(dataset_copies, max_distance=0.15)
    check(dataset_copies, max_distance=0.3)


def test_what_is_held_out_must_not_be_trained_on(dataset_copies: Datasets) -> None:
    for task in ("completion", "naming"):
        for split in ("train", "validation", "test"):
            frame = pl.read_parquet(dataset_copies[task] / f"{split}.parquet")
            words = [f"{split} {task} {n} " * 9 for n in range(frame.height)]
            texts = pl.Series([f"{w} {hash_words(w)}" for w in words])
            frame.with_columns(prompt=texts, completion=texts).write_parquet(dataset_copies[task] / f"{split}.parquet")
    check(dataset_copies, max_leaks=0)
    text = pl.read_parquet(dataset_copies["completion"] / "test.parquet")["completion"][3]
    spoil(dataset_copies["completion"], "train", "completion", text)
    with pytest.raises(TrainingRefusedError, match=r"1 examples of completion_dataset have a near"):
        check(dataset_copies, max_leaks=0)
    check(dataset_copies, max_leaks=1)


def hash_words(text: str) -> str:
    """Words that no two texts share."""
    import hashlib

    digest = hashlib.sha256(text.encode()).hexdigest()
    return " ".join(f"{digest}{n}" for n in range(60))


@pytest.mark.parametrize(
    ("licence", "fine"), [("MIT", True), ("GPL-3.0-only", False), ("MIT OR GPL-3.0-only", True), (None, True)]
)
def test_a_licence_that_is_not_allowed(dataset_copies: Datasets, licence: str | None, fine: bool) -> None:
    row = {"split": "train", "left_out": None, "licence": licence, "path": "lib/other.py"}
    schema = dict.fromkeys(row, pl.String)
    pl.DataFrame([row], schema).write_parquet(dataset_copies["naming"] / "manifest.parquet")
    if fine:
        check(dataset_copies)
    else:
        assert "under GPL-3.0-only (lib/other.py)" in refusal(TrainingRefusedError, check, dataset_copies)


@pytest.mark.parametrize("column", ["prompt", "completion"])
def test_a_secret_is_placed_and_never_shown(dataset_copies: Datasets, column: str) -> None:
    spoil(dataset_copies["completion"], "train", column, f'aws_key = "{KEY}"\n')
    with pytest.raises(TrainingRefusedError, match=r"secrets in prompts.*completion-0000") as caught:
        check(dataset_copies)
    assert KEY not in str(caught.value)
    check(dataset_copies, max_secrets=None)


def test_all_that_is_wrong_is_said_before_the_base_is_needed(dataset_copies: Datasets, tmp_path: Path) -> None:
    spoil(dataset_copies["completion"], "train", "prompt", f'aws_key = "{KEY}"\n')
    limits = LIMITS | {"min_examples": 1000}
    empty = tmp_path / "root"
    (empty / "base").mkdir(parents=True)
    (empty / "base" / "model.safetensors").write_bytes(b"no model")
    with pytest.raises(TrainingRefusedError, match=r"min_examples is 1000.*secrets in prompts"):
        train_adapter(empty, dataset_copies, tmp_path / "out", checks=limits)
