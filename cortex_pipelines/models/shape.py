"""Shape of a base by its ``config.json``: how many weights it has, and its context."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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
