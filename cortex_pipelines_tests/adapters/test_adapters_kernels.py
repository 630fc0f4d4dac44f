from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from hypothesis import HealthCheck, given
from hypothesis import settings as example_settings
from hypothesis import strategies as st
from torch.nn.functional import scaled_dot_product_attention
from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM

from cortex_pipelines.adapters import kernels
from cortex_pipelines.adapters.data.packing import TokenisedExample, pack
from cortex_pipelines.adapters.fused_lora import fused_lora
from cortex_pipelines.adapters.model.base_model import load_causal_model, resolve_base
from cortex_pipelines.adapters.model.lora import with_new_adapter
from cortex_pipelines.adapters.training.loss import supervised_losses
from cortex_pipelines.adapters.training.recomputation import recompute_activations
from cortex_pipelines_tests.adapters.tinymodel import Train, pinned, settings
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)
IDS = torch.tensor([[10, 20, 30, 40, 50], [60, 70, 80, 90, 100]])


def adapted(root: Path, precision: Any = "fp32", quantisation: Any = None, **changes: Any) -> Any:
    base = load_causal_model(resolve_base(pinned(root), root), precision, quantisation)
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


@pytest.mark.parametrize(
    ("precision", "quantisation", "tolerance"),
    # peft rounds what a layer in 8 bits reads, too
    [("fp32", None, 1e-4), ("bf16", None, 5e-2), ("fp32", "int8", 5e-2), ("fp32", "nf4", 1e-4)],
)
def test_outputs_and_gradients_are_those_of_peft(
    root: Path, precision: str, quantisation: str | None, tolerance: float
) -> None:
    model = adapted(root, precision, quantisation)
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


def test_layers_are_put_back_and_the_base_answers_without_the_adapter(root: Path) -> None:
    model = adapted(root)
    expected, _ = step(model)
    with pytest.raises(KeyError), fused_lora(model):
        raise KeyError
    assert not [layer for layer in model.modules() if type(layer).__name__.startswith("_Lean")]
    assert torch.equal(step(model)[0], expected)
    model = adapted(root)
    with torch.no_grad(), model.disable_adapter():
        expected = model(input_ids=IDS).logits
    with torch.no_grad(), fused_lora(model), model.disable_adapter():
        assert torch.equal(model(input_ids=IDS).logits, expected)


def test_layers_with_dropout_and_a_sliding_window_are_left_alone(root: Path) -> None:
    base = load_causal_model(resolve_base(pinned(root), root), "fp32")
    with fused_lora(with_new_adapter(base, settings(dropout=0.1))) as count:
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


@example_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
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


def in_turn(*heads: torch.Tensor, scale: float, window_size: tuple[int, int]) -> torch.Tensor:
    """A GPU's kernel for all examples of a row, one by one: (row, heads, width)."""
    *parts, borders, _, longest, _ = heads
    edges = list(pairwise(borders.tolist()))
    assert (longest, window_size) == (max(end - start for start, end in edges), (-1, 0))
    outputs = []
    for start, end in edges:
        query, key, value = (part[start:end].transpose(0, 1) for part in parts)
        outputs.append(scaled_dot_product_attention(query, key, value, is_causal=True, scale=scale).transpose(0, 1))
    return torch.cat(outputs)


def test_a_gpus_kernels_give_the_losses_and_gradients_of_a_cpus(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = adapted(root)
    rows = pack([TokenisedExample(str(n), "t", (n, 5, 6, 7, n), 2, 3, 0) for n in (1, 2, 3)], 12)
    assert len(rows) == 2

    def losses_and_gradients() -> tuple[torch.Tensor, list[torch.Tensor]]:
        model.zero_grad(set_to_none=True)
        with kernels.use_fast_kernels(model, settings(), separate=True):
            assert kernels.uses_chunked_output(model) == kernels.on_gpu(model)
            losses = supervised_losses(model, rows)
            (losses * torch.arange(1.0, 1 + len(losses))).sum().backward()
        return losses.detach(), [weight.grad for weight in model.parameters() if weight.grad is not None]

    expected, gradients = losses_and_gradients()
    for name, value in (("on_gpu", lambda _: True), ("_has_flash_kernel", lambda _: True), ("_CHUNK", 4)):
        monkeypatch.setattr(kernels, name, value)
    monkeypatch.setattr(kernels, "varlen_attn", in_turn)
    losses, other_gradients = losses_and_gradients()
    torch.testing.assert_close(losses, expected)
    assert len(other_gradients) == len(gradients) == 2 * 7 * 2
    for gradient, other in zip(gradients, other_gradients, strict=True):
        torch.testing.assert_close(other, gradient, atol=1e-5, rtol=1e-4)


def test_an_output_layer_whose_logits_are_changed_afterwards_is_left_alone() -> None:
    class Capped(LlamaForCausalLM):
        def forward(self, *arguments: Any, **options: Any) -> Any:
            output = super().forward(*arguments, **options)
            output.logits = output.logits.tanh()
            return output

    model = Capped(LlamaConfig(**SIZES)).eval()
    with torch.no_grad():
        model.lm_head.weight.normal_()
    with kernels.chunked_output(model) as deferred:
        assert not deferred
        assert type(model.lm_head) is torch.nn.Linear


def test_a_gpu_recomputes_the_blocks_that_do_not_fit(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = adapted(root)
    batches = [pack([TokenisedExample("1", "t", (1, 5, 6, 7), 2, 2, 0)], 12)]
    _, gradients = step(model)
    assert recompute_activations(model, batches) == 2
    _, recomputed = step(model)
    assert all(torch.equal(recomputed[name], gradient) for name, gradient in gradients.items())
    monkeypatch.setattr(kernels, "on_gpu", lambda _: True)
    for free, count in ((0, 2), (150, 1), (10_000, 0)):
        # held by no block, by one and by two; a kept block takes 100 bytes of what is free at the peak of 1,000
        held = iter([0, 500, 700, 600])
        for name, value in (
            ("memory_allocated", lambda held=held: next(held)),
            ("max_memory_allocated", lambda: 1000),
            ("mem_get_info", lambda free=free: ((free + 1000) / 0.92 - 600, 0)),
            ("reset_peak_memory_stats", lambda: None),
            ("empty_cache", lambda: None),
        ):
            monkeypatch.setattr(torch.cuda, name, value)
        model = adapted(root)
        assert recompute_activations(model, batches) == count
        assert [not block.forward.keeps for block in kernels.repeated_blocks(model)] == [True] * count + [False] * (
            2 - count
        )


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
