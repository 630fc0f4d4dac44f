"""Tokens as bytes, and their streaming to text: whole characters, without the forced start, up to a stop string."""

import codecs
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal

from cortex_pipelines.adapters.data.packing import token_texts
from cortex_pipelines.serving.engines.engine import (
    Alternative,
    Finish,
    GeneratedToken,
    Sampling,
    ScoredToken,
    TextDelta,
)
from cortex_pipelines.serving.growing_code import GrowingCode
from cortex_pipelines.tokenization.text_encoder import token_ids

_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_CACHED = 2**17
"""Cached tokens; about one vocabulary."""


@lru_cache(_CACHED)
def token_bytes(tokenizer: Any, token: int) -> bytes | None:
    """Bytes that a token adds to a text: empty if special, None if the vocabulary does not say."""
    added = tokenizer.added_tokens_decoder.get(token)
    if added is not None:
        return b"" if added.special else str(added.content).encode()
    spelling = tokenizer.convert_ids_to_tokens(token)
    kind = _vocabulary_kind(tokenizer)
    if spelling is None or kind == "text":
        return None
    if kind == "byte fallback":
        match = _BYTE.fullmatch(spelling)
        return bytes.fromhex(match[1]) if match else None
    numbers = [_byte_by_letter().get(letter) for letter in spelling]
    return None if None in numbers else bytes(number for number in numbers if number is not None)


@lru_cache(_CACHED)
def alternative_bytes(tokenizer: Any, token: int) -> bytes:
    """Bytes of an alternative token; of a special token, those of its name."""
    added = tokenizer.added_tokens_decoder.get(token)
    raw = str(added.content).encode() if added is not None else token_bytes(tokenizer, token)
    if raw is not None:
        return raw
    # decode after another token, since some tokenizers drop a leading space
    (before,) = token_ids(tokenizer, ["x"])
    text: str = tokenizer.decode([*before, token], clean_up_tokenization_spaces=False)
    return text.removeprefix("x").encode()


@lru_cache(16)
def tokens_beginning(tokenizer: Any, size: int, letters: str) -> tuple[int, ...]:
    """Tokens of a vocabulary whose text begins with one of some letters, after white space."""
    texts = token_texts(tokenizer, size)
    return tuple(token for token, text in enumerate(texts) if text.lstrip()[:1] in letters and text.strip())


@lru_cache(128)
def tokens_indenting(tokenizer: Any, size: int, start: str) -> tuple[int, ...]:
    """Tokens of a vocabulary that add white space to ``start``."""
    texts = enumerate(token_texts(tokenizer, size))
    return tuple(token for token, text in texts if text.startswith(start) and text[len(start) :][:1].isspace())


def alternative(raw: bytes, logprob: float) -> Alternative:
    return Alternative(spelled(raw), logprob, raw)


