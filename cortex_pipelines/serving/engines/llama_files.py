"""Base and adapters as GGUF (content-addressed), and llama.cpp's server in its own process.

The server is reached over a Unix socket private to this user.
"""

import http.client
import json
import os
import shutil
import socket
import subprocess  # nosec B404
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from cortex_pipelines.adapters.model.base_model import BaseModel
from cortex_pipelines.release.exports.gguf_files import ADAPTER, Width, write_base, write_gguf
from cortex_pipelines.release.exports.source import ExportError, Source
from cortex_pipelines.release.loading import read_lora
from cortex_pipelines.serving.engines import llama_server
from cortex_pipelines.serving.engines.engine import EngineError, ScoredToken
from cortex_pipelines.serving.engines.queued import common_prefix
from cortex_pipelines.serving.engines.reference import ReferenceFile, ReferenceFiles, adapter_key

_FORMAT_VERSION = 2
"""Increment if the bytes for the same base or adapter change."""

_BASE = "base.gguf"


class LlamaFiles(ReferenceFiles):
    def __init__(self, base: BaseModel, width: Width, folder: Path) -> None:
        super().__init__(base, folder, str(_FORMAT_VERSION), width)
        self._width = width

    def base(self) -> ReferenceFile:
        def write(out: Path) -> None:
            with _reported():
                write_base(self._base_model, out / _BASE, self._width)
            self._write_expected(out)

        return self._cached_file("base", _BASE, write)

    def adapter(self, folder: Path) -> ReferenceFile:
        lora, key = read_lora(folder), adapter_key(folder)
        source = Source(folder.name, key, "", folder, self._base_model, "")

        def write(out: Path) -> None:
            with _reported():
                write_gguf(source, out)
            self._write_expected(out, lora)

        return self._cached_file(key, ADAPTER, write)


@contextmanager
def _reported() -> Iterator[None]:
    """Files of a form that was not foreseen are served by another engine."""
    try:
        yield
    except (ExportError, LookupError, ValueError) as error:
        raise EngineError(f"llama.cpp's file cannot be written: {type(error).__name__}: {error}") from error


_PATIENCE = 120.0
"""Seconds until the base has to be loaded."""

_LOOK = 0.05
"""Seconds between checks whether the request was cancelled."""


_SAME_PROMPT = 0.1
"""Share of a prompt that a slot has read from which it is preferred to the least recently used one."""


class EndedError(EngineError):
    """The process ended during a request."""


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self._path))


class _Slots:
    """Chooses the slot of a server that has read most of a prompt and answers no other request.

    llama.cpp takes another slot while a request that was abandoned a moment ago, as by an editor's next keystroke,
    has not ended yet, and reads all of the prompt again; of a slot that is named it waits for the end.
    """

    def __init__(self, count: int) -> None:
        self._lock = threading.Lock()
        self._free: list[tuple[int, Sequence[int]]] = [(number, ()) for number in range(count)]
        """Numbers and last prompts, least recently used first."""

    @contextmanager
    def take(self, ids: Sequence[int]) -> Iterator[int]:
        """The slot of a request; -1, which leaves the choice to llama.cpp, if all are taken."""
        with self._lock:
            number = self._choose(ids)
        try:
            yield number
        finally:
            if number >= 0:
                with self._lock:
                    self._free.append((number, ids))

    def _choose(self, ids: Sequence[int]) -> int:
        if not self._free:
            return -1
        shared = [common_prefix(read, ids) for _, read in self._free]
        most = max(shared)
        number, _ = self._free.pop(shared.index(most) if most > _SAME_PROMPT * len(ids) else 0)
        return number


class LlamaProcess:
    """A running server; ``close`` frees its memory. EngineError if llama.cpp cannot load the files."""

    users = 0
    """Requests that it answers."""

    def __init__(self, base: Path, adapter: Path | None, **limits: int) -> None:
        """``limits``: ``window``, ``slots``, ``threads`` and ``exact``, as ``llama_server`` lists them."""
        self._folder = Path(tempfile.mkdtemp(prefix="cortex-llama-"))
        self._socket = self._folder / "llama.sock"  # llama.cpp recognises a socket by this suffix
        self._adapter, self._slots = adapter, _Slots(limits["slots"])
        files = {"base": str(base), "adapter": None if adapter is None else str(adapter), "socket": str(self._socket)}
        options = files | limits
        # threads that sleep at each of a token's some 600 barriers cost half of the time to write it, and threads that
        # spin for longer than a barrier usually takes would take the CPU from those they wait for
        environment = {key: text for key, text in os.environ.items() if key != "OMP_WAIT_POLICY"}
        environment["GOMP_SPINCOUNT"] = "1000"
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
    def alive(self) -> bool:
        return self._process.poll() is None

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def generate(
        self,
        ids: Sequence[int],
        options: Mapping[str, Any],
        is_abandoned: Callable[[], bool],
        on_read: Callable[[int, int, float], None] = lambda *_: None,
    ) -> Iterator[ScoredToken]:
        """Stream the continuation of a prompt with further fields of ``/completion``; closing the iterator stops it.

        ``on_read`` gets how many tokens of the prompt were read for an earlier request and for this one, and the
        seconds that the latter took.
        """
        scales = [] if self._adapter is None else [{"id": 0, "scale": 1.0}]
        payload = {
            "prompt": list(ids),
            "lora": scales,
            "stream": True,
            "return_tokens": True,
            "return_progress": True,
            "post_sampling_probs": False,
            **options,
        }
        with self._slots.take(ids) as slot:
            payload["id_slot"] = slot
            yield from self._stream(payload, is_abandoned, on_read)

    def _stream(
        self, payload: Mapping[str, Any], is_abandoned: Callable[[], bool], on_read: Callable[[int, int, float], None]
    ) -> Iterator[ScoredToken]:
        connection = _Connection(self._socket)
        try:
            connection.request("POST", "/completion", json.dumps(payload), {"content-type": "application/json"})
            while not wait([connection.sock], _LOOK):  # select() fails beyond 1,024 open files
                if is_abandoned():
                    return
            yield from _steps(connection.getresponse(), on_read)
        except (OSError, http.client.HTTPException) as error:
            if not is_abandoned():
                raise EndedError(f"llama.cpp ended while it wrote: {error}") from error
        finally:
            connection.close()

    def _await_ready(self) -> None:
        def drain(pipe: Any) -> None:
            with suppress(OSError, ValueError):  # closed with the process
                while pipe.read1(4096):
                    pass

        out = self._process.stdout
        if out is None or not wait([out.fileno()], _PATIENCE) or not out.readline():
            lines = (self._folder / "errors").read_text("utf-8", errors="replace").splitlines()
            reason = lines[-1] if lines else f"nothing within {_PATIENCE:g} seconds"
            raise EngineError(f"llama.cpp cannot be started: {reason}")
        # a full pipe would block it
        threading.Thread(target=drain, args=(out,), daemon=True).start()


def _steps(response: http.client.HTTPResponse, on_read: Callable[[int, int, float], None]) -> Iterator[ScoredToken]:
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
        if (progress := chunk.get("prompt_progress")) and progress["processed"] == progress["total"]:
            cached = progress["cache"]
            on_read(cached, progress["total"] - cached, progress["time_ms"] / 1000)
        for scored in chunk.get("completion_probabilities", ()):
            top = tuple((entry["id"], entry["logprob"]) for entry in scored["top_logprobs"])
            yield ScoredToken(scored["id"], scored["logprob"], top)
        if chunk["stop"]:
            return
    raise EndedError("llama.cpp ended while it wrote")
