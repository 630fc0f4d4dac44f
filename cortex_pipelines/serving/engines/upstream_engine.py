"""Engine on another server with OpenAI's ``/completions``, such as vLLM.

This process holds no weights and cannot verify the server's: it requests a model whose name contains the adapter's
version, and each answer carries a notice that the weights were not verified. Failed connections are retried with
exponential backoff until the first token of an answer has arrived.
"""

import asyncio
import json
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
    ClosedError,
    Engine,
    EngineError,
    Event,
    Finish,
    GeneratedToken,
    Job,
    LoadedAdapter,
    RefusedAdapterError,
    TextDelta,
    UnavailableError,
)
from cortex_pipelines.serving.settings import ServingSettings, UpstreamSettings
from cortex_pipelines.serving.token_stream import StreamedAnswer, alternative, unspelled
from cortex_pipelines.tokenization.text_encoder import continuation_ids, text_for_servers
from cortex_pipelines.versioning.dvc.yaml_files import read_json

_SHOWN = 300
"""Longest part of a server's error message that is passed on."""


@dataclass(frozen=True)
class AnswerChunk:
    """Added text and its tokens, with probabilities if the server reports them."""

    text: str
    tokens: tuple[GeneratedToken, ...]
    finish: Finish | None = None


def message_of(body: bytes) -> str:
    text = body.decode("utf-8", "replace")
    try:
        content = json.loads(text)
        error = content.get("error", content)
        text = str(error.get("message", error) if isinstance(error, dict) else error)
    except (ValueError, AttributeError):
        pass
    return " ".join(text.split())[:_SHOWN] or "nothing is said"


def chunk_of(content: str) -> AnswerChunk | None:
    """Parse a chunk; None if it has no choices, such as the usage. UnavailableError or EngineError."""
    try:
        payload = json.loads(content)
        if "error" in payload:
            raise UnavailableError(f"the upstream server failed: {message_of(content.encode())}")
        if not payload["choices"]:
            return None
        choice = payload["choices"][0]
        text = choice.get("text") or ""
        finish = choice.get("finish_reason")
        if not isinstance(text, str):
            raise TypeError("its text is not a string")
        end: Finish | None = None if finish is None else "length" if finish == "length" else "stop"
        return AnswerChunk(text, _tokens(choice.get("logprobs"), text), end)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise EngineError(f"the upstream server's answer is not a completion in OpenAI's format: {error!r}") from error


def _tokens(scores: Any, text: str) -> tuple[GeneratedToken, ...]:
    """Tokens with their probabilities, in the format of completions or of chats."""
    if not scores:
        return (GeneratedToken(text, None, raw=text.encode(errors="replace")),) if text else ()
    if "content" in scores:
        return tuple(
            GeneratedToken(
                scored["token"],
                float(scored["logprob"]),
                tuple(alternative(_raw(top), float(top["logprob"])) for top in scored.get("top_logprobs", ())),
                _raw(scored),
            )
            for scored in scores["content"]
        )
    tops = scores.get("top_logprobs") or [{}] * len(scores["tokens"])
    return tuple(
        GeneratedToken(
            token,
            float(chance),
            tuple(alternative(unspelled(other), float(value)) for other, value in (top or {}).items()),
            unspelled(token),
        )
        for token, chance, top in zip(scores["tokens"], scores["token_logprobs"], tops, strict=True)
    )


def _raw(scored: Mapping[str, Any]) -> bytes:
    numbers = scored.get("bytes")
    return unspelled(scored["token"]) if numbers is None else bytes(numbers)


_LOG = logging.getLogger("cortex_pipelines")
_LOOK = 5.0
"""Seconds between health checks of the server."""

_QUICK = 5.0
"""Timeout in seconds of requests that need no model."""

_FIRST_WAIT, _LONGEST_WAIT = 0.25, 5.0
_PASSING = frozenset({500, 502, 503, 504})


@dataclass(eq=False)
class _Request:
    job: Job
    deliver: Callable[[Event], None]
    is_waiting: bool = True
    cancelled: bool = False
    running: "asyncio.Task[Any] | None" = None

    def cancel(self) -> None:
        """Call in the engine's thread; a task that has not started checks ``cancelled`` itself."""
        if not self.cancelled:
            self.cancelled = True
            if self.running is not None:
                self.running.cancel()


