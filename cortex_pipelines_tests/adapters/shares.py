"""Functions that tests run in several processes; few imports, so that these start fast."""

import logging
import os
import signal
from collections.abc import Callable

import torch

from cortex_pipelines.adapters.training.distributed import ProcessGroup


def total_of(values: list[float], group: ProcessGroup, report: Callable[..., None]) -> float:
    for value in values if group.is_first else ():
        report(value)
    logging.getLogger("cortex_pipelines").warning("%s of %s", group.rank, group.size)
    return float(group.sum(torch.tensor(sum(group.shard(values)))))


def fail(argument: int, group: ProcessGroup, _report: Callable[..., None]) -> None:
    if group.rank == argument:
        raise KeyError("no such thing")
    group.sum(torch.zeros(1))


def die(argument: int, group: ProcessGroup, _report: Callable[..., None]) -> None:
    if group.rank == argument:
        os.kill(os.getpid(), signal.SIGKILL)
    # no communication, so that the others do not fail before the exit is noticed
    signal.pause()
