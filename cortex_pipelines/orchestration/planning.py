"""Plan of `cortex run`: stages, their durations, and data excluded by limits."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from cortex_pipelines.projects.status import count_rows
from cortex_pipelines.prompts.examples import DATASETS
from cortex_pipelines.schemas.vocabulary import LANGUAGES
from cortex_pipelines.tracking.recorded_versions import last_seconds
from cortex_pipelines.versioning.dvc.reconcile import dvc_views
from cortex_pipelines.versioning.dvc.yaml_files import read_json
from cortex_pipelines.versioning.lock_file import split_address
from cortex_pipelines.versioning.project import Project

TRAINING_TOKENS_PER_SECOND = 230
"""Default base in fp32 on two cores; bf16 instructions more than double it."""

TEXTS_PER_SECOND = 4
"""Texts of an evaluation that the default base scores in fp32 on two cores."""

_TEXTS_PER_CHOICE = 26
"""Three kinds of questions with about three answers each, under base and adapter, some again with
similar code: 7,000 texts if `evaluation.choices` is 266."""

_CONTROL = "general_code"

_CHARACTERS_PER_TOKEN = 3.4
"""Of prompts and completions under the default base's tokenizer."""


@dataclass(frozen=True)
class PlannedStage:
    """A stage that will run."""

    address: str
    rows: int | None
    seconds: float | None
    basis: str


def stages_of(project: Project, only: str | None) -> set[tuple[str, str | None]]:
    """Names and partitions of the stages that a run for one project includes.

    These are its own stages, those of all projects, and those that the control (``general.project``) needs.
    """
    partitions = {None, only}
    stages = {
        (asset.name, partition)
        for asset in project.graph.order
        for partition in project.partitions_of(asset)
        if only is None or partition in partitions
    }
    if only is None or _CONTROL not in project.graph.assets:
        return stages
    general: Any = project.effective.section("general", only)
    return stages | {
        (asset.name, general.project)
        for asset in map(project.graph.assets.__getitem__, project.graph.upstream([_CONTROL]))
        if general.project in project.partitions_of(asset)
    }


def plan_stages(project: Project, only: str | None = None) -> list[PlannedStage]:
    """The stages that `cortex run` would run, in order.

    Dependents of a stale stage are included, though their inputs may turn out unchanged.
    """
    stale = {(view.asset.name, view.partition) for view in dvc_views(project) if view.changed}
    durations, steps = last_seconds(project.root), []
    selected = stages_of(project, only)
    to_make: set[tuple[str, str | None]] = set()
    for asset in project.graph.order:
        for partition in project.partitions_of(asset):
            if (asset.name, partition) not in selected:
                continue
            inputs = {
                (other.name, part)
                for other in project.graph.wiring(asset.name).assets
                for part in project.partitions_of(other)
                if partition is None or part in (None, partition)
            }
            if (asset.name, partition) in stale or inputs & to_make:
                to_make.add((asset.name, partition))
                seconds, basis = _estimate_seconds(project, asset.name, partition, durations)
                rows = _rows_read(project, asset.name, partition)
                steps.append(PlannedStage(project.address(asset, partition), rows, seconds, basis))
    return steps


def expected_seconds(project: Project, names: Iterable[str], partition: str | None) -> float | None:
    durations = last_seconds(project.root)
    durations_of_assets = [_estimate_seconds(project, name, partition, durations)[0] for name in sorted(names)]
    return sum(filter(None, durations_of_assets)) if any(durations_of_assets) else None


def _rows_read(project: Project, name: str, partition: str | None) -> int | None:
    counts = [
        count_rows(project, other.name, part)
        for other in project.graph.wiring(name).assets
        for part in project.partitions_of(other)
        if partition is None or part in (None, partition)
        if project.output(other.name, part).is_dir()
    ]
    return sum(counts) if counts else None


def _estimate_seconds(
    project: Project, name: str, partition: str | None, durations: Mapping[tuple[str, str], float]
) -> tuple[float | None, str]:
    if (name, partition or "") in durations:
        return durations[name, partition or ""], "its last run here"
    other_partitions = {part: seconds for (asset, part), seconds in durations.items() if asset == name}
    if other_partitions:
        slowest = max(other_partitions, key=lambda part: other_partitions[part])
        return other_partitions[slowest], f"the last run for {slowest}"
    if name == "code_adapter":
        evaluation_settings: Any = project.effective.section("adapters", partition)
        tokens, basis = _training_tokens(project, partition, evaluation_settings)
        if tokens is None:
            return None, basis
        return tokens / TRAINING_TOKENS_PER_SECOND, f"{basis} at {TRAINING_TOKENS_PER_SECOND}/s"
    if name == "code_adapter_evaluation":
        evaluation: Any = project.effective.section("evaluation", partition)
        texts = evaluation.choices * _TEXTS_PER_CHOICE
        return texts / TEXTS_PER_SECOND, f"at most {texts:,} texts at {TEXTS_PER_SECOND}/s"
    return None, "no run here yet"


