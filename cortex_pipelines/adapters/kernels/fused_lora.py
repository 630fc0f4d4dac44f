"""LoRA layers as a single autograd function in the precision of the base.

peft casts a layer's input to the adapter's float32 and keeps it in addition to the base's input,
for each of seven layers per block: a third of the step time in bfloat16. Here the two small
matrices are cast to the base's precision instead, only for the step; their weights and gradients
stay float32. Activations of the rank's width are stored transposed, (rank, positions), which cuts
the time of their products to a third or less.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from peft.tuners.lora.layer import Linear
from torch.nn.functional import linear


@contextmanager
def fused_lora(model: Any) -> Iterator[int]:
    """Replace the model's LoRA layers by fused ones within a context; yields how many.

    A layer that needs more than the plain update (dropout, a variant such as DoRA, a base that is not a plain linear
    layer) is left to peft.
    """
    changed = [layer for layer in model.modules() if type(layer) is Linear and _is_plain(layer)]
    for layer in changed:
        layer.__class__ = _LeanLinear
    try:
        yield len(changed)
    finally:
        for layer in changed:
            layer.__class__ = Linear


def _is_plain(layer: Any) -> bool:
    names = layer.active_adapters
    return (
        len(names) == 1
        and not layer.merged
        and type(layer.base_layer) is torch.nn.Linear
        and names[0] not in layer.lora_variant
        and isinstance(layer.lora_dropout[names[0]], torch.nn.Identity)
        and layer.lora_B[names[0]].bias is None
    )


class _LeanLinear(Linear):  # type: ignore[misc]
    """A fused LoRA layer; a separate class so that all layers compile once."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.disable_adapters:
            out: torch.Tensor = self.base_layer(x)
            return out
        name = self.active_adapters[0]
        return _FusedLoraFunction.apply(  # type: ignore[no-any-return, no-untyped-call]
            x,
            self.base_layer.weight,
            self.base_layer.bias,
            self.lora_A[name].weight,
            self.lora_B[name].weight,
            self.scaling[name],
        )


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
    ) -> torch.Tensor:
        flat = x.reshape(-1, x.shape[-1])
        small_down, small_up = down.to(x.dtype), (up * scaling).to(x.dtype).t().contiguous()
        inner = small_down @ flat.t()
        ctx.save_for_backward(flat, weight, small_down, small_up, inner)
        ctx.scaling = scaling
        out = linear(flat, weight, bias).addmm_(inner.t(), small_up)
        return out.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *outer: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        flat, weight, small_down, small_up, inner = ctx.saved_tensors
        shape = outer[0].shape
        output_gradient = outer[0].reshape(-1, shape[-1])
        inner_gradient = small_up @ output_gradient.t()
        x_gradient = None
        if ctx.needs_input_grad[0]:
            x_gradient = (output_gradient @ weight).addmm_(inner_gradient.t(), small_down).view(*shape[:-1], -1)
        down = (inner_gradient @ flat).float()
        up = (inner @ output_gradient).t().float() * ctx.scaling
        return x_gradient, None, None, down, up, None
