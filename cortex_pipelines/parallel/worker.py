"""A worker process: reads batches from its driver, and ends when that does."""

import ctypes
import gc
import os
import signal
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def serve(handle: int, driver: int) -> None:
    """Answer the calls that arrive at a socket until it is closed; ``driver`` is the id of the process to die with."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver ends its workers
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != driver:
        return  # it died in the meantime
    gc.set_threshold(50_000)  # as in the commands: collecting what is imported was a quarter of a job's time
    from cortex_pipelines.freed_memory import give_back
    from cortex_pipelines.parallel.backends import answer_of, code_digest, load

    with Connection(handle) as connection:
        try:
            connection.send_bytes(code_digest().encode())
            function: Callable[[Any], Any] = list
            while True:
                # none is sent where it is the one before; one may hold the texts of a whole project
                if pickled := connection.recv_bytes():
                    function = list
                    give_back()
                    function = load(pickled)
                    del pickled
                connection.send_bytes(answer_of(function, connection.recv_bytes()))
        except (EOFError, ConnectionError):
            return
