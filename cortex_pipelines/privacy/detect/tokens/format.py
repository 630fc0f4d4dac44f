"""Token formats recognisable by prefix or inner mark, character set and length.

`formats/` declares them, one entry per format. The mark makes a value certain enough without a
name next to it; the lengths are those that providers document or issue.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

Check = Callable[[str], bool]

END = r"(?![A-Za-z0-9_])"
"""What must not follow a token, which would otherwise be part of something longer."""

LONE = r"(?![\w-])"
"""The same for tokens that may contain hyphens."""

HEX = "[0-9a-fA-F]"
UUID = f"{HEX}{{8}}-{HEX}{{4}}-{HEX}{{4}}-{HEX}{{4}}-{HEX}{{12}}"


@dataclass(frozen=True)
class TokenFormat:
    """A provider's format.

    Args:
        rule: Name of the rule.
        starts: Possible prefixes, at least two characters each; empty if `inside` is set.
        inside: Substring of every value, for formats without a prefix.
        digits_before: How many digits at least stand before it.
        pattern: The whole value, with a lookahead for its end.
        check: Further condition on the value (inner structure, random look).
        severity: ``low``, ``medium`` or ``high``.
        is_exact: Whether prefix and length are so certain that a value that a person typed between
            them, such as the alphabet, is reported, too, with ``low`` severity.
        checksum: Whether a value's own checksum is right; one that is wrong was typed or revoked
            as a sample, and is reported with ``medium`` severity.
    """

    rule: str
    starts: tuple[str, ...]
    inside: str
    digits_before: int
    pattern: re.Pattern[str]
    check: Check | None
    severity: str
    checksum: Check | None
    is_exact: bool


def declare(
    rule: str,
    starts: str,
    body: str,
    check: Check | None = None,
    end: str = END,
    inside: str = "",
    digits_before: int = 0,
    severity: str = "high",
    checksum: Check | None = None,
    is_exact: bool = False,
) -> TokenFormat:
    """Define a format by its prefixes (separated by spaces) and the pattern of the rest."""
    anchors = tuple(starts.split())
    either = "|".join(map(re.escape, sorted(anchors, key=len, reverse=True)))
    pattern = re.compile(f"(?:{either})(?:{body}){end}")
    return TokenFormat(rule, anchors, inside, digits_before, pattern, check, severity, checksum, is_exact)
