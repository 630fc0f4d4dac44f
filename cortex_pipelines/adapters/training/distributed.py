"""Data-parallel training in several processes on one machine.

Hugging Face's accelerate chooses device and backend: one GPU each and NCCL where there are GPUs,
otherwise the CPU and Gloo. The parent process only waits, so that a worker that fails or hangs in
communication ends the work, but not the parent.
"""

import logging
import os
import pickle  # nosec B403: between processes of our own
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.synchronize import Lock

    import torch

T = TypeVar("T")
G = TypeVar("G")

_LOG = logging.getLogger("cortex_pipelines")
# a paused training must not time out; failed processes are detected without a time-out
_PATIENCE = timedelta(days=30)


@dataclass(frozen=True)
class ProcessGroup:
    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def shard(self, items: Sequence[T]) -> Sequence[T]:
        return items[self.rank :: self.size]

    def sum(self, value: "torch.Tensor") -> "torch.Tensor":
        """Every process must call it."""
        if self.size == 1:
            return value
        from accelerate.utils import reduce

        total: torch.Tensor = reduce(value, "sum")
        return total

    def sum_gradients(self, weights: "Sequence[torch.Tensor]", loss: float) -> float:
        """Sum gradients over all processes in place; returns the sum of their losses."""
        if self.size == 1:
            return loss
        import torch

        gradients = [torch.zeros_like(parameter) if parameter.grad is None else parameter.grad for parameter in weights]
        flat = self.sum(torch.cat([gradient.flatten() for gradient in gradients]))
        parts = torch.split(flat, [parameter.numel() for parameter in weights])
        for weight, part in zip(weights, parts, strict=True):
            weight.grad = part.view_as(weight)
        total = torch.tensor([loss], dtype=torch.float64, device=flat.device)
        return float(self.sum(total))


SINGLE_PROCESS = ProcessGroup()

ReportCallback = Callable[..., None]
"""Receives intermediate results; may raise to stop the work."""


def run_in_processes(
    work: Callable[[G, ProcessGroup, ReportCallback], T],
    argument: G,
    processes: int,
    report: ReportCallback | None = None,
) -> T:
    """Run a picklable function in several new processes and forward their logs.

    The first process's result is returned, and only that process may report; the first exception of any ends all.
    Raises ``ValueError`` if there are GPUs, but fewer than processes.
    """
    import torch
    from torch.multiprocessing.spawn import start_processes

    gpus = torch.cuda.device_count()
    if 0 < gpus < processes:
        problem = f"adapters.processes is {processes}, but this machine has {gpus} GPU(s)"
        raise ValueError(f"{problem}; set it to {gpus} or less, or hide the GPUs with CUDA_VISIBLE_DEVICES=")
    context = get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    with tempfile.TemporaryDirectory() as rendezvous_folder:
        rendezvous = _Rendezvous(processes, f"file://{rendezvous_folder}/store", sender, context.Lock())
        worker_arguments = (work, argument, rendezvous, _LOG.getEffectiveLevel())
        running = start_processes(  # type: ignore[no-untyped-call]
            _worker, worker_arguments, processes, join=False, start_method="spawn"
        )
        try:
            return cast(T, _result(running, receiver, report or (lambda *_: None)))
        finally:
            for process in running.processes:
                process.kill()
                process.join()


def _result(running: Any, receiver: "Connection", report: ReportCallback) -> Any:
    handlers: dict[str, Callable[..., None]] = {"report": report, "log": _LOG.log, "failed": _raise}
    while True:
        wait([receiver, *running.sentinels])
        if receiver.poll():
            kind, content = pickle.loads(receiver.recv_bytes())  # nosec B301: of a process of our own
            if kind == "result":
                return content[0]
            handlers[kind](*content)
        elif running.join(0) and not receiver.poll():  # join raises if one was killed
            raise RuntimeError("the training processes were interrupted")


def _raise(error: Exception) -> None:
    raise error


@dataclass(frozen=True)
class _Rendezvous:
    size: int
    store: str
    sender: "Connection"
    lock: "Lock"

    def send(self, kind: str, *content: object) -> None:
        with self.lock:
            self.sender.send_bytes(pickle.dumps((kind, content)))


def _worker(rank: int, work: Callable[..., Any], argument: Any, rendezvous: _Rendezvous, level: int) -> None:
    if rank == 0:
        _LOG.addHandler(_LogForwarder(rendezvous))
    _LOG.setLevel(level if rank == 0 else logging.CRITICAL)
    try:
        import torch
        from accelerate import PartialState

        os.environ |= dict.fromkeys(("RANK", "LOCAL_RANK"), str(rank))
        os.environ |= dict.fromkeys(("WORLD_SIZE", "LOCAL_WORLD_SIZE"), str(rendezvous.size))
        os.environ.setdefault("OMP_NUM_THREADS", "1")  # else accelerate warns; the work pins its own
        if sys.platform == "linux":  # a machine may not reach itself by its own name
            os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
        cpu = not torch.cuda.is_available()
        PartialState(cpu=cpu, init_method=rendezvous.store, rank=rank, world_size=rendezvous.size, timeout=_PATIENCE)
        outcome = work(argument, ProcessGroup(rank, rendezvous.size), partial(rendezvous.send, "report"))
        if rank == 0:
            rendezvous.send("result", outcome)
    except Exception as error:  # noqa: BLE001 - raised again in the parent process
        error.add_note(f"in process {rank} of {rendezvous.size}:\n{traceback.format_exc()}")
        rendezvous.send("failed", error)


class _LogForwarder(logging.Handler):
    def __init__(self, rendezvous: _Rendezvous) -> None:
        super().__init__()
        self.rendezvous = rendezvous

    def emit(self, record: logging.LogRecord) -> None:
        self.rendezvous.send("log", record.levelno, record.getMessage())
