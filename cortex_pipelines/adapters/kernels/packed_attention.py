"""Attention within each example of a packed row.

transformers derives the borders from ``position_ids`` and masks attention between examples after
computing it: for short examples in a long row that is most of the attention. Here each example
attends to itself by torch's causal kernel, which needs no mask and on CUDA is the flash kernel.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention

_NAME = "examples_apart"
_PROBE = (0, 1, 2, 3, 0, 1, 2)  # positions of two examples
_TOLERANCE, _TOLERANCE_OF_HALF = 1e-3, 0.1  # relative; rounding is far below, a leak far above
_NOT_DONE = ("sliding_window", "softcap", "position_bias", "s_aux")


@contextmanager
def per_example_attention(model: Any) -> Iterator[bool]:
    """Restrict attention to within each example inside a context.

    Models with other attention (a sliding window, capped or biased scores), or whose attention
    transformers cannot replace, are left unchanged.

    Args:
        model: A causal language model, with or without adapter, in evaluation mode.

    Yields:
        Whether it was changed.
    """
    from transformers import AttentionInterface

    causal = model.get_base_model() if hasattr(model, "get_base_model") else model
    usual = causal.config._attn_implementation
    AttentionInterface.register(_NAME, _attention)
    wanted = _probe(model)
    try:
        if causal._supports_attention_backend:
            causal.set_attn_implementation(_NAME)
            if not _alike(model, wanted):
                causal.set_attn_implementation(usual)
        yield attends_apart(model)
    finally:
        causal.set_attn_implementation(usual)


def attends_apart(model: Any) -> bool:
    """Whether ``per_example_attention`` took effect on this model."""
    return getattr(getattr(model, "config", None), "_attn_implementation", None) == _NAME


def borders(positions: Sequence[int]) -> list[int]:
    """Start of each example in a row, from its positions, and the end of the last."""
    return [place for place, position in enumerate(positions) if not position] + [len(positions)]


def _attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    example_borders: Sequence[int] = (),
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of transformers' signature: (1, heads, row, width) to (1, row, heads, width)."""
    if asked := [name for name in _NOT_DONE if others.get(name) is not None]:
        raise NotImplementedError(f"attention with {', '.join(asked)}")
    parts = [
        scaled_dot_product_attention(
            query[:, :, start:end],
            key[:, :, start:end],
            value[:, :, start:end],
            is_causal=True,
            dropout_p=dropout,
            scale=scaling,
            enable_gqa=query.shape[1] != key.shape[1],
        )
        for start, end in pairwise(example_borders)
    ]
    return torch.cat(parts, dim=2).transpose(1, 2).contiguous(), None


def _probe(model: Any) -> torch.Tensor:
    """The model's logits for two examples in one row."""
    size = min(int(model.get_input_embeddings().num_embeddings), 1000)
    ids = [(11 * place * place + 7) % size for place in range(len(_PROBE))]
    given: dict[str, Any] = {
        "input_ids": torch.tensor([ids], device=model.device),
        "position_ids": torch.tensor([_PROBE], device=model.device),
        "use_cache": False,
    }
    if attends_apart(model):
        given["example_borders"] = borders(_PROBE)
    with torch.no_grad():
        logits: torch.Tensor = model(**given).logits
    return logits


def _alike(model: Any, wanted: torch.Tensor) -> bool:
    try:
        logits = _probe(model)
    except (NotImplementedError, TypeError):  # another attention, or borders that do not reach it
        return False
    tolerance = _TOLERANCE if wanted.dtype == torch.float32 else _TOLERANCE_OF_HALF
    return float((logits - wanted).norm() / wanted.norm()) < tolerance
