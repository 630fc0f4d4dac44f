"""Build the files of an adapter from data sets and a pinned base model, after a search for settings."""

import json
import logging
import resource
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from math import fsum
from pathlib import Path
from typing import Any

import polars as pl

from cortex_pipelines.adapters.data.corpus import Corpus, example_ids_by_task, make_canaries, read_corpus, read_test
from cortex_pipelines.adapters.model.base_model import BaseModel, load_tokenizer, resolve_base, resolve_precision
from cortex_pipelines.adapters.model.lora import SEEN, TRAINING, WEIGHTS, AdapterVersion, ParentError, adapter_for
from cortex_pipelines.adapters.search import search_settings, shortened
from cortex_pipelines.adapters.settings import AdapterSettings
from cortex_pipelines.adapters.training.checkpoint import Checkpoints, training_key
from cortex_pipelines.adapters.training.history import TrainingResult, ValidationCallback, run_metrics
from cortex_pipelines.adapters.training.launch import TrainingJob, require_packages, run_training
from cortex_pipelines.ingestion.cache import CACHE
from cortex_pipelines.ingestion.pretrained_models import PinnedModel
from cortex_pipelines.jsonl import write_json
from cortex_pipelines.prompts.examples import DATASETS, read_examples
from cortex_pipelines.schemas.vocabulary import SPLITS

_LOG = logging.getLogger("cortex_pipelines")


def parent_adapter(
    settings: AdapterSettings, project: str, load_version: Callable[[str, str, str], Path]
) -> AdapterVersion | None:
    version = settings.parents.get(project)
    return AdapterVersion(version, load_version("code_adapter", project, version)) if version else None


@dataclass(frozen=True)
class TrainingInputs:
    name: str
    datasets: Mapping[str, Path]
    general: Path | None
    base: PinnedModel
    parent: AdapterVersion | None
    splits: tuple[str, ...] = ("train",)
    until: float = 1.0
    """Share of the planned steps after which the training ends."""


def build_adapter(
    inputs: TrainingInputs, settings: AdapterSettings, out: Path, root: Path, observe: Callable[[str, float], None]
) -> None:
    """Train one adapter, or one per task, and write weights, loss curve and metrics.

    ``observe`` receives time, throughput and memory, which are not part of the result. Raises ``NoExamplesError``,
    ``BaseModelError``, ``MissingPackageError``, ``ParentError`` or ``TrainingDivergedError``.
    """
    require_packages(settings)
    # resolved once, so that the recorded precision is the one that ran
    settings = settings.model_copy(update={"precision": resolve_precision(settings.precision)})
    base = resolve_base(inputs.base, root)
    if not settings.per_task:
        train_adapter(inputs, base, settings, out, root, observe, "")
        return
    metrics: dict[str, Any] = {}
    shares = {
        task: share
        for task, share in settings.task_shares.items()
        if read_examples(inputs.datasets[task], task, "train")
    }
    for task in settings.task_shares.keys() - shares.keys() if shares else ():
        _LOG.warning("no adapter for %s: %s_dataset has no training example", task, task)
    shares = shares or settings.task_shares
    total_share = fsum(shares.values())
    for task, share in shares.items():
        tokens = int(settings.max_tokens * share / total_share)
        task_settings = settings.model_copy(update={"task_shares": {task: 1.0}, "max_tokens": tokens})
        (out / task).mkdir()
        train_adapter(inputs, base, task_settings, out / task, root, observe, task)
        task_metrics = json.loads((out / task / "metrics.json").read_text())
        metrics |= {f"{task}/{name}": value for name, value in task_metrics.items()}
        metrics["partial"] = max(metrics.get("partial", 0.0), task_metrics["partial"])
    tasks = {"tasks": sorted(shares)}
    write_json(out / TRAINING, _input_record(inputs, base, settings) | tasks)
    write_json(out / "metrics.json", metrics)


