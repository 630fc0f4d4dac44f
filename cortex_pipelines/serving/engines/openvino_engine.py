"""Engine on OpenVINO: reads prompts several times as fast as llama.cpp on processors that multiply 8-bit numbers.

Each adapter is merged into a copy of the base, which takes the base's memory again: twice where prompts are read by
tiles (``PagedModel``). One thread runs the models in turn, each on the next tokens of all its texts at once; one thread
a text chooses its tokens. Texts of one model with the same beginning share what was read of it.
"""

import math
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import numpy as np

from cortex_pipelines.adapters.data.packing import prompt_ids
from cortex_pipelines.adapters.model.base_model import BaseModel, load_tokenizer
from cortex_pipelines.serving.engines.engine import AdapterFiles, Deadline, EngineError, LoadedAdapter, TextDelta
from cortex_pipelines.serving.engines.openvino_files import OpenVinoFiles, Width
from cortex_pipelines.serving.engines.openvino_model import Logits, PagedModel, Part, Text
from cortex_pipelines.serving.engines.queued import PROMPTS, QueuedEngine, QueuedRequest
from cortex_pipelines.serving.engines.reference import Answers, Comparison, ReferenceFile
from cortex_pipelines.serving.engines.token_sampler import TokenSampler
from cortex_pipelines.serving.settings import ServingSettings
from cortex_pipelines.serving.token_stream import StreamedAnswer

_CHUNK = 256
"""Tokens of a prompt that are read at once, between checks whether the request was cancelled."""

_GUESSED = 3
"""Most tokens of a text that are guessed: none where they would change an answer. In flask's files, three take 0.65 of
the time, and one or seven hardly more."""

_ROWS = 8
"""Tokens of a pass that writes, of all texts together, from which guessed ones cost more than they save."""

_PATIENCE = 0.01
"""Seconds that a pass waits for texts whose next token is being chosen: what one may cost them all."""

_EXACT = 1e-3
"""Largest difference (nats) from torch's log-probabilities, both in 32 bits."""

_ALIKE = (3, 2, 1)
"""Last tokens that are looked for. In flask's files three alone took 0.73 of the time, and these 0.61."""


class PromptLookup:
    """Guesses the next tokens of a text from where it has had its last ones before.

    One pass computes the logits after all guessed tokens; those after a wrong one are not used. So an answer that
    repeats what the prompt has, as code does, takes fewer passes and is the same. (Apoorv Saxena, Prompt Lookup
    Decoding, 2023.)
    """

    def __init__(self, ids: Iterable[int]) -> None:
        self._ids: list[int] = []
        self._next: dict[tuple[int, ...], int] = {}
        """By some tokens, the place after where they were last."""
        for token in ids:
            self.add(token)

    def add(self, token: int) -> None:
        for count in _ALIKE:
            if len(self._ids) >= count:
                self._next[tuple(self._ids[-count:])] = len(self._ids)
        self._ids.append(token)

    def guess(self, most: int) -> list[int]:
        """At most so many tokens that may come next."""
        starts = (self._next.get(tuple(self._ids[-count:])) for count in _ALIKE)
        start = next((start for start in starts if start is not None), None)
        return [] if start is None or most < 1 else self._ids[start : start + most]


