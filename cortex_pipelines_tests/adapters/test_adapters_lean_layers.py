"""Fused layers give the same results as peft's."""

from pathlib import Path
from typing import Any

import pytest
import torch

from cortex_pipelines.adapters.kernels import fused_lora
from cortex_pipelines.adapters.model.base_model import load_causal_model, resolve_base
from cortex_pipelines.adapters.model.lora import with_new_adapter
from cortex_pipelines_tests.adapters.tinymodel import pinned, settings

IDS = torch.tensor([[10, 20, 30, 40, 50], [60, 70, 80, 90, 100]])


def adapted(root: Path, precision: Any = "fp32", **changes: Any) -> Any:
    base = load_causal_model(resolve_base(pinned(root), root), precision)
    model = with_new_adapter(base, settings(dropout=0.0, **changes))
    torch.manual_seed(3)
    with torch.no_grad():  # an update of zero would hide what one half does to the other
        for name, weight in model.named_parameters():
            if ".lora_B." in name:
                weight.normal_(std=0.05)
    return model.train()


def step(model: Any) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    model.zero_grad(set_to_none=True)
    logits = model(input_ids=IDS).logits.float()
    logits.logsumexp(-1).sum().backward()
    layers = {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}
    return logits.detach(), layers


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-4), ("bf16", 5e-2)])
def test_outputs_and_gradients_are_those_of_peft(root: Path, precision: str, tolerance: float) -> None:
    model = adapted(root, precision)
    expected, gradients = step(model)
    with fused_lora(model) as count:
        assert count == 2 * 7
        logits, lean_gradients = step(model)
    assert float((logits - expected).norm() / expected.norm()) < tolerance
    assert lean_gradients.keys() == gradients.keys()
    for name, gradient in gradients.items():
        assert ".lora_" in name
        assert lean_gradients[name].dtype == torch.float32
        assert float((lean_gradients[name] - gradient).norm() / gradient.norm()) < tolerance, name


def test_layers_are_put_back(root: Path) -> None:
    model = adapted(root)
    expected, _ = step(model)
    with pytest.raises(KeyError), fused_lora(model):
        raise KeyError
    assert not [layer for layer in model.modules() if type(layer).__name__.startswith("_Lean")]
    assert torch.equal(step(model)[0], expected)


def test_layers_with_dropout_are_left_to_peft(root: Path) -> None:
    base = load_causal_model(resolve_base(pinned(root), root), "fp32")
    with fused_lora(with_new_adapter(base, settings(dropout=0.1))) as count:
        assert count == 0


def test_without_the_adapter_the_base_answers(root: Path) -> None:
    model = adapted(root)
    with torch.no_grad(), model.disable_adapter():
        expected = model(input_ids=IDS).logits
    with torch.no_grad(), fused_lora(model), model.disable_adapter():
        assert torch.equal(model(input_ids=IDS).logits, expected)