class UpstreamEngine(Engine):
    """See ``Engine``; only the base's tokenizer is loaded. EngineError without the server's key."""

    name = "openai"

    def __init__(self, base: BaseModel, settings: ServingSettings) -> None:
        base_window = read_json(base.folder / "config.json").get("max_position_embeddings")
        super().__init__(load_tokenizer(base), base_window, settings)
        self._server: UpstreamSettings = settings.upstream
        self._headers: dict[str, str] = {}
        if (variable := settings.upstream.key) is not None:
            if not (key := os.environ.get(variable)):
                raise EngineError(
                    f"serving.upstream.key: the environment variable {variable} is not set; it has to "
                    "hold the key of the upstream server"
                )
            self._headers["authorization"] = f"Bearer {key}"
        self._loaded: dict[str, LoadedAdapter] = {}
        self._tasks: dict[asyncio.Task[Any], _Request] = {}
        started: Future[None] = Future()
        self._threads = (
            threading.Thread(target=lambda: asyncio.run(self._serve(started)), name="upstream", daemon=True),
        )
        self._threads[0].start()
        started.result()

    def load(self, adapter: AdapterFiles) -> LoadedAdapter:
        """See ``Engine.load``; only checks that the server lists its name."""
        self._require_open()
        loaded = self._loaded.get(adapter.version)
        if loaded is not None:
            return loaded
        if self._server.adapter is None:
            raise RefusedAdapterError("the upstream server has no adapters (serving.upstream)")
        version = adapter.version.replace(":", "-")  # of a model with one adapter per task
        name = self._server.adapter.format(project=adapter.project, version=version)
        names = self._run(self._models())
        if name not in names and f"{name}:latest" not in names:  # Ollama's name of a model without a tag
            if self._settings.engine != "vllm":
                available = ", ".join(sorted(names)) or "none"
                raise RefusedAdapterError(f"the upstream server has no model {name} (it has {available})")
            body = {"lora_name": name, "lora_path": str(adapter.locate().resolve())}
            self._run(self._load_adapter(body))
        loaded_adapter = self._loaded[adapter.version] = LoadedAdapter(adapter.version, name)
        return loaded_adapter

    def upstream_model(self, adapter: LoadedAdapter | None) -> str:
        return str(adapter.weights) if adapter else self._server.model

    def submit(self, job: Job, deliver: Callable[[Event], None]) -> Callable[[], None]:
        """See ``Engine.submit``; up to ``at_once`` requests run concurrently."""
        self._require_open()
        self._count_waiting()
        request = _Request(job, deliver)
        self._soon(self._begin, request)
        return lambda: self._soon(request.cancel)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._soon(self._stop.set)
        self._threads[0].join()

    def _resident(self) -> list[str]:
        return list(self._loaded)

    # The methods below run in the engine's thread, except for the first two.

    def _soon(self, act: Callable[..., Any], *arguments: Any) -> None:
        if self._threads[0].is_alive():
            self._loop.call_soon_threadsafe(act, *arguments)

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _serve(self, started: "Future[None]") -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._room = asyncio.Semaphore(self._server.at_once)
        limits = httpx2.Timeout(self._server.seconds, connect=_QUICK)
        url = self._server.url
        async with httpx2.AsyncClient(headers=self._headers, timeout=limits, base_url=url) as self._client:
            started.set_result(None)
            watching = asyncio.create_task(self._watch())
            await self._stop.wait()
            watching.cancel()
            for request in self._tasks.values():
                request.cancel()
            await asyncio.gather(watching, *self._tasks, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            try:
                await self._models()
            except EngineError as error:
                self._set_down(str(error))
            await asyncio.sleep(_LOOK)

    def _set_down(self, reason: str) -> None:
        if bool(reason) != bool(self._down):
            _LOG.warning("%s: %s", self._server.url, reason or "the upstream server answers again")
        self._down = reason

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
            async with asyncio.TaskGroup() as answers:
                for index in range(request.job.count):
                    answers.create_task(self._deliver_answer(request, index))
        except asyncio.CancelledError:
            if self._closed:
                end = ClosedError()
        except BaseExceptionGroup as failed:
            end = failed.exceptions[0]
        with self._lock:
            self._leave_queue(request)
        request.deliver(end)

    async def _deliver_answer(self, request: _Request, index: int) -> None:
        async with self._room:
            with self._lock:
                self._leave_queue(request)
            self._busy += 1
            try:
                async with aclosing(self._generate_answer(request, index)) as deltas:
                    async for delta in deltas:
                        request.deliver(delta)
            finally:
                self._busy -= 1

    async def _generate_answer(self, request: _Request, index: int) -> AsyncGenerator[TextDelta]:
        """Generate an answer; one without the forced start is requested again with that start in the prompt."""
        job = request.job
        (start_ids,) = continuation_ids(self.tokenizer, [job.prompt.start])
        for forced_start in dict.fromkeys((job.prompt.start, "")):
            ids = [*job.prompt.ids] if forced_start else [*job.prompt.ids, *start_ids]
            most = max(len(start_ids) * bool(forced_start) + job.sampling.max_tokens, 1)
            answer, full_text = StreamedAnswer(self.tokenizer, forced_start, job.sampling), ""
            try:
                async with aclosing(self._chunks(job, index, ids, most)) as chunks:
                    async for chunk in chunks:
                        full_text += chunk.text
                        if not (full_text.startswith(forced_start) or forced_start.startswith(full_text)):
                            break
                        self._generated_tokens += len(chunk.tokens)
                        for delta in answer.grow(index, full_text, chunk.tokens):
                            yield delta
                        if answer.stopped:
                            return
                        if answer.is_late:
                            yield answer.end(index, "late")
                            return
                        if chunk.finish or answer.is_full:
                            yield answer.end(index, chunk.finish or "length")
                            return
                        await asyncio.sleep(0)  # let other requests run
            except asyncio.CancelledError:
                request.deliver(answer.end(index, "cancelled"))
                raise

    async def _chunks(self, job: Job, index: int, ids: Sequence[int], most: int) -> AsyncGenerator[AnswerChunk]:
        """Chunks of an answer, the last with its finish reason; retries before the first chunk."""
        sampling = job.sampling
        shares_tokenizer = self._settings.engine == "vllm"  # the same base, so the same tokens
        text = text_for_servers(self.tokenizer, ids)
        body: dict[str, Any] = {
            "model": self.upstream_model(job.adapter),
            "prompt": list(ids) if shares_tokenizer else text,
            "max_tokens": most,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "logprobs": max(sampling.top, 1),
            "stream": True,
        }
        if sampling.seed is not None:
            body["seed"] = (sampling.seed + index) % 2**31
        if sampling.presence or sampling.frequency:
            body |= {"presence_penalty": sampling.presence, "frequency_penalty": sampling.frequency}
        # a server that is known to be down gets a single attempt
        most_attempts = 1 if self._down else self._server.attempts
        for attempt in range(1, most_attempts + 1):
            has_started = False
            try:
                async with aclosing(self._stream_request(body)) as chunks:
                    async for chunk in chunks:
                        has_started = True
                        self._set_down("")
                        yield chunk
                return
            except (UnavailableError, BusyError):
                if has_started or attempt == most_attempts:
                    raise
            await asyncio.sleep(min(_FIRST_WAIT * 2 ** (attempt - 1), _LONGEST_WAIT))

    async def _stream_request(self, body: Mapping[str, Any]) -> AsyncGenerator[AnswerChunk]:
        """Send one request and stream its chunks; UnavailableError and BusyError pass, EngineError does not."""
        try:
            async with self._client.stream("POST", "completions", json=body) as answer:
                if answer.status_code != httpx2.codes.OK:
                    raise self._error_for(answer.status_code, await answer.aread(), body["model"])
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
            failure = _connection_error(error)
            if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
                self._set_down(str(failure))
            raise failure from error
        raise UnavailableError("the upstream server ended while it wrote")

    def _error_for(self, status: int, body: bytes, model: str) -> Exception:
        message = message_of(body)
        if status == httpx2.codes.TOO_MANY_REQUESTS:
            return BusyError(f"the upstream server has no room: {message}")
        if status in _PASSING:
            return UnavailableError(f"the upstream server fails with {status}: {message}")
        if status in (httpx2.codes.UNAUTHORIZED, httpx2.codes.FORBIDDEN):
            return EngineError(
                f"the upstream server rejects the key ({status}); serving.upstream.key names the "
                "environment variable that holds it"
            )
        if status == httpx2.codes.NOT_FOUND:  # look the adapter up again
            self._loaded = {key: adapter for key, adapter in self._loaded.items() if adapter.weights != model}
        return EngineError(f"the upstream server refuses {model} with {status}: {message}")

    async def _models(self) -> list[str]:
        try:
            answer = await self._client.get("models", timeout=_QUICK)
            if answer.status_code != httpx2.codes.OK:
                raise self._error_for(answer.status_code, answer.content, "the list of models")
            names = [str(model["id"]) for model in answer.json()["data"]]
        except httpx2.HTTPError as error:
            raise _connection_error(error) from error
        except (ValueError, LookupError, TypeError) as error:
            raise EngineError(f"the upstream server's list of models cannot be read: {error!r}") from error
        self._set_down("")
        return names

    async def _load_adapter(self, body: Mapping[str, str]) -> None:
        """Make vLLM load an adapter; requires VLLM_ALLOW_RUNTIME_LORA_UPDATING=True there."""
        try:
            answer = await self._client.post("load_lora_adapter", json=body)
        except httpx2.HTTPError as error:
            raise _connection_error(error) from error
        if answer.status_code != httpx2.codes.OK:
            raise RefusedAdapterError(
                f"vLLM does not load {body['lora_name']} ({answer.status_code}: {message_of(answer.content)}); it "
                "has to be started with --enable-lora, VLLM_ALLOW_RUNTIME_LORA_UPDATING=True, and "
                "the project's folder at the same path"
            )


def _connection_error(error: httpx2.HTTPError) -> EngineError:
    kind = "does not answer in time" if isinstance(error, httpx2.TimeoutException) else "is away"
    detail = f"{type(error).__name__}: {error}".rstrip(": ")
    return UnavailableError(f"the upstream server {kind} ({detail}); the next request tries it again")