class OpenVinoEngine(QueuedEngine):
    """See ``engine.Engine``; EngineError if the base cannot be converted, or answers differently from torch."""

    name = "openvino"

    def __init__(self, base: BaseModel, settings: ServingSettings, cache: Path) -> None:
        if settings.precision not in get_args(Width):
            raise EngineError(
                f"the engine openvino serves {', '.join(get_args(Width))}, not {settings.precision}; "
                "change serving.precision, or serve with `--engine llama`"
            )
        super().__init__(base, load_tokenizer(base), settings, settings.slots)
        self._sampler = TokenSampler(self.tokenizer, self._ends)
        width: Width = settings.precision  # type: ignore[assignment] # checked above
        self._files = OpenVinoFiles(base, width, cache)
        self._tokens = self.window * (settings.slots + 1)  # one more for the probe
        self._width = width
        file = self._files.base()
        self._base = self._open(file)
        self._passes = _Passes()
        self._adapters: OrderedDict[str, LoadedAdapter] = OrderedDict()
        self._users: dict[str, int] = {}
        self._table = threading.Lock()
        self._loading = threading.Lock()
        self._comparison = Comparison(width, _EXACT, file.expected_logprobs)
        try:
            self._guessed = _GUESSED if self._is_exact() else 0
            self._require_base(base.name)
        except EngineError:
            self._passes.close()
            raise
        self._start_threads()

    def load(self, adapter: AdapterFiles) -> LoadedAdapter:
        with self._loading:
            if (loaded := self._adapters.get(adapter.version)) is not None:
                return loaded
            self._require_open()
            file = self._files.adapter(adapter.locate())
            model = self._open(file)
            loaded = LoadedAdapter(adapter.version, model)
            self._comparison.require_adapter(
                self._answers(model), file.expected_logprobs, lambda: self._answers(self._base)
            )
            with self._table:
                self._adapters[adapter.version] = loaded
                while len(self._adapters) > self._settings.adapters:
                    self._adapters.popitem(last=False)
            return loaded

    def close(self) -> None:
        super().close()
        self._passes.close()

    def _require_base(self, name: str) -> None:
        difference = self._comparison.of_base(self._answers(self._base))
        if difference > self._comparison.bound:
            raise EngineError(
                f"OpenVINO answers {difference:.2g} {self._comparison.unit} apart from torch with {name} alone "
                f"(at most {self._comparison.bound:g} are allowed); set serving.precision to fp32, or `--engine torch` "
                "serves it"
            )

    def _open(self, file: ReferenceFile) -> PagedModel:
        try:
            return PagedModel(file.path, self._width, self._settings.threads, self._tokens)
        except (RuntimeError, ValueError) as error:  # of OpenVINO, and of a graph of another form
            raise EngineError(f"OpenVINO cannot load its copy of the base: {error}") from error

    def _thread_context(self) -> AbstractContextManager[Any]:
        """One thread of OpenMP for the choice of a token: more would take the processors from the next pass."""
        import torch
        from threadpoolctl import threadpool_limits

        torch.get_num_threads()  # else torch would set its own number later
        limits: AbstractContextManager[Any] = threadpool_limits(1, user_api="openmp")
        return limits

    def _resident(self) -> list[str]:
        return list(self._adapters)

    def _evict(self) -> bool:
        with self._table:
            idle = next((version for version in self._adapters if not self._users.get(version)), None)
            if idle is not None:
                del self._adapters[idle]
            return idle is not None

    @contextmanager
    def _using(self, adapter: LoadedAdapter | None) -> Iterator[None]:
        version = adapter.version if adapter else ""
        with self._table:
            self._users[version] = self._users.get(version, 0) + 1
            if version in self._adapters:
                self._adapters.move_to_end(version)
        try:
            yield
        finally:
            with self._table:
                self._users[version] -= 1

    def _deltas(self, work: QueuedRequest) -> Iterator[TextDelta]:
        job = work.job
        model: PagedModel = job.adapter.weights if job.adapter else self._base
        due = (job.sampling.deadline or Deadline(math.inf)).due
        for index in work.indices:
            reusable = job.prompt.ids if job.sampling.reuse or index > 0 else ()
            with self._using(job.adapter), self._passes.text(model, reusable, due) as text:
                logits = self._read(work, model, text)
                if logits is None:
                    return
                answer = StreamedAnswer(self.tokenizer, job.prompt.start, job.sampling)
                most = len(job.prompt.ids) + job.most_tokens
                following = _Following(self._passes, model, text, most, self._guessed)
                steps = self._sampler.steps(job, index, answer, _tensor(logits), [], following.logits_after)
                yield from self._stream(work, index, answer, steps)

    def _read(self, work: QueuedRequest, model: PagedModel, text: Text) -> Logits | None:
        """Logits after the prompt; None if the request was cancelled."""
        ids, logits = work.job.prompt.ids, None
        cached, began, is_alone = len(text.ids), time.perf_counter(), self._busy == 1
        work.cached = work.cached or cached
        for chunk in _chunks(model, ids, cached):
            self._note_unread(work, len(ids) - len(text.ids))
            if work.cancelled.is_set():
                return None
            if model.is_tiled and len(text.ids) + len(chunk) == len(ids):
                model.blocks.seal(text)  # what is written differs in its last bits from the same tokens read
            logits = self._passes.read(model, text, chunk)
        if is_alone and self._busy == 1:  # else others had a part of this time
            self._note_reading(len(ids) - cached, time.perf_counter() - began)
        return logits

    def _answers(self, model: PagedModel) -> Answers:
        """Log-probabilities of the likeliest tokens after each probe prompt."""
        answers = []
        for ids in prompt_ids(self.tokenizer, PROMPTS):
            with self._passes.text(model, ()) as text:
                for chunk in _chunks(model, ids):
                    logits = _tensor(self._passes.read(model, text, chunk))
            values, likeliest = logits.log_softmax(-1).topk(min(Comparison.likeliest, len(logits)))
            answers.append(dict(zip(likeliest.tolist(), values.tolist(), strict=True)))
        return answers

    def _is_exact(self) -> bool:
        """Whether this processor computes a token beside others as it does alone, to the last bit."""
        (ids,) = prompt_ids(self.tokenizer, PROMPTS[:1])
        with self._passes.text(self._base, ()) as text:
            self._passes.read(self._base, text, ids[:1])
            together = self._passes.run(self._base, text, ids[1:], len(ids) - 1)
            alone = [self._passes.read(self._base, text, [token]) for token in ids[1:]]
        return np.array_equal(together, alone)


