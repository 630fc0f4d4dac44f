"""Build the files of an adapter from data sets and a pinned base model."""

import json
import logging
import resource
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cortex_pipelines.adapters.data.canaries import listed
from cortex_pipelines.adapters.data.corpus import Corpus, read_corpus, seen
from cortex_pipelines.adapters.model.base_model import BaseModel, load_tokenizer, resolve_base
from cortex_pipelines.adapters.model.lora import (
    SEEN,
    TRAINING,
    ParentError,
    adapter_for,
    write_json,
)
from cortex_pipelines.adapters.settings import AdapterSettings, Task
from cortex_pipelines.adapters.training.checkpoint import Checkpoints, training_key
from cortex_pipelines.adapters.training.history import Report, TrainingResult, run_metrics
from cortex_pipelines.adapters.training.launch import (
    TrainingJob,
    decided,
    require_packages,
    run_training,
)
from cortex_pipelines.adapters.training.search import search
from cortex_pipelines.ingestion.cache import CACHE
from cortex_pipelines.ingestion.pretrained_models import PinnedModel
from cortex_pipelines.prompts.examples import read_examples

_LOG = logging.getLogger("cortex_pipelines")


@dataclass(frozen=True)
class Parent:
    """An earlier adapter that training starts from, with its pinned version."""

    version: str
    folder: Path


@dataclass(frozen=True)
class TrainingInputs:
    """Inputs of one adapter training.

    Args:
        name: Name of the project.
        datasets: Each of ``examples.DATASETS`` with its folder.
        general: Folder with general code; None for none.
        base: Model to train on.
        parent: Adapter to start from; None for a fresh one.
    """

    name: str
    datasets: Mapping[str, Path]
    general: Path | None
    base: PinnedModel
    parent: Parent | None


def build_adapter(
    inputs: TrainingInputs,
    settings: AdapterSettings,
    out: Path,
    root: Path,
    observe: Callable[[str, float], None],
) -> None:
    """Train one adapter, or one per task, and write weights, loss curve and metrics.

    Args:
        inputs: What to train on.
        settings: How to train.
        out: Empty folder to write to.
        root: Project root.
        observe: Called with time, speed and memory, which are not part of the result.

    Raises:
        NoExamplesError: there is nothing to train on.
        BaseModelError: the base is not there.
        MissingPackageError: a package that the settings need is not installed.
        ParentError: the parent does not fit.
        TrainingDivergedError: the loss is not finite, or diverges.
    """
    require_packages(settings)
    # decided once, so that what ran is what is recorded
    settings = settings.model_copy(update={"precision": decided(settings)})
    base = resolve_base(inputs.base, root)
    if not settings.per_task:
        _build(inputs, base, settings, out, root, observe, "")
        return
    metrics: dict[str, Any] = {}
    shares = _filled(inputs, settings)
    whole = sum(shares.values())
    for task, share in shares.items():
        tokens = int(settings.max_tokens * share / whole)
        alone = settings.model_copy(update={"task_shares": {task: 1.0}, "max_tokens": tokens})
        (out / task).mkdir()
        _build(inputs, base, alone, out / task, root, observe, task)
        task_metrics = json.loads((out / task / "metrics.json").read_text())
        metrics |= {f"{task}/{name}": value for name, value in task_metrics.items()}
        metrics["partial"] = max(metrics.get("partial", 0.0), task_metrics["partial"])
    tasks = {"tasks": sorted(shares)}
    write_json(out / TRAINING, _asked(inputs, base, settings) | tasks)
    write_json(out / "metrics.json", metrics)


def _filled(inputs: TrainingInputs, settings: AdapterSettings) -> dict[Task, float]:
    """Shares of the tasks that the project has examples of; all of them if it has none at all."""
    filled = {
        task: share
        for task, share in settings.task_shares.items()
        if read_examples(inputs.datasets[task], task, "train")
    }
    for task in settings.task_shares.keys() - filled.keys() if filled else ():
        _LOG.warning("no adapter for %s: %s_dataset has no training example", task, task)
    return filled or settings.task_shares


def _build(
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

    def corpus_for(chosen: AdapterSettings) -> Corpus:
        return read_corpus(inputs.datasets, tokenizer, chosen, inputs.general)

    corpus = corpus_for(settings)

    def attempt(chosen: AdapterSettings, report: Report) -> TrainingResult:
        # measured on the section's own rows, so that the lengths can be compared
        tried = Corpus(corpus_for(chosen).train, corpus.validation)
        return run_training(TrainingJob(base, parent, tried, chosen), report)

    chosen, taught = settings, corpus
    if settings.search.trials:
        memory = f"{training_key(base.digest, corpus, settings)}.jsonl"
        chosen = search(settings, attempt, root / CACHE / "studies" / memory, out)
        taught = corpus_for(chosen)
    kept = Checkpoints(root / CACHE / "checkpoints", training_key(base.digest, taught, chosen))
    events = root / ".cortex" / "tensorboard" / _label(inputs, task)
    run = run_training(TrainingJob(base, parent, taught, chosen, out, kept, events))
    write_json(out / TRAINING, _asked(inputs, base, chosen) | _record(run, chosen))
    write_json(out / SEEN, seen(taught))
    write_json(out / "metrics.json", run_metrics(run, taught))
    kept.clear()
    _observe(run, observe, f"{task}/" if task else "", chosen.processes)


def _label(inputs: TrainingInputs, task: str) -> str:
    return "-".join(part for part in ("code_adapter", inputs.name, task) if part)


def _parent_folder(inputs: TrainingInputs, task: str) -> Path | None:
    if inputs.parent is None:
        return None
    parent_adapter = adapter_for(inputs.parent.folder, task)
    if parent_adapter is None:
        raise ParentError(
            f"the parent adapter {inputs.parent.version} holds one adapter a task"
            + (f", none for {task}" if task else "; set adapters.per_task: true")
            + "; or take its version out of adapters.parents in params.yaml"
        )
    return parent_adapter


def _asked(inputs: TrainingInputs, base: BaseModel, settings: AdapterSettings) -> dict[str, object]:
    """Inputs and settings of an adapter, independent of the outcome."""
    return {
        "base": {"name": base.name, "digest": base.digest},
        "parent": inputs.parent.version if inputs.parent else None,
        "settings": settings.model_dump(mode="json"),
    }


def _record(run: TrainingResult, settings: AdapterSettings) -> dict[str, object]:
    return {
        "packed": run.packed,
        "best_step": run.best_step,
        "partial": run.partial,
        "stopped_early": run.stopped_early,
        "canaries": listed(settings.canaries, settings.seed),
        **run.curve(),
    }


def _observe(
    run: TrainingResult, observe: Callable[[str, float], None], prefix: str, processes: int
) -> None:
    tokens = sum(step.tokens for step in run.steps)
    observe(f"{prefix}training_seconds", run.seconds)
    observe(f"{prefix}training_tokens_per_second", tokens / run.seconds)
    # Linux counts in KiB; the peak is the process's, so other work in it shows as well
    whose = resource.RUSAGE_SELF if processes == 1 else resource.RUSAGE_CHILDREN
    peak = resource.getrusage(whose).ru_maxrss / 1024
    observe(f"{prefix}peak_memory_mib", peak)
