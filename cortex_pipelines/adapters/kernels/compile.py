"""Compile the base model's blocks with ``torch.compile``, equal up to rounding."""

import os
import shutil
from typing import Any


def compile_blocks(model: Any) -> int:
    """Compile each repeated block of the model in place, on first use; returns how many.

    Blocks are compiled instead of the whole model: blocks of one class share the compiled code, so that thirty cost
    the time of one, and the position handling of packing stays outside. Raises ``ValueError`` without a C++ compiler,
    which a CPU needs.
    """
    from torch.nn import ModuleList

    if model.device.type == "cpu" and not any(map(shutil.which, _compilers())):
        raise ValueError(
            "adapters.torch_compile needs a C++ compiler on a CPU, but none was found: "
            "install g++, name one in the variable CXX, or set torch_compile: false in params.yaml"
        )
    lists = [module for module in model.modules() if isinstance(module, ModuleList)]
    blocks = [block for block_list in lists if _is_repeated(block_list) for block in block_list]
    for block in blocks:
        block.compile(dynamic=True)
    return len(blocks)


def _compilers() -> list[str]:
    return [name for name in (os.environ.get("CXX"), "g++", "clang++") if name]


def _is_repeated(modules: Any) -> bool:
    return len(modules) > 1 and len({type(module) for module in modules}) == 1
