"""A worker process: reads batches from its driver, and ends when that does."""

import ctypes
import gc
import os
import signal
import sys
from multiprocessing.connection import Connection

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def serve(handle: int, driver: int) -> None:
    """Answer the calls that arrive at a socket until it is closed; ``driver`` is the id of the process to die with."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver ends its workers
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != driver:
        return  # it died in the meantime
    gc.set_threshold(50_000)  # as in the commands: collecting what is imported was a quarter of a job's time
    from cortex_pipelines.parallel.backends import answer, code_digest, is_large

    with Connection(handle) as connection:
        try:
            connection.send_bytes(code_digest().encode())
            large = b""
            while True:
                # a large function is sent once, and again only when it is another one
                function = connection.recv_bytes() or large
                large = function if is_large(function) else large
                connection.send_bytes(answer(function, connection.recv_bytes()))
        except (EOFError, ConnectionError):
            return
