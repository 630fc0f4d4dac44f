"""What this machine has for a model: processors, memory, a GPU; read without loading torch."""

import shutil
import subprocess  # nosec B404
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import psutil

_LIMIT = Path("/sys/fs/cgroup/memory.max")
_CPU = Path("/proc/cpuinfo")
_BF16_FROM = 8.0
"""Compute capability of GPUs that multiply in bfloat16 (Ampere)."""


@dataclass(frozen=True)
class Machine:
    """``memory`` and ``gpu_memory`` in bytes, the latter 0 without a GPU.

    Args:
        bf16: Whether there are instructions for bfloat16: of the GPU if there is one.
        vnni: Whether the processor has instructions that add up products of 8-bit numbers.
        amx: Whether it has tiles that multiply matrices of bfloat16.
    """

    cores: int
    memory: float
    gpu_memory: float
    bf16: bool
    vnni: bool = False
    amx: bool = False

    @property
    def precision(self) -> Literal["fp32", "bf16"]:
        """Type in which it trains a base that is not quantised, and torch serves one."""
        return "bf16" if self.bf16 else "fp32"

    @property
    def training_memory(self) -> float:
        return self.gpu_memory or self.memory

    def suits_openvino(self, files: float) -> bool:
        """Whether OpenVINO is installed, is quicker than llama.cpp, and fits; ``files``: bytes of the base's.

        Without instructions for 8-bit numbers both are as quick. Converting an adapter of a base of 1.5B in 16 bits
        (3 GB of files) took 9 GB beside the base's 4. A larger base's adapters share its weights in llama.cpp.
        """
        return self.vnni and files < self.memory / 5 and find_spec("openvino") is not None

    def instead(self, cores: int | None, memory: float | None, gpu_memory: float | None) -> "Machine":
        """Another machine, in GB where it differs."""
        gpu = self.gpu_memory if gpu_memory is None else gpu_memory * 1e9
        total = memory * 1e9 if memory else self.memory
        bf16 = self.bf16 if gpu == self.gpu_memory else gpu > 0
        return replace(self, cores=cores or self.cores, memory=total, gpu_memory=gpu, bf16=bf16)

    def describe(self) -> str:
        gpu = f", a GPU with {self.gpu_memory / 1e9:.0f} GB" if self.gpu_memory else ", no GPU"
        half = "with" if self.bf16 else "without"
        return f"{self.cores} cores, {self.memory / 1e9:.0f} GB of memory{gpu}, {half} instructions for bf16"


def this_machine() -> Machine:
    """Within the limits of a container."""
    memory = float(psutil.virtual_memory().total)
    if _LIMIT.is_file() and (limit := _LIMIT.read_text().strip()).isdigit():
        memory = min(memory, float(limit))
    gpu, capability = _gpu()
    words = set(_CPU.read_text().split()) if _CPU.is_file() else set()
    cores = len(psutil.Process().cpu_affinity())
    bf16 = capability >= _BF16_FROM if gpu else bool(words & {"avx512_bf16", "amx_bf16", "bf16"})
    return Machine(cores, memory, gpu, bf16, bool(words & {"avx512_vnni", "avx_vnni"}), "amx_bf16" in words)


def _gpu() -> tuple[float, float]:
    """Memory in bytes and compute capability of the first GPU; zeros without one."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return 0.0, 0.0
    command = [program, "--query-gpu=memory.total,compute_cap", "--format=csv,noheader,nounits"]
    process = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)  # nosec B603
    try:
        memory, capability = process.stdout.splitlines()[0].split(",")
        return float(memory) * 2**20, float(capability)
    except (IndexError, ValueError):  # no GPU, or one that says nothing of itself
        return 0.0, 0.0
