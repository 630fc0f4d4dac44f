import contextlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from safetensors.torch import load_file

from cortex_pipelines.adapters.model.base_model import resolve_precision
from cortex_pipelines.adapters.training import history, loop
from cortex_pipelines.adapters.training.checkpoint import Checkpoints
from cortex_pipelines_tests.adapters.tinymodel import Train, settings
from cortex_pipelines_tests.messages import refusal

WILD: dict[str, Any] = {"learning_rate": 30.0, "lr_scheduler": "constant", "warmup_steps": 12, "evaluation_steps": 2}
DIVERGING: dict[str, Any] = {"divergence_factor": 2.0, "evaluation_steps": 2}


def exploding() -> Any:
    """From the ninth step on the losses are those of a diverged model."""
    real = loop._step

    def step(*arguments: Any) -> history.LossPoint:
        result = real(*arguments)
        return replace(result, loss=100.0) if result.step > 8 else result

    return mock.patch.object(loop, "_step", step)


def weights(out: Path) -> dict[str, torch.Tensor]:
    return load_file(out / "adapter_model.safetensors")


def test_epochs_are_measured_at_their_ends_and_without_packing_a_row_holds_one_example(train: Train) -> None:
    changes = {"epochs": 3, "max_tokens": 3000, "evaluation_strategy": "epoch"}
    record = train(**changes)
    steps = len(record["steps"])
    assert [validation["step"] for validation in record["validation"]] == [0, steps // 3, 2 * steps // 3, steps]
    record = train("unpacked", packing=False, batch_size=1)
    assert not record["packed"]
    assert len(record["steps"]) == record["metrics"]["train_examples"]


@pytest.mark.parametrize("strategy", ["steps", "epoch", "best"])
def test_the_state_is_kept_as_asked(train: Train, strategy: str) -> None:
    changes = {"epochs": 2, "max_tokens": 3000, "evaluation_steps": 4, "save_strategy": strategy}
    checkpoint_steps: list[int] = []

    def note(_self: Checkpoints, state: dict[str, Any]) -> None:
        checkpoint_steps.append(len(state["steps"]))

    with mock.patch.object(Checkpoints, "save", note):
        record = train(**changes)
    last = len(record["steps"])
    losses = [(validation["step"], validation["loss"]) for validation in record["validation"][1:]]
    best = [
        step for index, (step, loss) in enumerate(losses) if loss < min([x for _, x in losses[:index]], default=9e9)
    ]
    every = {"steps": [*range(4, last, 4), last], "epoch": [last // 2, last], "best": best}
    assert checkpoint_steps == every[strategy]


def test_it_stops_early_by_the_measurements_after_the_best(train: Train) -> None:
    record = train(patience=2, **WILD)
    assert record["stopped_early"]
    assert (record["metrics"]["stopped_early"], len(record["steps"])) == (1, record["best_step"] + 4)
    assert record["partial"] is None
    progress = history.Progress(best_step=4, validations=[history.Validation(n, 1.0) for n in (0, 2, 4, 6)])
    assert not history.out_of_patience(progress, settings(patience=2))
    progress.validations.append(history.Validation(8, 1.0))
    assert history.out_of_patience(progress, settings(patience=2))
    assert not history.out_of_patience(progress, settings(patience=None))
    assert not history.out_of_patience(history.Progress(), settings(patience=1))


@pytest.mark.parametrize(("step", "words"), [(1, "base's loss is nan before anything is learnt"), (2, "lower learni")])
def test_the_base_is_named_where_nothing_was_learnt_yet(step: int, words: str) -> None:
    with pytest.raises(history.TrainingDivergedError, match=words):
        history.require_finite("loss", float("nan"), step, 1e-4, settings())


def test_a_few_bad_losses_are_no_divergence_and_the_warm_up_sets_no_limit() -> None:
    adapter_settings = settings(divergence_factor=2.0, divergence_steps=3, warmup_steps=3)
    progress = history.Progress(validations=[history.Validation(0, 3.0)])
    progress.steps = [history.LossPoint(n, loss, 1.0, 0.1, 10) for n, loss in enumerate((3, 90, 3, 5.9, 90), 1)]
    history.require_no_divergence(progress, adapter_settings)
    progress.steps.append(history.LossPoint(6, 6.1, 7.5, 0.1, 10))
    with pytest.raises(history.TrainingDivergedError, match=r"step 6.*gradient norm 7.5.*lower learning_r"):
        history.require_no_divergence(progress, adapter_settings)
    history.require_no_divergence(progress, adapter_settings.model_copy(update={"divergence_factor": None}))
    adapter_settings = settings(divergence_factor=2.0, divergence_steps=3, warmup_steps=3)
    progress = history.Progress(validations=[history.Validation(0, 1.4)])
    progress.steps = [history.LossPoint(n, 10.8, 1.0, 0.1, 10) for n in range(1, 4)]
    assert "began at 2.8" in refusal(
        history.TrainingDivergedError, history.require_no_divergence, progress, adapter_settings
    )


@pytest.mark.parametrize(("later", "diverges"), [(3.5, False), (7.0, True)])
def test_steps_of_short_answers_are_no_divergence(later: float, diverges: bool) -> None:
    adapter_settings = settings(divergence_factor=2.0, divergence_steps=3, warmup_steps=3)
    progress = history.Progress(validations=[history.Validation(0, 1.4)])  # of long answers, for the most part
    losses = (3.4, 3.9, 1.7, later, later, later)
    progress.steps = [history.LossPoint(n, loss, 1.0, 0.1, 10) for n, loss in enumerate(losses, 1)]
    with pytest.raises(history.TrainingDivergedError) if diverges else contextlib.nullcontext():
        history.require_no_divergence(progress, adapter_settings)


def test_a_loss_that_diverges_stops_or_keeps_the_best_until_then_as_partial(train: Train, tmp_path: Path) -> None:
    refused = pytest.raises(history.TrainingDivergedError, match=r"the loss diverges.*keep_partial: true")
    with exploding(), refused:
        train(**DIVERGING)
    assert list((tmp_path / "adapter").iterdir()) == []
    with exploding():
        record = train("partial", keep_partial=True, **DIVERGING)
    assert "the loss diverges" in record["partial"]
    assert record["metrics"]["partial"] == 1
    assert not record["stopped_early"]
    assert 0 < record["best_step"] < len(record["steps"]) == 10
    assert weights(tmp_path / "partial")
    complete = train("whole", max_tokens=800)
    assert complete["metrics"]["partial"] == 0


def test_computing_activations_again_changes_no_weight(train: Train, tmp_path: Path) -> None:
    train("kept", max_tokens=800)
    train("again", max_tokens=800, activation_checkpointing=True)
    checkpoint_steps, again = weights(tmp_path / "kept"), weights(tmp_path / "again")
    assert checkpoint_steps.keys() == again.keys()
    assert all(torch.equal(checkpoint_steps[name], again[name]) for name in checkpoint_steps)


def test_scaling_and_precision_are_recorded(train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"):
        monkeypatch.setattr(f"torch.cpu.{name}", lambda: False)
    train(max_tokens=500, precision="auto", rslora=True)
    training = json.loads((tmp_path / "adapter" / "training.json").read_text())
    assert training["settings"]["precision"] == "fp32"
    configuration = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert configuration["use_rslora"] is True
    monkeypatch.setattr("torch.cpu._is_avx512_bf16_supported", lambda: True)
    assert resolve_precision("auto") == "bf16"