class _Following:
    """The logits after each token of an answer, after some guessed ones before it is chosen.

    The text has room for ``most`` tokens.
    """

    def __init__(self, passes: "_Passes", model: PagedModel, text: Text, most: int, guessed: int) -> None:
        self._passes, self._model, self._text, self._most, self._limit = passes, model, text, most, guessed
        self._lookup = PromptLookup(text.ids)
        self._guessed: deque[int] = deque()
        self._logits: deque[Logits] = deque()

    def logits_after(self, token: int) -> Any:
        self._lookup.add(token)
        if self._guessed and self._guessed.popleft() == token:
            self._model.blocks.extend(self._text, [token])
            return _tensor(self._logits.popleft())
        room = self._most - len(self._text.ids) - 1
        guessed = self._lookup.guess(min(room, self._limit, _ROWS // self._passes.texts - 1))
        logits = self._passes.run(self._model, self._text, [token, *guessed], 1 + len(guessed))
        self._model.blocks.extend(self._text, [token])
        self._guessed, self._logits = deque(guessed), deque(logits[1:])
        return _tensor(logits[0])


def _chunks(model: PagedModel, ids: Sequence[int], start: int = 0) -> Iterator[Sequence[int]]:
    """Parts of a prompt; its last token as those of the answer are, so that it is the same once the rest is known."""
    end = len(ids) - model.is_tiled
    for first in range(start, end, _CHUNK):
        yield ids[first : min(first + _CHUNK, end)]
    if model.is_tiled:
        yield ids[end:]


def _tensor(logits: Logits) -> Any:
    import torch

    return torch.from_numpy(logits)


@dataclass(frozen=True, eq=False)
class _Waiting:
    """Part of a text that a model is to run, and where the logits go."""

    model: PagedModel
    part: Part
    logits: "Future[Logits]" = field(default_factory=Future)


class _Passes:
    """Runs each model on the next tokens of all texts that are read or written, again and again.

    Prompts are read one after another: in turn, all answers would begin as late as the last one.
    """

    def __init__(self) -> None:
        self._waiting: list[_Waiting] = []
        self.texts = 0
        """That are read or written now."""
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="openvino", daemon=True)
        self._thread.start()

    @contextmanager
    def text(self, model: PagedModel, ids: Sequence[int], due: float = 0.0) -> Iterator[Text]:
        """A text that is to begin with these tokens; those but the last that are known are read already.

        It is read before those that are ``due`` later.
        """
        text = model.blocks.begin(ids[:-1])
        with self._changed:
            self.texts += 1
            text.due = due
        try:
            yield text
        finally:
            with self._changed:
                self.texts -= 1
                self._changed.notify()
            model.blocks.end(text)

    def read(self, model: PagedModel, text: Text, ids: Sequence[int]) -> Logits:
        """Logits after the next tokens of a text, shape (vocabulary,)."""
        logits = self.run(model, text, ids, 1)
        model.blocks.extend(text, ids)
        return logits[0, :]

    def run(self, model: PagedModel, text: Text, ids: Sequence[int], count: int) -> Logits:
        """Logits after the last ``count`` of the next tokens of a text, shape (count, vocabulary).

        The text has those that ``extend`` notes; others are run again, or overwritten.
        """
        waiting = _Waiting(model, Part(text, ids, count))
        with self._changed:
            if self._closed:
                raise EngineError("the engine is closed")
            self._waiting.append(waiting)
            self._changed.notify()
        return waiting.logits.result()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while batch := self._next_batch():
            try:
                logits = batch[0].model.run([each.part for each in batch])
            except BaseException as error:  # noqa: BLE001 - raised in the threads of the texts
                for each in batch:
                    each.logits.set_exception(EngineError(f"OpenVINO failed: {error}"))
                continue
            for each, rows in zip(batch, logits, strict=True):
                each.logits.set_result(rows)

    def _next_batch(self) -> list[_Waiting]:
        """Parts of one model in turn, of which texts that are written wait for one chunk; none once this is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            self._changed.wait_for(lambda: len(self._waiting) >= self.texts or self._closed, _PATIENCE)
            if not self._waiting:
                return []
            model = self._waiting[0].model
            ready = [each for each in self._waiting if each.model is model]
            batch = [each for each in ready if each.part.is_short]
            room = _CHUNK
            for each in sorted((each for each in ready if each not in batch), key=lambda each: each.part.text.due):
                if len(each.part.ids) <= room:
                    batch.append(each)
                    room -= len(each.part.ids)
            remaining = [each for each in self._waiting if each not in batch]
            self._waiting = sorted(remaining, key=lambda each: each.model is model)  # the turn of another one
            return batch
