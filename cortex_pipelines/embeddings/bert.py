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


_SEVERAL = 3
"""Texts of a block from which plain products are quicker than torch's attention: on a dozen tokens thrice."""

_STEEPEST = 60.0
"""Scores of attention are kept within it, so that sums of values weighted by their exponentials are finite."""


class _Linear:
    """Linear layer ``values @ weight.T + bias`` with an optional fused addition or activation (GELU)."""

    def __init__(self, weight: "torch.Tensor", bias: "torch.Tensor") -> None:
        import torch

        self._bias = bias
        # whether oneDNN supports this type on this processor
        mkldnn = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        half = weight.dtype != torch.float32
        self._packed = mkldnn and (not half or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()))
        # what torch's own compiler emits for a CPU; torch is required in one exact version
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight, _ROWS) if self._packed else weight

    def __call__(self, values: "torch.Tensor", plus: "torch.Tensor | None" = None, gelu: bool = False) -> Any:
        import torch

        if not self._packed:
            projected = torch.nn.functional.linear(values, self._weight, self._bias)
            projected = projected if plus is None else projected + plus
            return torch.nn.functional.gelu(projected) if gelu else projected
        linear = torch.ops.mkldnn._linear_pointwise
        if plus is None:
            return linear(values, self._weight, self._bias, *(("gelu", [], "none") if gelu else ("none", [], "")))
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

    def states(self, blocks: "Sequence[torch.Tensor]", quick: bool = False) -> "list[list[torch.Tensor]]":
        """Hidden states after each layer, for each block of shape (texts, tokens, width).

        All blocks go through a layer's products together, as rows of one matrix: a handful of short
        texts of different lengths would else cost a pass for each length.

        Args:
            blocks: Tokens, each of shape (texts, tokens); nothing is padding.
            quick: Whether to take less time, with other last digits.
        """
        import torch

        size, epsilon, norm = (self.width,), self._epsilon, torch.layer_norm
        attend = self._attend_quickly if quick else self._attend
        shapes = [(block.shape[0], block.shape[1]) for block in blocks]
        rows = [texts * tokens for texts, tokens in shapes]
        words = [torch.embedding(self._words, block) + self._positions[: block.shape[1]] for block in blocks]
        values = norm(_joined([block.view(-1, self.width) for block in words]), size, *self._norm, epsilon)
        states: list[list[torch.Tensor]] = [[] for _ in blocks]
        for layer in self._layers:
            parts = layer.qkv(values).split_with_sizes(rows)
            attended = [attend(part, *shape) for part, shape in zip(parts, shapes, strict=True)]
            values = norm(layer.mixed(_joined(attended), values), size, *layer.first_norm, epsilon)
            wide = layer.wide(values, gelu=True) if quick else torch.nn.functional.gelu(layer.wide(values))
            values = norm(layer.narrow(wide, values), size, *layer.second_norm, epsilon)
            for block_states, part, shape in zip(states, values.split_with_sizes(rows), shapes, strict=True):
                block_states.append(part.view(*shape, self.width))
        return states

    def _attend(self, projected: "torch.Tensor", texts: int, tokens: int) -> "torch.Tensor":
        import torch

        shape = (texts, tokens, 3, self._heads, self.width // self._heads)
        query, key, value = projected.view(shape).permute(2, 0, 3, 1, 4)
        mixed = torch.nn.functional.scaled_dot_product_attention(query, key, value)
        return mixed.transpose(1, 2).reshape(texts * tokens, self.width)

    def _attend_quickly(self, projected: "torch.Tensor", texts: int, tokens: int) -> "torch.Tensor":
        import torch

        if texts < _SEVERAL:
            return self._attend(projected, texts, tokens)
        heads, width = self._heads, self.width // self._heads
        parts = projected.view(texts, tokens, 3, heads, width).permute(2, 0, 3, 1, 4)
        query, key, value = parts.reshape(3, texts * heads, tokens, width)
        scores = torch.baddbmm(query.new_empty(()), query, key.transpose(1, 2), beta=0, alpha=width**-0.5)
        shares = scores.clamp_(-_STEEPEST, _STEEPEST).exp_()
        mixed = torch.bmm(shares, value).div_(shares.sum(dim=2, keepdim=True))
        return mixed.view(texts, heads, tokens, width).transpose(1, 2).reshape(texts * tokens, self.width)


def _joined(parts: "Sequence[torch.Tensor]") -> "torch.Tensor":
    import torch

    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


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
