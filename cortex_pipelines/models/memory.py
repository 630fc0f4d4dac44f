"""Memory of a base by its shape, in bytes: of its weights, in training, and when it is served.

Measured on the shipped base and on a random Qwen2.5-Coder-0.5B (docs/guides/models.md), within 15 % there.
"""

from typing import Literal

from cortex_pipelines.models.shape import Shape

Width = Literal["fp32", "bf16", "int8", "nf4"]
"""How a base's linear layers are held; quantisation leaves the embedding in bf16."""

Stored = Literal["fp32", "bf16", "fp16"]
STORED = {"fp32": 4.0, "bf16": 2.0, "fp16": 2.0}
_BYTES = {"fp32": 4.0, "bf16": 2.0, "int8": 1.5, "nf4": 0.53}
"""Of a weight of a linear layer; int8 with what bitsandbytes was measured to hold besides, nf4 with the quantised
constants of its blocks (Dettmers et al. 2023)."""
_TRAINING, _SERVING = 630e6, 490e6
"""Of the process itself with its libraries."""
_ADAPTER = 16
"""Of each of an adapter's weights: itself, its gradient, and two moments of AdamW."""
_LOGITS = 4.5
"""Copies of the logits of each supervised token in float32, of which the loss is computed."""
_CHUNK = 256
"""Tokens of a prompt that are read together."""
_Q8 = 1.0625
"""Bytes of a weight in GGUF's Q8_0."""
_LLAMA, _OPENVINO = 60e6, 730e6
"""Of a process of llama.cpp, and of a gateway with OpenVINO, besides weights and caches."""


def weights(shape: Shape, width: Width) -> float:
    embedding = shape.embedding * (4 if width == "fp32" else 2)
    return shape.linear * _BYTES[width] + embedding


def training(
    shape: Shape,
    width: Width,
    *,
    tokens: int,
    rank: int,
    supervised: float = 1.0,
    recomputed: bool = False,
    stored: Stored | None = None,
) -> float:
    """Peak of a training step over ``tokens`` (rows and their length), of which a share is ``supervised``.

    ``stored``: type of the weights' file, whose conversion on a processor may take more than a step: the process then
    shows the file's pages, too, which the system takes back where memory is short.
    """
    value = 4 if width == "fp32" else 2
    layer = value * (4 * shape.feed_forward + 6 * shape.hidden + 5 * shape.heads * shape.head_dim)
    activations = layer + shape.layers * shape.hidden * value if recomputed else shape.layers * layer
    logits = supervised * shape.vocabulary * 4 * _LOGITS
    adapter = shape.lora(rank) * _ADAPTER
    resident = _TRAINING + weights(shape, width)
    file = shape.weights * STORED[stored] if stored and stored != width else 0
    return resident + max(file, adapter + tokens * (activations + logits))


def serving(shape: Shape, width: Width, *, context: int) -> float:
    """With one prompt and answer of all of the context in memory, its keys and values in float32."""
    cache = 2 * 4 * shape.layers * shape.kv_heads * shape.head_dim * context
    return _SERVING + weights(shape, width) + cache + 2 * 4 * _CHUNK * shape.vocabulary


def serving_llama(shape: Shape, *, context: int, slots: int) -> float:
    """In 8 bits by llama.cpp: base and one adapter share the weights; each holds ``slots`` contexts."""
    cache = 2 * 2 * shape.layers * shape.kv_heads * shape.head_dim * context * slots
    return _SERVING + _Q8 * shape.weights + 2 * (cache + _LLAMA)


def serving_openvino(shape: Shape, *, context: int, slots: int, tiled: bool) -> float:
    """In 8 bits by OpenVINO: base and one adapter have weights and ``slots`` contexts each, and one for its check.

    ``tiled``: prompts are read by tiles, which takes the weights again; the contexts are then of 8 bits, else of 16.
    The pages of its files, which the system takes back, come on top.
    """
    cache = (1 if tiled else 2) * 2 * shape.layers * shape.kv_heads * shape.head_dim * context * (slots + 1)
    return _OPENVINO + 2 * ((2 if tiled else 1) * _Q8 * shape.weights + cache)
