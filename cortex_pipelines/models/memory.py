"""Memory of a base by its shape, in bytes: of its weights, in training, and when it is served.

Measured on the shipped base and on a random Qwen2.5-Coder-0.5B (docs/guides/models.md); within 15 % there, but for
nf4 on a processor, whose peak is while it is loaded.
"""

from typing import Literal

from cortex_pipelines.models.shape import Shape

Width = Literal["fp32", "bf16", "int8", "nf4"]
"""How a base's linear layers are held; quantisation leaves the embedding in bf16."""

_BYTES = {"fp32": 4.0, "bf16": 2.0, "int8": 1.0, "nf4": 0.53}
"""Of a weight of a linear layer; nf4 with the quantised constants of its blocks (Dettmers et al. 2023)."""
_TRAINING, _SERVING = 630e6, 490e6
"""Of the process itself with its libraries."""
_ADAPTER = 16
"""Of each of an adapter's weights: itself, its gradient, and two moments of AdamW."""
_LOGITS = 4.5
"""Copies of the logits of each supervised token in float32, of which the loss is computed."""
_CHUNK = 256
"""Tokens of a prompt that are read together."""


def weights(shape: Shape, width: Width) -> float:
    embedding = shape.embedding * (4 if width == "fp32" else 2)
    return shape.linear * _BYTES[width] + embedding


def training(
    shape: Shape, width: Width, *, tokens: int, rank: int, supervised: float = 1.0, recomputed: bool = False
) -> float:
    """Peak of a training step over ``tokens`` (rows and their length), of which a share is ``supervised``."""
    value = 4 if width == "fp32" else 2
    layer = value * (4 * shape.feed_forward + 6 * shape.hidden + 5 * shape.heads * shape.head_dim)
    activations = layer + shape.layers * shape.hidden * value if recomputed else shape.layers * layer
    logits = supervised * shape.vocabulary * 4 * _LOGITS
    adapter = shape.lora(rank) * _ADAPTER
    return _TRAINING + weights(shape, width) + adapter + tokens * (activations + logits)


def serving(shape: Shape, width: Width, *, context: int) -> float:
    """With one prompt and answer of all of the context in memory, its keys and values in float32."""
    cache = 2 * 4 * shape.layers * shape.kv_heads * shape.head_dim * context
    return _SERVING + weights(shape, width) + cache + 2 * 4 * _CHUNK * shape.vocabulary
