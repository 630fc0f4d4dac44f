"""What the tests of the parallel map compute."""

import os
import signal
import time
from itertools import repeat
from pathlib import Path
from typing import Any

from cortex_pipelines.versioning import on_node

DEADLY = 23


def squares(items: list[int]) -> list[int]:
    return [item**2 for item in items]


def squares_and_process(items: list[int]) -> list[tuple[int, int]]:
    return [(item**2, os.getpid()) for item in items]


def deadly(items: list[int]) -> list[int]:
    if DEADLY in items:
        os.kill(os.getpid(), signal.SIGKILL)
    return items


def failing(items: list[int]) -> list[int]:
    if DEADLY in items:
        raise KeyError(DEADLY)
    return items


def slow_and_process(items: list[int]) -> list[tuple[int, int]]:
    time.sleep(0.1)
    return [(item, os.getpid()) for item in items]


def endless(items: list[int]) -> list[int]:
    time.sleep(600)
    return items


def hanging(items: list[int]) -> list[int]:
    """Never ends at one item, within one call of C, where no exception of Python's arrives."""
    if DEADLY in items:
        sum(repeat(0))
    return items


def look_about(items: list[tuple[int, Path]]) -> list[tuple[int, tuple[bool, bool]]]:
    """Each number, and whether the folder beside it holds the project and the weights where this runs."""
    time.sleep(0.2)  # long enough to be ended in the middle
    return [(number, ((folder / "project").exists(), (folder / "weights").exists())) for number, folder in items]


def compute_and_tell(task: Any) -> Any:
    """An asset, with the last number of the node's address as an observation."""
    import ray

    tables, files, observations = on_node.compute_task(task)
    return tables, files, {**observations, "node": int(ray.util.get_node_ip_address().rpartition(".")[2])}
