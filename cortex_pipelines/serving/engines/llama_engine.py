"""The engine on llama.cpp: quicker on a processor, the same answers within a bound.

llama.cpp keeps what it read of a prompt without regard to the adapter that it was read with, and
takes up no adapter while it runs. So each adapter has a server process of its own, and so has the
base alone: what one has read no other can see, and the weights are mapped, in memory once. A new
adapter's process is started and probed beside those that answer.
"""

import random
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cortex_pipelines.adapters.model.base_model import BaseModel, load_tokenizer
from cortex_pipelines.release.exports.gguf_base import Width
from cortex_pipelines.release.exports.source import ExportError
from cortex_pipelines.serving.engines.engine import (
    AdapterFiles,
    EngineError,
    Ready,
    RefusedAdapterError,
    Sampling,
    ScoredToken,
    TextDelta,
)
from cortex_pipelines.serving.engines.llama_files import Chances, Converted, LlamaFiles
from cortex_pipelines.serving.engines.llama_process import EndedError, LlamaProcess
from cortex_pipelines.serving.engines.probing import PROMPTS
from cortex_pipelines.serving.engines.queued import (
    QueuedEngine,
    QueuedRequest,
    end_tokens,
    model_file,
    window,
)
from cortex_pipelines.serving.settings import ServingSettings
from cortex_pipelines.serving.token_stream import StreamedAnswer
from cortex_pipelines.tokenization.text_encoder import token_ids

_BOUNDS = {"fp32": 1e-3, "fp16": 0.05}
"""Nats, at most, between log-probabilities of llama.cpp and of torch, of the likeliest tokens."""

_LIKELIEST = 32
"""How many of them are compared after each prompt."""

_SHARE = 0.25
"""Of an adapter's own effect that the difference may be: half or twice its scale is more."""

_NO_CHANGE = 1e-6


