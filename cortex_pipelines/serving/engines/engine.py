"""Interface of the engines: jobs in, text deltas out; ``open_engine`` opens one by name."""

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol
from weakref import WeakSet

from cortex_pipelines.adapters.data.packing import divide_segments, last_tokens, prompt_ids
from cortex_pipelines.adapters.model.base_model import BaseModel, weight_files
from cortex_pipelines.models.machine import this_machine
from cortex_pipelines.serving.code_end import CodeEnd
from cortex_pipelines.serving.settings import ServingSettings
from cortex_pipelines.signing.manifest import UntrustedModelError
from cortex_pipelines.tokenization.text_encoder import Segments, as_segments, token_ids

_LOG = logging.getLogger("cortex_pipelines")

Finish = Literal["stop", "length", "late", "cancelled"]
"""Why an answer ends; ``late`` if its time was up, which clients are told as ``length``."""


class EngineError(RuntimeError):
    pass


class UnavailableError(EngineError):
    """The upstream server cannot be reached; the next request tries again."""


class ClosedError(UnavailableError):
    """An answer was not finished before the engine was closed."""

    def __init__(self) -> None:
        super().__init__("the engine was closed, since the server stops; ask again")


class BusyError(RuntimeError):
    pass


class RefusedAdapterError(UntrustedModelError):
    """An adapter does not behave as trained in this engine; the base answers instead."""


@dataclass(frozen=True)
class AdapterFiles:
    """An adapter that may be loaded.

    Args:
        version: DVC's hash of the model, with ``:task`` if the model has one adapter per task.
        locate: The verified folder of the adapter; raises UntrustedModelError or ProjectError.
    """

    version: str
    locate: Callable[[], Path] = field(compare=False)
    project: str = ""


@dataclass(frozen=True)
class LoadedAdapter:
    """An adapter that was loaded and probed; ``weights`` is the engine's own representation."""

    version: str
    weights: Any = field(compare=False, repr=False)


@dataclass(frozen=True)
class Prompt:
    """Text to continue: tokens, and the text that the answer is forced to begin with and does not contain.

    ``lead`` is forced after it, and part of the answer.
    """

    ids: tuple[int, ...]
    start: str
    cut: int
    lead: str = ""


@dataclass(eq=False)
class Claim:
    """Tokens of a prompt that are still to be read, before those of prompts that are ``due`` later."""

    due: float
    tokens: int = 0


_UNHURRIED = 10.0
"""Seconds in which every prompt is due, so that none waits for ever for those that came later."""


@dataclass(frozen=True)
class Deadline:
    """Time for an answer, from when it was asked for; at most twice as long until its first statement is whole."""

    seconds: float
    began: float = field(default_factory=time.monotonic, compare=False, repr=False)

    @property
    def due(self) -> float:
        """Time by which prompts that wait are read in turn."""
        return self.began + min(self.seconds, _UNHURRIED)

    @cached_property
    def claim(self) -> Claim:
        """Of the one request that has this deadline."""
        return Claim(self.due)

    def is_over(self, *, first: bool) -> bool:
        """Whether an answer has to end; ``first`` if nothing of it is whole."""
        return time.monotonic() > self.began + self.seconds * (2 if first else 1)


@dataclass(frozen=True)
class Sampling:
    """Decoding parameters; greedy without a temperature, and with a new seed each time without one.

    Args:
        top: Alternatives reported with each token.
        presence: Penalty on the logit of each token that the answer contains; ``frequency`` for each occurrence.
        reuse: Whether to reuse the KV cache of an earlier prompt with the same prefix.
        grammar: Rules in GBNF that define ``answer``, which all of the answer matches (upstream servers are not told);
            empty for any text.
        finished: Whether a partial answer is complete; a ``partial``, by whose ``repr`` answers are cached.
        ending: Where an answer of code ends; it is never blank if the model can write anything.
    """

    max_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    top: int = 0
    presence: float = 0.0
    frequency: float = 0.0
    reuse: bool = True
    grammar: str = ""
    finished: Callable[[str], bool] | None = field(default=None, compare=False)
    ending: CodeEnd | None = None
    deadline: Deadline | None = None


@dataclass(frozen=True)
class Job:
    adapter: LoadedAdapter | None
    prompt: Prompt
    sampling: Sampling
    count: int = 1
    on_start: Callable[[], None] = field(default=lambda: None, compare=False, repr=False)

    @property
    def most_tokens(self) -> int:
        """Tokens of an answer and its forced start, of which each has a byte at least."""
        return len(self.prompt.start.encode()) + self.sampling.max_tokens


