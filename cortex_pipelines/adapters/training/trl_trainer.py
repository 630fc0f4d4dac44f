"""Training by TRL's SFTTrainer, with the rows, validations and result of the built-in loop.

For large bases on GPUs it brings TRL's kernels and distribution by accelerate. The rows separate
their examples by ``position_ids``, so no attention mask is passed here either.
"""

import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch.nn.utils.rnn import pad_sequence
from transformers import PrinterCallback, TrainerCallback
from transformers.trainer_utils import get_last_checkpoint
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from cortex_pipelines.adapters.data.packing import IGNORED
from cortex_pipelines.adapters.settings import AdapterSettings
from cortex_pipelines.adapters.training.checkpoint import Checkpoints, progress_state, restore_progress
from cortex_pipelines.adapters.training.distributed import ProcessGroup
from cortex_pipelines.adapters.training.history import (
    LossPoint,
    Progress,
    TrainingDivergedError,
    TrainingResult,
    out_of_patience,
    partial_reason,
    require_finite,
    require_no_divergence,
)
from cortex_pipelines.adapters.training.loss import packing_is_separate
from cortex_pipelines.adapters.training.run import TrainingRun, build_rows, is_due, save_is_due
from cortex_pipelines.atomic import follow_umask, temporary_folder

_LOG = logging.getLogger("cortex_pipelines")


def train_with_trl(model: Any, tokenizer: Any, run: TrainingRun) -> TrainingResult:
    """Train the adapter on a model; arguments, result and errors are those of ``loop.train``.

    The order of the rows and the dropout are TRL's, so the weights differ from the built-in loop's.
    """
    settings = run.settings
    model.eval()  # dropout of a parent adapter would look like a difference
    separate = packing_is_separate(model)
    packed = settings.packing and separate
    callback = _MonitorCallback(model, run, packed)
    partial, progress = None, callback.progress
    rows = [  # with unshifted labels: transformers shifts them itself
        {"input_ids": list(row.ids), "position_ids": list(row.positions), "labels": [IGNORED, *row.targets[:-1]]}
        for row in build_rows(run.corpus.train, settings, packed)
    ]
    with ExitStack() as stack:
        folder = run.checkpoints.trainer if run.checkpoints else stack.enter_context(temporary_folder("trl"))
        checkpoint = _restore_checkpoint(run.checkpoints, progress)
        trainer = SFTTrainer(
            model=model,
            args=SFTConfig(**_arguments(settings, folder, run.group, model.device.type)),
            train_dataset=Dataset.from_list(rows),
            data_collator=_in_one_row if separate else _padded,
            processing_class=tokenizer,
            callbacks=[callback],
        )
        trainer.remove_callback(PrinterCallback)
        try:
            trainer.train(resume_from_checkpoint=checkpoint)
        except TrainingDivergedError as error:
            partial = partial_reason(error, progress, settings)
    return run.result(model, progress, packed, trainer.state.max_steps, partial)


class _MonitorCallback(TrainerCallback):  # type: ignore[misc]
    def __init__(self, model: Any, run: TrainingRun, packed: bool) -> None:
        self.progress = Progress()
        self._model, self._run = model, run
        self._rows = build_rows(run.corpus.validation, run.settings, packed)
        self._token_count = 0  # TRL's count restarts at 0 in a resumed training

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self._rows and not self.progress.steps:
            self._run.validate(self._model, self._rows, 0, self.progress)

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._run.monitor.wait()

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        if not logs or "loss" not in logs:
            return
        number, run, settings, progress = state.global_step, self._run, self._run.settings, self.progress
        rate, norm = float(logs["learning_rate"]), float(logs["grad_norm"])
        tokens, self._token_count = (int(logs["num_tokens"]) - self._token_count, int(logs["num_tokens"]))
        require_finite("loss", float(logs["loss"]), number, rate, settings)
        progress.steps.append(LossPoint(number, float(logs["loss"]), norm, rate, tokens))
        run.monitor.record_step(progress.steps[-1])
        require_no_divergence(progress, settings)
        epoch, last = -(-state.max_steps // settings.epochs), run.last_step(state.max_steps)
        validated = is_due(settings, settings.evaluation_strategy, number, epoch, last)
        if validated:
            run.validate(self._model, self._rows, number, progress)
        improved = validated and progress.best_step == number
        control.should_save = bool(run.checkpoints) and save_is_due(settings, number, epoch, last, improved)
        exhausted = out_of_patience(progress, settings)
        if exhausted:
            _LOG.info("Stopped early: no improvement in %s validations", settings.patience)
        control.should_training_stop = exhausted or number >= last

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self._run.checkpoints and self._run.group.is_first:
            follow_umask(self._run.checkpoints.trainer)
            self._run.checkpoints.save(progress_state(self.progress))


def _restore_checkpoint(checkpoints: Checkpoints | None, progress: Progress) -> str | None:
    """Folder of the last complete checkpoint, after restoring its progress; None if missing."""
    saved = checkpoints.load() if checkpoints else None
    if not checkpoints or not saved or not checkpoints.trainer.is_dir():
        return None
    folder: str | None = get_last_checkpoint(str(checkpoints.trainer))
    if folder is None or Path(folder).name != f"checkpoint-{len(saved['steps'])}":
        return None  # killed between writing its two files
    restore_progress(progress, saved)
    return folder


def _arguments(settings: AdapterSettings, folder: Path, group: ProcessGroup, device: str) -> dict[str, Any]:
    scheduler = settings.lr_scheduler
    return {
        "output_dir": str(folder),
        "num_train_epochs": settings.epochs,
        "per_device_train_batch_size": settings.batch_size,
        "gradient_accumulation_steps": max(1, settings.gradient_accumulation // group.size),
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": "constant_with_warmup" if scheduler == "constant" else scheduler,
        "warmup_steps": settings.warmup_steps,
        "weight_decay": 0.0,
        "max_grad_norm": settings.max_grad_norm,
        "bf16": settings.precision == "bf16",
        "fp16": settings.precision == "fp16",
        "activation_checkpointing": settings.activation_checkpointing,
        "activation_checkpointing_kwargs": {"use_reentrant": False},
        "torch_compile": settings.torch_compile,
        "seed": settings.seed,
        "max_length": None,  # the rows are cut already
        "dataset_kwargs": {"skip_prepare_dataset": True},
        "remove_unused_columns": False,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "eval_strategy": "no",
        "save_strategy": "no",  # the callback decides
        "save_total_limit": 1,
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": device == "cpu",
        "dataloader_pin_memory": device != "cpu",
        "ddp_find_unused_parameters": False,
    }


def _in_one_row(rows: Sequence[Mapping[str, Sequence[int]]]) -> dict[str, torch.Tensor]:
    """A batch as one row of shape (1, tokens): nothing is padded."""
    return {name: torch.tensor([[value for row in rows for value in row[name]]]) for name in rows[0]}


def _padded(rows: Sequence[Mapping[str, Sequence[int]]]) -> dict[str, torch.Tensor]:
    """A batch of shape (rows, longest row), for models that attend across positions."""
    fillers = {"input_ids": 0, "position_ids": 0, "labels": IGNORED, "attention_mask": 0}
    masked = [{**row, "attention_mask": [1] * len(row["input_ids"])} for row in rows]
    return {
        name: pad_sequence([torch.tensor(row[name]) for row in masked], batch_first=True, padding_value=filler)
        for name, filler in fillers.items()
    }
