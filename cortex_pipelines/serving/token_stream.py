"""Tokens to text while they come: whole characters, without the forced start, up to a stop."""

import codecs
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cortex_pipelines.serving.engines.engine import (
    Alternative,
    Finish,
    GeneratedToken,
    Sampling,
    ScoredToken,
    TextDelta,
)
from cortex_pipelines.serving.token_bytes import alternative, alternative_bytes, token_bytes

_HALF = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True)
class _PlacedToken:
    """A token and its position, in characters.

    Args:
        token: The token, with all of its text.
        start: Where its text begins.
        end: Where its text ends.
        until: Where the last character ends that it is a part of: behind ``end`` for a token that
            begins a character and does not end it.
        state: The decoder's, before its bytes.
    """

    token: GeneratedToken
    start: int
    end: int
    until: int
    state: tuple[bytes, int]


class StreamedAnswer:
    """One answer as it grows; each piece has the tokens that its text is made of.

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
        self._sent = 0
        self._unsent: list[_PlacedToken] = []
        self._decoder = _decoder()
        self.begun = not start
        self.stopped = False

    def add(self, index: int, scored: ScoredToken) -> Iterator[TextDelta]:
        """Take a token; gives a piece where there is something that no stop can take back."""
        self._ids.append(scored.token)
        whole: str = self._tokenizer.decode(
            self._ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        raw = token_bytes(self._tokenizer, scored.token)
        state = self._decoder.getstate()
        text = None if raw is None else self._decoder.decode(raw)
        if text is None or not _continues(whole, self._whole + text):
            self._decoder.reset()
            self._forget_half()
            state = self._decoder.getstate()
            text = whole.rstrip(_HALF)[len(self._whole) :]
            raw = text.encode(errors="replace")
        token = GeneratedToken(text, scored.logprob, (), raw or b"")
        half = len(whole) > len(self._whole) + len(text)
        self._place(self._with_alternatives(token, scored), text, state, half)
        yield from self._ready(index)

    def grow(self, index: int, whole: str, tokens: Sequence[GeneratedToken]) -> Iterator[TextDelta]:
        """Take the whole answer as it is now, with the tokens since it was taken last."""
        added = whole[len(self._whole) :]
        before = self._decoder.getstate()
        texts = [self._decoder.decode(token.raw) for token in tokens]
        if "".join(texts) == added:
            self._decoder.setstate(before)
            for token in tokens:
                state = self._decoder.getstate()
                text = self._decoder.decode(token.raw)
                self._place(token, text, state, bool(self._decoder.getstate()[0]))
        else:  # the server's tokens say otherwise than its text, as of a character in parts
            self._decoder.reset()
            self._forget_half()
            for place, token in enumerate(tokens, 1):
                text = added if place == len(tokens) else ""
                raw = text.encode(errors="replace")
                self._place(replace(token, raw=raw), text, self._decoder.getstate(), False)
            self._whole = whole
        yield from self._ready(index)

    def end(self, index: int, finish: Finish) -> TextDelta:
        """The rest, without a character that is not whole."""
        return self._piece(index, len(self._text) if self.begun else 0, finish)

    @property
    def _text(self) -> str:
        return self._whole.removeprefix(self._start)

    @property
    def _base(self) -> int:
        return len(self._whole) - len(self._text)

    def _with_alternatives(self, token: GeneratedToken, scored: ScoredToken) -> GeneratedToken:
        tops = (
            Alternative(token.text, logprob, token.raw)
            if number == scored.token
            else alternative(alternative_bytes(self._tokenizer, number), logprob)
            for number, logprob in scored.top
        )
        return replace(token, top=tuple(tops))

    def _place(
        self, token: GeneratedToken, text: str, state: tuple[bytes, int], half: bool
    ) -> None:
        start, end = len(self._whole), len(self._whole) + len(text)
        placed = _PlacedToken(replace(token, text=text), start, end, end + half, state)
        self._unsent.append(placed)
        self._whole += text

    def _forget_half(self) -> None:
        """The bytes of a character that turned out to be none: its text has others."""
        self._unsent = [
            replace(each, token=replace(each.token, raw=each.token.text.encode()))
            if each.until > len(self._whole)
            else each
            for each in self._unsent
        ]

    def _ready(self, index: int) -> Iterator[TextDelta]:
        self.begun = self.begun or len(self._whole) >= len(self._start)
        if not self.begun:
            return
        text = self._text
        end = _first(text, self._how.stop, max(self._sent - _longest(self._how.stop), 0))
        if end is None and self._how.finished is not None and self._how.finished(text):
            end = len(text)
        if end is not None:
            self.stopped = True
            yield self._piece(index, end, "stop")
            return
        ready = len(text) - _pending(text, self._how.stop)
        held = (each.start for each in self._unsent if each.until > self._base + ready)
        ready = min(ready, next(held, self._base + ready) - self._base)
        if ready > self._sent:
            yield self._piece(index, ready, None)

    def _piece(self, index: int, end: int, finish: Finish | None) -> TextDelta:
        """What is between what was sent and a position of the text."""
        end = max(end, self._sent)
        limit = self._base + end
        tokens: list[GeneratedToken] = []
        held: list[_PlacedToken] = []
        cut = 0
        for each in self._unsent:
            if each.until <= limit:
                tokens += self._within_text(each)
            elif not finish:
                held.append(each)
            elif each.start < limit:
                tokens += self._within_text(_shortened(each, limit))
            else:
                cut += 1
        self._unsent = held
        piece = TextDelta(index, self._text[self._sent : end], tuple(tokens), finish, cut)
        self._sent = end
        return piece

    def _within_text(self, placed: _PlacedToken) -> Iterator[GeneratedToken]:
        """The token without what belongs to the forced start; none if that is all of it."""
        token, over = placed.token, self._base - placed.start
        if over > 0:
            if placed.until <= self._base:
                return
            raw = token.raw[len(token.text[:over].encode()) :]
            token = replace(token, text=token.text[over:], raw=raw)
        yield replace(token, offset=max(placed.start - self._base, 0))


def _decoder() -> codecs.IncrementalDecoder:
    return codecs.getincrementaldecoder("utf-8")("replace")


def _continues(whole: str, text: str) -> bool:
    """Whether a decoded answer is this text, and at most halves of characters behind it."""
    return whole.startswith(text) and not whole[len(text) :].strip(_HALF)


def _shortened(placed: _PlacedToken, limit: int) -> _PlacedToken:
    """A token of which the text ends earlier; what chose it stays."""
    text = placed.token.text[: limit - placed.start]
    decoder, written, size = _decoder(), "", 0
    decoder.setstate(placed.state)
    while len(written) < len(text) and size < len(placed.token.raw):
        written += decoder.decode(placed.token.raw[size : size + 1])
        size += 1
    raw = placed.token.raw[: max(size - len(decoder.getstate()[0]), 0)]
    tops = tuple(
        replace(top, text=text, raw=raw)
        if (top.text, top.raw) == (placed.token.text, placed.token.raw)
        else top
        for top in placed.token.top
    )
    token = replace(placed.token, text=text, raw=raw, top=tops)
    return replace(placed, token=token, end=limit, until=limit)


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
