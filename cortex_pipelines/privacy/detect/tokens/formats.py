"""Secrets by their format: of tokens by prefix, and by shape next to a provider's name; ``formats.yaml`` declares them.

The mark makes a value certain enough without a name next to it; the lengths are those that providers document or issue.
"""

import base64
import hashlib
import json
import re
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import yaml

from cortex_pipelines.privacy.detect.findings import SECRET, Span
from cortex_pipelines.privacy.detect.text.indexed_text import COLOUR, IndexedText, longest_word
from cortex_pipelines.privacy.detect.text.wording import entropy, lexical_share
from cortex_pipelines.privacy.detect.values import is_default, is_reference, is_sample, longest_run

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
    body: str
    starts: str = ""
    inside: str = ""
    check: str = ""
    not_before: str = "A-Za-z0-9_"
    digits_before: int = 0
    severity: str = "high"
    checksum: str = ""
    is_exact: bool = False

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        either = "|".join(map(re.escape, sorted(self.starts.split(), key=len, reverse=True)))
        body = self.body.replace("<hex>", _HEX).replace("<uuid>", _UUID)
        return re.compile(f"(?:{either})(?:{body})" + (f"(?![{self.not_before}])" if self.not_before else ""))


_CHECKS = {check.__name__: check for check in (base62_crc32, json_web_token, random_looking, very_random)}


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
FORMATS = tuple(TokenFormat(**entry) for entry in _DECLARED["prefixed"])

_SHAPES_BY_PROVIDER: dict[str, list[str]] = defaultdict(list)
for _code, _providers in _DECLARED["providers"].items():
    for _provider in _providers.split():
        _SHAPES_BY_PROVIDER[_provider].append(_shape(_code))
SHAPES = {provider: re.compile("|".join(shapes)) for provider, shapes in _SHAPES_BY_PROVIDER.items()}
"""One pattern per provider, by its name in lower case, which must match a whole value."""

ANY_PROVIDER = re.compile(_prefix_tree(SHAPES))
"""Matches each provider's name in a text in lower case."""

_INSIDE = tuple((format, longest_word(format.inside).lower()) for format in FORMATS if format.inside)
_WINDOW = 220
_LETTERS = 3
_SHORT_LETTERS = 2
_SHORTEST_WORD = 14
_LONGEST_RUN = 6
_MASKED = re.compile(r"[-_]?([#*.xX])\1\1")
_MASK = re.compile(r"[xX*.#0]{5}|redacted|your|\*{3}|(?:example){2}", re.IGNORECASE)
_SAMPLE = re.compile(r"(.)\1{5}|example(?!example)|redacted|x{5}|X{5}|\*{3}", re.IGNORECASE)

_OF_START: dict[str, list[TokenFormat]] = defaultdict(list)
for _format in FORMATS:
    for _start in _format.starts.split():
        _OF_START[_start].append(_format)
# A start with a whole word ("sk-ant-") shows by the longest such word alone; one that is a word's
# beginning ("ghp_") by the first letters of a long word.
_BY_WORD: dict[str, list[str]] = defaultdict(list)
_BY_LETTERS: dict[str, list[str]] = defaultdict(list)
for _start in _OF_START:
    _whole_words = re.findall(r"\w+(?=\W)", _start)
    if _whole_words:
        _BY_WORD[max(_whole_words, key=len)].append(_start)
    else:
        _BY_LETTERS[_start.lstrip("{$")[:_LETTERS]].append(_start)
_LEADING = frozenset(_BY_WORD)


def marked_secrets(indexed: IndexedText) -> Iterator[Span]:
    if not indexed.has_dense_word:
        return
    text = indexed.text
    for start in sorted(_starts_among(indexed.words)):
        for position in _occurrences(text, start):
            if _begins_here(text, position):
                for format in _OF_START[start]:
                    if match := format.pattern.match(text, position):
                        yield from _accepted(format, match)
    for format, word in _INSIDE:
        if word not in indexed.vocabulary:
            continue
        for position in _occurrences(text, format.inside):
            before = text[position - 1 : position]
            if not before.isalnum() and before != ".":  # no format has another character there
                continue
            digits = format.digits_before
            if digits and not text[max(0, position - digits) : position].isdigit():
                continue
            low, high = max(0, position - _WINDOW), position + 2 * _WINDOW
            for match in format.pattern.finditer(text, low, high):
                if match.start() <= position < match.end() and _begins_here(text, match.start()):
                    yield from _accepted(format, match)


