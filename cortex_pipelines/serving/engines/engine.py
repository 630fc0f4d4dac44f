"""Interface of the engines: jobs in, text deltas out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from cortex_pipelines.signing.manifest import UntrustedModelError
from cortex_pipelines.tokenization.text_encoder import Segments

Finish = Literal["stop", "length", "cancelled"]


class EngineError(RuntimeError):
    """The engine failed to answer a request."""


class UnavailableError(EngineError):
    """The upstream server cannot be reached; the next request tries again."""


class BusyError(RuntimeError):
    """The queue is full."""


class RefusedAdapterError(UntrustedModelError):
    """An adapter does not behave as trained in this engine; the base answers instead."""


@dataclass(frozen=True)
class AdapterFiles:
    """An adapter that may be loaded.

    Args:
        version: DVC's hash of the model, with ``:task`` if the model has one adapter per task.
        locate: The verified folder of the adapter; raises UntrustedModelError or ProjectError.
        project: The project it belongs to.
    """

    version: str
    locate: Callable[[], Path] = field(compare=False)
    project: str = ""


@dataclass(frozen=True)
class LoadedAdapter:
    """An adapter that was loaded and probed.

    Args:
        version: As in ``AdapterFiles``.
        weights: The engine's own representation.
    """

    version: str
    weights: Any = field(compare=False, repr=False)


@dataclass(frozen=True)
class Prompt:
    """Text to continue, as tokens.

    Args:
        ids: Tokens, cut to the window.
        start: Text that the answer is forced to begin with; not part of the answer.
        cut: Tokens cut off on the left.
    """

    ids: tuple[int, ...]
    start: str
    cut: int


@dataclass(frozen=True)
class Sampling:
    """Decoding parameters.

    Args:
        max_tokens: Longest answer.
        temperature: 0 is greedy decoding.
        top_p: Nucleus sampling.
        seed: Random seed; None for a new one each time.
        stop: Stop strings; not part of the answer.
        top: Alternatives reported with each token.
        presence: Penalty on the logit of each token that the answer contains.
        frequency: The same for each occurrence.
        reuse: Whether to reuse the KV cache of an earlier prompt with the same prefix.
        finished: Whether a partial answer is complete; its ``repr`` identifies it in cache keys.
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
    finished: Callable[[str], bool] | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Job:
    """A request to an engine.

    Args:
        adapter: The adapter; None for the base model.
        prompt: The prompt.
        sampling: Decoding parameters.
        count: Number of answers.
        on_start: Called when the engine turns to it.
    """

    adapter: LoadedAdapter | None
    prompt: Prompt
    sampling: Sampling
    count: int = 1
    on_start: Callable[[], None] = field(default=lambda: None, compare=False, repr=False)


@dataclass(frozen=True)
class ScoredToken:
    """A token as chosen by an engine.

    Args:
        token: Token id.
        logprob: Natural logarithm of its probability, before temperature.
        top: The likeliest tokens at this position, as (id, logprob).
    """

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class Alternative:
    """One of the likeliest tokens at a position.

    Args:
        text: Its text; for an incomplete character ``bytes:`` and hex digits, as OpenAI writes it.
        logprob: Natural logarithm of its probability, before temperature.
        raw: Its bytes.
    """

    text: str
    logprob: float
    raw: bytes


@dataclass(frozen=True)
class GeneratedToken:
    """A token of an answer.

    The texts of an answer's tokens concatenate to its text, and so do their bytes. If several
    tokens form one character, the last one has it as text, and each has its own bytes.

    Args:
        text: Text that it adds.
        logprob: Natural logarithm of its probability, before temperature; None if an upstream
            server does not report it.
        top: The likeliest tokens at this position.
        raw: Its bytes.
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

    Args:
        index: Index of the answer.
        text: Added text; may be empty.
        tokens: The tokens of the text.
        finish: Why the answer ends here; None if it continues.
        cut: Generated tokens that are not in the text: of a stop string, or of an incomplete
            character.
    """

    index: int
    text: str
    tokens: tuple[GeneratedToken, ...]
    finish: Finish | None = None
    cut: int = 0

    @property
    def generated(self) -> int:
        """Number of generated tokens."""
        return len(self.tokens) + self.cut


Event = TextDelta | BaseException | None
"""A delta, an error, or None at the end."""


class Engine(Protocol):
    """A base model in memory that answers with and without adapters."""

    tokenizer: Any
    window: int

    def load(self, adapter: AdapterFiles) -> LoadedAdapter:
        """Load, verify and probe an adapter; blocks.

        Raises:
            UntrustedModelError: the adapter is refused.
            ProjectError: its files are missing.
            UnavailableError: the upstream server cannot be reached.
        """

    def upstream_model(self, adapter: LoadedAdapter | None) -> str:
        """Name of the upstream server's unverified model; empty if the weights are in this engine.

        Args:
            adapter: The adapter; None for the base model.
        """

    def prompt(self, text: str | Segments, room: int = 0) -> Prompt:
        """Encode a prompt; a string never becomes control tokens.

        Args:
            text: The prompt.
            room: Tokens reserved for the answer.
        """

    def submit(self, job: Job, deliver: Callable[[Event], None]) -> Callable[[], None]:
        """Start a request.

        Args:
            job: The request.
            deliver: Receives deltas, then None; called from the engine's thread.

        Returns:
            A function that cancels the request.

        Raises:
            BusyError: the queue is full.
        """

    def state(self) -> Mapping[str, Any]:
        """``waiting`` (requests), ``busy``, ``written`` (tokens so far), ``resident`` (versions in
        memory), ``alive``, and ``down``: why it cannot answer now; empty if it can."""

    def close(self) -> None:
        """Shut down; waiting requests get an EngineError."""
