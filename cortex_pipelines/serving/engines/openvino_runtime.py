"""OpenVINO as one process uses it."""

import sys
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

_LARGEST = 127


def load_openvino() -> Any:
    """The package, without what would report each conversion to its makers."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


@cache
def openvino_core() -> Any:
    """OpenVINO's core, which has to last as long as the process.

    It gives the thread that compiles first a stack for signals, and frees that stack with itself: whichever thread let
    go of it last, the next signal would end the process.
    """
    return load_openvino().Core()


def compiled(graph: Any, threads: int, precision: str, **options: Any) -> Any:
    """A request of a compiled graph; ``precision`` is ``f32`` or ``bf16``."""
    settings = {
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,  # other processes have the same processors
    }
    return openvino_core().compile_model(graph, "CPU", settings | options).create_infer_request()


def rounded_to_8_bits(matrix: npt.NDArray[np.float32]) -> Any:
    """A matrix in 8 bits with a scale a row, restored in the form that the processor's kernels read."""
    opset = load_openvino().opset13
    scales = np.maximum(np.abs(matrix).max(axis=1, keepdims=True), np.finfo(np.float32).tiny) / _LARGEST
    rounded = opset.constant(np.rint(matrix / scales).astype(np.int8))
    return opset.multiply(opset.convert(rounded, np.float32), opset.constant(scales))
