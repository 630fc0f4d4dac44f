"""Engine on llama.cpp: faster on CPUs, with the same answers within a bound.

llama.cpp reuses its prompt cache regardless of the adapter, and cannot load an adapter while it runs. So each adapter
has its own server process, and so has the base: prompt caches are separate, and the memory-mapped weights are shared. A
new adapter's process is started and probed while the others keep answering. Each process answers several requests at
once, decoding a token of each in one batch, and keeps the prompts of its last requests.
"""

import random
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cortex_pipelines.adapters.data.packing import prompt_ids
from cortex_pipelines.adapters.model.base_model import BaseModel, load_tokenizer
from cortex_pipelines.release.exports.gguf_files import Width, layout_of
from cortex_pipelines.release.exports.source import ExportError
from cortex_pipelines.serving.engines.engine import (
    AdapterFiles,
    EngineError,
    Job,
    LoadedAdapter,
    Sampling,
    ScoredToken,
    TextDelta,
)
from cortex_pipelines.serving.engines.llama_files import EndedError, LlamaFiles, LlamaProcess
from cortex_pipelines.serving.engines.queued import PROMPTS, QueuedEngine, QueuedRequest
from cortex_pipelines.serving.engines.reference import Comparison, ReferenceFile
from cortex_pipelines.serving.engines.token_sampler import opening_rules, whole_grammar
from cortex_pipelines.serving.settings import ServingSettings
from cortex_pipelines.serving.token_stream import StreamedAnswer

_READ_IN_ONE = 4
"""Tokens that are read at least in the time in which one is written."""


