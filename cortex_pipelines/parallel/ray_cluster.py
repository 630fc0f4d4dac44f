"""Workers on the nodes of a Ray cluster, each with this package installed; nothing but values is sent."""

import logging
import os
import signal
import socket
from concurrent.futures import Future
from importlib.util import find_spec
from typing import Any

from cortex_pipelines.parallel.backends import BackendError, WorkerDiedError, answer, code_digest

_ADDRESS = "RAY_ADDRESS"
_SECONDS = 5.0
_HELP = f"name the head of a cluster by {_ADDRESS}=host:port, or choose `--backend processes`"


class RayCluster:
    """The cluster at ``RAY_ADDRESS``, or else one of this machine.

    Raises:
        BackendError: the extra ``ray`` is not installed, or no cluster answers.
    """

    def __init__(self, workers: int | None) -> None:
        address = os.environ.get(_ADDRESS, "auto")
        if find_spec("ray") is None:
            raise BackendError("`pip install 'cortex-pipelines[ray]'` brings the backend ray")
        _require_listener(address)
        import ray

        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR, ignore_reinit_error=True)
        except Exception as error:
            raise BackendError(f"no Ray cluster answers at {address} ({error}); {_HELP}") from error
        finally:
            _restore(handlers)
        self.workers = workers or max(int(ray.cluster_resources().get("CPU", 1)), 1)
        # a node's death is counted by the map, which knows the batch
        self._answer = ray.remote(max_retries=0)(_checked_answer)
        self._function: tuple[bytes, Any] = (b"", None)

    def submit(self, function: bytes, batch: bytes) -> "Future[bytes]":
        import ray

        if self._function[0] != function:
            self._function = (function, ray.put(function))  # once for all batches
        reference = self._answer.remote(self._function[1], batch, code_digest())
        future: Future[bytes] = Future()
        reference.future().add_done_callback(lambda done: _pass_on(done, future))
        return future

    def close(self) -> None:
        import ray

        ray.shutdown()


def _checked_answer(function: bytes, batch: bytes, code: str) -> bytes:
    if code != code_digest():
        raise BackendError(
            f"{socket.gethostname()} has other code of cortex-pipelines than the machine that runs `cortex`: "
            "install the same version on both"
        )
    return answer(function, batch)


def _pass_on(done: "Future[bytes]", future: "Future[bytes]") -> None:
    from ray import exceptions

    error = done.exception()
    if error is None:
        future.set_result(done.result())
    elif isinstance(error, exceptions.RayTaskError):
        cause = error.cause
        future.set_exception(cause if isinstance(cause, Exception) else BackendError(_first_line(error)))
    elif not future.cancelled():
        # a worker, its node or an object on it was lost
        future.set_exception(WorkerDiedError(_first_line(error)))


def _first_line(error: BaseException) -> str:
    lines = (line.strip().partition(". ")[0] for line in str(error).splitlines())
    return next(filter(None, lines), type(error).__name__)


def _restore(handlers: dict[signal.Signals, Any]) -> None:
    for number, handler in handlers.items():
        try:
            signal.signal(number, handler)
        except ValueError:
            return  # only the main thread may


def _require_listener(address: str) -> None:
    """BackendError if nothing listens: Ray itself would try for a minute."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if address in ("auto", "local"):
        return
    try:
        socket.create_connection((host, int(port)), timeout=_SECONDS).close()
    except (OSError, ValueError) as error:
        raise BackendError(f"no Ray cluster answers at {address} ({error}); {_HELP}") from error
