"""Plans of runs: stages, their durations, data excluded by limits, and whether a model is retrained."""

import os
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache, partial
from math import ceil
from typing import Any

import polars as pl

from cortex_pipelines.config import load_parameters
from cortex_pipelines.ingestion.entries import SourceError
from cortex_pipelines.ingestion.licences.expressions import NOT_UNDERSTOOD
from cortex_pipelines.ingestion.pretrained_models import PinnedModel, WeightsError
from cortex_pipelines.models import memory
from cortex_pipelines.models.base_check import BaseError, BaseFiles, refusals, training_memory
from cortex_pipelines.models.known import minutes
from cortex_pipelines.models.machine import this_machine
from cortex_pipelines.models.memory import Width
from cortex_pipelines.monitoring.policy import Occasion, RetrainingDecision, RetrainingInputs, should_retrain
from cortex_pipelines.orchestration.stage_costs import Cost, Past, ProjectSize, estimate, total
from cortex_pipelines.parallel.ordered import overridden
from cortex_pipelines.parallel.settings import ExecutionSettings
from cortex_pipelines.projects.added import project_size
from cortex_pipelines.projects.base_model import read_pinned
from cortex_pipelines.projects.certificate import deletion_requested_since
from cortex_pipelines.projects.status import count_rows, table_rows
from cortex_pipelines.prompts.examples import DATASETS
from cortex_pipelines.release.ledger import ReleasedModel, champion
from cortex_pipelines.schemas.vocabulary import LANGUAGES
from cortex_pipelines.tracking.recorded_versions import last_ends, last_runs
from cortex_pipelines.versioning import snapshot
from cortex_pipelines.versioning.dvc.reconcile import dvc_views
from cortex_pipelines.versioning.dvc.yaml_files import read_json
from cortex_pipelines.versioning.lock_file import locked_stages, split_address
from cortex_pipelines.versioning.parameters import CODE, PACKAGES
from cortex_pipelines.versioning.project import Project, Stage, look_up, read_yaml
from cortex_pipelines.versioning.snapshot import Snapshot

TRAINING_TOKENS_PER_SECOND = 230  # default base in fp32 on two cores; bf16 instructions more than double it
TEXTS_PER_SECOND = 3.4  # texts of an evaluation that the default base scores on two cores, half of them with an adapter
_TEXTS_PER_CHOICE, _TEXTS_PER_ITEM = 15, 5.3
"""Three kinds of questions with their answers, and held-out items with and without other code in the prompt, under base
and adapter: 1,048 texts in the demo (`evaluation.choices` 20, `items` 24 of six tasks), 7,000 with 266 and 100."""
_MODEL_RANGE = (0.4, 1.3)  # of these rates; the limits they are multiplied with are often not reached
_LIKE = 1.5  # a last run of more or fewer tokens, as a factor, says little: it took its time for other things, too
_MEMORY_RANGE = (0.85, 1.15)  # of models.memory
_CONTROL = "general_code"
_CHARACTERS_PER_TOKEN = 3.4  # of prompts and completions under the default base's tokenizer


@dataclass(frozen=True)
class PlannedStage:
    """A stage that will run; ``rows``: of its inputs, None before they are made."""

    address: str
    rows: int | None
    cost: Cost

    @property
    def seconds(self) -> float | None:
        return self.cost.seconds.expected if self.cost.seconds else None


def stages_of(project: Project, only: str | None, among: Collection[str] | None = None) -> set[tuple[str, str | None]]:
    """Stages of a run for one project: its own, those of all projects, and, if the control is ``among`` the assets to
    make, those that it needs of another project.
    """
    partitions = {None, only}
    stages = {
        (asset.name, partition)
        for asset in project.graph.order
        for partition in project.partitions_of(asset)
        if only is None or partition in partitions
    }
    if only is None or _CONTROL not in (project.graph.assets if among is None else among):
        return stages
    general: Any = project.effective.section("general", only)
    return stages | {
        (asset.name, general.project)
        for asset in map(project.graph.assets.__getitem__, project.graph.upstream([_CONTROL]))
        if general.project in project.partitions_of(asset)
    }


def plan_stages(
    project: Project, only: str | None = None, jobs: int = 1, among: Collection[str] | None = None
) -> list[PlannedStage]:
    """The stages that `cortex run` would run, in order, with all dependents of stale ones; ``jobs`` at once."""
    stale = {(view.asset.name, view.partition) for view in dvc_views(project) if view.changed}
    past, steps, rows_of = past_of(project, jobs), [], cache(partial(count_rows, project))
    selected = stages_of(project, only, among)
    to_make: set[tuple[str, str | None]] = set()
    for asset in project.graph.order:
        for partition in project.partitions_of(asset):
            if (asset.name, partition) not in selected:
                continue
            inputs = project.inputs_of(asset.name, partition)
            if (asset.name, partition) in stale or not to_make.isdisjoint(inputs):
                to_make.add((asset.name, partition))
                cost = stage_cost(project, past, asset.name, partition)
                counts = [rows_of(*key) or 0 for key in inputs if project.output(*key).is_dir()]
                rows = sum(counts) if counts else None
                steps.append(PlannedStage(project.address(asset, partition), rows, cost))
    return steps


