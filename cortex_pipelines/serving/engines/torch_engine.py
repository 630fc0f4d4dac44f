"""The reference engine: torch and peft, one base, adapters put on it by turns.

A pass over a prompt is kept by adapter, never shared between two.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import AbstractContextManager
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from cortex_pipelines.adapters.data.boundary import ForcedStart
from cortex_pipelines.adapters.model.base_model import BaseModel
from cortex_pipelines.release.loading import Lora, ResidentBase, read_lora
from cortex_pipelines.serving.engines.engine import (
    AdapterFiles,
    Job,
    Ready,
    ScoredToken,
    TextDelta,
)
from cortex_pipelines.serving.engines.probing import Probe
from cortex_pipelines.serving.engines.queued import QueuedEngine, QueuedRequest, end_tokens, window
from cortex_pipelines.serving.engines.sampler import Sampler
from cortex_pipelines.serving.settings import ServingSettings
from cortex_pipelines.serving.token_stream import StreamedAnswer

_CHUNK = 256
"""Tokens of a prompt between two looks at whether anybody still waits for it."""


@dataclass
class _Pass:
    """A pass over tokens: what attention remembers of them."""

    ids: tuple[int, ...]
    memory: Any


class TorchEngine(QueuedEngine):
    """See ``engine.Engine``.

    Args:
        base: The base.
        settings: Limits.
    """

    def __init__(self, base: BaseModel, settings: ServingSettings) -> None:
        import torch

        torch.set_num_threads(settings.threads)
        self._base = ResidentBase(base, settings.precision)
        tokenizer = self._base.tokenizer
        self._model = self._base.model.get_base_model()
        self._ends = end_tokens(
            getattr(self._model.generation_config, "eos_token_id", None), tokenizer
        )
        self._probe = Probe(self._base)
        self._adapters: OrderedDict[str, Ready] = OrderedDict()
        self._probed: set[str] = set()
        self._on: str | None = None
        self._passes: OrderedDict[str | None, _Pass] = OrderedDict()
        own = getattr(self._model.config, "max_position_embeddings", None)
        super().__init__(tokenizer, window(own, settings), settings)

    def load(self, adapter: AdapterFiles) -> Ready:
        """See ``Engine.load``; quick where the adapter is in memory."""
        known = self._adapters.get(adapter.version)
        return known or self._between(lambda: self._loaded(adapter))

    def _around(self) -> AbstractContextManager[Any]:
        import torch

        return torch.inference_mode()

    def _resident(self) -> list[str]:
        return list(self._adapters)

    def _failed(self) -> None:
        self._passes.clear()
        self._on = None
        self._base.remove_adapter()

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

    def _put(self, adapter: Ready | None) -> None:
        if adapter is None:
            self._base.remove_adapter()
            self._on = None
            return
        if adapter.version in self._adapters:
            self._adapters.move_to_end(adapter.version)
        if self._on != adapter.version:
            weights: Lora = adapter.weights
            self._base.apply(weights)
            self._on = adapter.version

    def _pieces(self, work: QueuedRequest) -> Iterator[TextDelta]:
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
        self, work: QueuedRequest, index: int, logits: Any, memory: Any, written: list[int]
    ) -> Iterator[TextDelta]:
        """One answer, in pieces; its tokens are added to ``written``."""
        import torch

        job = work.job
        sampler = Sampler(job.sampling, index, self._model.device)
        forced = ForcedStart(self.tokenizer, len(job.prompt.ids), job.prompt.start)
        answer = StreamedAnswer(self.tokenizer, job.prompt.start, job.sampling)
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
            yield from answer.add(index, self._scored(logits, token, job.sampling.top))
            if answer.stopped:
                return
            if work.cancelled.is_set() or self._closed:
                yield answer.end(index, "cancelled")
                return
            step = torch.tensor([[token]], device=self._model.device)
            out = self._model(input_ids=step, past_key_values=memory, use_cache=True)
            logits = out.logits[0, -1].float()

    def _scored(self, logits: Any, token: int, top: int) -> ScoredToken:
        chances = logits.log_softmax(-1)
        values, places = chances.topk(top) if top else ((), ())
        likeliest = tuple(
            (int(place), float(value)) for value, place in zip(values, places, strict=True)
        )
        return ScoredToken(token, float(chances[token]), likeliest)

    def _keep(self, key: str | None, done: _Pass) -> None:
        self._passes[key] = done
        self._passes.move_to_end(key)
        while len(self._passes) > self._settings.adapters + 1:
            self._passes.popitem(last=False)


def _shared(known: tuple[int, ...], ids: tuple[int, ...]) -> int:
    """How many tokens two prompts begin with alike; the last one has to be read for its logits."""
    most = min(len(known), len(ids) - 1)
    return next((place for place in range(most) if known[place] != ids[place]), max(most, 0))
