"""Scan a text for secrets and personal data."""

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain

from cortex_pipelines.privacy.detect.code.values import code_values, outside_syntax
from cortex_pipelines.privacy.detect.context import is_code
from cortex_pipelines.privacy.detect.findings import SECRET, Finding, Span, findings_of, without_overlaps
from cortex_pipelines.privacy.detect.named_values import judge_named_values
from cortex_pipelines.privacy.detect.rules.assignments import assigned_secrets, provided_secrets
from cortex_pipelines.privacy.detect.rules.author_names import author_names
from cortex_pipelines.privacy.detect.rules.commands import commanded_secrets, stated_secrets
from cortex_pipelines.privacy.detect.rules.credentials import placed_secrets
from cortex_pipelines.privacy.detect.rules.personal import personal_data
from cortex_pipelines.privacy.detect.settings.values import fenced_values, settings_values
from cortex_pipelines.privacy.detect.text.indexed_text import IndexedText
from cortex_pipelines.privacy.detect.text.mapped_text import unescaped_lines
from cortex_pipelines.privacy.detect.tokens.token_secrets import is_example, marked_secrets
from cortex_pipelines.privacy.detect.values import PLACEHOLDER
from cortex_pipelines.privacy.settings import PrivacySettings


def scan_text(text: str, path: str, settings: PrivacySettings, language: str | None = None) -> list[Finding]:
    """Private values in a text, in order."""
    return findings_of(text, spans_of(text, path, settings, language))


def spans_of(text: str, path: str, settings: PrivacySettings, language: str | None = None) -> list[Span]:
    """Character spans of private values, in order and without overlaps."""
    indexed = IndexedText(text)
    # escapes of data and prose; parsers know those of code
    unescaped = [
        replace(span, start=view.starts[span.start], end=view.ends[span.end - 1])
        for view in unescaped_lines(indexed, is_code(path))
        for span in _plain_spans(IndexedText(view.text), "" if is_code(path) else path, settings)
    ]
    spans = [
        *_plain_spans(indexed, path, settings, language),
        *unescaped,
        *marked_secrets(indexed),
        *judge_named_values(code_values(indexed, path, language), False, settings),
        *judge_named_values(chain(settings_values(indexed, path), fenced_values(indexed, path)), True, settings),
        *provided_secrets(indexed),
        *author_names(indexed),
    ]
    return without_overlaps(span for span in spans if not _is_allowed(text, span, settings))


def _plain_spans(
    indexed: IndexedText, path: str, settings: PrivacySettings, language: str | None = None
) -> Iterator[Span]:
    yield from placed_secrets(indexed)
    yield from stated_secrets(indexed)
    yield from commanded_secrets(indexed, path)
    yield from outside_syntax(indexed.text, path, language, assigned_secrets(indexed, path, settings))
    yield from personal_data(indexed)


def _is_allowed(text: str, span: Span, settings: PrivacySettings) -> bool:
    value = text[span.start : span.end]
    if PLACEHOLDER.search(value) or (span.category == SECRET and is_example(value)):
        return True
    return any(re.fullmatch(pattern, value) for pattern in settings.allowed)
