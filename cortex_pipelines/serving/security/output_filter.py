"""Output filter for secrets and personal data: flags them, or replaces them by placeholders.

A model may know a value from data that was never scanned, or invent one. The prompt's last line is
scanned along, since ``password = `` is what makes the rest of the line a secret.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Literal

from cortex_pipelines.privacy.detect.scanning import spans_of
from cortex_pipelines.privacy.pseudonyms import logs_key
from cortex_pipelines.privacy.redaction import placeholder_of
from cortex_pipelines.privacy.settings import PrivacySettings
from cortex_pipelines.serving.engines.engine import GeneratedToken, TextDelta

Policy = Literal["flag", "cut", "off"]
"""Report findings; replace them; do not scan."""

_PASSES = 4
_CACHED_ANSWERS = 256
"""Answers whose result is cached."""

_LONGEST_LINE = 400
_BLOCK, _BLOCK_END = "-----BEGIN ", "-----END "


class OutputFilter:
    def __init__(self, settings: PrivacySettings, policy: Policy) -> None:
        self._settings, self.policy = settings, policy
        self._key = logs_key(settings)
        self.filtered = lru_cache(_CACHED_ANSWERS)(self._filter)

    def _filter(self, before: str, text: str) -> tuple[str, tuple[str, ...]]:
        """``text``, which follows ``before``, without private values, and the rules that matched."""
        rules: set[str] = set()
        for _ in range(_PASSES):
            full_text = before + text
            spans = [
                span
                for span in spans_of(full_text, "", self._settings)
                if span.category in self._settings.redact and span.end > len(before)
            ]
            if not spans:
                break
            for span in reversed(spans):
                value = full_text[span.start : span.end]
                start, end = max(span.start - len(before), 0), span.end - len(before)
                text = text[:start] + placeholder_of(span, value, self._key) + text[end:]
                rules.add(span.rule)
        return text, tuple(sorted(rules))


class StreamFilter:
    """Filters the answers to one prompt while they are streamed.

    A value must be recognised before it is sent to be replaced: lines are held back until they are
    complete, and blocks of key material until their end. To flag values, nothing is held back.
    """

    def __init__(self, output_filter: OutputFilter, prompt: str, note: Callable[[str], None]) -> None:
        self._output_filter = output_filter
        self._before = prompt.rpartition("\n")[2][-_LONGEST_LINE:]
        self._note = note
        self._texts: dict[int, str] = {}
        self._sent_texts: dict[int, str] = {}
        self._held: dict[int, tuple[GeneratedToken, ...]] = {}

    def add(self, delta: TextDelta) -> TextDelta | None:
        """The part that may be sent now; None if nothing."""
        if self._output_filter.policy == "off":
            return delta
        index = delta.index
        text = self._texts[index] = self._texts.get(index, "") + delta.text
        if self._output_filter.policy == "flag":
            for rule in self._output_filter.filtered(self._before, text)[1] if delta.finish else ():
                self._note(rule)
            return delta
        held_tokens = self._held.get(index, ()) + delta.tokens
        ready = text if delta.finish else _whole_lines(text)
        sent_text = self._sent_texts.get(index, "")
        filtered, rules = self._output_filter.filtered(self._before, ready)
        if not delta.finish and len(filtered) <= len(sent_text):
            self._held[index] = held_tokens
            return None
        for rule in rules:
            self._note(rule)
        count = sum(token.offset + len(token.text) <= len(ready) for token in held_tokens)
        tokens, self._held[index] = held_tokens[:count], held_tokens[count:]
        # only text consistent with what was sent before can follow it
        new_text = filtered[len(sent_text) :] if filtered.startswith(sent_text) else ""
        self._sent_texts[index] = sent_text + new_text
        if rules:  # a token's text would reveal what was cut
            tokens = tuple(replace(token, text="", top=(), raw=b"", offset=len(sent_text)) for token in tokens)
        return replace(delta, text=new_text, tokens=tokens)


def _whole_lines(text: str) -> str:
    lines = text[: text.rfind("\n") + 1]
    begin = lines.rfind(_BLOCK)
    open_block = begin >= 0 and _BLOCK_END not in lines[begin:]
    return lines[: lines.rfind("\n", 0, begin) + 1] if open_block else lines
