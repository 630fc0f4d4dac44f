"""Workers on the nodes of a Ray cluster, each with this package installed; nothing but values is sent."""

import atexit
import logging
import os
import pickle  # nosec B403: only dumped here
import socket
import sys
import threading
import time
from concurrent.futures import Future
from copy import copy
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

from cortex_pipelines.parallel.backends import WORKER_MB, BackendError, WorkerDiedError, answer, code_digest

_LOG = logging.getLogger("cortex_pipelines")

_ADDRESS = "RAY_ADDRESS"
_SECONDS = 5.0
_SECONDS_UNTIL_WARNING = 30.0
_SECONDS_BETWEEN_LOOKS = 0.5
_HELP = f"name the head of a cluster by {_ADDRESS}=host:port, or choose `--backend processes`"


class RayCluster:
    """The cluster at ``RAY_ADDRESS``, or else one of this machine.

    Raises:
        BackendError: the extra ``ray`` is not installed, or nothing listens at the address.
    """

    def __init__(self, workers: int | None) -> None:
        self._address = os.environ.get(_ADDRESS, "auto")
        if find_spec("ray") is None:
            raise BackendError("`pip install 'cortex-pipelines[ray]'` brings the backend ray")
        _require_listener(self._address)
        self.workers = workers or 1
        self._slots = threading.Semaphore(workers) if workers else None
        self._reserved: dict[str, float] = {"num_cpus": 1, "memory": WORKER_MB << 20}
        self._put = lru_cache(maxsize=2)(_put)  # a function once for all batches
        self._closed = False
        self._answer: Future[Any] = Future()
        # beside the main thread, where Ray would handle the signals
        self._thread = threading.Thread(target=self._connect, args=(workers,), daemon=True)
        self._thread.start()

    def is_ready(self) -> bool:
        """Raises BackendError if no cluster answers, its first worker cannot compute, or no node is left."""
        if not self._answer.done():
            return False
        self._answer.result()
        _require_listener(self._address)  # Ray would try for a minute, and end this process
        return bool(_living_nodes())

    def reserving(self, cores: int, memory: int | None) -> "RayCluster":
        """The same for work that takes cores, MB of memory if given, and a GPU if the cluster has any.

        More cores than the largest node has are as many as that has; more memory is a BackendError.
        """
        self._answer.result()
        nodes = _living_nodes()
        most = int(max(node.get("memory", 0) for node in nodes)) >> 20
        if memory and memory > most:
            raise BackendError(f"execution.memory is {memory}, and the largest node of the Ray cluster has {most} MB")
        view = copy(self)
        view._reserved = {
            "num_cpus": min(cores, max(node.get("CPU", 0) for node in nodes)),
            "num_gpus": min(1, max(node.get("GPU", 0) for node in nodes)),
            "memory": (memory or WORKER_MB) << 20,
        }
        return view

    def submit(self, function: bytes, batch: bytes) -> "Future[bytes]":
        answer_there = self._answer.result().options(**self._reserved)
        stored = self._put(function)
        if self._slots:
            self._slots.acquire()
        answered = answer_there.remote(stored, batch, code_digest())
        future: Future[bytes] = Future()
        answered.future().add_done_callback(lambda done: self._pass_on(done, future))
        return future

    def close(self) -> None:
        self._closed = True
        self._thread.join(_SECONDS)
        if not self._thread.is_alive() and "ray" in sys.modules:
            sys.modules["ray"].shutdown()

    def _connect(self, workers: int | None) -> None:
        try:
            import ray

            atexit.register(self.close)  # before Ray's own, which ends a process whose thread still waits for a task
            ray.init(self._address, log_to_driver=False, logging_level=logging.ERROR, ignore_reinit_error=True)
            self.workers = workers or max(int(ray.cluster_resources().get("CPU", 1)), 1)
            # a node's death is counted by the map, which knows the batch
            answer_there = ray.remote(max_retries=0)(_checked_answer)
            task = answer_there.options(**self._reserved)
            started = [task.remote(pickle.dumps(list), pickle.dumps(()), code_digest()) for _ in range(self.workers)]
            warning = time.monotonic() + _SECONDS_UNTIL_WARNING
            while not (first := ray.wait(started, timeout=_SECONDS_BETWEEN_LOOKS)[0]) and not self._closed:
                if time.monotonic() > warning:
                    _LOG.warning("no node of the Ray cluster has a free core and %d MB for a worker yet", WORKER_MB)
                    warning = float("inf")
            ray.get(first)
            self._answer.set_result(answer_there)
        except Exception as error:  # noqa: BLE001 - raised in the caller
            cause = getattr(error, "cause", None)
            if not isinstance(cause, BackendError):
                cause = BackendError(
                    f"no Ray cluster answers at {self._address} ({_first_line(cause or error)}); {_HELP}"
                )
            self._answer.set_exception(cause)

    def _pass_on(self, done: "Future[bytes]", future: "Future[bytes]") -> None:
        from ray import exceptions

        if self._slots:
            self._slots.release()
        error = done.exception()
        if error is None:
            future.set_result(done.result())
        elif isinstance(error, exceptions.RayTaskError):
            cause = error.cause
            future.set_exception(cause if isinstance(cause, Exception) else BackendError(_first_line(error)))
        elif not future.cancelled():
            # a worker, its node or an object on it was lost
            future.set_exception(WorkerDiedError(_first_line(error)))


def _put(value: bytes) -> Any:
    import ray

    return ray.put(value)


def _living_nodes() -> list[dict[str, float]]:
    """Resources of each node that has a core. Raises BackendError: there is none."""
    import ray

    nodes: list[dict[str, float]] = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(node.get("CPU") for node in nodes):
        raise BackendError("the Ray cluster has no node with a core left; start one, and run the same command again")
    return nodes


def _checked_answer(function: bytes, batch: bytes, code: str) -> bytes:
    os.environ.setdefault("POLARS_MAX_THREADS", "1")  # read when it is imported; there are as many workers as cores
    if code != code_digest():
        raise BackendError(
            f"{socket.gethostname()} has other code of cortex-pipelines than the machine that runs `cortex`: "
            "install the same version on both"
        )
    return answer(function, batch)


def _first_line(error: BaseException) -> str:
    lines = (line.strip().partition(". ")[0] for line in str(error).splitlines())
    return next(filter(None, lines), type(error).__name__)


def _require_listener(address: str) -> None:
    """BackendError if nothing listens: Ray itself would try for a minute."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if address in ("auto", "local"):
        return
    try:
        socket.create_connection((host, int(port)), timeout=_SECONDS).close()
    except (OSError, ValueError) as error:
        raise BackendError(f"no Ray cluster answers at {address} ({error}); {_HELP}") from error