def past_of(project: Project, jobs: int = 1) -> Past:
    """Past runs of the workspace, for stages of which ``jobs`` share the cores.

    Sizes of projects are listed when they are asked for.
    """

    @cache
    def size_of(partition: str | None) -> ProjectSize | None:
        if partition is None:
            return ProjectSize(0, 0, 0)  # what all projects share does not depend on the size of one
        if partition not in project.partitions:
            return None  # it ran here and was removed
        pairs: Any = project.effective.section("pairs", partition)
        try:
            size, commits = project_size(project.root, partition)
        except SourceError:
            return None
        return ProjectSize(size, commits, commits if pairs.max_commits is None else min(commits, pairs.max_commits))

    @cache
    def base() -> BaseFiles | None:
        try:
            return _base(project)
        except (BaseError, WeightsError):  # base_refusals says so
            return None

    return Past(last_runs(project.root), size_of, max(1, cores_of(project) // jobs), base)


def _base(project: Project) -> BaseFiles | None:
    pin = look_up(read_yaml(project.root / "sources.lock"), "models.base") or {}
    return read_pinned(PinnedModel(load_parameters(project.root).models.base, pin), project.root)


def execution_of(project: Project) -> ExecutionSettings | None:
    """Section ``execution`` under the environment; None in a workspace without it."""
    execution: Any = getattr(project.effective.parameters, "execution", None)
    return execution and overridden(execution)


def cores_of(project: Project) -> int:
    """Cores that a run uses on this machine or, if known, on a cluster."""
    settings = execution_of(project)
    if settings is None or settings.backend == "serial":
        return 1
    return settings.workers or len(os.sched_getaffinity(0))


def stage_cost(project: Project, past: Past, name: str, partition: str | None) -> Cost:
    """What a stage is estimated to take; of a training and its evaluation by their limits."""
    cost = past.cost(name, partition)
    if name not in ("code_adapter", "code_adapter_evaluation"):
        return cost
    has_run = (name, partition or "") in past.runs
    base, machine = past.base(), this_machine()
    rate = float(TRAINING_TOKENS_PER_SECOND)
    if base:
        rate = 1e5 / 60 / minutes(base.shape, machine)
        rate = rate if machine.gpu_memory else min(rate, TRAINING_TOKENS_PER_SECOND)
    if name == "code_adapter":
        settings: Any = project.effective.section("adapters", partition)
        size = past.size_of(partition)
        tokens, basis = _training_tokens(project, partition, settings, size.code if size else None)
        if tokens is None:
            return replace(cost, seconds=None, basis=basis)
        trained = read_json(project.output(name, partition) / "metrics.json").get("train_tokens") or 0
        if has_run and tokens / _LIKE <= trained <= tokens * _LIKE:
            return cost
        if settings.search.trials:  # two more trainings compare the best trial with the section's own values
            searched = (settings.search.trials + 2) * min(tokens, settings.search.max_tokens)
            tokens, basis = tokens + searched, f"{basis} and {searched:,} in the search for settings"
        seconds, basis = tokens / rate, f"{basis} at {rate:.0f}/s"
        needed = base and training_memory(base, settings, machine)
    elif has_run:
        return cost
    else:
        evaluation: Any = project.effective.section("evaluation", partition)
        size = past.size_of(partition)
        units = ceil(size.code / 1e6 * _UNITS * _MOST_HELD_OUT) if size else evaluation.items + evaluation.choices
        items = _held_out(project, partition, evaluation.items, units)
        texts = round(min(evaluation.choices, units) * _TEXTS_PER_CHOICE + items * _TEXTS_PER_ITEM)
        texts_rate = TEXTS_PER_SECOND * rate / TRAINING_TOKENS_PER_SECOND
        seconds, basis = texts / texts_rate, f"at most {texts:,} texts at {texts_rate:.2g}/s"
        width: Width = "fp32" if evaluation.precision == "fp32" or not machine.bf16 else "bf16"
        usual = cost.memory.expected * 1e6 if cost.memory else 0.0
        needed = base and usual + memory.weights(base.shape, width)
    peak = estimate(needed / 1e6, _MEMORY_RANGE) if needed else cost.memory
    return replace(cost, seconds=estimate(seconds, _MODEL_RANGE), memory=peak, basis=basis)


_UNITS = 2_000  # of a megabyte of source: 1,600 to 3,500 in the three projects of this repository
_MOST_HELD_OUT = 0.25  # of the units are in test, as datasets.splitting.assign has it for few


def _held_out(project: Project, partition: str | None, most: int, units: int) -> int:
    """Items of an evaluation, at most so many of a task; of each whose data set is not there yet, one a unit."""
    files = [project.output(f"{task}_dataset", partition) / "test.parquet" for task in {*DATASETS.values()}]
    return sum(min(most, table_rows(path) if path.is_file() else units) for path in files)


def _training_tokens(
    project: Project, partition: str | None, settings: Any, size: float | None
) -> tuple[int | None, str]:
    """Tokens of a training by its data sets, or else by the bytes of code, and words for them."""
    texts = [
        pl.scan_parquet(path).select((pl.col("prompt").str.len_chars() + pl.col("completion").str.len_chars()).sum())
        for kind, task in DATASETS.items()
        if task in settings.task_shares
        and (path := project.output(f"{kind}_dataset", partition) / "train.parquet").is_file()
    ]
    if not texts and size is None:
        return None, "a million tokens take some 75 min; the data sets are not there yet"
    characters = sum(int(text.collect().item()) for text in texts) or size or 0
    available = settings.epochs * round(characters / _CHARACTERS_PER_TOKEN)
    if available < settings.max_tokens:
        return available, f"some {available:,} tokens"
    return settings.max_tokens, f"at most {settings.max_tokens:,} tokens"


def data_left_out(project: Project, only: str | None = None) -> Iterator[str]:
    for name in project.partitions if only is None else (only,):
        yield from missing_control(project, name)
        pairs: Any = project.effective.section("pairs", name)
        history = project.output("repository_commits", name) / "commits.parquet"
        if pairs.max_commits is not None and history.exists():
            commits = table_rows(history)
            if commits > pairs.max_commits:
                yield (
                    f"{name}: refactorings are mined from the newest {pairs.max_commits:,} of "
                    f"{commits:,} commits; projects.{name}.pairs.max_commits: null takes all"
                )
        for kind in DATASETS:
            limits: Any = project.effective.section("datasets", name)
            metrics = read_json(project.output(f"{kind}_dataset", name) / "metrics.json")
            count = int(metrics.get("left_out_sample") or 0)
            by_kind = limits.max_by_kind.get(f"{kind}_dataset")
            if count and (by_kind or {limits.max_train, limits.max_validation, limits.max_test} != {None}):
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


def base_refusals(project: Project, planned: Iterable[str], *, missing: bool) -> Iterator[str]:
    """Why planned adapters (by addresses) cannot be trained on the base, or not served; ``missing``: also its weights.

    Where a plan has no adapter, nothing is read.
    """
    parts = {part for name, part in map(split_address, planned) if name == "code_adapter"}
    if not parts:
        return
    params, machine = load_parameters(project.root), this_machine()
    try:
        base = _base(project)
    except WeightsError as error:
        yield from (str(error),) if missing else ()
        return
    except BaseError as error:
        yield str(error)
        return
    if base is not None:
        sections: list[Any] = [project.effective.section("adapters", part) for part in sorted(parts, key=str)]
        refusal_lists = (refusals(base, settings, params.serving.engine, machine) for settings in sections)
        yield from dict.fromkeys(sentence for sentences in refusal_lists for sentence in sentences)


def unused_code(project: Project, failed: Iterable[str]) -> Iterator[str]:
    for address in failed:
        asset, name = split_address(address)
        folder = project.output("repository_files", name)
        if name and asset == "unit_splits" and (folder / "files.parquet").exists():
            files = pl.read_parquet(
                folder / "files.parquet", columns=["language", "generated", "licence", "trainable"]
            ).filter(pl.col("language").is_in(LANGUAGES))
            reasons = []
            if generated := int(files["generated"].sum()):
                words = "generated, compiled, vendored or minified; add the source of what they are made from"
                reasons.append(f"{generated:,} {words}")
            unlicensed = files.filter(~pl.col("generated") & ~pl.col("trainable"))
            licences = unlicensed["licence"].fill_null("none stated").value_counts(sort=True)
            if licences.height:
                licence_counts = ", ".join(f"{licence}: {count:,}" for licence, count in licences.iter_rows())
                reasons.append(
                    f"{unlicensed.height:,} whose licence is not in ingestion.trainable_licences ({licence_counts}); "
                    f"if you may train on them, write it to projects.{name}.ingestion.trainable_licences, or for "
                    f"{NOT_UNDERSTOOD}, which is not understood, set projects.{name}.licence"
                )
            skipped = pl.read_parquet(folder / "skipped_files.parquet").sort("reason", "path")
            for (reason,), rows in skipped.group_by("reason", maintain_order=True):
                first = rows.row(0, named=True)
                reasons.append(f"{rows.height:,} {reason} (such as {first['path']}: {first['detail']})")
            explanation = f"; left out: {'; '.join(reasons)}" if reasons else ""
            yield (
                f"{name}: {int(files['trainable'].sum()):,} of its files are code to train on "
                f"({', '.join(LANGUAGES)}){explanation}"
            )


_WEIGHTS = 0.6e9  # bytes of the default base, unpacked once


def estimate_new(project: Project, name: str, size: int) -> dict[str, str]:
    """What a new project with ``size`` bytes of code will hold and take, in words by label."""
    past, evaluation = past_of(project), "code_adapter_evaluation"
    costs = {
        asset.name: stage_cost(project, past, asset.name, name) for asset in project.graph.order if asset.partitioned
    }
    data = [cost for asset, cost in costs.items() if asset not in project.graph.downstream(["code_adapter"])]
    seconds = total(cost.seconds for cost in data if cost.seconds)
    disk = sum(cost.disk.expected for cost in data if cost.disk)
    training, judging = costs["code_adapter"], costs[evaluation]
    return {
        "units": f"some {float(f'{ceil(size / 1e6 * _UNITS):.2g}'):,.0f} functions, classes and methods",
        "takes": f"some {duration(max(10, seconds.expected))} for the data sets, "
        + " and ".join(
            f"{duration(cost.seconds.expected)} to {verb} ({cost.basis})"
            for verb, cost in (("train", training), ("evaluate", judging))
            if cost.seconds
        ),
        "disk": f"some {disk / 1e3 + _WEIGHTS / 1e9:.1f} GB with the base model",
    }


def missing_control(project: Project, name: str) -> Iterator[str]:
    general: Any = project.effective.section("general", name)
    if general.project is None:
        yield (
            f"{name}: no project is the control for other code, so the gate will keep the adapter back "
            "and forgetting is not measured; add one of the same language before you train, such "
            "as `cortex add --control other pypi:flask==3.1.3`"
        )


def duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


FRESH = RetrainingDecision(False, ("nothing that it is made from has changed",))
ANYWAY = RetrainingDecision(True, ("a person overruled the policy",))


def decide(project: Project, model: ReleasedModel, occasion: Occasion) -> RetrainingDecision:
    settings = load_parameters(project.root).retraining
    minutes_limit = {"nightly": settings.nightly_minutes, "weekly": settings.weekly_minutes, "person": None}
    rule = getattr(settings, model.asset)
    return should_retrain(collect_inputs(project, model), rule, minutes_limit[occasion])


def collect_inputs(project: Project, model: ReleasedModel) -> RetrainingInputs:
    monitor = next(asset for asset in project.graph.order if asset.watches == model.asset)
    part = model.partition if monitor.partitioned else None
    metrics: dict[str, Any] = read_json(project.output(monitor.name, part) / "metrics.json")
    training_end = last_ends(project.root).get((model.asset, model.partition or ""))
    past = past_of(project)
    dependents = sorted(project.graph.downstream([model.asset]))
    durations = [
        cost.seconds for name in dependents if (cost := stage_cost(project, past, name, model.partition)).seconds
    ]
    seconds = total(filter(None, durations)).expected if any(durations) else None
    errors, at_least = metrics.get("errors_since"), metrics.get("errors_since_low")
    stage = locked_stages(project.root).get(model.address, {})
    current = snapshot.take(Stage(project, project.graph.assets[model.asset], model.partition))
    locked = Snapshot({}, stage.get("params") or {})
    changed = locked.differences(Snapshot({}, current.params)) if stage else []
    settings = tuple(name.split(":")[-1] for name in changed if name.split(":")[0] not in (CODE, PACKAGES))
    return RetrainingInputs(
        trained=project.output(model.asset, model.partition).is_dir(),
        champion=champion(project.root, model).champion is not None,
        settings=settings,
        days=None if training_end is None else (datetime.now(UTC) - training_end).total_seconds() / 86400,
        new=None if "new" not in metrics else round(metrics["new"]),
        new_share=metrics.get("new_share"),
        drifting=round(metrics.get("drifting", 0)),
        worse=bool(metrics.get("worse")),
        errors=None if errors is None or at_least is None else (errors, at_least),
        corrections=None if "corrections" not in metrics else round(metrics["corrections"]),
        forgotten=deletion_requested_since(project, model, training_end),
        minutes=None if seconds is None else seconds / 60,
    )
