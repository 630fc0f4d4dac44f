"""The reference engine: torch and peft, one base, adapters put on it by turns.

One thread owns the model, and requests come to it through a queue, so that no request can see the
adapter of another one. A pass over a prompt is kept by adapter, never shared between two.
"""

import queue
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from cortex_pipelines.adapters.data.boundary import ForcedStart, divide
from cortex_pipelines.adapters.data.packing import start_token, token_ids
from cortex_pipelines.adapters.model.base_model import BaseModel
from cortex_pipelines.release.loading import Lora, ResidentBase, read_lora
from cortex_pipelines.serving.answer import Answer
from cortex_pipelines.serving.engine import (
    AdapterFiles,
    BusyError,
    EngineError,
    Event,
    Job,
    Piece,
    Prompt,
    Ready,
    Token,
)
from cortex_pipelines.serving.probing import Probe
from cortex_pipelines.serving.sampler import Sampler
from cortex_pipelines.serving.settings import ServingSettings

_CHUNK = 256
"""Tokens of a prompt between two looks at whether anybody still waits for it."""


@dataclass
class _Request:
    job: Job
    deliver: Callable[[Event], None]
    cancelled: threading.Event = field(default_factory=threading.Event)


@dataclass
class _Load:
    adapter: AdapterFiles
    done: "Future[Ready]"


@dataclass
class _Pass:
    """A pass over tokens: what attention remembers of them."""

    ids: tuple[int, ...]
    memory: Any