def _training_tokens(project: Project, partition: str | None, settings: Any) -> tuple[int | None, str]:
    texts = [
        pl.scan_parquet(path).select((pl.col("prompt").str.len_chars() + pl.col("completion").str.len_chars()).sum())
        for kind, task in DATASETS.items()
        if task in settings.task_shares
        and (path := project.output(f"{kind}_dataset", partition) / "train.parquet").is_file()
    ]
    if not texts:
        return None, "a million tokens take some 75 min; the data sets are not there yet"
    characters = sum(int(text.collect().item()) for text in texts)
    available = settings.epochs * round(characters / _CHARACTERS_PER_TOKEN)
    if available < settings.max_tokens:
        return available, f"some {available:,} tokens"
    return settings.max_tokens, f"at most {settings.max_tokens:,} tokens"


def data_left_out(project: Project, only: str | None = None) -> Iterator[str]:
    for name in project.partitions if only is None else (only,):
        yield from missing_control(project, name)
        pairs: Any = project.effective.section("pairs", name)
        history = project.output("repository_commits", name) / "repository_commits.parquet"
        if pairs.max_commits is not None and history.exists():
            commits = int(pl.scan_parquet(history).select(pl.len()).collect().item())
            if commits > pairs.max_commits:
                yield (
                    f"{name}: refactorings are mined from the newest {pairs.max_commits:,} of "
                    f"{commits:,} commits; projects.{name}.pairs.max_commits: null takes all"
                )
        for kind in DATASETS:
            limits: Any = project.effective.section("datasets", name)
            metrics = read_json(project.output(f"{kind}_dataset", name) / "metrics.json")
            count = int(metrics.get("left_out_sample") or 0)
            if count and _limited(limits, f"{kind}_dataset"):
                yield (
                    f"{name}: {count:,} rows are left out of {kind}_dataset; under "
                    f"projects.{name}.datasets max_train, max_validation, max_test: null and "
                    "max_by_kind: {} take all"
                )
        adapters: Any = project.effective.section("adapters", name)
        training_metrics = read_json(project.output("code_adapter", name) / "metrics.json")
        budget = adapters.max_tokens // adapters.epochs
        if training_metrics.get("train_tokens", 0) > 0.95 * budget:
            yield (
                f"{name}: training stops at {adapters.max_tokens:,} tokens; "
                f"projects.{name}.adapters.max_tokens raises it"
            )


def unused_code(project: Project, failed: Iterable[str]) -> Iterator[str]:
    for address in failed:
        asset, name = split_address(address)
        folder = project.output("repository_files", name)
        if name and asset == "unit_splits" and (folder / "files.parquet").exists():
            files = pl.read_parquet(
                folder / "files.parquet", columns=["language", "generated", "licence", "trainable"]
            ).filter(pl.col("language").is_in(LANGUAGES))
            skipped = pl.read_parquet(folder / "skipped_files.parquet")
            reasons = [*_untrainable_files(files, name), *_skipped_files(skipped)]
            explanation = f"; left out: {'; '.join(reasons)}" if reasons else ""
            yield (
                f"{name}: {int(files['trainable'].sum()):,} of its files are code to train on "
                f"({', '.join(LANGUAGES)}){explanation}"
            )


def _untrainable_files(files: pl.DataFrame, name: str) -> Iterator[str]:
    if generated := int(files["generated"].sum()):
        yield (f"{generated:,} generated, compiled, vendored or minified; add the source of what they are made from")
    unlicensed = files.filter(~pl.col("generated") & ~pl.col("trainable"))
    licences = unlicensed["licence"].fill_null("none stated").value_counts(sort=True)
    if licences.height:
        licence_counts = ", ".join(f"{licence}: {count:,}" for licence, count in licences.iter_rows())
        yield (
            f"{unlicensed.height:,} whose licence is not in ingestion.trainable_licences "
            f"({licence_counts}); if you may train on them, write it to "
            f"projects.{name}.ingestion.trainable_licences"
        )


def _skipped_files(skipped: pl.DataFrame) -> Iterator[str]:
    for (reason,), rows in skipped.sort("reason", "path").group_by("reason", maintain_order=True):
        path, detail = rows.row(0, named=True)["path"], rows.row(0, named=True)["detail"]
        yield f"{rows.height:,} {reason} (such as {path}: {detail})"


def _limited(settings: Any, name: str) -> bool:
    limits = (settings.max_train, settings.max_validation, settings.max_test)
    return limits != (None, None, None) or bool(settings.max_by_kind.get(name))


def missing_control(project: Project, name: str) -> Iterator[str]:
    general: Any = project.effective.section("general", name)
    if general.project is None:
        yield (
            f"{name}: no project stands for all other code, so the gate will keep the adapter back "
            "and forgetting is not measured; add one of the same language before you train, such "
            "as `cortex add --control other pypi:flask==3.1.3`"
        )


def duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
