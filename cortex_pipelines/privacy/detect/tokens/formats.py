"""Formats of tokens by prefix, and by shape next to a provider's name; ``formats.yaml`` declares them.

The mark makes a value certain enough without a name next to it; the lengths are those that providers document or issue.
"""

import base64
import json
import re
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import yaml

from cortex_pipelines.privacy.detect.text.wording import entropy, lexical_share

Check = Callable[[str], bool]

_HEX = "[0-9a-fA-F]"
_UUID = f"{_HEX}{{8}}(?:-{_HEX}{{4}}){{3}}-{_HEX}{{12}}"
_SETS = {"h": _HEX, "a": "[A-Za-z0-9]", "w": r"[\w=-]", "d": "[0-9]", "b": r"[\w=/+-]"}
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
    return any(map(str.isdigit, value)) and any(map(str.isalpha, value)) and lexical_share(value) < 0.5


def very_random(value: str) -> bool:
    """As ``random_looking``, with mixed case, for formats with an unspecific prefix."""
    cases = any(map(str.isupper, value)) and any(map(str.islower, value))
    return cases and random_looking(value) and entropy(value) >= 3.5


def json_web_token(value: str) -> bool:
    """Whether the first part of a token is a JOSE header: a JSON object that names an algorithm."""
    try:
        fields = json.loads(decoded(value.partition(".")[0].replace("-", "+").replace("_", "/")) or b"")
    except (ValueError, RecursionError):
        return False
    return isinstance(fields, dict) and bool(fields.keys() & {"alg", "typ", "enc", "kid"})


def decoded(value: str) -> bytes | None:
    """Decode base64 with or without padding; None if invalid."""
    body = value.rstrip("=")
    try:
        return base64.b64decode(body + "=" * (-len(body) % 4), validate=True)
    except ValueError:
        return None


@dataclass(frozen=True)
class TokenFormat:
    """An entry of ``formats.yaml``, which explains the fields."""

    rule: str
    starts: tuple[str, ...]
    inside: str
    digits_before: int
    pattern: re.Pattern[str]
    check: Check | None
    severity: str
    checksum: Check | None
    is_exact: bool


_CHECKS: dict[str, Check] = {
    check.__name__: check for check in (base62_crc32, json_web_token, random_looking, very_random)
}


def _format(
    rule: str,
    body: str,
    starts: str = "",
    inside: str = "",
    check: str = "",
    not_before: str = "A-Za-z0-9_",
    digits_before: int = 0,
    severity: str = "high",
    checksum: str = "",
    is_exact: bool = False,
) -> TokenFormat:
    prefixes = tuple(starts.split())
    either = "|".join(map(re.escape, sorted(prefixes, key=len, reverse=True)))
    body = body.replace("<hex>", _HEX).replace("<uuid>", _UUID)
    pattern = re.compile(f"(?:{either})(?:{body})" + (f"(?![{not_before}])" if not_before else ""))
    checks = _CHECKS.get(check), _CHECKS.get(checksum)
    return TokenFormat(rule, prefixes, inside, digits_before, pattern, checks[0], severity, checks[1], is_exact)


def _shape(code: str) -> str:
    if code == "u":
        return _UUID
    if code == "p8":
        return "[0-9a-f]{8}:[0-9a-f]{8}"
    return "|".join(f"{_SETS[code[0]]}{{{length}}}" for length in code[1:].split(","))


def _prefix_tree(words: Iterable[str]) -> str:
    """A pattern of words by their letters, which is faster than an alternative for each."""
    by_letter: dict[str, list[str]] = defaultdict(list)
    for word in words:
        by_letter[word[:1]].append(word[1:])
    ends = by_letter.pop("", None) is not None
    branches = "|".join(letter + _prefix_tree(suffixes) for letter, suffixes in sorted(by_letter.items()))
    return f"(?:{branches}){'?' if ends else ''}" if branches else ""


_DECLARED = yaml.load((Path(__file__).parent / "formats.yaml").read_text("utf-8"), Loader=yaml.CSafeLoader)
FORMATS = tuple(_format(**entry) for entry in _DECLARED["prefixed"])

_SHAPES_BY_PROVIDER: dict[str, list[str]] = defaultdict(list)
for _code, _providers in _DECLARED["providers"].items():
    for _provider in _providers.split():
        _SHAPES_BY_PROVIDER[_provider].append(_shape(_code))
SHAPES = {provider: re.compile("|".join(shapes)) for provider, shapes in _SHAPES_BY_PROVIDER.items()}
"""One pattern per provider, by its name in lower case, which must match a whole value."""

ANY_PROVIDER = re.compile(_prefix_tree(SHAPES))
"""Matches each provider's name in a text in lower case."""
