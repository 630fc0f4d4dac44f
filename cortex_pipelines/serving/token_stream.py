"""Streaming of tokens to text: whole characters, without the forced start, up to a stop string."""

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
    """A token with its position in characters.

    Args:
        token: The token, with all of its text.
        start: Start of its text.
        end: End of its text.
        until: End of the last character that it is part of: after ``end`` for a token that ends
            within a character.
        state: State of the decoder before its bytes.
    """

    token: GeneratedToken
    start: int
    end: int
    until: int
    state: tuple[bytes, int]


class StreamedAnswer:
    """One streamed answer; each delta has the tokens of its text.

    Args:
        tokenizer: A transformers tokenizer.
        start: Forced start of the answer; not part of the output.
        how: Stop strings and the check for completeness.
    """

    def __init__(self, tokenizer: Any, start: str, sampling: Sampling) -> None:
        self._tokenizer = tokenizer
        self._start = start
        self._sampling = sampling
        self._ids: list[int] = []
        self._decoded_text = ""
        self._sent = 0
        self._unsent: list[_PlacedToken] = []
        self._decoder = _decoder()
        self.begun = not start
        self.stopped = False

    def add(self, index: int, scored: ScoredToken) -> Iterator[TextDelta]:
        """Add a token; yields text that can no longer become part of a stop string."""
        self._ids.append(scored.token)
        decoded: str = self._tokenizer.decode(self._ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        raw = token_bytes(self._tokenizer, scored.token)
        state = self._decoder.getstate()
        text = None if raw is None else self._decoder.decode(raw)
        if text is None or not _continues(decoded, self._decoded_text + text):
            self._decoder.reset()
            self._forget_half()
            state = self._decoder.getstate()
            text = decoded.rstrip(_HALF)[len(self._decoded_text) :]
            raw = text.encode(errors="replace")
        token = GeneratedToken(text, scored.logprob, (), raw or b"")
        half = len(decoded) > len(self._decoded_text) + len(text)
        self._append(self._with_alternatives(token, scored), text, state, half)
        yield from self._ready(index)

    def grow(self, index: int, full_text: str, tokens: Sequence[GeneratedToken]) -> Iterator[TextDelta]:
        """Set the full text, with the tokens added since the last call."""
        added = full_text[len(self._decoded_text) :]
        before = self._decoder.getstate()
        texts = [self._decoder.decode(token.raw) for token in tokens]
        if "".join(texts) == added:
            self._decoder.setstate(before)
            for token in tokens:
                state = self._decoder.getstate()
                text = self._decoder.decode(token.raw)
                self._append(token, text, state, bool(self._decoder.getstate()[0]))
        else:  # the server's tokens differ from its text, as for split characters
            self._decoder.reset()
            self._forget_half()
            for position, token in enumerate(tokens, 1):
                text = added if position == len(tokens) else ""
                raw = text.encode(errors="replace")
                self._append(replace(token, raw=raw), text, self._decoder.getstate(), False)
            self._decoded_text = full_text
        yield from self._ready(index)

    def end(self, index: int, finish: Finish) -> TextDelta:
        """The rest of the text, without an incomplete character."""
        return self._delta(index, len(self._text) if self.begun else 0, finish)

    @property
    def _text(self) -> str:
        return self._decoded_text.removeprefix(self._start)

    @property
    def _base(self) -> int:
        return len(self._decoded_text) - len(self._text)

    def _with_alternatives(self, token: GeneratedToken, scored: ScoredToken) -> GeneratedToken:
        tops = (
            Alternative(token.text, logprob, token.raw)
            if number == scored.token
            else alternative(alternative_bytes(self._tokenizer, number), logprob)
            for number, logprob in scored.top
        )
        return replace(token, top=tuple(tops))

    def _append(self, token: GeneratedToken, text: str, state: tuple[bytes, int], half: bool) -> None:
        start, end = len(self._decoded_text), len(self._decoded_text) + len(text)
        placed_token = _PlacedToken(replace(token, text=text), start, end, end + half, state)
        self._unsent.append(placed_token)
        self._decoded_text += text

    def _forget_half(self) -> None:
        """Replace the bytes of an invalid character by those of its text."""
        self._unsent = [
            replace(each, token=replace(each.token, raw=each.token.text.encode()))
            if each.until > len(self._decoded_text)
            else each
            for each in self._unsent
        ]

    def _ready(self, index: int) -> Iterator[TextDelta]:
        self.begun = self.begun or len(self._decoded_text) >= len(self._start)
        if not self.begun:
            return
        text = self._text
        end = _first(text, self._sampling.stop, max(self._sent - _longest(self._sampling.stop), 0))
        if end is None and self._sampling.finished is not None and self._sampling.finished(text):
            end = len(text)
        if end is not None:
            self.stopped = True
            yield self._delta(index, end, "stop")
            return
        ready = len(text) - _pending(text, self._sampling.stop)
        held_starts = (each.start for each in self._unsent if each.until > self._base + ready)
        ready = min(ready, next(held_starts, self._base + ready) - self._base)
        if ready > self._sent:
            yield self._delta(index, ready, None)

    def _delta(self, index: int, end: int, finish: Finish | None) -> TextDelta:
        """The delta from the text that was sent up to a position."""
        end = max(end, self._sent)
        limit = self._base + end
        tokens: list[GeneratedToken] = []
        remaining: list[_PlacedToken] = []
        cut = 0
        for each in self._unsent:
            if each.until <= limit:
                tokens += self._within_text(each)
            elif not finish:
                remaining.append(each)
            elif each.start < limit:
                tokens += self._within_text(_shorten(each, limit))
            else:
                cut += 1
        self._unsent = remaining
        delta = TextDelta(index, self._text[self._sent : end], tuple(tokens), finish, cut)
        self._sent = end
        return delta

    def _within_text(self, placed_token: _PlacedToken) -> Iterator[GeneratedToken]:
        """The part of a token after the forced start, if any."""
        token, excess = placed_token.token, self._base - placed_token.start
        if excess > 0:
            if placed_token.until <= self._base:
                return
            raw = token.raw[len(token.text[:excess].encode()) :]
            token = replace(token, text=token.text[excess:], raw=raw)
        yield replace(token, offset=max(placed_token.start - self._base, 0))


def _decoder() -> codecs.IncrementalDecoder:
    return codecs.getincrementaldecoder("utf-8")("replace")


def _continues(decoded: str, text: str) -> bool:
    """Whether a decoded answer is this text, followed at most by incomplete characters."""
    return decoded.startswith(text) and not decoded[len(text) :].strip(_HALF)


def _shorten(placed_token: _PlacedToken, limit: int) -> _PlacedToken:
    """Shorten a token's text; its probabilities stay."""
    text = placed_token.token.text[: limit - placed_token.start]
    decoder, decoded, size = _decoder(), "", 0
    decoder.setstate(placed_token.state)
    while len(decoded) < len(text) and size < len(placed_token.token.raw):
        decoded += decoder.decode(placed_token.token.raw[size : size + 1])
        size += 1
    raw = placed_token.token.raw[: max(size - len(decoder.getstate()[0]), 0)]
    tops = tuple(
        replace(top, text=text, raw=raw)
        if (top.text, top.raw) == (placed_token.token.text, placed_token.token.raw)
        else top
        for top in placed_token.token.top
    )
    token = replace(placed_token.token, text=text, raw=raw, top=tops)
    return replace(placed_token, token=token, end=limit, until=limit)


def _longest(stop: tuple[str, ...]) -> int:
    return max(map(len, stop), default=0)


def _first(text: str, stop: tuple[str, ...], start: int) -> int | None:
    """Position of the first stop string; None without one."""
    positions = [position for mark in stop if (position := text.find(mark, start)) >= 0]
    return min(positions, default=None)


def _pending(text: str, stop: tuple[str, ...]) -> int:
    """Length of the longest suffix of a text that is a prefix of a stop string."""
    return max(
        (size for mark in stop for size in range(min(len(mark) - 1, len(text)), 0, -1) if text.endswith(mark[:size])),
        default=0,
    )
