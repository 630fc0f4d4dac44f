"""Forward pass of a BERT encoder, reduced to what sentence embedding needs.

The general implementation spends more time in Python than in arithmetic on a task of a dozen tokens, and reorders each
layer's weights for every text; here they are kept in the order in which the processor's matrix units read them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


_ROWS = 16
"""Rows (tokens) that packed weights are laid out for, as in one short task; larger batches are not
measurably slower."""


class _Linear:
    """Linear layer ``values @ weight.T + bias`` with an optional fused addition."""

    def __init__(self, weight: "torch.Tensor", bias: "torch.Tensor") -> None:
        import torch

        self._bias = bias
        # whether oneDNN supports this type on this processor
        mkldnn = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        half = weight.dtype != torch.float32
        self._packed = mkldnn and (not half or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()))
        # what torch's own compiler emits for a CPU; torch is required in one exact version
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight, _ROWS) if self._packed else weight

    def __call__(self, values: "torch.Tensor", plus: "torch.Tensor | None" = None) -> Any:
        import torch

        if not self._packed:
            projected = torch.nn.functional.linear(values, self._weight, self._bias)
            return projected if plus is None else projected + plus
        linear = torch.ops.mkldnn._linear_pointwise
        if plus is None:
            return linear(values, self._weight, self._bias, "none", [], "")
        return linear.binary(values, plus, self._weight, self._bias, "add")


@dataclass(frozen=True)
class _Layer:
    qkv: _Linear
    mixed: _Linear
    wide: _Linear
    narrow: _Linear
    first_norm: "tuple[torch.Tensor, torch.Tensor]"
    second_norm: "tuple[torch.Tensor, torch.Tensor]"


class BertForward:
    """Hidden states of texts, in blocks of equal length.

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
        self._positions = (
            weights["embeddings.position_embeddings.weight"] + weights["embeddings.token_type_embeddings.weight"][0]
        )
        self.width, self.longest = int(self._words.shape[1]), int(self._positions.shape[0])
        self._norm = _pair(weights, "embeddings.LayerNorm")
        self._layers = [
            _layer(weights, f"encoder.layer.{number}") for number in range(int(config["num_hidden_layers"]))
        ]

    def states(self, blocks: "Sequence[torch.Tensor]") -> "list[list[torch.Tensor]]":
        """Hidden states after each layer, for each block of shape (texts, tokens, width).

        All blocks go through a layer's products together, as rows of one matrix: a handful of short
        texts of different lengths would else cost a pass for each length.

        Args:
            blocks: Tokens, each of shape (texts, tokens); nothing is padding.
        """
        import torch

        size, epsilon = (self.width,), self._epsilon
        norm, gelu = torch.nn.functional.layer_norm, torch.nn.functional.gelu
        shapes = [(block.shape[0], block.shape[1]) for block in blocks]
        rows = [texts * tokens for texts, tokens in shapes]
        ids = torch.cat([block.flatten() for block in blocks])
        positions = torch.cat([self._positions[:tokens].repeat(texts, 1) for texts, tokens in shapes])
        values = norm(self._words[ids] + positions, size, *self._norm, epsilon)
        states: list[list[torch.Tensor]] = [[] for _ in blocks]
        for layer in self._layers:
            attended = [
                self._attend(part, *shape)
                for part, shape in zip(torch.split(layer.qkv(values), rows), shapes, strict=True)
            ]
            mixed = layer.mixed(torch.cat(attended) if len(attended) > 1 else attended[0], values)
            values = norm(mixed, size, *layer.first_norm, epsilon)
            narrow = layer.narrow(gelu(layer.wide(values)), values)
            values = norm(narrow, size, *layer.second_norm, epsilon)
            for block_states, part, shape in zip(states, torch.split(values, rows), shapes, strict=True):
                block_states.append(part.view(*shape, self.width))
        return states

    def _attend(self, projected: "torch.Tensor", texts: int, tokens: int) -> "torch.Tensor":
        import torch

        shape = (texts, tokens, 3, self._heads, self.width // self._heads)
        query, key, value = projected.view(shape).permute(2, 0, 3, 1, 4)
        mixed = torch.nn.functional.scaled_dot_product_attention(query, key, value)
        return mixed.transpose(1, 2).reshape(texts * tokens, self.width)


def _pair(weights: "Mapping[str, torch.Tensor]", name: str) -> "tuple[torch.Tensor, torch.Tensor]":
    return weights[f"{name}.weight"].contiguous(), weights[f"{name}.bias"].contiguous()


def _layer(weights: "Mapping[str, torch.Tensor]", name: str) -> _Layer:
    import torch

    parts = [_pair(weights, f"{name}.attention.self.{part}") for part in ("query", "key", "value")]
    return _Layer(
        qkv=_Linear(torch.cat([weight for weight, _ in parts]), torch.cat([bias for _, bias in parts])),
        mixed=_Linear(*_pair(weights, f"{name}.attention.output.dense")),
        wide=_Linear(*_pair(weights, f"{name}.intermediate.dense")),
        narrow=_Linear(*_pair(weights, f"{name}.output.dense")),
        first_norm=_pair(weights, f"{name}.attention.output.LayerNorm"),
        second_norm=_pair(weights, f"{name}.output.LayerNorm"),
    )
