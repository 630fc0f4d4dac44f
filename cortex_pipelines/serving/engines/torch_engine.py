"""Reference engine: torch and peft, one base, one active adapter at a time, a KV cache for each."""

import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import AbstractContextManager
from copy import deepcopy
from functools import partial
from typing import Any

from cachetools import LRUCache

from cortex_pipelines.adapters.model.base_model import BaseModel, Precision, resolve_precision
from cortex_pipelines.release.loading import ResidentBase, read_lora
from cortex_pipelines.serving.engines.engine import AdapterFiles, EngineError, LoadedAdapter, TextDelta
from cortex_pipelines.serving.engines.queued import Probe, QueuedEngine, QueuedRequest, common_prefix
from cortex_pipelines.serving.engines.token_sampler import TokenSampler
from cortex_pipelines.serving.settings import ServingSettings
from cortex_pipelines.serving.token_stream import StreamedAnswer

_CHUNK = 256
"""Tokens of a prompt between checks whether the request was cancelled."""


def torch_precision(settings: ServingSettings) -> Precision:
    """Type of the weights; instead of 8 or 4 bits, that in which a base is trained on a GPU, and fp32 on processors."""
    import torch

    if settings.precision == "q8" or settings.precision == "q4":
        return resolve_precision("auto") if torch.cuda.is_available() else "fp32"
    return settings.precision


def answering_gpu(engine: str) -> str:
    """Name of the GPU by which an engine of this process answers; empty if by its processors."""
    if engine != TorchEngine.name:
        return ""
    import torch

    return str(torch.cuda.get_device_name()) if torch.cuda.is_available() else ""


class TorchEngine(QueuedEngine):
    name = "torch"

    def __init__(self, base: BaseModel, settings: ServingSettings) -> None:
        import torch

        torch.set_num_threads(settings.threads)
        precision = torch_precision(settings)
        try:
            self._base = ResidentBase(base, precision)
            self._probe = Probe(self._base)
        except RuntimeError as error:  # of memory, or of a GPU that torch cannot use
            if not torch.cuda.is_available():
                raise
            raise EngineError(
                f"the GPU cannot load {base.name} in {precision}: {error}; hide it with CUDA_VISIBLE_DEVICES= in the "
                "environment, or serve a smaller base"
            ) from error
        self._model = self._base.base_model
        self._adapters: OrderedDict[str, LoadedAdapter] = OrderedDict()
        self._probed: set[str] = set()
        self._active_version: str | None = None
        self._passes: LRUCache[str | None, tuple[tuple[int, ...], Any]] = LRUCache(settings.adapters + 1)
        """Tokens and KV cache of each adapter's last answer."""
        super().__init__(base, self._base.tokenizer, settings)
        self._sampler = TokenSampler(self.tokenizer, self._ends)
        self._start_threads()

    def load(self, adapter: AdapterFiles) -> LoadedAdapter:
        loaded = self._adapters.get(adapter.version)
        return loaded or self._run_between_requests(lambda: self._load_and_probe(adapter))

    def _evict(self) -> bool:
        return self._run_between_requests(self._evict_first)

    def _evict_first(self) -> bool:
        if not self._adapters:
            return False
        version, _ = self._adapters.popitem(last=False)
        self._passes.pop(version, None)
        if version == self._active_version:
            self._active_version = None
            self._base.remove_adapter()
        return True

    def _thread_context(self) -> AbstractContextManager[Any]:
        import torch

        return torch.inference_mode()

    def _resident(self) -> list[str]:
        return list(self._adapters)

    def _reset_after_failure(self) -> None:
        self._passes.clear()
        self._active_version = None
        self._base.remove_adapter()

    def _load_and_probe(self, adapter: AdapterFiles) -> LoadedAdapter:
        loaded = self._adapters.get(adapter.version)
        if loaded is None:
            loaded = LoadedAdapter(adapter.version, read_lora(adapter.locate()))
            if adapter.version not in self._probed:
                self._active_version = None
                self._probe.require(loaded.weights)
                self._probed.add(adapter.version)
            self._adapters[adapter.version] = loaded
            while len(self._adapters) > self._settings.adapters:
                self._evict_first()
        self._adapters.move_to_end(adapter.version)
        return loaded

    def _deltas(self, work: QueuedRequest) -> Iterator[TextDelta]:
        job = work.job
        if work.cancelled.is_set():
            return
        key = job.adapter.version if job.adapter else None
        if key is not None and key in self._adapters:
            self._adapters.move_to_end(key)
        if job.adapter is None:
            self._base.remove_adapter()
        elif self._active_version != key:
            self._base.apply(job.adapter.weights)
        self._active_version = key
        first = self._run_prompt(work, key)
        if first is None:
            return
        logits, memory = first
        for index in work.indices:
            last = index == job.count - 1
            answer_memory = memory if last else deepcopy(memory)
            generated_ids: list[int] = []
            answer = StreamedAnswer(self.tokenizer, job.prompt.start, job.sampling)
            advance = partial(self._logits_after, answer_memory)
            yield from self._stream(
                work, index, answer, self._sampler.steps(job, index, answer, logits, generated_ids, advance)
            )
            if last:
                ids = (*job.prompt.ids, *generated_ids)[: answer_memory.get_seq_length()]
                self._passes[key] = ids, answer_memory
            if work.cancelled.is_set():
                return

    def _run_prompt(self, work: QueuedRequest, key: str | None) -> tuple[Any, Any] | None:
        """Logits after the prompt and its KV cache; None if the request was cancelled."""
        import torch
        from transformers import DynamicCache

        job, ids = work.job, work.job.prompt.ids
        # the last token is run again: its logits are needed
        none: tuple[tuple[int, ...], Any] = (), None
        cached_ids, memory = self._passes.pop(key, none) if job.sampling.reuse else none
        shared = work.cached = common_prefix(cached_ids, ids[:-1])
        if not shared:
            memory = DynamicCache()
        elif excess := memory.get_seq_length() - shared:
            memory.crop(-excess)
        logits, began = None, time.perf_counter()
        self._note_unread(work, len(ids) - shared)
        for start in range(shared, len(ids), _CHUNK):
            if work.cancelled.is_set():
                return None
            chunk = torch.tensor([ids[start : start + _CHUNK]], device=self._model.device)
            logits = self._model(input_ids=chunk, past_key_values=memory, use_cache=True).logits[0, -1].float()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self._note_reading(len(ids) - shared, time.perf_counter() - began)
        return logits, memory

    def _logits_after(self, memory: Any, token: int) -> Any:
        import torch

        step = torch.tensor([[token]], device=self._model.device)
        return self._model(input_ids=step, past_key_values=memory, use_cache=True).logits[0, -1].float()
