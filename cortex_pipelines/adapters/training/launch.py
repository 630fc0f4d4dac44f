"""Run one training in this process or in several data-parallel ones."""

import logging
from contextlib import ExitStack
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from cortex_pipelines.adapters.data.corpus import Corpus
from cortex_pipelines.adapters.model.base_model import BaseModel, load_causal_model, load_tokenizer, resolve_precision
from cortex_pipelines.adapters.model.determinism import pinned_torch
from cortex_pipelines.adapters.model.lora import load_parent, save_adapter, with_new_adapter
from cortex_pipelines.adapters.settings import AdapterSettings
from cortex_pipelines.adapters.training.checkpoint import Checkpoints
from cortex_pipelines.adapters.training.distributed import SINGLE_PROCESS, ProcessGroup, run_in_processes
from cortex_pipelines.adapters.training.history import TrainingResult, ValidationCallback
from cortex_pipelines.adapters.training.loop import train
from cortex_pipelines.adapters.training.monitor import TrainingMonitor, machine_limits, tensorboard
from cortex_pipelines.adapters.training.run import TrainingRun

_LOG = logging.getLogger("cortex_pipelines")


class MissingPackageError(RuntimeError):
    """A setting needs a package that is not installed."""


@dataclass(frozen=True)
class TrainingJob:
    """A training job that can be sent to another process."""

    base: BaseModel
    parent: Path | None
    corpus: Corpus
    settings: AdapterSettings
    out: Path | None = None
    checkpoints: Checkpoints | None = None
    events: Path | None = None
    until: float = 1.0


def run_training(training: TrainingJob, report: ValidationCallback | None = None) -> TrainingResult:
    """Train in one process or several; an exception from ``report`` ends the training."""
    if training.settings.processes == 1:
        return _train_in_group(training, SINGLE_PROCESS, report)
    return run_in_processes(_train_in_group, training, training.settings.processes, report)


def require_packages(settings: AdapterSettings) -> None:
    for key, unneeded, package in (("trainer", "own", "trl"), ("quantisation", None, "bitsandbytes")):
        if (value := getattr(settings, key)) != unneeded and find_spec(package) is None:
            raise MissingPackageError(
                f"adapters.{key} is {value}, which needs the package {package}: `pip install 'cortex-pipelines[trl]'`"
            )


def _train_in_group(training: TrainingJob, group: ProcessGroup, report: ValidationCallback | None) -> TrainingResult:
    settings, monitor = training.settings, TrainingMonitor()
    if training.events and group.is_first:
        monitor = TrainingMonitor(machine_limits(), tensorboard(training.events))
    with ExitStack() as stack:
        stack.callback(monitor.close)
        stack.enter_context(pinned_torch(settings.threads, settings.seed))
        base = load_causal_model(training.base, resolve_precision(settings.precision), settings.quantisation)
        model = with_new_adapter(base, settings)
        if settings.precision == "fp16" and model.device.type == "cpu":
            _LOG.warning("fp16 is meant for GPUs; on a CPU it is many times slower than fp32")
        if training.parent:
            load_parent(model, training.parent, training.base)
        run = TrainingRun(training.corpus, settings, training.checkpoints, report, monitor, group, training.until)
        if settings.trainer == "trl":
            from cortex_pipelines.adapters.training.trl_trainer import train_with_trl

            result = train_with_trl(model, load_tokenizer(training.base), run)
        else:
            result = train(model, run)
        if training.out and group.is_first:
            save_adapter(model, result.weights, training.base, training.out)
    return replace(result, weights={name: weight.cpu() for name, weight in result.weights.items()})
