"""What engines with weights in this process share: one thread that answers in turn, and the probe.

Requests reach the thread through a queue, so no request can see the adapter of another. Before its first
request each adapter is probed. Engines are known for three faults: an adapter that loads without effect,
one applied at another scale than in training, and one that stays active when the base is requested. Each
shows in the logits after a few fixed prompts: compared with the base's, with a second computation that
adds the matrices' product to the base's layers, and with the base's logits from before.
"""

import logging
import math
import queue
import re
import threading
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from itertools import takewhile
from operator import eq
from typing import Any, TypeVar

from cortex_pipelines.adapters.data.packing import prompt_ids
from cortex_pipelines.adapters.model.base_model import BaseModel
from cortex_pipelines.models.family import FamilyError, family_of, first
from cortex_pipelines.release.exports.source import relative_difference
from cortex_pipelines.release.loading import A, B, Lora, ResidentBase
from cortex_pipelines.serving.engines.engine import (
    ClosedError,
    Engine,
    EngineError,
    Event,
    Finish,
    Job,
    RefusedAdapterError,
    ScoredToken,
    TextDelta,
)
from cortex_pipelines.serving.engines.memory import is_short
from cortex_pipelines.serving.settings import ServingSettings
from cortex_pipelines.serving.token_stream import StreamedAnswer
from cortex_pipelines.tokenization.text_encoder import encoder_of
from cortex_pipelines.versioning.dvc.yaml_files import read_json

T = TypeVar("T")


@dataclass(eq=False)
class QueuedRequest:
    """Answers that one thread writes in turn; the ``following`` ones begin beside them once the prompt is read."""

    job: Job
    deliver: Callable[[Event], None]
    indices: Sequence[int]
    cancelled: threading.Event = field(default_factory=threading.Event)
    following: list["QueuedRequest"] = field(default_factory=list)
    is_waiting: bool = True
    cached: int = 0
    """Tokens of the prompt that were read for an earlier request."""

    def one_by_one(self) -> "QueuedRequest":
        """The first of its answers, which the others follow."""
        deliver = _JointDelivery(self.deliver, self.cancelled, len(self.indices))
        first, *following = (replace(self, deliver=deliver, indices=[index], following=[]) for index in self.indices)
        first.following = following
        return first


class _JointDelivery:
    """Delivers what several threads write for one job; its end is that of the last, or the first error."""

    def __init__(self, deliver: Callable[[Event], None], cancelled: threading.Event, count: int) -> None:
        self._deliver, self._cancelled, self._unfinished = deliver, cancelled, count
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        with self._lock:
            if not self._unfinished:
                return
            if isinstance(event, BaseException):
                self._unfinished = 0
                self._cancelled.set()
            elif event is None:
                self._unfinished -= 1
            if event is not None or not self._unfinished:
                self._deliver(event)


_Change = tuple[Callable[[], Any], Future[Any]]
_LOG = logging.getLogger("cortex_pipelines")
_MEMORY_SECONDS = 1.0  # between two looks at memory
_NOTED, _NEWEST, _STEP = 32, 0.3, 1.25
"""Fewest tokens of a prompt by which the speed is followed, the share of the newest one, and the change that counts."""


