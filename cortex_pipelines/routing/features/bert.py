"""Forward pass of a BERT encoder, reduced to what sentence embedding needs.

The general implementation spends more time in Python than in arithmetic on a task of a dozen
tokens, and reorders each layer's weights anew for every text; here they are kept in the order in
which the processor's matrix units read them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


_ROWS = 16
"""Rows (tokens) that packed weights are laid out for, as in one short task; larger batches are not
measurably slower."""


class _Linear:
    """Linear layer ``values @ weight.T + bias`` with an optional fused addition.

    Args:
        weight: Shape (outputs, inputs).
        bias: Shape (outputs,).
    """

    def __init__(self, weight: "torch.Tensor", bias: "torch.Tensor") -> None:
        import torch

        self._bias = bias
        self._packed = _can_pack(weight)
        # what torch's own compiler emits for a CPU; torch is required in one exact version
        self._weight = (
            torch.ops.mkldnn._reorder_linear_weight(weight, _ROWS) if self._packed else weight
        )

    def __call__(self, values: "torch.Tensor", plus: "torch.Tensor | None" = None) -> Any:
        """The product, shape (…, outputs).

        Args:
            values: Shape (…, inputs).
            plus: Shape (…, outputs), added to it.
        """
        import torch

        if not self._packed:
            projected = torch.nn.functional.linear(values, self._weight, self._bias)
            return projected if plus is None else projected + plus
        linear = torch.ops.mkldnn._linear_pointwise
        if plus is None:
            return linear(values, self._weight, self._bias, "none", [], "")
        return linear.binary(values, plus, self._weight, self._bias, "add")


def _can_pack(weight: "torch.Tensor") -> bool:
    """Whether oneDNN supports this type on this processor."""
    import torch

    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    return weight.dtype == torch.float32 or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


@dataclass(frozen=True)
class _Layer:
    """Weights of one layer, with query, key and value fused."""

    qkv: _Linear
    mixed: _Linear
    wide: _Linear
    narrow: _Linear
    first_norm: "tuple[torch.Tensor, torch.Tensor]"
    second_norm: "tuple[torch.Tensor, torch.Tensor]"


class BertForward:
    """Hidden states for texts of equal length.

    Args:
        folder: Folder with ``model.safetensors``.
        config: Its ``config.json``; ``model_type`` is bert and the activation gelu.
        precision: ``fp32`` or ``bf16``.

    Raises:
        KeyError: the file lacks a weight that a BERT has.
    """

    def __init__(self, folder: Path, config: Mapping[str, Any], precision: str) -> None:
        import torch
        from safetensors.torch import load_file

        kind = torch.bfloat16 if precision == "bf16" else torch.float32
        stored = load_file(folder / "model.safetensors")
        weights = {name.removeprefix("bert."): value.to(kind) for name, value in stored.items()}
        self._heads = int(config["num_attention_heads"])
        self._epsilon = float(config["layer_norm_eps"])
        self._words = weights["embeddings.word_embeddings.weight"]
        self._places = (
            weights["embeddings.position_embeddings.weight"]
            + weights["embeddings.token_type_embeddings.weight"][0]
        )
        self._norm = _pair(weights, "embeddings.LayerNorm")
        self._layers = [
            _layer(weights, f"encoder.layer.{number}")
            for number in range(int(config["num_hidden_layers"]))
        ]

    @property
    def width(self) -> int:
        """Dimensions of a hidden state."""
        return int(self._words.shape[1])

    @property
    def longest(self) -> int:
        """Largest number of position embeddings, in tokens."""
        return int(self._places.shape[0])

    def states(self, ids: "torch.Tensor") -> "list[torch.Tensor]":
        """Hidden states after each layer, each of shape (texts, tokens, width).

        Args:
            ids: Tokens, shape (texts, tokens); nothing is padding.
        """
        import torch

        size, epsilon = (self.width,), self._epsilon
        norm, gelu = torch.nn.functional.layer_norm, torch.nn.functional.gelu
        values = norm(self._words[ids] + self._places[: ids.shape[1]], size, *self._norm, epsilon)
        states = []
        for layer in self._layers:
            mixed = layer.mixed(self._attend(layer, values), values)
            values = norm(mixed, size, *layer.first_norm, epsilon)
            narrow = layer.narrow(gelu(layer.wide(values)), values)
            values = norm(narrow, size, *layer.second_norm, epsilon)
            states.append(values)
        return states

    def _attend(self, layer: _Layer, values: "torch.Tensor") -> "torch.Tensor":
        import torch

        texts, tokens, width = values.shape
        shape = (texts, tokens, 3, self._heads, width // self._heads)
        query, key, value = layer.qkv(values).view(shape).permute(2, 0, 3, 1, 4)
        mixed = torch.nn.functional.scaled_dot_product_attention(query, key, value)
        return mixed.transpose(1, 2).reshape(texts, tokens, width)


def _pair(weights: "Mapping[str, torch.Tensor]", name: str) -> "tuple[torch.Tensor, torch.Tensor]":
    return weights[f"{name}.weight"].contiguous(), weights[f"{name}.bias"].contiguous()


def _layer(weights: "Mapping[str, torch.Tensor]", name: str) -> _Layer:
    import torch

    parts = [_pair(weights, f"{name}.attention.self.{part}") for part in ("query", "key", "value")]
    return _Layer(
        qkv=_Linear(
            torch.cat([weight for weight, _ in parts]), torch.cat([bias for _, bias in parts])
        ),
        mixed=_Linear(*_pair(weights, f"{name}.attention.output.dense")),
        wide=_Linear(*_pair(weights, f"{name}.intermediate.dense")),
        narrow=_Linear(*_pair(weights, f"{name}.output.dense")),
        first_norm=_pair(weights, f"{name}.attention.output.LayerNorm"),
        second_norm=_pair(weights, f"{name}.output.LayerNorm"),
    )
