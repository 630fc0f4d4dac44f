"""Token formats recognisable by prefix or inner mark, character set and length.

`formats/` declares them, one entry per format. The mark makes a value certain enough without a
name next to it; the lengths are those that providers document or issue.
"""

import base64
import binascii
import json
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from cortex_pipelines.privacy.detect.text.wording import entropy, lexical_share

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


_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def base62_crc32(value: str) -> bool:
    """Whether a token's last six characters are the CRC32 of its random part.

    GitHub's and npm's tokens are made so: prefix, 30 random characters, checksum in base 62.
    """
    body = value.rpartition("_")[2]
    number = zlib.crc32(body[:-6].encode())
    digits = ""
    while number:
        number, digit = divmod(number, 62)
        digits = _BASE62[digit] + digits
    return body[-6:] == digits.rjust(6, "0")


def random_looking(value: str) -> bool:
    """Whether a value has digits and letters and is not a compound of words."""
    has = (any(map(str.isdigit, value)), any(map(str.isalpha, value)))
    return all(has) and lexical_share(value) < 0.5


def very_random(value: str) -> bool:
    """As ``random_looking``, with mixed case, for formats with an unspecific prefix."""
    cases = any(map(str.isupper, value)) and any(map(str.islower, value))
    return cases and random_looking(value) and entropy(value) >= 3.5


def json_web_token(value: str) -> bool:
    """Whether the first part of a token is a JOSE header: a JSON object that names an algorithm."""
    header = decoded(value.partition(".")[0].replace("-", "+").replace("_", "/"))
    if not header:
        return False
    try:
        fields = json.loads(header)
    except (ValueError, RecursionError):
        return False
    return isinstance(fields, dict) and bool(fields.keys() & {"alg", "typ", "enc", "kid"})


def user_and_password(value: str) -> bool:
    """Whether a value is base64 of ``user:password``, as in HTTP basic authentication."""
    pair = decoded(value)
    if not pair or b":" not in pair:
        return False
    return all(32 <= byte < 127 for byte in pair)


def decoded(value: str) -> bytes | None:
    """Decode base64 with or without padding; None if invalid."""
    body = value.rstrip("=")
    try:
        return base64.b64decode(body + "=" * (-len(body) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
