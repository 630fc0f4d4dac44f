"""Attention within each example of a packed row.

transformers derives the example borders from ``position_ids`` and masks attention between examples
after computing it: for short examples in a long row that is most of the attention. Here each
example attends to itself by torch's causal kernel, which needs no mask and on CUDA is the flash
kernel.
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
_UNSUPPORTED = ("sliding_window", "softcap", "position_bias", "s_aux")


@contextmanager
def per_example_attention(model: Any) -> Iterator[bool]:
    """Restrict attention to within each example inside a context; yields whether the model was changed.

    Models with other attention (a sliding window, capped or biased scores), or whose attention transformers cannot
    replace, are left unchanged.
    """
    from transformers import AttentionInterface

    causal = model.get_base_model() if hasattr(model, "get_base_model") else model
    default_attention = causal.config._attn_implementation
    AttentionInterface.register(_NAME, _attention)
    expected_logits = _probe(model)
    try:
        if causal._supports_attention_backend:
            causal.set_attn_implementation(_NAME)
            if not _matches(model, expected_logits):
                causal.set_attn_implementation(default_attention)
        yield uses_per_example_attention(model)
    finally:
        causal.set_attn_implementation(default_attention)


def uses_per_example_attention(model: Any) -> bool:
    return getattr(getattr(model, "config", None), "_attn_implementation", None) == _NAME


def borders(positions: Sequence[int]) -> list[int]:
    return [index for index, position in enumerate(positions) if not position] + [len(positions)]


def _attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    example_borders: Sequence[int] = (),
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of transformers' signature: (1, heads, row, width) to (1, row, heads, width)."""
    if unsupported := [name for name in _UNSUPPORTED if options.get(name) is not None]:
        raise NotImplementedError(f"attention with {', '.join(unsupported)}")
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
    size = min(int(model.get_input_embeddings().num_embeddings), 1000)
    ids = [(11 * position * position + 7) % size for position in range(len(_PROBE))]
    inputs: dict[str, Any] = {
        "input_ids": torch.tensor([ids], device=model.device),
        "position_ids": torch.tensor([_PROBE], device=model.device),
        "use_cache": False,
    }
    if uses_per_example_attention(model):
        inputs["example_borders"] = borders(_PROBE)
    with torch.no_grad():
        logits: torch.Tensor = model(**inputs).logits
    return logits


def _matches(model: Any, expected_logits: torch.Tensor) -> bool:
    try:
        logits = _probe(model)
    except (NotImplementedError, TypeError):  # another attention, or borders that do not reach it
        return False
    tolerance = _TOLERANCE if expected_logits.dtype == torch.float32 else _TOLERANCE_OF_HALF
    return float((logits - expected_logits).norm() / expected_logits.norm()) < tolerance
