"""Workers as processes of this machine.

Started directly, each by a thread that feeds it: ``multiprocessing`` and joblib's loky would import the caller's main
module again, which scripts may not support, or fork a process with threads (polars'); and they take one dead worker for
the end of the pool, without telling which task killed it.
"""

import os
import pickle  # nosec B403: only dumped here
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from importlib import import_module
from multiprocessing.connection import Connection
from queue import SimpleQueue
from types import MappingProxyType
from typing import TypeVar

from cortex_pipelines.parallel.backends import BackendError, WorkerDiedError, code_digest

T = TypeVar("T")

_START = "import sys; from cortex_pipelines.parallel.worker import serve; serve(int(sys.argv[1]), int(sys.argv[2]))"
# One thread each: there are as many workers as cores. Fewer arenas, less memory that is kept for nobody.
_ENVIRONMENT = {
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"), "1"),
    "MALLOC_ARENA_MAX": "2",
}
_SECONDS_TO_END = 1.0
JOB_OF = "CORTEX_JOB_OF"
"""Variable of a process, and of those it starts, that works for itself beside the one with this number."""


def preload(module: str) -> None:
    import_module(module)


def job_processes(count: int) -> "Processes":
    """Processes for whole stages, beside this one."""
    return Processes(count, {JOB_OF: str(os.getpid())})


class _Worker:
    def __init__(self, environment: Mapping[str, str]) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            path = os.pathsep.join(path for path in sys.path if path)
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _START, str(theirs.fileno()), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=2,  # standard output is the command's
                pass_fds=[theirs.fileno()],
                env={**os.environ, **_ENVIRONMENT, "PYTHONPATH": path, **environment},
                process_group=0,  # Ctrl-C is the driver's
            )
        self._connection = Connection(ours.detach())
        self._checked = False
        self._last = b""

    def call(self, function: bytes, batch: bytes) -> bytes:
        """Raises EOFError or OSError if the process ends."""
        if not self._checked and self._connection.recv_bytes() != code_digest().encode():
            raise BackendError("the code of cortex-pipelines changed while it ran; run the same command again")
        self._checked = True
        self._connection.send_bytes(b"" if function == self._last else function)
        self._last = function
        self._connection.send_bytes(batch)
        return self._connection.recv_bytes()

    def end(self) -> str:
        """Kill the process; returns how it ended."""
        try:
            code = self._process.wait(0.5)
        except subprocess.TimeoutExpired:
            self.kill()
            code = self._process.wait()
        self._connection.close()
        if code == -signal.SIGPROF:
            return "out of processor time"
        return f"signal {-code}" if code < 0 else f"exit code {code}"

    def kill(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)  # with what it started: git, a sandbox


class Processes:
    """Worker processes of this machine, started when there is work for them and kept for more.

    ``environment``: variables of theirs beside those of this process.
    """

    def __init__(self, workers: int, environment: Mapping[str, str] = MappingProxyType({})) -> None:
        self.workers = workers
        self._environment = environment
        self._tasks: SimpleQueue[tuple[Future[bytes], bytes, bytes] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._running: set[_Worker] = set()
        self._lock = threading.Lock()
        self._closed = False

    def is_ready(self) -> bool:
        return True

    def submit(self, function: bytes, batch: bytes) -> "Future[bytes]":
        future: Future[bytes] = Future()
        self._tasks.put((future, function, batch))
        with self._lock:
            if len(self._threads) < self.workers:
                # the kernel ends a process with the thread that started it: these threads stay
                thread = threading.Thread(target=self._feed, daemon=True)
                self._threads.append(thread)
                thread.start()
        return future

    def submit_to_all(self, function: Callable[[T], object], item: T) -> None:
        """Prepare workers that have nothing to do yet."""
        for _ in range(self.workers):
            self.submit(pickle.dumps(function), pickle.dumps(item))

    def close(self) -> None:
        with self._lock:
            self._closed = True
            for worker in self._running:
                worker.kill()
            for _ in self._threads:
                self._tasks.put(None)
        deadline = time.monotonic() + _SECONDS_TO_END
        for thread in self._threads:
            thread.join(max(deadline - time.monotonic(), 0))

    def _feed(self) -> None:
        worker: _Worker | None = None
        while (task := self._tasks.get()) and not self._closed:
            future, function, batch = task
            if not future.set_running_or_notify_cancel():
                continue
            try:
                worker = worker or self._started()
                future.set_result(worker.call(function, batch))
            except (EOFError, ConnectionError) as error:
                future.set_exception(WorkerDiedError(self._ended(worker) if worker else str(error)))
                worker = None
            except BackendError as error:
                future.set_exception(error)
                if worker:
                    worker.kill()
                    self._ended(worker)
                worker = None
            except Exception as error:  # noqa: BLE001 - raised in the caller
                future.set_exception(error)
        if worker:
            worker.kill()
            self._ended(worker)

    def _started(self) -> _Worker:
        with self._lock:
            if self._closed:
                raise BackendError("the workers were ended")
            worker = _Worker(self._environment)
            self._running.add(worker)
            return worker

    def _ended(self, worker: _Worker) -> str:
        with self._lock:
            self._running.discard(worker)
        return worker.end()