def _starts_among(words: set[str]) -> set[str]:
    candidates: set[str] = set()
    for word in words & _LEADING:
        candidates.update(_BY_WORD[word])
    letters = {word[:_LETTERS] for word in words} & _BY_LETTERS.keys()
    for word in words if letters else ():
        if word[:_LETTERS] in letters:
            starts = _BY_LETTERS[word[:_LETTERS]]
            candidates.update(start for start in starts if word.startswith(start.lstrip("{$")))
    long_words = [word for word in words if len(word) >= _SHORTEST_WORD]
    for short in {word[:_SHORT_LETTERS] for word in long_words} & _BY_LETTERS.keys():
        candidates.update(_BY_LETTERS[short])
    for word in long_words:
        if word[0] in "nrt":  # may follow an escaped line feed
            candidates.update(_BY_LETTERS.get(word[1 : 1 + _LETTERS], ()))
            candidates.update(_BY_WORD.get(word[1:], ()))
    return candidates


def _occurrences(text: str, literal: str) -> Iterator[int]:
    position = text.find(literal)
    while position >= 0:
        yield position
        position = text.find(literal, position + 1)


def _begins_here(text: str, start: int) -> bool:
    before = text[start - 1 : start]
    if before == ".":  # the ending of a file name, an attribute
        return not text[start - 2 : start - 1].isalnum()
    if not (before.isascii() and before.isalnum()):
        return before != "_"
    escaped = before in "nrt" and text[start - 2 : start - 1] == "\\"
    coloured = before == "m" and any(
        colour.end() == start for colour in COLOUR.finditer(text, max(0, start - 16), start)
    )
    return escaped or coloured or text[max(0, start - 3) : start - 2] == "%"


def _accepted(format: TokenFormat, match: re.Match[str]) -> Iterator[Span]:
    value = match[0]
    if format.check and not _CHECKS[format.check](value):
        return
    is_hash = format.rule == "password-hash"  # its `$f01…` does not name a variable
    if (not is_hash and is_reference(value[1:])) or _MASKED.match(match.string, match.end()):
        return
    is_typed = _SAMPLE.search(value) is not None or longest_run(value) >= _LONGEST_RUN or entropy(value) < 2.5
    if is_typed and (not format.is_exact or _MASK.search(value) or len(set(value[value.rfind("_") + 1 :])) == 1):
        return
    is_certain = not format.checksum or _CHECKS[format.checksum](value)
    severity = "low" if is_typed else format.severity if is_certain else "medium"
    yield Span(match.start(), match.end(), SECRET, format.rule, severity)


_LINES = (Path(__file__).parent / "published_examples.txt").read_text("utf-8").splitlines()
_PUBLISHED = frozenset(line for line in _LINES if not line.startswith("#"))
_BASE64 = re.compile(r"[A-Za-z0-9+/]{6,60}={0,2}")
# What only Telegram's tokens look like, and their exact form: with one character more or less it was
# typed. And groups that are repeated: 1234-1234-1234-.
_TELEGRAM = re.compile(r"\"?\w*:A[\w-]{20,60}\"?")
_TELEGRAM_TOKEN = re.compile(r"[0-9]{5,16}:A[\w-]{34}")
_REPEATED = re.compile(r"(?<!\d)(\d{3,8})[-_.](?:\1[-_.]){2}")
_ACCOUNTS = ("", "admin", "root", "guest")  # passwords that devices and servers are delivered with


@lru_cache(maxsize=1 << 12)
def is_example(value: str) -> bool:
    """Whether a value is a published example, encodes a sample, or misses its provider's form."""
    if hashlib.sha256(value.encode("utf-8", "replace")).hexdigest()[:16] in _PUBLISHED:
        return True
    data = decoded(value) if _BASE64.fullmatch(value) else None
    if data and all(32 <= byte < 127 for byte in data):
        user, colon, password = data.decode().partition(":")
        if is_sample(user) if not colon else password not in _ACCOUNTS and is_default(password.replace(" ", "")):
            return True
    is_near_miss = _TELEGRAM.fullmatch(value) is not None and not _TELEGRAM_TOKEN.fullmatch(value)
    return is_near_miss or _REPEATED.search(value) is not None
