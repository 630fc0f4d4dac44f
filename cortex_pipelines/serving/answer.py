"""Tokens to text while they come: whole characters, without the forced start, up to a stop."""

from collections.abc import Iterator
from typing import Any

from cortex_pipelines.serving.engines.engine import Finish, Piece, Sampling, Token

_HALF = "\N{REPLACEMENT CHARACTER}"


class Answer:
    """One answer as it grows.

    Args:
        tokenizer: A transformers tokenizer.
        start: What it is held to begin with; no part of what is given out.
        how: Its stop strings, and what tells that it is complete.
    """

    def __init__(self, tokenizer: Any, start: str, how: Sampling) -> None:
        self._tokenizer = tokenizer
        self._start = start
        self._how = how
        self._ids: list[int] = []
        self._whole = ""
        self._given = 0
        self._kept: list[Token] = []
        self.begun = not start
        self.stopped = False

    def add(self, index: int, token: int, scored: Token) -> Iterator[Piece]:
        """Take a token; gives a piece where there is something that no stop can take back."""
        self._ids.append(token)
        whole: str = self._tokenizer.decode(
            self._ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        yield from self.grow(index, whole, (scored,))

    def grow(self, index: int, whole: str, scored: tuple[Token, ...]) -> Iterator[Piece]:
        """Take the whole answer as it is now, with the tokens since it was taken last."""
        self._whole = whole
        self.begun = self.begun or len(whole) >= len(self._start)
        if not self.begun:
            return
        if len(whole) > len(self._start):  # else it lies within the start, and is no part of it
            self._kept += scored
        text = whole.removeprefix(self._start)
        end = _first(text, self._how.stop, max(self._given - _longest(self._how.stop), 0))
        if end is not None:
            self.stopped = True
            yield self._piece(index, text[:end], "stop")
            return
        if self._how.finished is not None and self._how.finished(text):
            self.stopped = True
            yield self._piece(index, text, "stop")
            return
        ready = text.rstrip(_HALF)
        ready = ready[: len(ready) - _pending(ready, self._how.stop)]
        if len(ready) > self._given:
            yield self._piece(index, ready, None)

    def end(self, index: int, finish: Finish) -> Piece:
        """The rest."""
        rest = self._whole.removeprefix(self._start) if self.begun else ""
        return self._piece(index, rest, finish)

    def _piece(self, index: int, text: str, finish: Finish | None) -> Piece:
        piece = Piece(index, text[self._given :], tuple(self._kept), finish)
        self._given = max(len(text), self._given)
        self._kept.clear()
        return piece


def _longest(stop: tuple[str, ...]) -> int:
    return max(map(len, stop), default=0)


def _first(text: str, stop: tuple[str, ...], start: int) -> int | None:
    """Where the first of the stop strings begins; None if none stands there."""
    places = [place for mark in stop if (place := text.find(mark, start)) >= 0]
    return min(places, default=None)


def _pending(text: str, stop: tuple[str, ...]) -> int:
    """Length of the longest end of a text with which a stop string may begin."""
    return max(
        (
            size
            for mark in stop
            for size in range(min(len(mark) - 1, len(text)), 0, -1)
            if text.endswith(mark[:size])
        ),
        default=0,
    )