@dataclass(frozen=True)
class ScoredToken:
    """A token as chosen by an engine, with log-probabilities (nats) before temperature."""

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class Alternative:
    """One of the likeliest tokens at a position; an incomplete character is ``bytes:`` and hex digits."""

    text: str
    logprob: float
    raw: bytes


@dataclass(frozen=True)
class GeneratedToken:
    """A token of an answer.

    The texts of an answer's tokens concatenate to its text, and so do their bytes. If several
    tokens form one character, the last one has it as text, and each has its own bytes.

    Args:
        logprob: Before temperature; None if an upstream server does not report it.
        offset: Characters of the answer before it.
    """

    text: str
    logprob: float | None
    top: tuple[Alternative, ...] = ()
    raw: bytes = b""
    offset: int = 0


@dataclass(frozen=True)
class TextDelta:
    """New text of one of the answers.

    ``finish`` says why the answer ends here; ``cut`` counts generated tokens that are not in the text:
    of a stop string, or of an incomplete character. ``cached`` counts the prompt's tokens that were read for an
    earlier request.
    """

    index: int
    text: str
    tokens: tuple[GeneratedToken, ...]
    finish: Finish | None = None
    cut: int = 0
    cached: int = 0

    @property
    def generated(self) -> int:
        return len(self.tokens) + self.cut


_READING = 0.4
"""Part of a deadline for reading the prompt; the rest is for one statement."""

UPSTREAM_ENGINES = ("openai", "vllm")
"""Engines that are another server's, whose speed is not measured here."""

_LONGEST_START = 64
"""Characters of white space at a prompt's end that the answer is forced to begin with; those before it are read."""

_LEAST_PROMPT = 64
"""Tokens of a prompt that are read however short the time is: some five lines."""


@dataclass(frozen=True)
class Speed:
    """Tokens per second that an engine reads of a prompt, and writes."""

    read: float
    write: float


Event = TextDelta | BaseException | None
"""A delta, an error, or None at the end."""


class WaitingRequest(Protocol):
    is_waiting: bool


class Engine(ABC):
    """A base model in memory that answers with and without adapters."""

    name: ClassVar[str]
    """As ``serving.engine`` has it."""
    _threads: Sequence[threading.Thread]
    """Those that do the work, and call ``deliver``."""

    def __init__(self, tokenizer: Any, window: int | None, settings: ServingSettings) -> None:
        self.tokenizer = tokenizer
        self.window = min(settings.window, int(window)) if window else settings.window
        self._settings = settings
        self._lock = threading.Lock()
        self._waiting = self._busy = self._generated_tokens = 0
        self._claims = WeakSet[Claim]()
        """Of requests that are prepared or answered: their claims last as long as they."""
        self._closed = False
        self._down = ""
        self.speed: Speed | None = None

    @abstractmethod
    def load(self, adapter: AdapterFiles) -> LoadedAdapter:
        """Load, verify and probe an adapter; blocks. UntrustedModelError, ProjectError or UnavailableError."""

    @abstractmethod
    def submit(self, job: Job, deliver: Callable[[Event], None]) -> Callable[[], None]:
        """Start a request; returns what cancels it. ``deliver`` gets deltas, then None. BusyError if it is full."""

    @abstractmethod
    def close(self) -> None:
        """Shut down; waiting requests get an EngineError."""

    @abstractmethod
    def _resident(self) -> list[str]:
        """Versions of the adapters in memory."""

    def upstream_model(self, _adapter: LoadedAdapter | None) -> str:
        """Name of the upstream server's unverified model; empty if the weights are in this engine."""
        return ""

    def prompt(self, text: str | Segments, room: int = 0) -> Prompt:
        """Encode a prompt, leaving ``room`` tokens for the answer; a string never becomes control tokens."""
        context, space = divide_segments(as_segments(text))
        read, start = space[:-_LONGEST_START], space[-_LONGEST_START:]
        (ids,), (start_ids,) = (
            prompt_ids(self.tokenizer, [(*context, *as_segments(read))]),
            token_ids(self.tokenizer, [start]),
        )
        most = max(self.window - room - len(start_ids), 1)
        return Prompt(tuple(last_tokens(self.tokenizer, ids, most)), start, max(len(ids) - most, 0))

    def prompt_capacity(self, deadline: Deadline) -> int:
        """Tokens that can be read in the part of a deadline that reading may take; all of the window if unknown.

        They are claimed: what is due earlier comes before, also for prompts that are only being prepared. The room of
        an idle engine is divided by a power of two: prompts cut alike are read once.
        """
        if self.speed is None:
            return self.window
        most = min(self.speed.read * deadline.seconds * _READING, self.window)
        claim = deadline.claim
        with self._lock:
            earlier = sum(each.tokens for each in self._claims if each.due <= claim.due and each is not claim)
            room = most
            while room > max(most - earlier, _LEAST_PROMPT):
                room /= 2
            claim.tokens = max(int(room), _LEAST_PROMPT)
            self._claims.add(claim)
        return claim.tokens

    def state(self) -> Mapping[str, Any]:
        """``waiting`` (requests), ``busy``, ``written`` (tokens so far), ``resident`` (versions in
        memory), ``alive``, and ``down``: why it cannot answer now; empty if it can."""
        return {
            "waiting": self._waiting,
            "busy": bool(self._busy),
            "written": self._generated_tokens,
            "resident": self._resident(),
            "alive": all(thread.is_alive() for thread in self._threads) and not self._closed,
            "down": self._down,
        }

    def _count_waiting(self) -> None:
        with self._lock:
            if self._waiting >= self._settings.waiting:
                raise BusyError(f"{self._waiting} requests wait already; try again in a second")
            self._waiting += 1

    def _leave_queue(self, request: WaitingRequest) -> None:
        """Count a request off once: as it begins, or is given up. The caller holds the lock."""
        self._waiting -= request.is_waiting
        request.is_waiting = False

    def _require_open(self) -> None:
        if self._closed:
            raise EngineError("the engine is closed")


