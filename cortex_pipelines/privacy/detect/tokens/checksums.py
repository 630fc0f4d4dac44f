"""Validate token formats by checksum and inner structure."""

import base64
import binascii
import json
import zlib

from cortex_pipelines.privacy.detect.text.wording import entropy, lexical_share

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
