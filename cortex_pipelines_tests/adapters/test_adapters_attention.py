"""Attention within examples equals masked attention."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM

from cortex_pipelines.adapters.data.packing import TokenisedExample, pack
from cortex_pipelines.adapters.kernels import (
    borders,
    per_example_attention,
    use_fast_kernels,
    uses_per_example_attention,
)
from cortex_pipelines.adapters.training.loss import supervised_losses
from cortex_pipelines_tests.adapters.test_adapters_lean_layers import adapted
from cortex_pipelines_tests.adapters.tinymodel import settings as tiny_settings

SIZES = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
token_lists = st.lists(st.integers(0, 63), min_size=2, max_size=20)


@pytest.fixture(scope="module")
def model() -> Any:
    torch.manual_seed(1)
    return LlamaForCausalLM(LlamaConfig(**SIZES)).eval()


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(token_lists, min_size=1, max_size=8))
def test_losses_are_those_of_the_masked_kind(model: Any, lists: list[list[int]]) -> None:
    examples = [TokenisedExample(f"{n:03d}", "t", tuple(ids), 1, len(ids) - 1, 0) for n, ids in enumerate(lists)]
    rows = pack(examples, 32)
    with torch.no_grad():
        expected = supervised_losses(model, rows)
        with per_example_attention(model) as changed:
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
            with per_example_attention(model):
                supervised_losses(model, row).sum().backward()
        else:
            supervised_losses(model, row).sum().backward()
        sizes.append([w.grad.clone() for w in model.parameters() if w.grad is not None])
    assert len(sizes[0]) == len(sizes[1]) == 2 * 7 * 2
    for masked, apart_too in zip(*sizes, strict=True):
        torch.testing.assert_close(apart_too, masked, atol=1e-4, rtol=1e-3)


def test_it_is_put_back(model: Any) -> None:
    usual = model.config._attn_implementation
    with per_example_attention(model):
        assert uses_per_example_attention(model)
    assert not uses_per_example_attention(model)
    with pytest.raises(KeyError), per_example_attention(model):
        raise KeyError
    assert model.config._attn_implementation == usual


def test_a_sliding_window_is_left_alone() -> None:
    model = MistralForCausalLM(MistralConfig(**SIZES, sliding_window=4)).eval()
    with per_example_attention(model) as changed:
        assert not changed
        assert not uses_per_example_attention(model)
        assert model(torch.tensor([[1, 2, 3, 4, 5, 6]])).logits.shape == (1, 6, 64)


def test_a_model_with_an_attention_of_its_own_is_left_alone(model: Any) -> None:
    class Closed(LlamaForCausalLM):
        _supports_attention_backend = False

    with per_example_attention(Closed(LlamaConfig(**SIZES)).eval()) as changed:
        assert not changed


def test_rows_are_not_joined_where_more_than_attention_mixes_examples(root: Path) -> None:
    model = adapted(root).eval()
    with use_fast_kernels(model, tiny_settings(), separate=False):
        assert not uses_per_example_attention(model)
    with use_fast_kernels(model, tiny_settings(), separate=True):
        assert uses_per_example_attention(model)


def test_borders_are_where_positions_begin_anew() -> None:
    assert borders((0, 1, 2, 0, 0, 1)) == [0, 3, 4, 6]
