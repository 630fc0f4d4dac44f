"""What the tests of the parallel map compute."""

import os
import signal

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
