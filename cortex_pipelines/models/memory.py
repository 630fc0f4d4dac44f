"""Memory of a base by its shape, in bytes: of its weights, in training, and when it is served.

Measured on the shipped base and on a random Qwen2.5-Coder-0.5B (docs/guides/models.md), within 15 % there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from cortex_pipelines.models.family import Family, first, original_context, rope_of


@dataclass(frozen=True)
class Shape:
    """Sizes of a decoder; ``heads`` of the query, ``kv_heads`` of key and value, each ``head_dim`` wide."""

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    feed_forward: int
    vocabulary: int
    context: int
    tied: bool
    gated: bool

    @property
    def embedding(self) -> int:
        """Weights of the embedding, and of the last layer where it has its own."""
        return self.vocabulary * self.hidden * (1 if self.tied else 2)

    @property
    def linear(self) -> int:
        """Weights of the linear layers, which quantisation makes smaller; norms and biases are too few to count."""
        attention = self.hidden * self.head_dim * 2 * (self.heads + self.kv_heads)
        return self.layers * (attention + (3 if self.gated else 2) * self.hidden * self.feed_forward)

    @property
    def weights(self) -> int:
        return self.embedding + self.linear

    def lora(self, rank: int) -> int:
        """Weights of an adapter of all linear layers."""
        query, key = self.heads * self.head_dim, self.kv_heads * self.head_dim
        ends = 2 * (self.hidden + query) + 2 * (self.hidden + key)
        return self.layers * rank * (ends + (3 if self.gated else 2) * (self.hidden + self.feed_forward))


def shape_of(config: Mapping[str, Any], family: Family) -> Shape:
    """ValueError: a size is missing in ``config.json``, or impossible."""
    try:
        heads = int(first(config, ("num_attention_heads", "n_head", "num_heads")))
        hidden = int(first(config, ("hidden_size", "n_embd", "d_model")))
        layers = int(first(config, ("num_hidden_layers", "n_layer", "num_layers")))
        vocabulary = int(config["vocab_size"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"config.json lacks a size of the model, such as hidden_size ({error})") from error
    kv_heads = int(first(config, ("num_key_value_heads",), heads))
    if min(heads, hidden, layers, vocabulary, kv_heads) < 1 or heads % kv_heads:
        raise ValueError(
            f"config.json has impossible sizes: {layers} layers of {hidden}, {heads} heads, {kv_heads} of key and value"
        )
    return Shape(
        layers,
        hidden,
        heads,
        kv_heads,
        int(first(config, ("head_dim", "d_kv"), hidden // heads)),
        int(first(config, ("intermediate_size", "n_inner", "d_ff"), 4 * hidden)),
        vocabulary,
        context_of(config, family),
        bool(config.get("tie_word_embeddings", family.name in ("gemma3", "starcoder2"))),
        family.gated,
    )


def context_of(config: Mapping[str, Any], family: Family) -> int:
    """Tokens of prompt and answer.

    llama.cpp limits some families to their sliding window; embeddings of type longrope are other ones for longer texts,
    chosen by torch for each text and by llama.cpp for all.
    """
    context = int(first(config, ("max_position_embeddings", "n_positions"), family.context))
    if rope_of(config)["rope_type"] == "longrope":
        context = min(context, original_context(config))
    window = config.get("sliding_window") if config.get("use_sliding_window", True) else None
    slides = family.gguf is not None and family.gguf.sliding
    return min(context, int(window)) if window and not slides else context


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
