import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from safetensors.torch import load_file

from cortex_pipelines.adapters.model.base_model import load_causal_model, load_tokenizer, resolve_base
from cortex_pipelines.adapters.model.lora import load_adapter
from cortex_pipelines.adapters.training import launch, trl_trainer
from cortex_pipelines.adapters.training.distributed import ProcessGroup
from cortex_pipelines.adapters.training.history import LossPoint, TrainingDivergedError
from cortex_pipelines.adapters.training.launch import MissingPackageError
from cortex_pipelines.adapters.training.monitor import TrainingMonitor
from cortex_pipelines_tests.adapters.tinymodel import Datasets, pinned, settings, train_record, write_tiny_base
from cortex_pipelines_tests.messages import refusal
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)
CHANGES: dict[str, Any] = CASES["CHANGES"]


def build(root: Path, datasets: Datasets, out: Path, **changes: Any) -> dict[str, Any]:
    return train_record(root, datasets, out, general=datasets["completion"], **CHANGES | changes)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A separate project root: trainings stopped here leave their checkpoints behind."""
    folder = tmp_path_factory.mktemp("trl")
    write_tiny_base(folder / "base")
    return folder


@pytest.fixture(scope="module")
def both(root: Path, datasets: Datasets, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the adapters ``trl`` and ``own``, trained with the same settings."""
    folder = tmp_path_factory.mktemp("both")
    for trainer in ("trl", "own"):
        build(root, datasets, folder / trainer, trainer=trainer)
    return folder


def states(root: Path) -> set[Path]:
    return set((root / ".cortex" / "cache" / "checkpoints").glob("*"))


def test_it_writes_the_files_figures_and_steps_of_the_own_loop(both: Path) -> None:
    names = [sorted(path.name for path in (both / trainer).iterdir()) for trainer in ("trl", "own")]
    assert names[0] == names[1]
    metrics, builtin_metrics = (json.loads((both / trainer / "metrics.json").read_text()) for trainer in ("trl", "own"))
    assert metrics.keys() == builtin_metrics.keys()
    for metric in ("train_tokens", "train_examples", "steps", "trained_parameters"):
        assert metrics[metric] == builtin_metrics[metric], metric
    # validated on the base, where the trainers do not differ yet
    for base in ("validation_loss_base", "general_loss_base"):
        assert metrics[base] == pytest.approx(builtin_metrics[base], rel=1e-6)
    assert metrics["validation_loss_best"] < metrics["validation_loss_base"]
    assert metrics["validation_loss_best"] == pytest.approx(builtin_metrics["validation_loss_best"], rel=0.1)
    record, builtin = (json.loads((both / trainer / "training.json").read_text()) for trainer in ("trl", "own"))
    assert record["settings"] == builtin["settings"] | {"trainer": "trl"}
    for key in ("steps", "validation"):
        assert [row["step"] for row in record[key]] == [row["step"] for row in builtin[key]]
    tokens = [sum(step["tokens"] for step in run["steps"]) for run in (record, builtin)]
    assert tokens[0] == tokens[1]
    assert record["steps"][-1]["loss"] < record["steps"][0]["loss"]


def test_a_step_over_all_rows_has_the_loss_of_the_own_loop(root: Path, datasets: Datasets, tmp_path: Path) -> None:
    # in any order: examples of a row are separate, and prompts are not targets
    changes = {"batch_size": 3, "gradient_accumulation": 100, "max_tokens": 1500}
    first_build = build(root, datasets, tmp_path / "trl", **changes)
    other = build(root, datasets, tmp_path / "own", trainer="own", **changes)
    assert len(first_build["steps"]) == 1
    for figure in ("loss", "gradient_norm"):
        assert first_build["steps"][0][figure] == pytest.approx(other["steps"][0][figure], rel=1e-3)
    with mock.patch.object(trl_trainer, "packing_is_separate", return_value=False):
        padded = build(root, datasets, tmp_path / "padded", **changes)
    assert not padded["packed"]
    for figure in ("loss", "tokens"):
        assert padded["steps"][0][figure] == pytest.approx(first_build["steps"][0][figure], rel=1e-3)