class QueuedEngine(Engine):
    """An engine whose threads answer one request each; the engines on it add ``load`` and ``_deltas``."""

    def __init__(self, base: BaseModel, tokenizer: Any, settings: ServingSettings, threads: int = 1) -> None:
        """Answers end at what base and family declare; the engine starts the threads."""
        config = read_json(base.folder / "config.json")
        super().__init__(tokenizer, first(config, ("max_position_embeddings", "n_positions")), settings)
        ends: list[int | None] = [tokenizer.eos_token_id]
        for file in (read_json(base.folder / "generation_config.json"), config):
            declared = file.get("eos_token_id")
            ends += declared if isinstance(declared, list) else [declared]
        controls = encoder_of(tokenizer).controls
        with suppress(FamilyError):  # torch serves what transformers knows
            ends += (controls.get(token) for token in family_of(config, controls).ends)
        self._ends = frozenset(int(token) for token in ends if token is not None and token >= 0)
        self._work: queue.Queue[QueuedRequest | _Change | None] = queue.Queue()
        self._threads = [threading.Thread(target=self._serve, name="model", daemon=True) for _ in range(threads)]
        self._ended = threading.Event()
        self._reading: float | None = None
        """Tokens read a second lately; None before the first prompt."""

    @abstractmethod
    def _evict(self) -> bool:
        """Let go of the least recently used adapter that answers no request; False if each answers one."""

    @abstractmethod
    def _deltas(self, work: QueuedRequest) -> Iterator[TextDelta]: ...

    def _writes_at_once(self, _job: Job) -> bool:
        """Whether the answers to one prompt are written side by side."""
        return len(self._threads) > 1

    def _reset_after_failure(self) -> None:
        """Discard state that a failed request may have left."""

    def _thread_context(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def submit(self, job: Job, deliver: Callable[[Event], None]) -> Callable[[], None]:
        self._count_waiting()
        request = QueuedRequest(job, deliver, range(job.count))
        if job.count > 1 and self._writes_at_once(job):
            request = request.one_by_one()
        if job.sampling.deadline is not None:
            with self._lock:
                self._claims.add(job.sampling.deadline.claim)
        self._note_unread(request, len(job.prompt.ids))
        self._enter(request)

        def cancel() -> None:
            request.cancelled.set()
            self._note_unread(request, 0)
            with self._lock:  # others may wait in its place before its turn comes
                self._leave_queue(request)

        return cancel

    def close(self) -> None:
        self._ended.set()
        with self._lock:
            self._closed = True
            for _ in self._threads:
                self._work.put(None)
        for thread in self._threads:
            thread.join()
        while not self._work.empty():
            closed, abandoned = ClosedError(), self._work.get()
            if isinstance(abandoned, tuple):
                abandoned[1].set_exception(closed)
            elif abandoned is not None:
                abandoned.deliver(closed)

    def _start_threads(self) -> None:
        for thread in self._threads:
            thread.start()
        if self._settings.free_mib:
            threading.Thread(target=self._watch_memory, name="memory", daemon=True).start()

    def _watch_memory(self) -> None:
        while not self._ended.wait(_MEMORY_SECONDS):
            if self._resident() and is_short(self._settings.free_mib * 2**20):
                with suppress(EngineError):  # closed meanwhile
                    if self._evict():
                        _LOG.warning("memory is short; adapters left: %d", len(self._resident()))

    def _stream(
        self, work: QueuedRequest, index: int, answer: StreamedAnswer, steps: Iterator[ScoredToken]
    ) -> Iterator[TextDelta]:
        """Stream an answer from its tokens, up to one that ends it."""
        finish: Finish = "length"
        while not answer.is_full:
            step = next(steps, None)
            self._note_unread(work, 0)
            self._begin_following(work)
            if step is None or step.token in self._ends:
                finish = "stop"
                break
            with self._lock:
                self._generated_tokens += 1
            yield from answer.add(index, replace(step, top=step.top[: work.job.sampling.top]))
            if answer.stopped:
                return
            if work.cancelled.is_set():
                break
            if self._closed:
                raise ClosedError
            if answer.is_late:
                finish = "late"
                break
        yield answer.end(index, "cancelled" if work.cancelled.is_set() else finish)

    def _note_reading(self, tokens: int, seconds: float) -> None:
        """Follow the speed of a busy machine, in steps: prompts that are cut alike are read once."""
        if self.speed is not None and tokens >= _NOTED:
            self._reading = (1 - _NEWEST) * (self._reading or self.speed.read) + _NEWEST * tokens / seconds
            if not 1 / _STEP < self._reading / self.speed.read < _STEP:
                self.speed = replace(self.speed, read=self._reading)

    def _note_unread(self, work: QueuedRequest, tokens: int) -> None:
        """Tokens of a prompt that are still to be read; none once the request was cancelled."""
        if work.job.sampling.deadline is not None:
            work.job.sampling.deadline.claim.tokens = 0 if work.cancelled.is_set() else tokens

    def _begin_following(self, work: QueuedRequest) -> None:
        while work.following:
            with self._lock:
                self._waiting += 1
            self._enter(work.following.pop(0))

    def _run_between_requests(self, make: Callable[[], T]) -> T:
        """Load or evict adapters in the engine's thread, between two requests."""
        future: Future[T] = Future()
        self._enter((make, future))
        return future.result()

    def _enter(self, work: QueuedRequest | _Change) -> None:
        with self._lock:  # nothing may follow the end of the queue, where it would never be answered
            self._require_open()
            self._work.put(work)

    def _serve(self) -> None:
        with self._thread_context():
            while not self._closed and (work := self._work.get()) is not None:
                if isinstance(work, tuple):
                    make, future = work
                    try:
                        future.set_result(make())
                    except BaseException as error:  # noqa: BLE001 - raised in the caller
                        future.set_exception(error)
                    continue
                with self._lock:
                    self._leave_queue(work)
                    self._busy += 1
                work.job.on_start()
                try:
                    for delta in self._deltas(work):
                        work.deliver(replace(delta, cached=work.cached))
                    self._begin_following(work)
                    work.deliver(None)
                except BaseException as error:  # noqa: BLE001 - delivered to the caller
                    self._reset_after_failure()
                    work.deliver(error)
                self._note_unread(work, 0)
                with self._lock:
                    self._busy -= 1


def common_prefix(first: Sequence[int], second: Sequence[int]) -> int:
    """How many tokens both begin with."""
    return sum(takewhile(bool, map(eq, first, second)))


PROMPTS = (
    "def parse_version(text):\n    parts = text",
    "class History:\n    def __init__(self, size):",
    "# Settings of the service\nimport os\n\nPORT =",
    "export function total(items: Item[]): number {\n  let sum = 0;\n  for (const item of items) {\n    sum",
    "func (s *Store) Get(key string) (string, error) {\n\ts.lock.Lock()\n\tdefer",
    "How to run the tests: install the packages, then",
)
"""Of several kinds: of few tokens, what rounding does to the next one is left to chance."""
_SAME = 1e-6
"""The base's logits must return exactly, except for the order of sums across threads."""


class Probe:
    """Compares an engine's logits with expected ones, up to the order of sums; no adapter may be active at first."""

    def __init__(self, resident: ResidentBase) -> None:
        self._resident = resident
        self._model = resident.base_model
        self._bound = 1e-3 if str(self._model.dtype) == "torch.float32" else 0.05
        self._base_answers = self._answers()

    def require(self, lora: Lora) -> None:
        """Activate an adapter in place of any other, compare, and deactivate it; raises RefusedAdapterError."""
        self._resident.remove_adapter()
        expected = self._reference(lora)
        self._resident.apply(lora)
        try:
            answers = self._answers()
        finally:
            self._resident.remove_adapter()
        if (difference := _difference(answers, expected)) > self._bound:
            if _difference(answers, self._base_answers) <= _SAME:
                raise RefusedAdapterError("the adapter has no effect in this engine")
            raise RefusedAdapterError(
                f"the adapter answers {difference:.2g} apart from what its matrices give "
                f"(at most {self._bound:g} is allowed)"
            )
        if _difference(expected, self._base_answers) <= _SAME:
            raise RefusedAdapterError("the adapter changes nothing: its matrices are zero")
        if _difference(self._answers(), self._base_answers) > _SAME:
            raise RefusedAdapterError("the base answers differently after the adapter was taken off")

    def expected_logits(self, lora: Lora | None) -> list[Any]:
        """Logits after each token of each prompt, shape (tokens, vocabulary); None for the base."""
        if lora is None:
            return self._base_answers
        self.require(lora)
        return self._reference(lora)

    def _answers(self) -> list[Any]:
        import torch

        inputs = [
            torch.tensor([ids], device=self._model.device) for ids in prompt_ids(self._resident.tokenizer, PROMPTS)
        ]
        with torch.no_grad():
            return [self._model(input_ids=ids).logits[0].float().cpu() for ids in inputs]

    def _reference(self, lora: Lora) -> list[Any]:
        """Logits of the base with the adapter's product added to its layers' outputs."""
        layers = dict(self._resident.model.named_modules())
        handles = [
            layers[name].base_layer.register_forward_hook(_addition_hook(lora, name))
            for name in lora.layers
            if name in layers and hasattr(layers[name], "base_layer")
        ]
        try:
            return self._answers()
        finally:
            for handle in handles:
                handle.remove()


def _addition_hook(lora: Lora, name: str) -> Callable[[Any, Any, Any], Any]:
    a, b = lora.tensors[name + A], lora.tensors[name + B]
    configuration, rank = lora.configuration, a.shape[0]
    patterns = configuration.get("alpha_pattern") or {}
    overrides = [value for key, value in patterns.items() if re.match(rf"(.*\.)?({key})$", name)]
    alpha = float(overrides[0] if overrides else configuration["lora_alpha"])
    factor = alpha / (math.sqrt(rank) if configuration.get("use_rslora") else rank)

    def hook(_module: Any, inputs: Any, output: Any) -> Any:
        first, second = a.to(output.device), b.to(output.device)
        update = (inputs[0].float() @ first.T) @ second.T
        return output + (factor * update).to(output.dtype)

    return hook


def _difference(first: list[Any], second: list[Any]) -> float:
    return max(relative_difference(actual, reference) for actual, reference in zip(first, second, strict=True))
