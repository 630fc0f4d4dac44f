"""What several processes are given to do in a test; they import little, so that they start fast."""

import logging
import os
import signal
from collections.abc import Callable

import torch

from cortex_pipelines.adapters.training.distributed import ProcessGroup


def total_of(given: list[float], group: ProcessGroup, report: Callable[..., None]) -> float:
    for value in given if group.is_first else ():
        report(value)
    logging.getLogger("cortex_pipelines").warning("%s of %s", group.rank, group.size)
    return float(group.sum(torch.tensor(sum(group.share(given)))))


def fail(given: int, group: ProcessGroup, _report: Callable[..., None]) -> None:
    if group.rank == given:
        raise KeyError("no such thing")
    group.sum(torch.zeros(1))


def die(given: int, group: ProcessGroup, _report: Callable[..., None]) -> None:
    if group.rank == given:
        os.kill(os.getpid(), signal.SIGKILL)
    # nothing is waited for in communication, so that the others do not fail before it is seen
    signal.pause()
