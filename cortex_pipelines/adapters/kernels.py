"""Faster implementations for a model in training, with the same numerical results.

Attention is computed within each example of a packed row. transformers masks attention between examples after
computing it, which for short examples in a long row is most of it. torch's causal kernel needs no mask, and on a GPU
one flash kernel takes all examples of a row.

On a GPU the output layer leaves its product to the loss, which takes it in chunks of positions: the logits of a row of
32,000 tokens and 150,000 words would need 20 GB, and their gradient as much again.
"""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from types import MethodType
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.attention.varlen import varlen_attn
from torch.nn.functional import linear, log_softmax, scaled_dot_product_attention

from cortex_pipelines.adapters.fused_lora import fused_lora

if TYPE_CHECKING:
    from cortex_pipelines.adapters.settings import AdapterSettings


def on_gpu(model: Any) -> bool:
    return bool(model.device.type == "cuda")


def causal_model(model: Any) -> Any:
    """The base of a model with adapters, or the model itself."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def repeated_blocks(model: Any) -> list[Any]:
    lists = [module for module in model.modules() if isinstance(module, torch.nn.ModuleList)]
    repeated = [blocks for blocks in lists if len(blocks) > 1 and len(set(map(type, blocks))) == 1]
    return [block for block_list in repeated for block in block_list]


def compile_blocks(model: Any) -> int:
    """Compile each repeated block of the model in place, on first use; returns how many.

    Blocks are compiled instead of the whole model: blocks of one class share the compiled code, so that thirty cost
    the time of one, and the position handling of packing stays outside. Raises ``ValueError`` without a C++ compiler,
    which a CPU needs.
    """
    compilers = filter(None, (os.environ.get("CXX"), "g++", "clang++"))
    if model.device.type == "cpu" and not any(map(shutil.which, compilers)):
        raise ValueError(
            "adapters.torch_compile needs a C++ compiler on a CPU, but none was found: "
            "install g++, name one in the variable CXX, or set torch_compile: false in params.yaml"
        )
    blocks = repeated_blocks(model)
    compiled = {kind: torch.compile(kind.forward, dynamic=True) for kind in {type(block) for block in blocks}}
    for block in blocks:
        block.forward = MethodType(compiled[type(block)], block)
    return len(blocks)


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

    causal = causal_model(model)
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


def attention_inputs(model: Any, positions: Sequence[int]) -> dict[str, Any]:
    """What the attention of a row needs to know of its examples, given all their positions."""
    edges = borders(positions)
    if not _has_flash_kernel(model):
        return {"example_borders": edges}
    longest = max(end - start for start, end in pairwise(edges))
    return {"example_borders": torch.tensor(edges, dtype=torch.int32, device=model.device), "longest_example": longest}


_ALIGNED = 64


def padding(model: Any, length: int) -> int:
    """Positions to add to a row of the length: a GPU's fast matrix products need rows of a round number of bytes."""
    return -length % _ALIGNED if on_gpu(model) else 0


def _has_flash_kernel(model: Any) -> bool:
    precise = model.dtype not in (torch.bfloat16, torch.float16)
    return on_gpu(model) and not precise and not getattr(model.config, "attention_dropout", 0)


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
    example_borders: Any = (),
    longest_example: int = 0,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of transformers' signature: (1, heads, row, width) to (1, row, heads, width)."""
    if unsupported := [name for name in _UNSUPPORTED if options.get(name) is not None]:
        raise NotImplementedError(f"attention with {', '.join(unsupported)}")
    if longest_example:
        groups = query.shape[1] // key.shape[1]
        output: Any = varlen_attn(
            query[0].transpose(0, 1),
            key.repeat_interleave(groups, 1)[0].transpose(0, 1),
            value.repeat_interleave(groups, 1)[0].transpose(0, 1),
            example_borders,
            example_borders,
            longest_example,
            longest_example,
            scale=scaling,
            window_size=(-1, 0),
        )
        return output[None], None
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
        inputs |= attention_inputs(model, _PROBE)
    with torch.no_grad():
        logits: torch.Tensor = model(**inputs).logits
    return logits


def _matches(model: Any, expected_logits: torch.Tensor) -> bool:
    try:
        logits = _probe(model)
    except (NotImplementedError, TypeError):  # another attention, or borders that do not reach it
        return False
    return _close(logits, expected_logits)


def _close(logits: torch.Tensor, expected: torch.Tensor) -> bool:
    tolerance = _TOLERANCE if expected.dtype == torch.float32 else _TOLERANCE_OF_HALF
    return float((logits - expected).detach().norm() / expected.norm()) < tolerance


_CHUNK = 1024  # positions; a matrix product of fewer does not fill a GPU


@contextmanager
def chunked_output(model: Any) -> Iterator[bool]:
    """Let the output layer return its input inside a context, for ``output_losses``; yields whether it does.

    A model that changes its logits after that layer (by a cap, say) is left unchanged.
    """
    layer = causal_model(model).get_output_embeddings()
    if type(layer) is not torch.nn.Linear:
        yield False
        return
    expected_logits = _probe(model)
    layer.__class__ = _DeferredOutput
    try:
        if not _close(linear(_probe(model), layer.weight, layer.bias), expected_logits):
            layer.__class__ = torch.nn.Linear
        yield uses_chunked_output(model)
    finally:
        layer.__class__ = torch.nn.Linear


def uses_chunked_output(model: Any) -> bool:
    return hasattr(model, "modules") and type(causal_model(model).get_output_embeddings()) is _DeferredOutput


class _DeferredOutput(torch.nn.Linear):
    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return input


def output_losses(model: Any, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Cross-entropy in nats, float32, of the output layer's input: (positions, width) and (positions,) to (positions,).

    Every position needs a target.
    """
    layer = causal_model(model).get_output_embeddings()
    losses: torch.Tensor = _ChunkedCrossEntropy.apply(hidden, layer.weight, layer.bias, targets)  # type: ignore[no-untyped-call]
    return losses


class _ChunkedCrossEntropy(torch.autograd.Function):
    """The gradient is computed along with the losses, from logits that are dropped then; the layer is frozen."""

    @staticmethod
    def forward(
        ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, targets: torch.Tensor
    ) -> torch.Tensor:
        losses = torch.empty(len(hidden), dtype=torch.float32, device=hidden.device)
        gradient = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        for start in range(0, len(hidden), _CHUNK):
            part = slice(start, start + _CHUNK)
            chunk_targets = targets[part]
            logs = log_softmax(linear(hidden[part], weight, bias), dim=-1, dtype=torch.float32)
            each = torch.arange(len(chunk_targets), device=hidden.device)
            losses[part] = -logs[each, chunk_targets]
            if gradient is not None:
                logs.exp_()[each, chunk_targets] -= 1
                torch.mm(logs.to(hidden.dtype), weight, out=gradient[part])
        ctx.save_for_backward(gradient)
        return losses

    @staticmethod
    def backward(ctx: Any, *outer: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return (gradient * outer[0][:, None]).to(gradient.dtype), None, None, None


@contextmanager
def use_fast_kernels(model: Any, settings: "AdapterSettings", separate: bool) -> Iterator[None]:
    """``separate``: only attention mixes the examples of a row, so that rows can be merged."""
    with ExitStack() as stack:
        stack.enter_context(fused_lora(model))
        # on a CPU, compiled blocks would be compiled again for each row's example borders
        if separate and (on_gpu(model) or not settings.torch_compile):
            stack.enter_context(per_example_attention(model))
        if on_gpu(model):
            stack.enter_context(chunked_output(model))
        if settings.torch_compile:
            compile_blocks(model)
        yield