class TorchEngine:
    """See ``engine.Engine``.

    Args:
        base: The base.
        settings: Limits.
    """

    def __init__(self, base: BaseModel, settings: ServingSettings) -> None:
        import torch

        torch.set_num_threads(settings.threads)
        self._settings = settings
        self._resident = ResidentBase(base, settings.precision)
        self.tokenizer = self._resident.tokenizer
        self._model = self._resident.model.get_base_model()
        self.window = _window(self._model, settings)
        self._ends = _end_tokens(self._model, self.tokenizer)
        self._probe = Probe(self._resident)
        self._adapters: OrderedDict[str, Ready] = OrderedDict()
        self._probed: set[str] = set()
        self._on: str | None = None
        self._passes: OrderedDict[str | None, _Pass] = OrderedDict()
        self._work: queue.Queue[_Request | _Load | None] = queue.Queue()
        self._waiting = 0
        self._lock = threading.Lock()
        self._busy = False
        self._written = 0
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name="model", daemon=True)
        self._thread.start()

    def load(self, adapter: AdapterFiles) -> Ready:
        """See ``Engine.load``; quick where the adapter is in memory."""
        known = self._adapters.get(adapter.version)
        if known is not None:
            return known
        done: Future[Ready] = Future()
        self._enter(_Load(adapter, done))
        return done.result()

    def prompt(self, text: str, room: int = 0) -> Prompt:
        """See ``Engine.prompt``."""
        context, space = divide(text)
        (ids,) = token_ids(self.tokenizer, [context])
        ids = ids or [start_token(self.tokenizer)]
        most = max(self.window - room, 1)
        return Prompt(tuple(ids[-most:]), space, max(len(ids) - most, 0))

    def submit(self, job: Job, deliver: Callable[[Event], None]) -> Callable[[], None]:
        """See ``Engine.submit``."""
        with self._lock:
            if self._waiting >= self._settings.waiting:
                raise BusyError(f"{self._waiting} requests wait already; try again in a second")
            self._waiting += 1
        request = _Request(job, deliver)
        self._enter(request)
        return request.cancelled.set

    def state(self) -> Mapping[str, Any]:
        """See ``Engine.state``."""
        alive = self._thread.is_alive() and not self._closed
        return {
            "waiting": self._waiting,
            "busy": self._busy,
            "written": self._written,
            "resident": list(self._adapters),
            "alive": alive,
        }

    def close(self) -> None:
        """See ``Engine.close``."""
        self._closed = True
        self._work.put(None)
        self._thread.join()

    def _enter(self, work: _Request | _Load) -> None:
        if self._closed:
            raise EngineError("the engine is closed")
        self._work.put(work)

    def _serve(self) -> None:
        import torch

        with torch.inference_mode():
            while not self._closed and (work := self._work.get()) is not None:
                if isinstance(work, _Load):
                    self._answer_load(work)
                else:
                    with self._lock:
                        self._waiting -= 1
                    self._busy = True
                    self._answer(work)
                    self._busy = False
        while not self._work.empty():
            left = self._work.get()
            error = EngineError("the engine was closed")
            if isinstance(left, _Load):
                left.done.set_exception(error)
            elif left is not None:
                left.deliver(error)

    def _answer_load(self, work: _Load) -> None:
        try:
            work.done.set_result(self._loaded(work.adapter))
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever asked
            work.done.set_exception(error)

    def _loaded(self, adapter: AdapterFiles) -> Ready:
        ready = self._adapters.get(adapter.version)
        if ready is None:
            ready = Ready(adapter.version, read_lora(adapter.locate()))
            if adapter.version not in self._probed:
                self._on = None
                self._probe.require(ready.weights)
                self._probed.add(adapter.version)
            self._adapters[adapter.version] = ready
            while len(self._adapters) > self._settings.adapters:
                left, _ = self._adapters.popitem(last=False)
                self._passes.pop(left, None)
        self._adapters.move_to_end(adapter.version)
        return ready

    def _answer(self, work: _Request) -> None:
        try:
            for piece in self._pieces(work):
                work.deliver(piece)
            work.deliver(None)
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever asked
            self._passes.clear()
            self._on = None
            self._resident.take_off()
            work.deliver(error)

    def _put(self, adapter: Ready | None) -> None:
        if adapter is None:
            self._resident.take_off()
            self._on = None
            return
        if adapter.version in self._adapters:
            self._adapters.move_to_end(adapter.version)
        if self._on != adapter.version:
            weights: Lora = adapter.weights
            self._resident.put(weights)
            self._on = adapter.version

    def _pieces(self, work: _Request) -> Iterator[Piece]:
        job = work.job
        if work.cancelled.is_set():
            return
        self._put(job.adapter)
        key = job.adapter.version if job.adapter else None
        first = self._read(job, key, work.cancelled)
        if first is None:
            return
        logits, memory = first
        for index in range(job.count):
            last = index == job.count - 1
            mine = memory if last else deepcopy(memory)
            written: list[int] = []
            yield from self._continued(work, index, logits, mine, written)
            if last:
                ids = (*job.prompt.ids, *written)[: mine.get_seq_length()]
                self._keep(key, _Pass(ids, mine))
            if work.cancelled.is_set():
                return

    def _read(
        self, job: Job, key: str | None, cancelled: threading.Event
    ) -> tuple[Any, Any] | None:
        """The logits after the prompt and the pass over it; None if nobody waits any more."""
        import torch
        from transformers import DynamicCache

        ids = job.prompt.ids
        known = self._passes.pop(key, None) if job.sampling.reuse else None
        shared = _shared(known.ids, ids) if known else 0
        memory: Any
        if known is not None and shared:
            memory = known.memory
            if over := memory.get_seq_length() - shared:
                memory.crop(-over)
        else:
            memory = DynamicCache()
        logits = None
        for start in range(shared, len(ids), _CHUNK):
            if cancelled.is_set():
                return None
            part = torch.tensor([ids[start : start + _CHUNK]], device=self._model.device)
            out = self._model(input_ids=part, past_key_values=memory, use_cache=True)
            logits = out.logits[0, -1].float()
        return logits, memory

    def _continued(
        self, work: _Request, index: int, logits: Any, memory: Any, written: list[int]
    ) -> Iterator[Piece]:
        """One answer, in pieces; its tokens are added to ``written``."""
        import torch

        job = work.job
        sampler = Sampler(job.sampling, index, self._model.device)
        forced = ForcedStart(self.tokenizer, len(job.prompt.ids), job.prompt.start)
        answer = Answer(self.tokenizer, job.prompt.start, job.sampling)
        while True:
            if len(written) >= job.sampling.max_tokens:
                yield answer.end(index, "length")
                return
            scores = logits.clone()
            if not answer.begun:
                row = torch.tensor([[*job.prompt.ids, *written]])
                scores = forced(row, scores[None])[0]
            token = sampler.choose(scores)
            if token in self._ends:
                yield answer.end(index, "stop")
                return
            written.append(token)
            self._written += 1
            yield from answer.add(index, token, self._scored(logits, token, job.sampling.top))
            if answer.stopped:
                return
            if work.cancelled.is_set() or self._closed:
                yield answer.end(index, "cancelled")
                return
            step = torch.tensor([[token]], device=self._model.device)
            out = self._model(input_ids=step, past_key_values=memory, use_cache=True)
            logits = out.logits[0, -1].float()

    def _scored(self, logits: Any, token: int, top: int) -> Token:
        chances = logits.log_softmax(-1)
        values, places = chances.topk(top) if top else ((), ())
        shown = tuple(
            (self.tokenizer.decode([int(place)]), float(value))
            for value, place in zip(values, places, strict=True)
        )
        return Token(self.tokenizer.decode([token]), float(chances[token]), shown)

    def _keep(self, key: str | None, done: _Pass) -> None:
        self._passes[key] = done
        self._passes.move_to_end(key)
        while len(self._passes) > self._settings.adapters + 1:
            self._passes.popitem(last=False)


def _shared(known: tuple[int, ...], ids: tuple[int, ...]) -> int:
    """How many tokens two prompts begin with alike; the last one has to be read for its logits."""
    most = min(len(known), len(ids) - 1)
    return next((place for place in range(most) if known[place] != ids[place]), max(most, 0))


def _window(model: Any, settings: ServingSettings) -> int:
    own = getattr(model.config, "max_position_embeddings", None)
    return min(settings.window, int(own)) if own else settings.window


def _end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    """Every token that ends a text, for the base or for its tokenizer."""
    named = getattr(model.generation_config, "eos_token_id", None)
    every = named if isinstance(named, list) else [named]
    return frozenset(int(token) for token in (*every, tokenizer.eos_token_id) if token is not None)
