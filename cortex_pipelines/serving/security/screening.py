"""Secrets and personal data in what a model writes: named, or replaced as in the data.

A model may know a value from somewhere that the scan of the data never saw, or make one up. What
stands in the prompt's last line is read along, since ``password = `` is what makes the rest of
the line a secret.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

from cortex_pipelines.privacy.detect.scanning import spans_of
from cortex_pipelines.privacy.pseudonyms import logs_key
from cortex_pipelines.privacy.redaction import placeholder_of
from cortex_pipelines.privacy.settings import PrivacySettings
from cortex_pipelines.serving.engines.engine import GeneratedToken, TextDelta

Policy = Literal["flag", "cut", "off"]
"""Name what there is and leave it; replace it; do not look."""

_PASSES = 4
_KEPT = 256
"""Answers that need not be looked through again, as those that are given a second time."""

_LONGEST_LINE = 400
_BLOCK, _BLOCK_END = "-----BEGIN ", "-----END "


@dataclass(frozen=True)
class Screened:
    """An answer, looked through.

    Args:
        text: The text, with placeholders.
        rules: Names of the rules that something was known by, sorted.
    """

    text: str
    rules: tuple[str, ...]


class Screen:
    """Looks through answers.

    Args:
        settings: What counts, and how placeholders are made.
        policy: What becomes of it.
    """

    def __init__(self, settings: PrivacySettings, policy: Policy) -> None:
        self._settings = settings
        self._key = logs_key(settings)
        self._looked = lru_cache(_KEPT)(self._look)
        self.policy = policy

    def __call__(self, before: str, text: str) -> Screened:
        """Look through one text.

        Args:
            before: What stands directly before it, and is left as it is.
            text: The answer.
        """
        return self._looked(before, text)

    def _look(self, before: str, text: str) -> Screened:
        rules: set[str] = set()
        for _ in range(_PASSES):
            whole = before + text
            spans = [
                span
                for span in spans_of(whole, "", self._settings)
                if span.category in self._settings.redact and span.end > len(before)
            ]
            if not spans:
                break
            for span in reversed(spans):
                value = whole[span.start : span.end]
                start, end = max(span.start - len(before), 0), span.end - len(before)
                text = text[:start] + placeholder_of(span, value, self._key) + text[end:]
                rules.add(span.rule)
        return Screened(text, tuple(sorted(rules)))


class FilteredAnswers:
    """The answers to one prompt, looked through while they are written.

    To cut a value out it must be known before it is sent: a line is held back until it is whole,
    and a block of key material until its end. To flag one, nothing is held back.

    Args:
        screen: Looks through them.
        prompt: What they go on with.
        note: Gets the rules that something was known by.
    """

    def __init__(self, screen: Screen, prompt: str, note: Callable[[str], None]) -> None:
        self._screen = screen
        self._before = prompt.rpartition("\n")[2][-_LONGEST_LINE:]
        self._note = note
        self._texts: dict[int, str] = {}
        self._sent: dict[int, str] = {}
        self._held: dict[int, tuple[GeneratedToken, ...]] = {}

    def add(self, piece: TextDelta) -> TextDelta | None:
        """What may be sent now; None if nothing."""
        if self._screen.policy == "off":
            return piece
        place = piece.index
        text = self._texts[place] = self._texts.get(place, "") + piece.text
        if self._screen.policy == "flag":
            if piece.finish:
                self._seen(self._screen(self._before, text))
            return piece
        tokens = self._held.get(place, ()) + piece.tokens
        ready = text if piece.finish else _whole_lines(text)
        sent = self._sent.get(place, "")
        screened = self._screen(self._before, ready)
        if not piece.finish and len(screened.text) <= len(sent):
            self._held[place] = tokens
            return None
        tokens, self._held[place] = _divided(tokens, len(text if piece.finish else ready))
        self._seen(screened)
        # only what follows from the lines before can be sent behind them
        new = screened.text[len(sent) :] if screened.text.startswith(sent) else ""
        self._sent[place] = sent + new
        if screened.rules:  # a token's own text would say what was cut
            tokens = tuple(
                replace(token, text="", top=(), raw=b"", offset=len(sent)) for token in tokens
            )
        return replace(piece, text=new, tokens=tokens)

    def _seen(self, screened: Screened) -> None:
        for rule in screened.rules:
            self._note(rule)


def _divided(
    tokens: tuple[GeneratedToken, ...], end: int
) -> tuple[tuple[GeneratedToken, ...], tuple[GeneratedToken, ...]]:
    """The tokens up to a position of the text, and those that go beyond it."""
    count = sum(token.offset + len(token.text) <= end for token in tokens)
    return tokens[:count], tokens[count:]


def _whole_lines(text: str) -> str:
    lines = text[: text.rfind("\n") + 1]
    begin = lines.rfind(_BLOCK)
    open_block = begin >= 0 and _BLOCK_END not in lines[begin:]
    return lines[: lines.rfind("\n", 0, begin) + 1] if open_block else lines
