"""Scan a text for secrets and personal data."""

import re
from collections.abc import Iterator

from cortex_pipelines.privacy.detect.code.values import code_values
from cortex_pipelines.privacy.detect.context import is_code
from cortex_pipelines.privacy.detect.findings import Finding, Span, findings_of, without_overlaps
from cortex_pipelines.privacy.detect.named_values import judge_named_values
from cortex_pipelines.privacy.detect.rules.assignments import assigned_secrets, provided_secrets
from cortex_pipelines.privacy.detect.rules.author_names import author_names
from cortex_pipelines.privacy.detect.rules.commands import commanded_secrets
from cortex_pipelines.privacy.detect.rules.credentials import placed_secrets
from cortex_pipelines.privacy.detect.rules.personal import personal_data
from cortex_pipelines.privacy.detect.rules.statements import stated_secrets
from cortex_pipelines.privacy.detect.settings.fenced_blocks import fenced_values
from cortex_pipelines.privacy.detect.settings.values import settings_values
from cortex_pipelines.privacy.detect.text.unescaped_lines import unescaped_lines
from cortex_pipelines.privacy.detect.tokens.token_secrets import COLOUR, ESCAPES, marked_secrets
from cortex_pipelines.privacy.detect.values import PLACEHOLDER
from cortex_pipelines.privacy.settings import PrivacySettings

_WORD_BYTES = bytes(c if (chr(c).isalnum() and c < 128) or c == 95 else 32 for c in range(256))


def scan_text(text: str, path: str, settings: PrivacySettings, language: str | None = None) -> list[Finding]:
    """Private values in a text, in order.

    Args:
        text: The text.
        path: Its path.
        settings: Detection settings.
        language: Its language, if known.
    """
    return findings_of(text, spans_of(text, path, settings, language))


def spans_of(text: str, path: str, settings: PrivacySettings, language: str | None = None) -> list[Span]:
    """Character spans of private values, in order and without overlaps."""
    words = _ascii_words(text)
    if any(escape in text for escape in ESCAPES):
        words |= _ascii_words(COLOUR.sub(" ", text))
    lower = _lower(text)
    spans = [
        *_plain_spans(text, lower, path, settings),
        *_unescaped_spans(text, lower, path, settings),
        *marked_secrets(text, words),
        *judge_named_values(code_values(text, lower, path, language), False, settings),
        *judge_named_values(settings_values(text, path), True, settings),
        *judge_named_values(fenced_values(text, path), True, settings),
        *provided_secrets(text, lower, " ".join(words).lower()),
        *author_names(text, lower),
    ]
    return without_overlaps(span for span in spans if not _is_allowed(text, span, settings))


def _plain_spans(text: str, lower: str, path: str, settings: PrivacySettings) -> Iterator[Span]:
    """Spans found by patterns of single lines."""
    yield from placed_secrets(text)
    yield from stated_secrets(text, lower)
    yield from commanded_secrets(text, path)
    yield from assigned_secrets(text, lower, path, settings)
    yield from personal_data(text)


def _unescaped_spans(text: str, lower: str, path: str, settings: PrivacySettings) -> Iterator[Span]:
    """The same in lines of data and prose without their escapes; parsers know those of code."""
    for view in unescaped_lines(text, lower, is_code(path)):
        for span in _plain_spans(view.text, _lower(view.text), path, settings):
            start, end = view.source_span(span.start, span.end)
            yield Span(start, end, span.category, span.rule, span.severity)


def _lower(text: str) -> str:
    """The text in lower case, of the same length."""
    lower = text.lower()
    if len(lower) != len(text):  # a few capital letters have lower forms of two characters
        lower = "".join(c.lower() if c.isascii() else c for c in text)
    return lower


def _ascii_words(text: str) -> set[str]:
    """The distinct runs of ASCII letters, digits and underscores."""
    return set(text.encode("latin-1", "replace").translate(_WORD_BYTES).decode().split())


def _is_allowed(text: str, span: Span, settings: PrivacySettings) -> bool:
    value = text[span.start : span.end]
    if PLACEHOLDER.search(value):
        return True
    return any(re.fullmatch(pattern, value) for pattern in settings.allowed)