CACHE = Path(".cortex", "cache", "llama")
"""Folder of files converted for llama.cpp, relative to a project's root."""

_GPU_FROM, _GPU_SHARE = 500e6, 0.8
"""Bytes of a base's files from which a GPU serves it (an estimate), and most of them as a share of its free memory; the
rest is for adapters and what is read."""


def open_engine(base: BaseModel, settings: ServingSettings, cache: Path) -> Engine:
    """Open the engine that the settings name and load the base; raises EngineError.

    ``auto`` is the first that can serve the base, of those that are quicker on this machine, llama, and torch.
    """
    if settings.engine == "auto":
        for name in (*_quicker_engines(base, settings), "llama"):
            try:
                return open_engine(base, settings.model_copy(update={"engine": name}), cache)
            except EngineError as error:
                _LOG.warning("another engine than %s answers: %s", name, error)
        settings = settings.model_copy(update={"engine": "torch"})
    if settings.engine == "torch":
        from cortex_pipelines.serving.engines.torch_engine import TorchEngine

        return TorchEngine(base, settings)
    if settings.engine in UPSTREAM_ENGINES:
        from cortex_pipelines.serving.engines.upstream_engine import UpstreamEngine

        return UpstreamEngine(base, settings)
    if settings.engine == "openvino":
        _require_installed("openvino", "openvino", "OpenVINO")
        from cortex_pipelines.serving.engines.openvino_engine import OpenVinoEngine

        return OpenVinoEngine(base, settings, cache)
    _require_installed("xllamacpp", "llama", "llama.cpp")
    from cortex_pipelines.serving.engines.llama_engine import LlamaEngine

    return LlamaEngine(base, settings, cache)


def _quicker_engines(base: BaseModel, settings: ServingSettings) -> Iterator[Literal["torch", "openvino"]]:
    """Engines that answer quicker than llama.cpp on this machine.

    They are openvino, and before it torch on a GPU with room for the base, unless that is so small that starting a
    GPU's kernels would take most of the time.
    """
    machine, size = this_machine(), sum(path.stat().st_size for path in weight_files(base.folder))
    if machine.gpu_memory and size > _GPU_FROM:
        import torch

        if torch.cuda.is_available() and size < _GPU_SHARE * torch.cuda.mem_get_info()[0]:
            yield "torch"
    if settings.precision in ("q8", "fp16", "fp32") and machine.suits_openvino(size):
        yield "openvino"


def _require_installed(module: str, extra: str, name: str) -> None:
    if find_spec(module) is None:
        raise EngineError(
            f"the engine {extra} needs {name}, which is not installed: "
            f"pip install 'cortex-pipelines[{extra}]', or serve with `--engine torch`"
        )
