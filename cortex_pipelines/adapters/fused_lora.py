"""LoRA layers as a single autograd function in the precision of the base, with the same numerical results.

peft casts a layer's input to the adapter's float32 and keeps it in addition to the base's, a third of the step time in
bfloat16. Here the two small matrices are cast instead, only for the step; their weights and gradients stay float32.
Activations of the rank's width are stored transposed, (rank, positions), which cuts the time of their products to a
third or less.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from typing import Any

import torch
from peft.tuners.lora.layer import Linear
from torch.nn.functional import linear


@contextmanager
def fused_lora(model: Any) -> Iterator[int]:
    """Replace the model's LoRA layers by fused ones within a context; yields how many.

    A layer that needs more than the plain update (dropout, a variant such as DoRA, a base that is neither a plain
    linear layer nor one in 8 or 4 bits) is left to peft.
    """
    bases = _bases()
    plain = [layer for layer in model.modules() if type(layer) in bases and _is_plain(layer, bases)]
    changed: list[tuple[Any, Any]] = [(layer, type(layer)) for layer in plain]
    for layer, kind in changed:
        layer.__class__ = _lean(kind)
    try:
        yield len(changed)
    finally:
        for layer, kind in changed:
            layer.__class__ = kind


def _bases() -> dict[type, type]:
    """The base that each of peft's LoRA layers needs for the fused one."""
    if find_spec("bitsandbytes") is None:
        return {Linear: torch.nn.Linear}
    from bitsandbytes.nn import modules
    from peft.tuners.lora import bnb

    return {Linear: torch.nn.Linear, bnb.Linear8bitLt: modules.Linear8bitLt, bnb.Linear4bit: modules.Linear4bit}


def _is_plain(layer: Any, bases: dict[type, type]) -> bool:
    names = layer.active_adapters
    return (
        len(names) == 1
        and not layer.merged
        and type(layer.base_layer) is bases[type(layer)]
        and names[0] not in layer.lora_variant
        and isinstance(layer.lora_dropout[names[0]], torch.nn.Identity)
        and layer.lora_B[names[0]].bias is None
    )


@cache
def _lean(kind: Any) -> type:
    """A fused LoRA layer's class; one of its own so that all layers compile once."""
    return type(f"_Lean{kind.__name__}", (kind,), {"forward": _fused_forward})


def _fused_forward(self: Any, x: torch.Tensor) -> torch.Tensor:
    if self.disable_adapters:
        out: torch.Tensor = self.base_layer(x)
        return out
    name, base = self.active_adapters[0], self.base_layer
    return _FusedLoraFunction.apply(  # type: ignore[no-any-return, no-untyped-call]
        x,
        base.weight,
        base.bias,
        self.lora_A[name].weight,
        self.lora_B[name].weight,
        self.scaling[name],
        _packing(base),
    )


def _packing(base: Any) -> Any:
    """Of a layer in 8 bits the largest weight of each row, (outputs,); of one in 4 bits its state; else None."""
    if (state := getattr(base, "state", None)) is not None:  # which has it from the layer's first use on
        return base.weight.SCB if state.SCB is None else state.SCB
    return getattr(base.weight, "quant_state", None)


_LARGEST_INT8 = 127


def _unpacked(weight: torch.Tensor, packing: Any, like: torch.Tensor) -> torch.Tensor:
    """A layer's matrix, which one in 8 or 4 bits does not keep."""
    if packing is None:
        return weight
    if isinstance(packing, torch.Tensor):
        return (weight * (packing / _LARGEST_INT8)[:, None]).to(like.dtype)
    from bitsandbytes.functional import dequantize_4bit

    return dequantize_4bit(weight, packing).to(like.dtype)


class _FusedLoraFunction(torch.autograd.Function):
    """x W' + b + s x A' B', with gradients for x, A and B; W is frozen."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        down: torch.Tensor,
        up: torch.Tensor,
        scaling: float,
        packing: Any,
    ) -> torch.Tensor:
        flat = x.reshape(-1, x.shape[-1])
        small_down, small_up = down.to(x.dtype), (up * scaling).to(x.dtype).t().contiguous()
        inner = small_down @ flat.t()
        ctx.save_for_backward(flat, weight, small_down, small_up, inner)
        ctx.scaling, ctx.packing = scaling, packing
        out = linear(flat, _unpacked(weight, packing, flat), bias).addmm_(inner.t(), small_up)
        return out.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *outer: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        flat, weight, small_down, small_up, inner = ctx.saved_tensors
        shape = outer[0].shape
        output_gradient = outer[0].reshape(-1, shape[-1])
        inner_gradient = small_up @ output_gradient.t()
        x_gradient = None
        if ctx.needs_input_grad[0]:
            matrix = _unpacked(weight, ctx.packing, output_gradient)
            x_gradient = (output_gradient @ matrix).addmm_(inner_gradient.t(), small_down).view(*shape[:-1], -1)
        down = (inner_gradient @ flat).float()
        up = (inner @ output_gradient).t().float() * ctx.scaling
        return x_gradient, None, None, down, up, None, None
