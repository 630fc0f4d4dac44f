"""What is asked of an engine and what it gives back, whichever engine that is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from cortex_pipelines.signing.manifest import UntrustedModelError
from cortex_pipelines.tokenization.segments import Segments

Finish = Literal["stop", "length", "cancelled"]


class EngineError(RuntimeError):
    """The engine failed at a request; the message says how."""


class UnavailableError(EngineError):
    """What the engine asks cannot be reached now; it is tried again with the next request."""


class BusyError(RuntimeError):
    """Too many requests wait already."""


class RefusedAdapterError(UntrustedModelError):
    """An adapter does not do in the engine what it was trained to do; the base answers instead."""


@dataclass(frozen=True)
class AdapterFiles:
    """An adapter that may be loaded.

    Args:
        version: DVC's hash of the model, and the task after a colon where it has one a task.
        locate: The verified folder of the adapter; raises UntrustedModelError or ProjectError.
        project: Whose adapter it is.
    """

    version: str
    locate: Callable[[], Path] = field(compare=False)
    project: str = ""


@dataclass(frozen=True)
class Ready:
    """An adapter that was loaded and probed.

    Args:
        version: As in ``AdapterFiles``.
        weights: What the engine puts on the base.
    """

    version: str
    weights: Any = field(compare=False, repr=False)


@dataclass(frozen=True)
class Prompt:
    """What is to be continued.

    Args:
        ids: Tokens, cut to the window.
        start: Text that the answer is held to begin with, and that is not part of it.
        cut: Tokens that were cut off at the left.
    """

    ids: tuple[int, ...]
    start: str
    cut: int


@dataclass(frozen=True)
class Sampling:
    """How an answer is chosen.

    Args:
        max_tokens: Most tokens of an answer.
        temperature: 0 takes the likeliest token.
        top_p: Share of the probability that is drawn from.
        seed: Of the draws; None for another one each time.
        stop: Texts before which the answer ends.
        top: Alternatives shown with each token.
        presence: Taken off the score of each token that the answer holds.
        frequency: The same for each time that it does.
        reuse: Whether the pass over a prompt that begins the same may be used again.
        finished: Whether an answer, as far as it goes, is complete; its ``repr`` says all of it.
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
        adapter: What to put on the base; None for the base alone.
        prompt: What to continue.
        sampling: How.
        count: How many answers.
        begun: Called when the engine turns to it.
    """

    adapter: Ready | None
    prompt: Prompt
    sampling: Sampling
    count: int = 1
    begun: Callable[[], None] = field(default=lambda: None, compare=False, repr=False)


@dataclass(frozen=True)
class ScoredToken:
    """A token as an engine chose it.

    Args:
        token: Its number.
        logprob: Natural logarithm of its probability, before temperature.
        top: The likeliest tokens there, by number, with theirs.
    """

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class Alternative:
    """One of the likeliest tokens at a position.

    Args:
        text: Its text; of a part of a character ``bytes:`` and its bytes, as OpenAI writes it.
        logprob: Natural logarithm of its probability, before temperature.
        raw: Its bytes.
    """

    text: str
    logprob: float
    raw: bytes


@dataclass(frozen=True)
class GeneratedToken:
    """A token of an answer.

    The texts of an answer's tokens join to its text, and so do their bytes: of the tokens that
    write a character together, the last has it as its text, and each its own bytes.

    Args:
        text: What it adds.
        logprob: Natural logarithm of its probability, before temperature; None if an upstream
            server does not say.
        top: The likeliest tokens there.
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
    """A part of one of the answers.

    Args:
        index: Which answer.
        text: What is added to it; may be empty.
        tokens: The tokens that the text is made of.
        finish: Why the answer ends here; None if it goes on.
        cut: Tokens that were generated and are not in the text: those of a stop string, or of a
            character that is not whole.
    """

    index: int
    text: str
    tokens: tuple[GeneratedToken, ...]
    finish: Finish | None = None
    cut: int = 0

    @property
    def generated(self) -> int:
        """Tokens that were generated for it."""
        return len(self.tokens) + self.cut


Event = TextDelta | BaseException | None
"""A piece, what went wrong, or None at the end."""


class Engine(Protocol):
    """A base in memory that answers with and without adapters."""

    tokenizer: Any
    window: int

    def load(self, adapter: AdapterFiles) -> Ready:
        """An adapter, verified and probed; waits for the model.

        Raises:
            UntrustedModelError: it is refused.
            ProjectError: its files are not to be had.
            UnavailableError: nobody can be asked for it now.
        """

    def elsewhere(self, ready: Ready | None) -> str:
        """Name of the model by which an upstream server writes an answer, whose weights nobody here
        has verified; empty where they are in this engine.

        Args:
            ready: The adapter; None for the base alone.
        """

    def prompt(self, text: str | Segments, room: int = 0) -> Prompt:
        """A prompt as tokens; a string is text throughout, whatever is spelt in it.

        Args:
            text: The prompt.
            room: Tokens to be left for the answer.
        """

    def submit(self, job: Job, deliver: Callable[[Event], None]) -> Callable[[], None]:
        """Start a request.

        Args:
            job: The request.
            deliver: Takes pieces, then None; called from the engine's thread.

        Returns:
            What cancels it.

        Raises:
            BusyError: too many wait.
        """

    def state(self) -> Mapping[str, Any]:
        """``waiting`` (requests), ``busy``, ``written`` (tokens so far), ``resident`` (versions in
        memory), ``alive``, and ``down``: why it cannot answer at the moment; empty if it can."""

    def close(self) -> None:
        """End the engine; requests that wait get an EngineError."""
