"""Apply faster implementations to a model in training, with the same numerical results."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from cortex_pipelines.adapters.kernels.compile import compile_blocks
from cortex_pipelines.adapters.kernels.fused_lora import fused_lora
from cortex_pipelines.adapters.kernels.packed_attention import per_example_attention
from cortex_pipelines.adapters.settings import AdapterSettings


@contextmanager
def use_fast_kernels(model: Any, settings: AdapterSettings, separate: bool) -> Iterator[None]:
    """``separate``: only attention mixes the examples of a row, so that rows can be merged."""
    with ExitStack() as stack:
        stack.enter_context(fused_lora(model))
        if settings.torch_compile:
            # per-example attention would recompile for each row's example borders
            compile_blocks(model)
        elif separate:
            stack.enter_context(per_example_attention(model))
        yield