def train_adapter(
    inputs: TrainingInputs,
    base: BaseModel,
    settings: AdapterSettings,
    out: Path,
    root: Path,
    observe: Callable[[str, float], None],
    task: str,
) -> None:
    tokenizer = load_tokenizer(base)
    parent = _parent_folder(inputs, task)

    def read(variant: AdapterSettings) -> Corpus:
        return read_corpus(inputs.datasets, tokenizer, variant, inputs.general, inputs.splits)

    corpus = read(settings)

    def train_trial(
        trial_settings: AdapterSettings, trial_corpus: Corpus, report: ValidationCallback | None
    ) -> TrainingResult:
        return run_training(TrainingJob(base, parent, trial_corpus, trial_settings), report)

    final_settings, search_metrics = settings, dict[str, float]()
    if settings.search.trials and corpus.validation:
        test, groups = read_test(inputs.datasets, tokenizer, settings)
        trial_corpus = replace(read(shortened(settings)), test=test)
        trials_file = root / CACHE / "studies" / f"{training_key(base.digest, corpus, settings)}.jsonl"
        final_settings, search_metrics = search_settings(
            settings, corpus, trial_corpus, groups, train_trial, trials_file, out, warm_start=parent is not None
        )
    elif settings.search.trials:
        _LOG.warning("No search for settings: they need a validation example to be compared by")
    checkpoints = Checkpoints(root / CACHE / "checkpoints", training_key(base.digest, corpus, final_settings))
    events = root / ".cortex" / "tensorboard" / "-".join(filter(None, ("code_adapter", inputs.name, task)))
    result = run_training(TrainingJob(base, parent, corpus, final_settings, out, checkpoints, events, inputs.until))
    canaries = make_canaries(final_settings.canaries, final_settings.seed)
    result_record = {
        "packed": result.packed,
        "best_step": result.best_step,
        "planned_steps": result.planned,
        "partial": result.partial,
        "stopped_early": result.stopped_early,
        "canaries": [{"prefix": canary.prompt, "secret": canary.completion} for canary in canaries],
        "steps": [asdict(step) for step in result.steps],
        "validation": [asdict(validation) for validation in result.validations],
    }
    write_json(out / TRAINING, _input_record(inputs, base, final_settings) | result_record)
    write_json(out / SEEN, example_ids_by_task(corpus))
    write_json(out / "metrics.json", run_metrics(result, corpus) | search_metrics)
    checkpoints.clear()
    prefix = f"{task}/" if task else ""
    observe(f"{prefix}training_seconds", result.seconds)
    observe(f"{prefix}training_tokens_per_second", sum(step.tokens for step in result.steps) / result.seconds)
    # KiB on Linux; the peak is the whole process's, other work included
    usage_scope = resource.RUSAGE_SELF if final_settings.processes == 1 else resource.RUSAGE_CHILDREN
    observe(f"{prefix}peak_memory_mib", resource.getrusage(usage_scope).ru_maxrss / 1024)


def _parent_folder(inputs: TrainingInputs, task: str) -> Path | None:
    if inputs.parent is None:
        return None
    parent_adapter = adapter_for(inputs.parent.folder, task)
    if parent_adapter is None:
        remedy = f", none for {task}" if task else "; set adapters.per_task: true"
        problem = f"the parent adapter {inputs.parent.version} holds one adapter a task{remedy}"
        raise ParentError(f"{problem}; or take its version out of adapters.parents in params.yaml")
    return parent_adapter


def _input_record(inputs: TrainingInputs, base: BaseModel, settings: AdapterSettings) -> dict[str, object]:
    return {
        "base": {"name": base.name, "digest": base.digest},
        "parent": inputs.parent.version if inputs.parent else None,
        "settings": settings.model_dump(mode="json"),
    }


def refit_adapter(
    evaluated: Path, inputs: TrainingInputs, out: Path, root: Path, observe: Callable[[str, float], None]
) -> None:
    """Train an evaluated recipe once more on the rows of all splits, for the weights that are served.

    A verdict needs rows that the training did not see; once it is given, they are the newest code and worth learning.
    Nothing is chosen again: the steps grow with the rows, and end at the share of the schedule at which the evaluated
    weights were the best by validation. An adapter per task becomes one per task; ``inputs`` are the training's.
    """
    base = resolve_base(inputs.base, root)

    def observe_refit(name: str, value: float) -> None:
        observe(f"refit_{name}", value)

    for folder in sorted(path.parent for path in evaluated.glob(f"**/{WEIGHTS}")):
        task = "" if folder == evaluated else folder.name
        record = json.loads((folder / TRAINING).read_text())
        evaluated_settings = AdapterSettings.model_validate(record["settings"])
        # as many more tokens as there are rows more, and nothing left to choose
        names = [name for name in inputs.datasets if DATASETS[name] in evaluated_settings.task_shares]
        rows = {}
        for split in SPLITS:
            files = [inputs.datasets[name] / f"{split}.parquet" for name in names]
            rows[split] = sum(pl.scan_parquet(file).select(pl.len()).collect().item() for file in files)
        changes = {
            "max_tokens": evaluated_settings.max_tokens * sum(rows.values()) // max(1, rows["train"]),
            **{"validation_tokens": 0, "patience": None},
            "search": evaluated_settings.search.model_copy(update={"trials": 0}),
            # without validation the base's loss is missing, and a first step of easy rows would look like divergence
            "divergence_factor": None,
        }
        settings = evaluated_settings.model_copy(update=changes)
        until = record["best_step"] / record["planned_steps"]
        refit = replace(inputs, name=f"{inputs.name}-refit", splits=SPLITS, until=until)
        (out / task).mkdir(parents=True, exist_ok=True)
        train_adapter(refit, base, settings, out / task, root, observe_refit, task)
    if not (out / TRAINING).exists():
        shutil.copy(evaluated / TRAINING, out / TRAINING)
