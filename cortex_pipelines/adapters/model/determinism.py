"""Make torch deterministic: the same machine type gives the same bytes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# Threads that spin while waiting bring a shared machine to a standstill: with four other jobs on
# two cores 14 tokens/s were measured, and 91 with sleeping threads. A tenth of a millisecond of it, by
# libgomp, is less than falling asleep costs: short texts take 0.7 of the time. OpenMP reads these when
# torch is loaded, so they are set when this module is imported, before anything needs torch.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "10000")
# Read by cuBLAS at start-up; deterministic algorithms fail without it.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


@contextmanager
def pinned_torch(threads: int, seed: int) -> Iterator[None]:
    """Use deterministic algorithms, a fixed thread count and a seed within a context.

    All settings are restored afterwards, so that a process that builds several assets gives each the same bytes in any
    order.
    """
    import torch

    deterministic: Any = torch.utils.deterministic
    before = (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled())
    filled = deterministic.fill_uninitialized_memory
    with torch.random.fork_rng():
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(True)
        # filling every new buffer guards against uninitialised reads, and costs a pass over each
        deterministic.fill_uninitialized_memory = False
        torch.manual_seed(seed)
        try:
            yield
        finally:
            torch.set_num_threads(before[0])
            torch.use_deterministic_algorithms(before[1])
            deterministic.fill_uninitialized_memory = filled
