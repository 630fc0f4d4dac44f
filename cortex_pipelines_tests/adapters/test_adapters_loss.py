from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from cortex_pipelines.adapters.data.packing import IGNORED, TokenisedExample, pack, packed_row
from cortex_pipelines.adapters.training.loss import packing_is_separate, supervised_losses


@pytest.fixture(scope="module")
def model(root: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(root / "base", dtype=torch.float32).eval()


token_lists = st.lists(st.integers(0, 255), min_size=2, max_size=20)


def tokenised(ids: Sequence[int], number: int = 0) -> TokenisedExample:
    prompt = 1 + number % (len(ids) - 1)
    return TokenisedExample(f"{number:03d}", "t", tuple(ids), prompt, len(ids) - prompt, 0)


def by_hand(model: Any, example: TokenisedExample) -> torch.Tensor:
    """The textbook loss, from all logits of a single example."""
    logits = model(input_ids=torch.tensor([example.ids])).logits[0]
    targets = torch.tensor(example.targets())
    return cross_entropy(logits, targets, reduction="none")[targets != IGNORED]


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(token_lists, min_size=2, max_size=6))
def test_packed_examples_lose_what_they_lose_alone(model: Any, lists: list[list[int]]) -> None:
    examples = [tokenised(ids, number) for number, ids in enumerate(lists)]
    with torch.no_grad():
        packed = supervised_losses(model, [packed_row(examples)])
        alone = torch.cat([by_hand(model, example) for example in examples])
    torch.testing.assert_close(packed, alone, atol=1e-4, rtol=1e-4)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(token_lists, min_size=2, max_size=6))
def test_rows_of_a_batch_lose_what_they_lose_alone(model: Any, lists: list[list[int]]) -> None:
    rows = pack([tokenised(ids, number) for number, ids in enumerate(lists)], 24)
    with torch.no_grad():
        together = supervised_losses(model, rows)
        alone = torch.cat([supervised_losses(model, [row]) for row in rows])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)


def test_a_model_that_mixes_examples_is_known_by_its_losses(model: Any) -> None:
    assert packing_is_separate(model)
    assert not packing_is_separate(_Mixing(model))
    row = packed_row([tokenised([5, 6, 7, 8])])
    with torch.no_grad():
        torch.testing.assert_close(supervised_losses(_Mixing(model), [row]), supervised_losses(model, [row]))


class _Mixing:
    """A model that attends over the whole row, as with an attention mask of ones."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.device, self.dtype = model.device, model.dtype
        self.get_input_embeddings = model.get_input_embeddings

    def __call__(self, **arguments: Any) -> Any:
        return self._model(**arguments, attention_mask=torch.ones_like(arguments["input_ids"]))

    def forward(self, input_ids: torch.Tensor) -> None: ...
