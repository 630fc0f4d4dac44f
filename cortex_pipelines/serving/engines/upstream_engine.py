"""The engine on another server: whatever answers OpenAI's ``/completions``, such as vLLM.

No weights are in this process, and none of the server's are verified: it is asked for a model whose
name holds the adapter's version, and each answer says that it was only asked. What cannot be
reached is tried again, with growing waits, as long as nothing of an answer has come.
"""

import asyncio
import logging
import os
import threading
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import httpx2

from cortex_pipelines.adapters.model.base_model import BaseModel, load_tokenizer
from cortex_pipelines.serving.engines.engine import (
    AdapterFiles,
    BusyError,
    EngineError,
    Event,
    Job,
    Prompt,
    Ready,
    RefusedAdapterError,
    TextDelta,
    UnavailableError,
)
from cortex_pipelines.serving.engines.queued import model_file, prompt_of, window
from cortex_pipelines.serving.engines.upstream_form import AnswerChunk, chunk_of, message_of
from cortex_pipelines.serving.settings import ServingSettings, UpstreamSettings
from cortex_pipelines.serving.token_stream import StreamedAnswer
from cortex_pipelines.tokenization.segments import Segments
from cortex_pipelines.tokenization.text_encoder import continuation_ids, text_for_servers

_LOG = logging.getLogger("cortex_pipelines")
_LOOK = 5.0
"""Seconds between two looks at whether the server answers."""

_QUICK = 5.0
"""Seconds for what no model has to work for."""

_FIRST_WAIT, _LONGEST_WAIT = 0.25, 5.0
_PASSING = frozenset({500, 502, 503, 504})


@dataclass(eq=False)
class _Request:
    job: Job
    deliver: Callable[[Event], None]
    begun: bool = False
    cancelled: bool = False
    running: "asyncio.Task[Any] | None" = None

    def cancel(self) -> None:
        """To be called in the engine's thread; a task that has not begun to run looks by itself."""
        if not self.cancelled:
            self.cancelled = True
            if self.running is not None:
                self.running.cancel()


