"""Scan a text for secrets and personal data."""

import re

from cortex_pipelines.privacy.detect.assignments import assigned_secrets, provided_secrets
from cortex_pipelines.privacy.detect.author_names import author_names
from cortex_pipelines.privacy.detect.code.values import code_values
from cortex_pipelines.privacy.detect.commands import commanded_secrets
from cortex_pipelines.privacy.detect.credentials import placed_secrets
from cortex_pipelines.privacy.detect.findings import Finding, Span, findings_of, without_overlaps
from cortex_pipelines.privacy.detect.marks import COLOUR, ESCAPES, marked_secrets
from cortex_pipelines.privacy.detect.named_values import judge_named_values
from cortex_pipelines.privacy.detect.personal import personal_data
from cortex_pipelines.privacy.detect.statements import stated_secrets
from cortex_pipelines.privacy.detect.values import PLACEHOLDER
from cortex_pipelines.privacy.settings import PrivacySettings

_WORD_BYTES = bytes(c if (chr(c).isalnum() and c < 128) or c == 95 else 32 for c in range(256))


def scan_text(
    text: str, path: str, settings: PrivacySettings, language: str | None = None
) -> list[Finding]:
    """Private values in a text, in order.

    Args:
        text: The text.
        path: Its path.
        settings: What counts.
        language: Its language, if known.
    """
    return findings_of(text, spans_of(text, path, settings, language))


def spans_of(
    text: str, path: str, settings: PrivacySettings, language: str | None = None
) -> list[Span]:
    """Character spans of private values, in order and without overlaps."""
    words = _words(text)
    if any(escape in text for escape in ESCAPES):
        words |= _words(COLOUR.sub(" ", text))
    lower = text.lower()
    if len(lower) != len(text):  # a few capital letters have lower forms of two characters
        lower = "".join(c.lower() if c.isascii() else c for c in text)
    spans = [
        *placed_secrets(text),
        *stated_secrets(text, lower),
        *commanded_secrets(text, path),
        *marked_secrets(text, words),
        *assigned_secrets(text, lower, path, settings),
        *judge_named_values(code_values(text, lower, path, language), False, settings),
        *provided_secrets(text, lower, " ".join(words).lower()),
        *personal_data(text),
        *author_names(text, lower),
    ]
    return without_overlaps(span for span in spans if not _is_allowed(text, span, settings))


def _words(text: str) -> set[str]:
    """The distinct runs of ASCII letters, digits and underscores."""
    return set(text.encode("latin-1", "replace").translate(_WORD_BYTES).decode().split())


def _is_allowed(text: str, span: Span, settings: PrivacySettings) -> bool:
    value = text[span.start : span.end]
    if PLACEHOLDER.search(value):
        return True
    return any(re.fullmatch(pattern, value) for pattern in settings.allowed)
