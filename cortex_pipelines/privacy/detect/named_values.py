"""Literals under the names that they are assigned to, from syntax trees and parsers of settings."""

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from cortex_pipelines.privacy.detect import names
from cortex_pipelines.privacy.detect.findings import SECRET, Span
from cortex_pipelines.privacy.detect.text.wording import entropy, word_set
from cortex_pipelines.privacy.detect.values import (
    PLACEHOLDER,
    is_chosen_word,
    is_garbled,
    is_identifier,
    is_password,
    is_pattern,
    is_reference,
    is_sample,
    is_strong_secret,
)
from cortex_pipelines.privacy.settings import PrivacySettings

PASSWORD_NAME = re.compile(r"pass|pwd|psw|pw|psk|masterauth|contrase|senha", re.IGNORECASE)
"""What a name has whose value a person may have chosen."""

SCHEME = re.compile(r"(?:Bearer|Basic|Token|Api-Token|ApiKey|Key|FlyV1|SSWS|Digest)[ \t:]+", re.IGNORECASE)
"""An authorization scheme before a token."""

EXPRESSION = re.compile(r"[()\[\]{}<>]|->|::|&&|[=!]=+\w")
_ATTRIBUTE = re.compile(r"(?:[A-Za-z_]\w{0,23}\.)+[A-Za-z_]\w{0,23}")
_PASSWORDS = re.compile(r"(?:pass(?:word|phrase|wd)|pwd)s$", re.IGNORECASE)
_LEAST_WEAK_CHARS = 16
_LEAST_LONG_CHARS, _LEAST_LONG_DIGITS = 12, 2
# Last keys under which the value of the key before them stands.
_GENERIC_KEYS = word_set("value default data text content plain plaintext raw prod dev live string")


@dataclass(frozen=True, slots=True)
class NamedValue:
    """A literal, with escapes resolved, that may reach a name: nested keys of settings are joined by dots.

    ``start`` and ``end`` are those of its contents between the quotes; ``parts`` those of each literal
    or line of a value that is composed of several.
    """

    name: str
    value: str
    start: int
    end: int
    quoted: bool
    parts: tuple[tuple[int, int], ...] = ()


def judge_named_values(values: Iterable[NamedValue], in_data: bool, settings: PrivacySettings) -> Iterator[Span]:
    """Spans of the values that are secrets, one for each of their parts; in data a word may be a password."""
    for value in values:
        strength = name_strength(value.name)
        if not strength or PLACEHOLDER.search(value.value):
            continue
        scheme = SCHEME.match(value.value)
        skipped = scheme.end() if scheme else 0
        size = value.end - value.start - skipped
        if is_named_secret(value.name, value.value[skipped:], size, strength, value.quoted, in_data, settings):
            rule = "password" if PASSWORD_NAME.search(value.name) else "assigned-secret"
            severity = "high" if strength == names.STRONG else "medium"
            for start, end in value.parts or ((value.start, value.end),):
                first, skipped = start + skipped, max(0, skipped - (end - start))
                if first < end:
                    yield Span(first, end, SECRET, rule, severity)


def name_strength(name: str) -> int:
    """How strongly a name, or a path of keys, suggests a secret.

    The last key decides; ``credentials.username`` is a weak hint at most, unlike
    ``password.value``, an element of a list of passwords or ``passwords.ada``.
    """
    strength = names.suspicion(name)
    outer, _, last = name.rpartition(".")
    if strength and outer and not names.suspicion(last):
        generic = last.lower() in _GENERIC_KEYS or last.isdigit() or _PASSWORDS.search(outer) is not None
        if not generic:
            return names.WEAK if strength == names.STRONG else names.NONE
    return strength


def is_named_secret(
    name: str, value: str, size: int, strength: int, quoted: bool, in_data: bool, settings: PrivacySettings
) -> bool:
    """Whether a value (without an authorization scheme) that takes ``size`` characters in the text is a secret."""
    if len(value) < settings.min_value_chars or is_reference(value) or is_sample(value):
        return False
    if not in_data and is_pattern(value):
        return False
    if strength == names.WEAK:
        strong = size >= _LEAST_WEAK_CHARS and is_strong_secret(value)
        return strong and has_entropy(value, settings) and not is_attribute(value, quoted)
    if has_entropy(value, settings):
        if is_strong_secret(value) and (quoted or could_be_bare(value)):
            return True
        if is_garbled(value, quoted or in_data):
            return True
    # a person may have chosen the value as password; a word only in settings
    if not (quoted or in_data) or (not quoted and EXPRESSION.search(value)):
        return False
    if not in_data and is_identifier(value):
        return False
    is_password_name = PASSWORD_NAME.search(name) is not None
    if is_password(value, True, in_data=True):
        return is_password_name or (in_data and is_long_secret(value))
    return in_data and is_password_name and is_chosen_word(value) and value.islower()


def has_entropy(value: str, settings: PrivacySettings) -> bool:
    """Whether the characters vary enough; a short value cannot have much entropy."""
    return entropy(value) >= min(settings.min_entropy, 0.85 * math.log2(len(value)))


def is_long_secret(value: str) -> bool:
    """Whether words under a secret's name in settings may be that secret."""
    return len(value) >= _LEAST_LONG_CHARS and sum(map(str.isdigit, value)) >= _LEAST_LONG_DIGITS


def could_be_bare(value: str) -> bool:
    """Whether an unquoted value may be a secret: it has digits and is not an expression."""
    if not any(map(str.isdigit, value)) or EXPRESSION.search(value):
        return False
    return not is_attribute(value, quoted=False)


def is_attribute(value: str, quoted: bool) -> bool:
    """Whether a bare value reads as an attribute of an object."""
    return not quoted and _ATTRIBUTE.fullmatch(value) is not None