class UpstreamEngine:
    """See ``engine.Engine``.

    Args:
        base: The base, of which the tokenizer is read.
        settings: Limits, and which server.

    Raises:
        EngineError: the variable that holds its key is not set.
    """

    def __init__(self, base: BaseModel, settings: ServingSettings) -> None:
        self.tokenizer = load_tokenizer(base)
        own = model_file(base, "config.json").get("max_position_embeddings")
        self.window = window(own, settings)
        self._settings = settings
        self._server: UpstreamSettings = settings.upstream
        self._headers = _headers(self._server)
        self._ready: dict[str, Ready] = {}
        self._tasks: dict[asyncio.Task[Any], _Request] = {}
        self._lock = threading.Lock()
        self._waiting = self._busy = self._written = 0
        self._closed = False
        self._down = ""
        begun: Future[None] = Future()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(begun)), name="upstream", daemon=True
        )
        self._thread.start()
        begun.result()

    def load(self, adapter: AdapterFiles) -> Ready:
        """See ``Engine.load``; probed is only that the server knows its name."""
        self._require_open()
        known = self._ready.get(adapter.version)
        if known is not None:
            return known
        name = self._name_of(adapter)
        names = self._run(self._models())
        if not _holds(names, name) and self._settings.engine == "vllm":
            folder = adapter.locate()
            self._run(self._put_on(name, str(folder.resolve())))
        elif not _holds(names, name):
            shown = ", ".join(sorted(names)) or "none"
            raise RefusedAdapterError(f"the upstream server has no model {name} (it has {shown})")
        ready = self._ready[adapter.version] = Ready(adapter.version, name)
        return ready

    def elsewhere(self, ready: Ready | None) -> str:
        """See ``Engine.elsewhere``."""
        return str(ready.weights) if ready else self._server.model

    def prompt(self, text: str | Segments, room: int = 0) -> Prompt:
        """See ``Engine.prompt``."""
        return prompt_of(self.tokenizer, self.window, text, room)

    def submit(self, job: Job, deliver: Callable[[Event], None]) -> Callable[[], None]:
        """See ``Engine.submit``; up to ``at_once`` requests are answered side by side."""
        self._require_open()
        with self._lock:
            if self._waiting >= self._settings.waiting:
                raise BusyError(f"{self._waiting} requests wait already; try again in a second")
            self._waiting += 1
        request = _Request(job, deliver)
        self._soon(self._begin, request)
        return lambda: self._soon(request.cancel)

    def state(self) -> Mapping[str, Any]:
        """See ``Engine.state``."""
        return {
            "waiting": self._waiting,
            "busy": bool(self._busy),
            "written": self._written,
            "resident": list(self._ready),
            "alive": self._thread.is_alive() and not self._closed,
            "down": self._down,
        }

    def close(self) -> None:
        """See ``Engine.close``."""
        if not self._closed:
            self._closed = True
            self._soon(self._stop.set)
        self._thread.join()

    # What follows runs in the engine's own thread, but for the first three.

    def _require_open(self) -> None:
        if self._closed:
            raise EngineError("the engine is closed")

    def _soon(self, act: Callable[..., Any], *given: Any) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(act, *given)

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _serve(self, begun: "Future[None]") -> None:
        """The life of the thread."""
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._room = asyncio.Semaphore(self._server.at_once)
        limits = httpx2.Timeout(self._server.seconds, connect=_QUICK)
        async with httpx2.AsyncClient(headers=self._headers, timeout=limits) as self._client:
            begun.set_result(None)
            watching = asyncio.create_task(self._watch())
            await self._stop.wait()
            watching.cancel()
            for request in self._tasks.values():
                request.cancel()
            await asyncio.gather(watching, *self._tasks, return_exceptions=True)

    async def _watch(self) -> None:
        """Look now and then whether the server answers, so that one that is back is known."""
        while True:
            try:
                await self._models()
            except EngineError as error:
                self._mark(str(error))
            await asyncio.sleep(_LOOK)

    def _mark(self, why: str) -> None:
        if bool(why) != bool(self._down):
            _LOG.warning("%s: %s", self._server.url, why or "the upstream server answers again")
        self._down = why

    def _begin(self, request: _Request) -> None:
        task = self._loop.create_task(self._answer(request))
        self._tasks[task] = request
        task.add_done_callback(self._tasks.pop)

    async def _answer(self, request: _Request) -> None:
        request.running = asyncio.current_task()
        end: Event = None
        try:
            if request.cancelled:
                raise asyncio.CancelledError
            async with self._room:
                self._counted(request)
                self._busy += 1
                try:
                    for index in range(request.job.count):
                        async with aclosing(self._continued(request, index)) as pieces:
                            async for piece in pieces:
                                request.deliver(piece)
                finally:
                    self._busy -= 1
        except asyncio.CancelledError:
            if not request.begun and self._closed:
                end = EngineError("the engine was closed")
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever asked
            end = error
        self._counted(request)
        request.deliver(end)

    def _counted(self, request: _Request) -> None:
        """A request does not wait any more."""
        if not request.begun:
            request.begun = True
            with self._lock:
                self._waiting -= 1

    async def _continued(self, request: _Request, index: int) -> AsyncGenerator[TextDelta]:
        """One answer. Where it does not begin as it has to, it is asked for anew behind that
        beginning, of which the server then makes tokens as it will."""
        job = request.job
        start, most = job.prompt.start, job.sampling.max_tokens
        for held in dict.fromkeys((start, "")):
            ids = [*job.prompt.ids, *self._ids(start.removeprefix(held))]
            left = max(most - len(ids) + len(job.prompt.ids), 1)
            answer, whole = StreamedAnswer(self.tokenizer, held, job.sampling), ""
            try:
                async with aclosing(self._chunks(job, index, ids, left)) as chunks:
                    async for chunk in chunks:
                        whole += chunk.text
                        if not (whole.startswith(held) or held.startswith(whole)):
                            break
                        self._written += len(chunk.tokens)
                        for piece in answer.grow(index, whole, chunk.tokens):
                            yield piece
                        if answer.stopped:
                            return
                        if chunk.finish:
                            yield answer.end(index, chunk.finish)
                            return
                        await asyncio.sleep(0)  # what came at once must not keep others waiting
            except asyncio.CancelledError:
                request.deliver(answer.end(index, "cancelled"))
                raise

    async def _chunks(
        self, job: Job, index: int, ids: Sequence[int], most: int
    ) -> AsyncGenerator[AnswerChunk]:
        """Parts of an answer, the last one with its end; asked for again while there is none."""
        asked = self._body(job, index, ids, most)
        # for a server that is known to be down, nobody waits longer than for one attempt
        most_attempts = 1 if self._down else self._server.attempts
        for attempt in range(1, most_attempts + 1):
            begun = False
            try:
                async with aclosing(self._streamed(asked)) as chunks:
                    async for chunk in chunks:
                        begun = True
                        self._mark("")
                        yield chunk
                return
            except (UnavailableError, BusyError):
                if begun or attempt == most_attempts:
                    raise
            await asyncio.sleep(min(_FIRST_WAIT * 2 ** (attempt - 1), _LONGEST_WAIT))

    def _body(self, job: Job, index: int, ids: Sequence[int], most: int) -> dict[str, Any]:
        how = job.sampling
        same = self._settings.engine == "vllm"  # the base, so its tokens too
        text = text_for_servers(self.tokenizer, ids)
        body: dict[str, Any] = {
            "model": self.elsewhere(job.adapter),
            "prompt": list(ids) if same else text,
            "max_tokens": most,
            "temperature": how.temperature,
            "top_p": how.top_p,
            "logprobs": max(how.top, 1),
            "stream": True,
        }
        if how.seed is not None:
            body["seed"] = (how.seed + index) % 2**31
        if how.presence or how.frequency:
            body |= {"presence_penalty": how.presence, "frequency_penalty": how.frequency}
        return body

    async def _streamed(self, asked: Mapping[str, Any]) -> AsyncGenerator[AnswerChunk]:
        """One request.

        Raises:
            UnavailableError: the server cannot be reached, fails, or ended while it wrote.
            BusyError: it has no room.
            EngineError: it refuses the request, or what it answers is no completion.
        """
        try:
            async with self._client.stream("POST", self._at("completions"), json=asked) as answer:
                if answer.status_code != httpx2.codes.OK:
                    raise self._refused(answer.status_code, await answer.aread(), asked["model"])
                async for line in answer.aiter_lines():
                    if not line.startswith("data:"):
                        continue
                    content = line.removeprefix("data:").strip()
                    chunk = None if content == "[DONE]" else chunk_of(content)
                    if chunk is not None:
                        yield chunk
                        if chunk.finish:
                            return
        except httpx2.HTTPError as error:
            made = _unreached(error)
            if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
                self._mark(str(made))
            raise made from error
        raise UnavailableError("the upstream server ended while it wrote")

    def _refused(self, status: int, body: bytes, model: str) -> Exception:
        words = message_of(body)
        if status == httpx2.codes.TOO_MANY_REQUESTS:
            return BusyError(f"the upstream server has no room: {words}")
        if status in _PASSING:
            return UnavailableError(f"the upstream server fails with {status}: {words}")
        if status in (httpx2.codes.UNAUTHORIZED, httpx2.codes.FORBIDDEN):
            return EngineError(
                f"the upstream server takes no such key ({status}); serving.upstream.key names the "
                "environment variable that holds it"
            )
        if status == httpx2.codes.NOT_FOUND:  # an adapter has to be looked for anew
            self._ready = {key: one for key, one in self._ready.items() if one.weights != model}
        return EngineError(f"the upstream server refuses {model} with {status}: {words}")

    async def _models(self) -> list[str]:
        """Names of the server's models; the server is known to answer, or not, from then on."""
        try:
            answer = await self._client.get(self._at("models"), timeout=_QUICK)
            if answer.status_code != httpx2.codes.OK:
                raise self._refused(answer.status_code, answer.content, "the list of models")
            names = [str(model["id"]) for model in answer.json()["data"]]
        except httpx2.HTTPError as error:
            raise _unreached(error) from error
        except (ValueError, LookupError, TypeError) as error:
            raise EngineError(f"what the upstream server lists are no models: {error!r}") from error
        self._mark("")
        return names

    async def _put_on(self, name: str, folder: str) -> None:
        """Have vLLM load an adapter, which needs VLLM_ALLOW_RUNTIME_LORA_UPDATING=True there."""
        asked = {"lora_name": name, "lora_path": folder}
        try:
            answer = await self._client.post(self._at("load_lora_adapter"), json=asked)
        except httpx2.HTTPError as error:
            raise _unreached(error) from error
        if answer.status_code != httpx2.codes.OK:
            words = message_of(answer.content)
            raise RefusedAdapterError(
                f"vLLM does not load {name} ({answer.status_code}: {words}); it "
                "has to be started with --enable-lora, VLLM_ALLOW_RUNTIME_LORA_UPDATING=True, and "
                "the project's folder at the same path"
            )

    def _name_of(self, adapter: AdapterFiles) -> str:
        if self._server.adapter is None:
            raise RefusedAdapterError("the upstream server has no adapters (serving.upstream)")
        version = adapter.version.replace(":", "-")  # which an adapter of one task has
        return self._server.adapter.format(project=adapter.project, version=version)

    def _ids(self, text: str) -> list[int]:
        (ids,) = continuation_ids(self.tokenizer, [text])
        return ids

    def _at(self, path: str) -> str:
        return f"{self._server.url}/{path}"


def _headers(server: UpstreamSettings) -> dict[str, str]:
    if server.key is None:
        return {}
    key = os.environ.get(server.key, "")
    if not key:
        raise EngineError(
            f"serving.upstream.key: the environment variable {server.key} is not set; it has to "
            "hold the key of the upstream server"
        )
    return {"authorization": f"Bearer {key}"}


def _unreached(error: httpx2.HTTPError) -> EngineError:
    kind = "does not answer in time" if isinstance(error, httpx2.TimeoutException) else "is away"
    why = f"{type(error).__name__}: {error}".rstrip(": ")
    return UnavailableError(f"the upstream server {kind} ({why}); the next request tries it again")


def _holds(names: Sequence[str], name: str) -> bool:
    return name in names or f"{name}:latest" in names  # as Ollama lists what has no tag