class LlamaEngine(QueuedEngine):
    """See ``engine.Engine``.

    Args:
        base: The base.
        settings: Limits.
        cache: Folder for the converted files.

    Raises:
        EngineError: llama.cpp cannot load the base, or answers otherwise than torch.
    """

    def __init__(self, base: BaseModel, settings: ServingSettings, cache: Path) -> None:
        tokenizer = load_tokenizer(base)
        config = model_file(base, "config.json")
        generation = model_file(base, "generation_config.json")
        self._ends = end_tokens(generation.get("eos_token_id"), tokenizer)
        self._processes: OrderedDict[str | None, LlamaProcess] = OrderedDict()
        self._ready: dict[str, Ready] = {}
        self._starting = threading.Lock()
        own = window(config.get("max_position_embeddings"), settings)
        self._limits = own, settings.threads
        width: Width = "fp32" if settings.precision == "fp32" else "fp16"
        self._bound = _BOUNDS[width]
        self._files = LlamaFiles(base, width, cache)
        self._probes = token_ids(tokenizer, PROMPTS)
        try:
            self._base = self._files.base()
        except ExportError as error:
            raise EngineError(f"{error}; `--engine torch` serves this base") from error
        self._processes[None] = self._start(None)
        self._alone = self._answers(self._processes[None])
        if (apart := _apart(self._alone, self._base.wanted)) > self._bound:
            self._processes[None].close()
            raise EngineError(
                f"llama.cpp answers {apart:.2g} nats apart from torch with {base.name} alone (at "
                f"most {self._bound:g} are allowed); `--engine torch` serves it"
            )
        super().__init__(tokenizer, own, settings)

    def load(self, adapter: AdapterFiles) -> Ready:
        """See ``Engine.load``; requests to others are answered meanwhile."""
        known = self._ready.get(adapter.version)
        if known is not None:
            return known
        with self._starting:
            known = self._ready.get(adapter.version)
            if known is not None:
                return known
            self._require_open()
            converted = self._files.adapter(adapter.locate())
            process = self._start(converted)
            try:
                self._probe(process, converted)
                return self._between(lambda: self._take_in(adapter.version, converted, process))
            except BaseException:
                process.close()
                raise

    def close(self) -> None:
        """See ``Engine.close``."""
        super().close()
        for process in self._processes.values():
            process.close()

    def _resident(self) -> list[str]:
        return [version for version in self._processes if version is not None]

    def _failed(self) -> None:
        """Nothing is left: a process that ended is started again with the next request."""

    def _start(self, adapter: Converted | None) -> LlamaProcess:
        return LlamaProcess(self._base.path, adapter.path if adapter else None, *self._limits)

    def _take_in(self, version: str, adapter: Converted, process: LlamaProcess) -> Ready:
        ready = Ready(version, adapter)
        self._ready[version] = ready
        self._keep(version, process)
        return ready

    def _keep(self, version: str, process: LlamaProcess) -> None:
        self._processes[version] = process
        # the base is always kept
        while len(self._processes) > self._settings.adapters + 1:
            left = next(each for each in self._processes if each is not None)
            self._ready.pop(left, None)
            self._processes.pop(left).close()

    def _process(self, ready: Ready | None) -> LlamaProcess:
        """The running process of an adapter; one that ended or had to leave is started again."""
        version = ready.version if ready else None
        process = self._processes.get(version)
        if process is None or not process.alive:
            if process is not None:
                process.close()
            process = self._start(ready.weights if ready else None)
            if ready is None:
                self._processes[None] = process
            else:
                self._ready[ready.version] = ready
                self._keep(ready.version, process)
        self._processes.move_to_end(version)
        return process

    def _pieces(self, work: QueuedRequest) -> Iterator[TextDelta]:
        if work.cancelled.is_set():
            return
        for index in range(work.job.count):
            yield from self._continued(work, index)
            if work.cancelled.is_set():
                return

    def _continued(self, work: QueuedRequest, index: int) -> Iterator[TextDelta]:
        job = work.job
        answer = StreamedAnswer(self.tokenizer, job.prompt.start, job.sampling)
        written = 0
        for step in self._steps(work, index):
            if step.token in self._ends:
                break
            written += 1
            self._written += 1
            yield from answer.add(index, self._scored(step, job.sampling.top))
            if answer.stopped:
                return
            if work.cancelled.is_set() or self._closed:
                break
        if work.cancelled.is_set() or self._closed:
            yield answer.end(index, "cancelled")
        else:
            yield answer.end(index, "length" if written >= job.sampling.max_tokens else "stop")

    def _steps(self, work: QueuedRequest, index: int) -> Iterator[ScoredToken]:
        """The tokens of an answer; from a new process where one ends before the first of them."""
        for again in (True, False):
            process = self._process(work.job.adapter)
            begun = False
            try:
                for step in self._written_by(process, work, index):
                    begun = True
                    yield step
                return
            except EndedError:
                process.close()
                if begun or not again:
                    raise

    def _written_by(
        self, process: LlamaProcess, work: QueuedRequest, index: int
    ) -> Iterator[ScoredToken]:
        job, how = work.job, work.job.sampling
        seed = random.SystemRandom().getrandbits(31) if how.seed is None else how.seed + index

        def left() -> bool:
            return work.cancelled.is_set() or self._closed

        asked = {
            "n_predict": how.max_tokens,
            "cache_prompt": how.reuse or index > 0,
            **_sampling(how, seed),
        }
        if not how.presence and not how.frequency:
            yield from process.ask(job.prompt.ids, asked | _held(job.prompt.start), left)
            return
        # llama.cpp's own penalties count the tokens of the prompt too
        ids: list[int] = []
        while len(ids) < how.max_tokens:
            begun = self.tokenizer.decode(ids, clean_up_tokenization_spaces=False)
            asked |= {"n_predict": 1, "seed": (seed + len(ids)) % 2**31, **_penalties(how, ids)}
            asked |= {"grammar": ""} | _held(job.prompt.start[len(begun) :])
            step = next(process.ask([*job.prompt.ids, *ids], asked, left), None)
            if step is None:
                return
            yield step
            ids.append(step.token)
            asked["cache_prompt"] = True

    def _scored(self, step: ScoredToken, top: int) -> ScoredToken:
        return replace(step, top=step.top[:top])

    def _probe(self, process: LlamaProcess, adapter: Converted) -> None:
        """Compare what a process answers with what torch does.

        Raises:
            RefusedAdapterError: it does something else than it should; says which.
        """
        answers = self._answers(process)
        effect = _apart(_likeliest(adapter.wanted), self._base.wanted)
        if effect <= _NO_CHANGE:
            raise RefusedAdapterError("the adapter changes nothing: its matrices are zero")
        allowed = min(self._bound, _SHARE * effect)
        if (apart := _apart(answers, adapter.wanted)) > allowed:
            without = _apart(answers, self._base.wanted) <= allowed
            raise RefusedAdapterError(
                "the adapter has no effect in this engine"
                if without
                else f"the adapter answers {apart:.2g} nats apart from what torch gives (at most "
                f"{allowed:.2g} are allowed)"
            )
        alone = self._answers(self._processes[None])
        if _apart(alone, self._base.wanted) > self._bound:
            raise RefusedAdapterError("the base answers otherwise since the adapter was loaded")

    def _answers(self, process: LlamaProcess) -> list[dict[int, float]]:
        """After each prompt the likeliest tokens, with their log-probabilities."""
        how = {"n_predict": 1, "n_probs": _LIKELIEST, "temperature": 0.0, "cache_prompt": False}
        return [
            dict(step.top) for ids in self._probes for step in process.ask(ids, how, lambda: False)
        ]

    def _require_open(self) -> None:
        if self._closed:
            raise EngineError("the engine is closed")


def _likeliest(wanted: Chances) -> list[dict[int, float]]:
    places = np.argsort(wanted)[:, -_LIKELIEST:]
    return [
        {int(token): float(row[token]) for token in tokens}
        for row, tokens in zip(wanted, places, strict=True)
    ]


def _apart(answers: list[dict[int, float]], wanted: Chances) -> float:
    """Largest difference of a likely token's log-probability, in nats."""
    if len(answers) != len(wanted):
        return float("inf")
    return max(
        abs(chance - float(row[token]))
        for answer, row in zip(answers, wanted, strict=True)
        for token, chance in answer.items()
    )


def _sampling(how: Sampling, seed: int) -> dict[str, Any]:
    return {
        "n_probs": max(how.top, 1),
        "seed": seed % 2**31,
        "temperature": max(how.temperature, 0.0),
        "top_p": how.top_p,
        "samplers": ["temperature", "top_p"],
    }


def _held(start: str) -> dict[str, str]:
    """What holds an answer to a beginning: the grammar of all texts that begin so."""
    letters = "".join(f"\\U{ord(letter):08X}" for letter in start)
    return {"grammar": f'root ::= "{letters}" .*'} if start else {}


def _penalties(how: Sampling, ids: list[int]) -> dict[str, list[list[float]]]:
    return {
        "logit_bias": [
            [token, -(how.presence + how.frequency * ids.count(token))] for token in set(ids)
        ]
    }