def test_it_goes_on_later(root: Path, datasets: Datasets, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    uninterrupted, checkpoints = build(root, datasets, tmp_path / "whole"), states(root)
    monitor, stop = TrainingMonitor, [None] * 11 + [KeyboardInterrupt]
    with mock.patch.object(monitor, "wait", side_effect=stop), pytest.raises(KeyboardInterrupt):
        build(root, datasets, tmp_path / "stopped")
    with mock.patch.object(monitor, "wait") as steps:
        again = build(root, datasets, tmp_path / "again")
    assert steps.call_count == len(uninterrupted["steps"]) - 8  # the last checkpoint
    assert (again["steps"], again["validation"]) == (uninterrupted["steps"], uninterrupted["validation"])
    assert (states(root), capsys.readouterr().out) == (checkpoints, "")


@pytest.mark.long
def test_a_checkpoint_that_is_not_whole_is_left_alone(root: Path, datasets: Datasets, tmp_path: Path) -> None:
    stop = [None] * 11 + [KeyboardInterrupt]
    monitor = TrainingMonitor
    with mock.patch.object(monitor, "wait", side_effect=stop), pytest.raises(KeyboardInterrupt):
        build(root, datasets, tmp_path / "stopped")
    (folder,) = (path / "checkpoint-8" for path in states(root) if path.is_dir())
    folder.rename(folder.with_name("checkpoint-15"))  # killed before the progress was saved
    with mock.patch.object(monitor, "wait") as steps:
        uninterrupted = build(root, datasets, tmp_path / "again")
    assert steps.call_count == len(uninterrupted["steps"])


def test_it_stops_without_improvement_and_where_loss_diverges(root: Path, datasets: Datasets, tmp_path: Path) -> None:
    far_too_high = {"learning_rate": 30.0, "lr_scheduler": "constant", "evaluation_steps": 1}
    record = build(root, datasets, tmp_path / "adapter", patience=2, **far_too_high)
    assert record["stopped_early"]
    assert record["steps"][-1]["step"] == record["best_step"] + 2

    def exploding(step: int, loss: float, *checkpoints: float) -> LossPoint:
        return LossPoint(step, 100.0 if step > 8 else loss, *checkpoints)  # type: ignore[arg-type]

    changes = {"divergence_factor": 2.0, "evaluation_steps": 2}
    with mock.patch.object(trl_trainer, "LossPoint", exploding):
        assert "diverges" in refusal(TrainingDivergedError, build, root, datasets, tmp_path / "none", **changes)
        record = build(root, datasets, tmp_path / "partial", keep_partial=True, **changes)
    assert "diverges" in record["partial"]
    assert not record["stopped_early"]
    assert load_file(tmp_path / "partial" / "adapter_model.safetensors")


def test_each_process_takes_its_share_of_a_step() -> None:
    shared = settings(gradient_accumulation=100, processes=2)
    arguments = trl_trainer._arguments(shared, Path(), ProcessGroup(0, 2), "cpu")
    assert arguments["gradient_accumulation_steps"] == 50


@pytest.mark.long
def test_processes_share_a_step(root: Path, datasets: Datasets, tmp_path: Path) -> None:
    changes = {"batch_size": 1, "max_tokens": 1500, "gradient_accumulation": 100}
    alone = build(root, datasets, tmp_path / "alone", **changes)
    shared = build(root, datasets, tmp_path / "shared", processes=2, **changes)
    (first_step,), (other,) = alone["steps"], shared["steps"]
    assert other["tokens"] == first_step["tokens"]
    for figure in ("loss", "gradient_norm"):
        assert other[figure] == pytest.approx(first_step[figure], rel=1e-3)


@pytest.mark.parametrize("trainer", ["own", "trl"])
def test_an_adapter_is_trained_on_8_bits(root: Path, datasets: Datasets, tmp_path: Path, trainer: str) -> None:
    record = build(root, datasets, tmp_path / "adapter", trainer=trainer, quantisation="int8")
    losses = [validation["loss"] for validation in record["validation"]]
    assert losses[-1] < losses[0]
    layer = load_causal_model(resolve_base(pinned(root), root), "fp32", "int8").model.layers[0].mlp.up_proj.weight
    assert layer.dtype == torch.int8
    if trainer == "own":
        build(root, datasets, tmp_path / "again", trainer=trainer, quantisation="int8")
        weights = [(tmp_path / name / "adapter_model.safetensors").read_bytes() for name in ("adapter", "again")]
        assert weights[0] == weights[1]


@pytest.mark.parametrize("trainer", ["own", "trl"])
def test_an_adapter_is_trained_on_4_bits(root: Path, datasets: Datasets, tmp_path: Path, trainer: str) -> None:
    record = build(root, datasets, tmp_path / "adapter", trainer=trainer, quantisation="nf4")
    assert record["settings"]["quantisation"] == "nf4"
    losses = [validation["loss"] for validation in record["validation"]]
    assert losses[-1] < losses[0]
    base = resolve_base(pinned(root), root)
    quantised = load_causal_model(base, "fp32", "nf4")
    layer = quantised.model.layers[0].mlp.up_proj.weight
    assert layer.dtype == torch.uint8
    with torch.no_grad():
        quantised(input_ids=torch.tensor([[1, 2, 3]]))
    # not in the layout without gradients used on processors with AVX512-BF16
    assert not getattr(layer.quant_state, "packing_format_for_cpu", False)
    assert layer.numel() < load_causal_model(base, "fp32").model.layers[0].mlp.up_proj.weight.numel()
    # as served: on the unquantised base
    model = load_adapter(load_causal_model(base, "fp32"), tmp_path / "adapter")
    ids = torch.tensor([load_tokenizer(base)("def f", add_special_tokens=False)["input_ids"]])
    with torch.no_grad(), model.disable_adapter():
        plain = model(input_ids=ids).logits
    with torch.no_grad():
        assert not torch.allclose(model(input_ids=ids).logits, plain)


@pytest.mark.parametrize(("key", "value"), [("trainer", "trl"), ("quantisation", "int8")])
def test_a_missing_package_is_named_first(root: Path, datasets: Datasets, tmp_path: Path, key: str, value: str) -> None:
    with (
        mock.patch.object(launch, "find_spec", return_value=None),
        pytest.raises(MissingPackageError, match=rf"adapters.{key} is {value}.*\[trl\]"),
    ):
        build(root, datasets, tmp_path / "adapter", **{"trainer": "own", key: value})
    assert find_spec("trl")
