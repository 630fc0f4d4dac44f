"""Check the training data before anything is trained."""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import polars as pl

from cortex_pipelines.adapters.settings import AdapterSettings, TrainingChecks
from cortex_pipelines.datasets.dedup.similarity_join import COMPARED, near_duplicate_pairs, texts_to_compare
from cortex_pipelines.datasets.mix import distance
from cortex_pipelines.datasets.settings import DatasetSettings
from cortex_pipelines.ingestion.licences.expressions import permitted
from cortex_pipelines.privacy.detect.findings import SECRET
from cortex_pipelines.privacy.detect.scanning import scan_text
from cortex_pipelines.privacy.settings import PrivacySettings
from cortex_pipelines.prompts.examples import DATASETS

_HELD_OUT = ("validation", "test")
_TEXT_COLUMNS = ("prompt", "completion")
_MAX_LISTED = 3
_FEWEST_COMPARED = 60
"""Rows of a split below which its shares are mostly chance."""


class TrainingRefusedError(ValueError):
    """The data fail a check and must not be trained on."""


def check_training(
    datasets: Mapping[str, Path],
    settings: AdapterSettings,
    comparison: DatasetSettings,
    privacy: PrivacySettings,
    licences: Collection[str],
) -> None:
    """Check size, balance, leakage, licences and secrets; a single ``TrainingRefusedError`` names every failed one."""
    trained_datasets = {name: folder for name, folder in datasets.items() if DATASETS[name] in settings.task_shares}
    frames = {
        (task, split): pl.read_parquet(folder / f"{split}.parquet")
        for task, folder in trained_datasets.items()
        for split in ("train", *_HELD_OUT)
    }
    train = {task: frame for (task, split), frame in frames.items() if split == "train"}
    problems = [
        *_size(train, settings.checks),
        *_balance(train, settings.checks),
        *_distances(frames, settings.checks),
        *_leaks(frames, settings.checks, comparison),
        *_licences(trained_datasets, licences),
        *_secrets(frames, settings.checks, privacy),
    ]
    if problems:
        raise TrainingRefusedError("training refused: " + "; ".join(problems))


def _size(train: Mapping[str, pl.DataFrame], limits: TrainingChecks) -> Iterator[str]:
    count = sum(frame.height for frame in train.values())
    if count < limits.min_examples:
        names = ", ".join(f"{task}_dataset" for task in train)
        yield (
            f"{count} examples to train on ({names}), adapters.checks.min_examples is {limits.min_examples}: "
            "add sources to the project, or raise datasets.max_train"
        )


def _balance(train: Mapping[str, pl.DataFrame], limits: TrainingChecks) -> Iterator[str]:
    if limits.max_file_share is not None:
        rows = [frame.select("path") for frame in train.values()]
        largest = _largest(pl.concat(rows), "path") if rows else None
        if largest and largest[1] > limits.max_file_share:
            yield (
                f"{largest[0]} gives {largest[1]:.0%} of the examples, adapters.checks.max_file_share is "
                f"{limits.max_file_share:.0%}: add sources to the project, or raise the limit"
            )
    for task, frame in train.items():
        largest = _largest(frame, "kind")
        if limits.max_kind_share is not None and largest and largest[1] > limits.max_kind_share:
            yield (
                f"{largest[1]:.0%} of {task}_dataset is of the kind {largest[0]}, adapters.checks.max_kind_share is "
                f"{limits.max_kind_share:.0%}: bound it under datasets.max_by_kind, or raise the limit"
            )


def _largest(frame: pl.DataFrame, column: str) -> tuple[str, float] | None:
    if frame.is_empty():
        return None
    counts = frame.group_by(column).len().sort("len", column, descending=[True, False])
    return str(counts[column][0]), counts["len"][0] / frame.height


def _distances(frames: Mapping[tuple[str, str], pl.DataFrame], limits: TrainingChecks) -> Iterator[str]:
    for (task, split), frame in frames.items():
        train = frames[task, "train"]
        if limits.max_distance is None or min(frame.height, train.height) < _FEWEST_COMPARED:
            continue
        bits = distance(frame, train)
        if bits > limits.max_distance:
            yield (
                f"{split} of {task}_dataset is {bits:.2f} bits from train in languages and test code, "
                f"adapters.checks.max_distance is {limits.max_distance}: it would judge something else than is "
                "learnt; choose another datasets.split_by, or raise the limit"
            )


def _leaks(
    frames: Mapping[tuple[str, str], pl.DataFrame], limits: TrainingChecks, comparison: DatasetSettings
) -> Iterator[str]:
    if limits.max_leaks is None:
        return
    for task in sorted({task for task, _ in frames}):
        leaked: set[str] = set()
        for columns in COMPARED.get(f"{task}_dataset", (_TEXT_COLUMNS,)):
            train_texts = texts_to_compare(frames[task, "train"], columns)
            held_out_texts = pl.concat([texts_to_compare(frames[task, split], columns) for split in _HELD_OUT])
            leaked |= set(near_duplicate_pairs(train_texts, held_out_texts, "compared", comparison)["example_id"])
        if len(leaked) > limits.max_leaks:
            yield (
                f"{len(leaked)} examples of {task}_dataset have a near-duplicate in validation or test "
                f"({', '.join(sorted(leaked)[:_MAX_LISTED])}), adapters.checks.max_leaks is {limits.max_leaks}: build "
                f"the data set again (`cortex run {task}_dataset`); otherwise held-out examples are trained on"
            )


def _licences(trained_datasets: Mapping[str, Path], allowed: Collection[str]) -> Iterator[str]:
    for task, folder in trained_datasets.items():
        manifest = folder / "manifest.parquet"
        if not manifest.exists():
            yield f"{task}_dataset has no manifest with licences: build it again (`cortex run {task}_dataset`)"
            continue
        rows = pl.read_parquet(manifest, columns=["split", "left_out", "licence", "path"])
        used = rows.filter((pl.col("split") == "train") & pl.col("left_out").is_null())
        declared = used["licence"].drop_nulls().unique().sort().to_list()
        refused = [licence for licence in declared if not permitted(licence, allowed)]
        if refused:
            paths = used.filter(pl.col("licence").is_in(refused))["path"].drop_nulls().unique()
            yield (
                f"{task}_dataset holds files under {', '.join(refused)} "
                f"({', '.join(paths.sort().to_list()[:_MAX_LISTED])}), which ingestion.trainable_licences does not "
                "name: add the licence there if your use of it is allowed, or build the data sets again"
            )


def _secrets(
    frames: Mapping[tuple[str, str], pl.DataFrame], limits: TrainingChecks, privacy: PrivacySettings
) -> Iterator[str]:
    if limits.max_secrets is None:
        return
    locations = [
        f"{row['example_id']} of {task}_dataset ({row['path']})"
        for (task, _), frame in frames.items()
        for row in frame.select("example_id", "path", "language", *_TEXT_COLUMNS).iter_rows(named=True)
        for text in _TEXT_COLUMNS
        for finding in scan_text(row[text], row["path"], privacy, row["language"])
        if finding.category == SECRET
    ]
    if len(locations) > limits.max_secrets:
        yield (
            f"{len(locations)} secrets in prompts and completions, such as in {', '.join(locations[:_MAX_LISTED])}; "
            f"adapters.checks.max_secrets is {limits.max_secrets}: build repository_files and its dependents again, or "
            "list harmless values under privacy.allowed"
        )
