"""A llama.cpp server in its own process, reached over a Unix socket private to this user."""

import http.client
import json
import os
import select
import shutil
import socket
import subprocess  # nosec B404
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cortex_pipelines.serving.engines import llama_server
from cortex_pipelines.serving.engines.engine import EngineError, ScoredToken

_PATIENCE = 120.0
"""Seconds until the base has to be loaded."""

_LOOK = 0.05
"""Seconds between checks whether the request was cancelled."""


class EndedError(EngineError):
    """The process ended during a request."""


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self._path))


class LlamaProcess:
    """A running server; ``close`` frees its memory.

    Args:
        base: GGUF file of the base.
        adapter: GGUF file of its only adapter; None for the base model.
        window: Tokens of prompt and answer.
        threads: CPU threads.

    Raises:
        EngineError: llama.cpp cannot load the files.
    """

    def __init__(self, base: Path, adapter: Path | None, window: int, threads: int) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="cortex-llama-"))
        self._socket = self._folder / "llama.sock"  # llama.cpp recognises a socket by this suffix
        self._adapter = adapter
        options = {
            "base": str(base),
            "adapter": None if adapter is None else str(adapter),
            "socket": str(self._socket),
            "window": window,
            "threads": threads,
        }
        # spinning threads would take the CPU from those they wait for
        environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
        with (self._folder / "errors").open("wb") as errors:
            self._process = subprocess.Popen(  # nosec B603
                # -P: do not import modules from the program's folder
                [sys.executable, "-P", llama_server.__file__, json.dumps(options)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment,
                start_new_session=True,  # Ctrl-C goes to the gateway, which ends this process
            )
        try:
            self._await_ready()
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process is running."""
        return self._process.poll() is None

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def generate(
        self, ids: Sequence[int], options: Mapping[str, Any], is_abandoned: Callable[[], bool]
    ) -> Iterator[ScoredToken]:
        """Stream the continuation of a prompt; closing the iterator stops it.

        Args:
            ids: Tokens of the prompt.
            options: Further fields of llama.cpp's ``/completion``.
            is_abandoned: Whether the request was cancelled.

        Raises:
            EndedError: the process ended.
            EngineError: the request failed.
        """
        scales = [] if self._adapter is None else [{"id": 0, "scale": 1.0}]
        payload = {
            "prompt": list(ids),
            "lora": scales,
            "stream": True,
            "return_tokens": True,
            "post_sampling_probs": False,
            **options,
        }
        connection = _Connection(self._socket)
        try:
            connection.request("POST", "/completion", json.dumps(payload), {"content-type": "application/json"})
            while not select.select([connection.sock], [], [], _LOOK)[0]:
                if is_abandoned():
                    return
            yield from _steps(connection.getresponse())
        except (OSError, http.client.HTTPException) as error:
            if not is_abandoned():
                raise EndedError(f"llama.cpp ended while it wrote: {error}") from error
        finally:
            connection.close()

    def _await_ready(self) -> None:
        out = self._process.stdout
        if out is None or not select.select([out], [], [], _PATIENCE)[0] or not out.readline():
            lines = (self._folder / "errors").read_text("utf-8", errors="replace").splitlines()
            reason = lines[-1] if lines else f"nothing within {_PATIENCE:g} seconds"
            raise EngineError(f"llama.cpp cannot be started: {reason}")
        # a full pipe would block it
        threading.Thread(target=_drain, args=(out,), daemon=True).start()


def _drain(pipe: Any) -> None:
    try:
        while pipe.read1(4096):
            pass
    except (OSError, ValueError):
        pass  # closed with the process


def _steps(response: http.client.HTTPResponse) -> Iterator[ScoredToken]:
    if response.status != http.HTTPStatus.OK:
        raise EngineError(f"llama.cpp refuses the request: {response.read()[:500]!r}")
    for line in response:
        name, _, content = line.partition(b": ")
        if name == b"error":
            raise EngineError(f"llama.cpp failed: {content[:500]!r}")
        if name != b"data":
            continue
        chunk = json.loads(content)
        if "error" in chunk:
            raise EngineError(f"llama.cpp failed: {chunk['error']}")
        for scored in chunk.get("completion_probabilities", ()):
            top = tuple((entry["id"], entry["logprob"]) for entry in scored["top_logprobs"])
            yield ScoredToken(scored["id"], scored["logprob"], top)
        if chunk["stop"]:
            return
    raise EndedError("llama.cpp ended while it wrote")
