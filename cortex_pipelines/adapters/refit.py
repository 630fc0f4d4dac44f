"""Train an evaluated recipe once more on the rows of all splits, for the weights that are served.

A verdict needs rows that the training did not see; once it is given, they are the newest code and worth learning.
Nothing is chosen again: the steps grow with the rows, and end at the share of the schedule at which the evaluated
weights were the best by validation.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl

from cortex_pipelines.adapters.build import TrainingInputs, train_adapter
from cortex_pipelines.adapters.model.base_model import resolve_base
from cortex_pipelines.adapters.model.lora import TRAINING, WEIGHTS
from cortex_pipelines.adapters.settings import AdapterSettings
from cortex_pipelines.prompts.examples import DATASETS
from cortex_pipelines.schemas.vocabulary import SPLITS


def refit_adapter(
    evaluated: Path, inputs: TrainingInputs, out: Path, root: Path, observe: Callable[[str, float], None]
) -> None:
    """Write an adapter like the ``evaluated`` one, or one per task, to ``out``; ``inputs`` are its training's."""
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