def spelled(raw: bytes) -> str:
    """Bytes as text; an incomplete character as ``bytes:`` and hexadecimal digits."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in raw)


def unspelled(text: str) -> bytes:
    if re.fullmatch(r"bytes:(\\x[0-9A-Fa-f]{2})+", text):
        return bytes.fromhex(text.removeprefix("bytes:").replace("\\x", ""))
    return text.encode(errors="replace")


@lru_cache(8)
def _vocabulary_kind(tokenizer: Any) -> Literal["byte level", "byte fallback", "text"]:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None or backend.decoder is None:
        return "text"
    kinds = re.findall(rb'"type":\s*"(\w+)"', backend.decoder.__getstate__())
    if b"ByteLevel" in kinds:
        return "byte level"
    return "byte fallback" if b"ByteFallback" in kinds else "text"


@lru_cache(1)
def _byte_by_letter() -> dict[str, int]:
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    return {letter: byte for byte, letter in bytes_to_unicode().items()}


_HALF = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True)
class _PlacedToken:
    """A token with its position in characters.

    ``until`` is the end of the last character that it is part of: after that of its text for a token that
    ends within a character. ``state`` is that of the decoder before its bytes.
    """

    token: GeneratedToken
    start: int
    until: int
    state: tuple[bytes, int]


class StreamedAnswer:
    """One streamed answer without its forced start; each delta has the tokens of its text."""

    def __init__(self, tokenizer: Any, start: str, sampling: Sampling) -> None:
        self._tokenizer = tokenizer
        self._start = start
        self._sampling = sampling
        self._ids: list[int] = []
        self._decoded_text = ""
        self._sent = 0
        self._unsent: list[_PlacedToken] = []
        self._decoder = _decoder()
        self._growing = GrowingCode(sampling.ending) if sampling.ending is not None else None
        self.begun = not start
        self.stopped = False
        self._count = 0

    @property
    def length(self) -> int:
        """Characters of the answer and its forced start so far."""
        return len(self._decoded_text)

    @property
    def is_blank(self) -> bool:
        return not self._decoded_text.strip()

    @property
    def is_full(self) -> bool:
        """Whether it has as many tokens as asked for: with a probability, and not of the forced start."""
        return self._count >= self._sampling.max_tokens

    @property
    def is_late(self) -> bool:
        """Whether the time for the answer is over."""
        deadline = self._sampling.deadline
        nothing_whole = self._growing is not None and not self._growing.settled
        return deadline is not None and deadline.is_over(first=nothing_whole)

    def add(self, index: int, scored: ScoredToken) -> Iterator[TextDelta]:
        """Add a token; yields text that can no longer become part of a stop string."""
        self._ids.append(scored.token)
        decoded: str = self._tokenizer.decode(self._ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        raw = token_bytes(self._tokenizer, scored.token)
        state = self._decoder.getstate()
        text = None if raw is None else self._decoder.decode(raw)
        full_text = self._decoded_text + (text or "")
        # it continues with this text, followed at most by incomplete characters
        if text is None or not decoded.startswith(full_text) or decoded[len(full_text) :].strip(_HALF):
            self._decoder.reset()
            self._forget_half()
            state = self._decoder.getstate()
            text = decoded.rstrip(_HALF)[len(self._decoded_text) :]
            raw = text.encode(errors="replace")
        raw = raw or b""
        tops = tuple(
            Alternative(text, logprob, raw)
            if number == scored.token
            else alternative(alternative_bytes(self._tokenizer, number), logprob)
            for number, logprob in scored.top
        )
        half = len(decoded) > len(self._decoded_text) + len(text)
        self._append(GeneratedToken(text, scored.logprob, tops, raw), text, state, half)
        yield from self._ready(index)

    def grow(self, index: int, full_text: str, tokens: Sequence[GeneratedToken]) -> Iterator[TextDelta]:
        """Set the full text, with the tokens added since the last call."""
        added = full_text[len(self._decoded_text) :]
        before = self._decoder.getstate()
        texts = [self._decoder.decode(token.raw) for token in tokens]
        if "".join(texts) == added:
            self._decoder.setstate(before)
            for token in tokens:
                if self.is_full:
                    break
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
        """The rest of the text, without an incomplete character, and of code without what is not whole."""
        end = len(self._text) if self.begun else 0
        if self._growing is not None and finish != "cancelled":
            end = self._growing.cut(self._text[:end], finish == "stop")
        return self._delta(index, end, finish)

    @property
    def _text(self) -> str:
        return self._decoded_text.removeprefix(self._start)

    @property
    def _base(self) -> int:
        return len(self._decoded_text) - len(self._text)

    def _append(self, token: GeneratedToken, text: str, state: tuple[bytes, int], half: bool) -> None:
        start = len(self._decoded_text)
        self._decoded_text += text
        until = len(self._decoded_text) + half
        self._count += token.logprob is not None and self._is_shown(until)
        self._unsent.append(_PlacedToken(replace(token, text=text), start, until, state))

    def _is_shown(self, until: int) -> bool:
        """Whether a token that ends there belongs to the answer, at least in part."""
        return self.begun or until > len(self._start)

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
        text, stop = self._text, self._sampling.stop
        start = max(self._sent - max(map(len, stop), default=0), 0)
        end = min((position for mark in stop if (position := text.find(mark, start)) >= 0), default=None)
        if end is None and self._sampling.finished is not None and self._sampling.finished(text):
            end = len(text)
        if self._growing is not None and end is not None:
            end = self._growing.cut(text[:end], complete=True)
        elif self._growing is not None and self._growing.settle(text):
            end = self._growing.settled
        if end is not None:
            self.stopped = True
            yield self._delta(index, end, "stop")
            return
        # the longest suffix that is a prefix of a stop string may still become one
        prefixes = (mark[:size] for mark in stop for size in range(1, min(len(mark) - 1, len(text)) + 1))
        ready = len(text) - max((len(prefix) for prefix in prefixes if text.endswith(prefix)), default=0)
        if self._growing is not None:
            ready = min(ready, self._growing.settled)
        for each in reversed(self._unsent):  # a token that is held back may share a character with the one before it
            if each.until > self._base + ready:
                ready = min(ready, each.start - self._base)
        if ready > self._sent:
            yield self._delta(index, ready, None)

    def _delta(self, index: int, end: int, finish: Finish | None) -> TextDelta:
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
                cut += self._is_shown(each.until)
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
            head = token.text[:excess].encode()
            text, raw = token.text[excess:], token.raw.removeprefix(head)
            tops = tuple(
                Alternative(text, top.logprob, raw)
                if top.raw == token.raw
                else alternative(top.raw.removeprefix(head) or top.raw, top.logprob)
                for top in token.top
            )
            token = replace(token, text=text, raw=raw, top=tops)
        yield replace(token, offset=max(placed_token.start - self._base, 0))


def _decoder() -> codecs.IncrementalDecoder:
    return codecs.getincrementaldecoder("utf-8")("replace")


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
    return replace(placed_token, token=token, until=limit)
