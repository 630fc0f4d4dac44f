from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from hypothesis import HealthCheck, given
from hypothesis import settings as example_settings
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM

from cortex_pipelines.adapters import kernels
from cortex_pipelines.adapters.data.packing import TokenisedExample, pack
from cortex_pipelines.adapters.model.base_model import load_causal_model, resolve_base
from cortex_pipelines.adapters.model.lora import with_new_adapter
from cortex_pipelines.adapters.training.loss import supervised_losses
from cortex_pipelines_tests.adapters.tinymodel import Train, pinned, settings
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)
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
    with kernels.fused_lora(model) as count:
        assert count == 2 * 7
        logits, lean_gradients = step(model)
    assert float((logits - expected).norm() / expected.norm()) < tolerance
    assert lean_gradients.keys() == gradients.keys()
    for name, gradient in gradients.items():
        assert ".lora_" in name
        assert lean_gradients[name].dtype == torch.float32
        assert float((lean_gradients[name] - gradient).norm() / gradient.norm()) < tolerance, name


def test_layers_are_put_back_and_the_base_answers_without_the_adapter(root: Path) -> None:
    model = adapted(root)
    expected, _ = step(model)
    with pytest.raises(KeyError), kernels.fused_lora(model):
        raise KeyError
    assert not [layer for layer in model.modules() if type(layer).__name__.startswith("_Lean")]
    assert torch.equal(step(model)[0], expected)
    model = adapted(root)
    with torch.no_grad(), model.disable_adapter():
        expected = model(input_ids=IDS).logits
    with torch.no_grad(), kernels.fused_lora(model), model.disable_adapter():
        assert torch.equal(model(input_ids=IDS).logits, expected)


def test_layers_with_dropout_and_a_sliding_window_are_left_alone(root: Path) -> None:
    base = load_causal_model(resolve_base(pinned(root), root), "fp32")
    with kernels.fused_lora(with_new_adapter(base, settings(dropout=0.1))) as count:
        assert count == 0
    model = MistralForCausalLM(MistralConfig(**SIZES, sliding_window=4)).eval()
    with kernels.per_example_attention(model) as changed:
        assert not changed
        assert not kernels.uses_per_example_attention(model)
        assert model(torch.tensor([[1, 2, 3, 4, 5, 6]])).logits.shape == (1, 6, 64)


SIZES = CASES["SIZES"]
token_lists = st.lists(st.integers(0, 63), min_size=2, max_size=20)


@pytest.fixture(scope="module")
def model() -> Any:
    torch.manual_seed(1)
    return LlamaForCausalLM(LlamaConfig(**SIZES)).eval()


@example_settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(token_lists, min_size=1, max_size=8))
def test_losses_are_those_of_the_masked_kind(model: Any, lists: list[list[int]]) -> None:
    examples = [TokenisedExample(f"{n:03d}", "t", tuple(ids), 1, len(ids) - 1, 0) for n, ids in enumerate(lists)]
    rows = pack(examples, 32)
    with torch.no_grad():
        expected = supervised_losses(model, rows)
        with kernels.per_example_attention(model) as changed:
            assert changed
            losses = supervised_losses(model, rows)
    torch.testing.assert_close(losses, expected, atol=1e-4, rtol=1e-4)


def test_gradients_are_those_of_the_masked_kind(root: Path) -> None:
    model = adapted(root).eval()
    row = pack([TokenisedExample(str(n), "t", (n, 5, 6, 7, n), 2, 3, 0) for n in (1, 2, 3)], 32)
    sizes = []
    for apart in (False, True):
        model.zero_grad(set_to_none=True)
        if apart:
            with kernels.per_example_attention(model):
                supervised_losses(model, row).sum().backward()
        else:
            supervised_losses(model, row).sum().backward()
        sizes.append([w.grad.clone() for w in model.parameters() if w.grad is not None])
    assert len(sizes[0]) == len(sizes[1]) == 2 * 7 * 2
    for masked, apart_too in zip(*sizes, strict=True):
        torch.testing.assert_close(apart_too, masked, atol=1e-4, rtol=1e-3)


def test_it_is_put_back_and_leaves_a_model_with_an_attention_of_its_own_alone(model: Any) -> None:
    usual = model.config._attn_implementation
    with kernels.per_example_attention(model):
        assert kernels.uses_per_example_attention(model)
    assert not kernels.uses_per_example_attention(model)
    with pytest.raises(KeyError), kernels.per_example_attention(model):
        raise KeyError
    assert model.config._attn_implementation == usual

    class Closed(LlamaForCausalLM):
        _supports_attention_backend = False

    with kernels.per_example_attention(Closed(LlamaConfig(**SIZES)).eval()) as changed:
        assert not changed


def test_rows_are_not_joined_where_more_than_attention_mixes_examples_and_end_at_borders(root: Path) -> None:
    model = adapted(root).eval()
    with kernels.use_fast_kernels(model, settings(), separate=False):
        assert not kernels.uses_per_example_attention(model)
    with kernels.use_fast_kernels(model, settings(), separate=True):
        assert kernels.uses_per_example_attention(model)
    assert kernels.borders((0, 1, 2, 0, 0, 1)) == [0, 3, 4, 6]


@pytest.mark.long
def test_a_compiled_training_has_the_losses_of_one_that_is_not(train: Train) -> None:
    torch._dynamo.reset()
    counters = torch._dynamo.utils.counters
    counters.clear()
    changes = {"dropout": 0.0, "max_tokens": 1500, "evaluation_steps": 6}
    plain = train("plain", **changes)
    assert not counters["frames"]
    compiled = train("compiled", torch_compile=True, **changes)
    assert counters["frames"]["ok"] > 0
    assert not counters["graph_break"]
    for key in ("steps", "validation"):
        assert len(plain[key]) == len(compiled[key])
        for first, other in zip(plain[key], compiled[key], strict=True):
            assert first == pytest.approx(other, rel=1e-3)


def test_every_block_is_compiled_in_place_by_a_compiler(root: Path) -> None:
    model = load_causal_model(resolve_base(pinned(root), root), "fp32")
    names = set(dict(model.named_parameters()))
    assert (kernels.compile_blocks(model), set(dict(model.named_parameters()))) == (2, names)
    with (
        mock.patch("shutil.which", return_value=None),
        pytest.raises(ValueError, match=r"install g\+\+.*or set torch_compile: false"),
    ):
        kernels.compile_blocks(model)