class LlamaEngine(QueuedEngine):
    """See ``engine.Engine``; EngineError if llama.cpp's answers differ from torch's."""

    name = "llama"

    def __init__(self, base: BaseModel, settings: ServingSettings, cache: Path) -> None:
        tokenizer = load_tokenizer(base)
        self._processes: OrderedDict[str | None, LlamaProcess] = OrderedDict()
        self._loaded: dict[str, LoadedAdapter] = {}
        self._starting = threading.Lock()
        self._table = threading.RLock()
        self._evicted: list[LlamaProcess] = []
        super().__init__(base, tokenizer, settings, settings.slots)
        try:
            layout = layout_of(base.folder)
        except ExportError as error:
            raise EngineError(f"{error}; `--engine torch` serves this base") from error
        self.window = min(self.window, layout.context)
        width: Width = "fp16" if settings.precision == "bf16" else settings.precision
        self._limits = {"window": self.window, "slots": settings.slots, "threads": settings.threads}
        self._limits["exact"] = width == "fp32"
        self._files = LlamaFiles(base, width, cache)
        self._probes = prompt_ids(tokenizer, PROMPTS)
        self._base = self._files.base()
        self._processes[None] = self._start(None)
        self._comparison = Comparison(width, layout.map.bound, self._base.expected_logprobs)
        difference = self._comparison.of_base(self._answers(self._processes[None]))
        if difference > self._comparison.bound:
            self._processes[None].close()
            narrow = "set serving.precision to fp32, or " if width != "fp32" else ""
            raise EngineError(
                f"llama.cpp answers {difference:.2g} {self._comparison.unit} apart from torch with {base.name} alone "
                f"(at most {self._comparison.bound:g} are allowed); {narrow}`--engine torch` serves it"
            )
        self._start_threads()

    def load(self, adapter: AdapterFiles) -> LoadedAdapter:
        loaded = self._loaded.get(adapter.version)
        if loaded is not None:
            return loaded
        with self._starting:
            loaded = self._loaded.get(adapter.version)
            if loaded is not None:
                return loaded
            if self._closed:
                raise EngineError("the engine is closed")
            gguf = self._files.adapter(adapter.locate())
            process = self._start(gguf)
            try:
                self._comparison.require_adapter(
                    self._answers(process), gguf.expected_logprobs, lambda: self._answers(self._processes[None])
                )
                with self._table:
                    self._require_open()
                    return self._store_process(LoadedAdapter(adapter.version, gguf), process)
            except BaseException:
                process.close()
                raise

    def close(self) -> None:
        super().close()
        with self._table:
            for process in (*self._processes.values(), *self._evicted):
                process.close()

    def _resident(self) -> list[str]:
        return [version for version in self._processes if version is not None]

    def _start(self, adapter: ReferenceFile | None) -> LlamaProcess:
        return LlamaProcess(self._base.path, adapter.path if adapter else None, **self._limits)

    def _store_process(self, adapter: LoadedAdapter, process: LlamaProcess) -> LoadedAdapter:
        self._loaded[adapter.version] = adapter
        self._processes[adapter.version] = process
        while len(self._processes) > self._settings.adapters + 1:
            self._take_out(next(each for each in self._processes if each is not None))
        self._close_evicted()
        return adapter

    def _evict(self) -> bool:
        with self._table:
            idle = (
                version for version, process in self._processes.items() if version is not None and not process.users
            )
            if (version := next(idle, None)) is None:
                return False
            self._take_out(version)
            self._close_evicted()
            return True

    def _take_out(self, version: str) -> None:
        """Of memory, once no request uses it; never the base."""
        self._loaded.pop(version, None)
        self._evicted.append(self._processes.pop(version))

    def _close_evicted(self) -> None:
        for process in [each for each in self._evicted if not each.users]:
            self._evicted.remove(process)
            process.close()

    @contextmanager
    def _using(self, adapter: LoadedAdapter | None) -> Iterator[LlamaProcess]:
        """The process of an adapter, which stays open meanwhile."""
        with self._table:
            process = self._process(adapter)
            process.users += 1
        try:
            yield process
        finally:
            with self._table:
                process.users -= 1
                self._close_evicted()

    def _process(self, adapter: LoadedAdapter | None) -> LlamaProcess:
        """The process of an adapter; restarted if it ended or was evicted."""
        version = adapter.version if adapter else None
        process = self._processes.get(version)
        if process is None or not process.alive:
            if process is not None:
                process.close()
            process = self._start(adapter.weights if adapter else None)
            if adapter is None:
                self._processes[None] = process
            else:
                self._store_process(adapter, process)
        self._processes.move_to_end(version)
        return process

    def _writes_at_once(self, job: Job) -> bool:
        """If that takes longer than to read the prompt again: each of llama.cpp's slots does."""
        return super()._writes_at_once(job) and len(job.prompt.ids) < _READ_IN_ONE * job.sampling.max_tokens

    def _deltas(self, work: QueuedRequest) -> Iterator[TextDelta]:
        for index in work.indices:
            if work.cancelled.is_set():
                return
            answer = StreamedAnswer(self.tokenizer, work.job.prompt.start, work.job.sampling)
            yield from self._stream(work, index, answer, self._steps(work, index))

    def _steps(self, work: QueuedRequest, index: int) -> Iterator[ScoredToken]:
        """Tokens of an answer; retries with a new process if one ends before the first token."""
        for may_retry in (True, False):
            with self._using(work.job.adapter) as process:
                has_started = False
                try:
                    for step in self._request_tokens(process, work, index):
                        has_started = True
                        yield step
                    return
                except EndedError:
                    process.close()
                    if has_started or not may_retry:
                        raise

    def _request_tokens(self, process: LlamaProcess, work: QueuedRequest, index: int) -> Iterator[ScoredToken]:
        job, sampling = work.job, work.job.sampling
        seed = random.SystemRandom().getrandbits(31) if sampling.seed is None else sampling.seed + index

        def is_abandoned() -> bool:
            return work.cancelled.is_set() or self._closed

        is_alone = self._busy == 1

        def on_read(cached: int, tokens: int, seconds: float) -> None:
            work.cached = work.cached or cached
            if is_alone and self._busy == 1:  # else others had a part of this time
                self._note_reading(tokens, seconds)

        payload: dict[str, Any] = {
            "n_predict": job.most_tokens,
            "cache_prompt": sampling.reuse or index > work.indices[0],
            "n_probs": max(sampling.top, 1),
            "seed": seed % 2**31,
        } | _samplers(sampling)
        forced_start = job.prompt.start + job.prompt.lead
        if not sampling.presence and not sampling.frequency:
            answer = sampling.grammar or opening_rules(sampling.ending)
            grammar = _grammar(forced_start, answer)
            yield from process.generate(job.prompt.ids, payload | grammar, is_abandoned, on_read)
            return
        # llama.cpp's own penalties count the tokens of the prompt too
        ids: list[int] = []
        while len(ids) < job.most_tokens:
            generated_text = self.tokenizer.decode(ids, clean_up_tokenization_spaces=False)
            biases = [[token, -(sampling.presence + sampling.frequency * ids.count(token))] for token in set(ids)]
            payload |= {"n_predict": 1, "seed": (seed + len(ids)) % 2**31, "logit_bias": biases}
            answer = "" if generated_text.strip() else opening_rules(sampling.ending)
            payload |= {"grammar": ""} | _grammar(forced_start[len(generated_text) :], answer)
            step = next(process.generate([*job.prompt.ids, *ids], payload, is_abandoned, on_read), None)
            if step is None:
                return
            yield step
            ids.append(step.token)
            payload["cache_prompt"] = True

    def _answers(self, process: LlamaProcess) -> list[dict[int, float]]:
        payload = {"n_predict": 1, "n_probs": Comparison.likeliest, "temperature": 0.0, "cache_prompt": False}
        return [dict(step.top) for ids in self._probes for step in process.generate(ids, payload, lambda: False)]


def _samplers(sampling: Sampling) -> dict[str, Any]:
    """How the next token is drawn; the likeliest one without weighing the whole vocabulary."""
    if sampling.temperature <= 0:
        return {"temperature": 0.0, "top_k": 1, "samplers": ["top_k"]}
    return {"temperature": sampling.temperature, "top_p": sampling.top_p, "samplers": ["temperature", "top_p"]}


def _grammar(start: str, answer: str = "") -> dict[str, str]:
    rules = whole_grammar(start, answer)
    return {"grammar": rules} if rules else {}
