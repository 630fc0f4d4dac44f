"""One run of training, whichever trainer makes its steps."""

import time
from dataclasses import dataclass, field
from typing import Any

from cortex_pipelines.adapters.data.corpus import Corpus
from cortex_pipelines.adapters.settings import AdapterSettings
from cortex_pipelines.adapters.training.checkpoint import Checkpoints
from cortex_pipelines.adapters.training.distributed import SINGLE_PROCESS, ProcessGroup
from cortex_pipelines.adapters.training.history import Progress, TrainingResult, ValidationCallback
from cortex_pipelines.adapters.training.loss import general_losses, validate
from cortex_pipelines.adapters.training.monitor import TrainingMonitor
from cortex_pipelines.adapters.training.schedule import build_rows


@dataclass(frozen=True)
class TrainingRun:
    """``until``: share of the planned steps after which the training ends."""

    corpus: Corpus
    settings: AdapterSettings
    checkpoints: Checkpoints | None = None
    report: ValidationCallback | None = None
    monitor: TrainingMonitor = field(default_factory=TrainingMonitor)
    group: ProcessGroup = SINGLE_PROCESS
    until: float = 1.0
    started: float = field(default_factory=time.monotonic)

    def last_step(self, planned: int) -> int:
        return max(1, round(self.until * planned))

    def validate(self, model: Any, rows: Any, step: int, progress: Progress) -> None:
        """Measure the validation loss, and report it unless it is the base's."""
        validate(model, rows, step, progress, self.settings, self.group)
        if step and progress.validations:
            self.monitor.record_validation(progress.validations[-1])
            if self.report and self.group.is_first:
                self.report(sum(done.tokens for done in progress.steps), progress.validations[-1].loss)

    def result(self, model: Any, progress: Progress, packed: bool, planned: int, partial: str | None) -> TrainingResult:
        rows = build_rows(self.corpus.general, self.settings, packed)
        return TrainingResult(
            weights=progress.weights,
            best_step=progress.best_step,
            packed=packed,
            steps=tuple(progress.steps),
            validations=tuple(progress.validations),
            planned=self.last_step(planned),
            partial=partial,
            general=general_losses(model, rows, progress, self.group),
            seconds=time.monotonic() - self.started,
        )
