"""Redact private values so that the text still parses and keeps its lines."""

import ipaddress
import re
from bisect import bisect_left, bisect_right
from dataclasses import asdict, dataclass, replace

from cortex_pipelines.privacy.detect.findings import PERSONAL, PlacedRedaction, Span, findings_of
from cortex_pipelines.privacy.detect.scanning import spans_of
from cortex_pipelines.privacy.pseudonyms import pseudonym
from cortex_pipelines.privacy.settings import PrivacySettings

# A value next to another may only show once that one is gone; two passes were always enough.
_PASSES = 4
_KEY_MATERIAL = re.compile(r"(?:(?<=\\[nrt])|(?<!\\))[A-Za-z0-9+/=]{4,}")
_DOCUMENTATION = tuple(int(ipaddress.IPv4Address(net)) for net in ("192.0.2.0", "198.51.100.0"))


@dataclass(frozen=True)
class RedactedText:
    """A text without private values; the same object if it had none."""

    text: str
    redactions: tuple[PlacedRedaction, ...]


def redact_text(text: str, path: str, language: str | None, settings: PrivacySettings, key: bytes) -> RedactedText:
    """Replace each private value in a text with a placeholder.

    Line feeds stay as they are; inside a string literal, a comment or a bare word the text still
    parses, since placeholders of secrets are made of identifier characters. Scanning the result
    finds nothing of the redacted categories.
    """
    redactions: list[tuple[Span, str]] = []
    for _ in range(_PASSES):
        spans = [s for s in spans_of(text, path, settings, language) if s.category in settings.redact]
        if not spans:
            break
        text, redactions = _replace(text, spans, redactions, key)
    findings = findings_of(text, (span for span, _ in redactions))
    placed = [
        PlacedRedaction(placeholder=placeholder, **asdict(finding))
        for finding, (_, placeholder) in zip(findings, sorted(redactions), strict=True)
    ]
    return RedactedText(text, tuple(placed))


def _replace(
    text: str, spans: list[Span], previous: list[tuple[Span, str]], key: bytes
) -> tuple[str, list[tuple[Span, str]]]:
    """Replace spans; returns the text and all redactions at their new positions."""
    parts: list[str] = []
    redactions: list[tuple[Span, str]] = []
    moves: list[tuple[int, int]] = []  # (from this character on, shifted by)
    position = length = 0
    for span in spans:
        value = text[span.start : span.end]
        placeholder = placeholder_of(span, value, key)
        new = placeholder
        if "\n" in value:
            # The first and last line of a private key are armour and stay; so does the text around the material
            # (quotes, comment marks, operators), so that the lines still parse.
            first, *body, last = value.split("\n")
            new = "\n".join([first, *(_KEY_MATERIAL.sub(placeholder, line) for line in body), last])
        parts += (text[position : span.start], new)
        start = length + span.start - position
        length = start + len(new)
        position = span.end
        redactions.append((replace(span, start=start, end=length), placeholder))
        moves.append((span.end, length - position))
    parts.append(text[position:])
    return "".join(parts), sorted([*_shift_redactions(previous, spans, moves), *redactions])


def _shift_redactions(
    previous: list[tuple[Span, str]], spans: list[Span], moves: list[tuple[int, int]]
) -> list[tuple[Span, str]]:
    """Earlier redactions at their new positions, without those inside new ones."""
    shifted = []
    ends, starts = [end for end, _ in moves], [new.start for new in spans]
    for span, placeholder in previous:
        # spans are in order and none is over another, so one that ends later also begins later
        past = bisect_right(ends, span.start)
        if past >= bisect_left(starts, span.end):
            shift = moves[past - 1][1] if past else 0
            shifted.append((replace(span, start=span.start + shift, end=span.end + shift), placeholder))
    return shifted


def placeholder_of(span: Span, value: str, key: bytes) -> str:
    """Placeholder for a value: of its shape where code may check it, else a plain word."""
    digits = pseudonym(value, key)
    if span.category != PERSONAL:
        return f"REDACTED_{span.rule.upper().replace('-', '_')}_{digits}"
    number = int(digits, 16)
    if span.rule == "email":
        return f"redacted-{digits}@example.invalid"
    if span.rule == "ipv4":
        net = _DOCUMENTATION[number % len(_DOCUMENTATION)]
        return str(ipaddress.IPv4Address(net + 1 + number // 2 % 254))
    if span.rule == "ipv6":
        return f"2001:db8::{digits[:4]}:{digits[4:]}"
    if span.rule == "phone":
        return f"+1-202-555-01{number % 100:02}"
    return f"redacted-{digits}"
