"""From data sets and a pinned base to the files of an adapter."""

import resource
from collections.abc import Callable, Mapping
from pathlib import Path

from cortex_pipelines.adapters.base_model import (
    BaseModel,
    load_causal_model,
    load_tokenizer,
    resolve_base,
)
from cortex_pipelines.adapters.checkpoint import Checkpoints, training_key
from cortex_pipelines.adapters.corpus import Corpus, read_corpus
from cortex_pipelines.adapters.determinism import pinned_torch
from cortex_pipelines.adapters.lora import TRAINING, save_adapter, with_new_adapter, write_json
from cortex_pipelines.adapters.settings import AdapterSettings
from cortex_pipelines.adapters.training import Run, run_metrics, train
from cortex_pipelines.ingestion.cache import CACHE
from cortex_pipelines.ingestion.weights import PinnedModel


def build_adapter(
    datasets: Mapping[str, Path],
    base_model: PinnedModel,
    settings: AdapterSettings,
    out: Path,
    root: Path,
    observe: Callable[[str, float], None],
) -> Run:
    """Train an adapter and write it with its loss curve and metrics.

    Args:
        datasets: Task to the folder of its data set.
        base_model: Model to train on.
        settings: How to train.
        out: Empty folder to write to.
        root: Project root.
        observe: Takes time, speed and memory, which are no part of the result.

    Raises:
        NoExamplesError: there is nothing to train on.
        BaseModelError: the base is not there.
        TrainingDivergedError: the loss is not finite.
    """
    base = resolve_base(base_model, root)
    corpus = read_corpus(datasets, load_tokenizer(base), settings)
    with pinned_torch(settings.threads, settings.seed):
        model = with_new_adapter(load_causal_model(base, settings.precision), settings)
        key = training_key(base.digest, corpus, settings)
        run = train(model, corpus, settings, Checkpoints(root / CACHE / "checkpoints", key))
        save_adapter(model, run.weights, base, out)
    write_json(out / TRAINING, _record(run, base, settings))
    write_json(out / "metrics.json", run_metrics(run, corpus))
    _observe(run, corpus, observe)
    return run


def _record(run: Run, base: BaseModel, settings: AdapterSettings) -> dict[str, object]:
    return {
        "base": {"name": base.name, "digest": base.digest},
        "settings": settings.model_dump(mode="json"),
        "packed": run.packed,
        "best_step": run.best_step,
        **run.curve(),
    }


def _observe(run: Run, corpus: Corpus, observe: Callable[[str, float], None]) -> None:
    tokens = sum(step.tokens for step in run.steps)
    observe("training_seconds", run.seconds)
    observe("training_tokens_per_second", tokens / run.seconds)
    # Linux counts in KiB; the peak is the process's, so other work in it shows as well
    observe("peak_memory_mib", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
