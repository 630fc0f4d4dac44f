"""Redact free-form records (nested JSON: logs, feedback, prompts, reviews).

All code that stores or trains on records of people or programs calls `redact_record` first, and keeps only its result.
"""

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from cortex_pipelines.privacy.detect import names
from cortex_pipelines.privacy.detect.findings import PERSONAL, SECRET, Redaction, Span
from cortex_pipelines.privacy.detect.rules.assignments import member_secret
from cortex_pipelines.privacy.detect.text.wording import word_set
from cortex_pipelines.privacy.detect.values import PLACEHOLDER
from cortex_pipelines.privacy.paths import redact_name
from cortex_pipelines.privacy.pseudonyms import author_pseudonym, logs_key, name_pseudonym
from cortex_pipelines.privacy.redaction import placeholder_of, redact_text
from cortex_pipelines.privacy.settings import PrivacySettings

_MOST_REMEMBERED = 1 << 17
_DEEPEST = 500  # parsed JSON has no more: its parser gives up at about a thousand
_LONGEST_NAME = 256
# What nearly all values of a log are: times, and words so short that no key is among them, with
# nothing that makes numbers an address or gives a name a value.
_HARMLESS = re.compile(
    r"\d{4}-\d\d-\d\d(?:[T ][\d:.]{5,15}(?:Z|[+-]\d\d:?\d\d)?)?"
    r"|(?:[A-Za-z0-9]{1,11}(?:[ ,;()&!?'/_-]+|\.(?!\d)|$))+",
    re.ASCII,
)
_TELLING = re.compile(
    r"pass|pwd|psw|pw|secret|token|cred|key|auth|bear|salt|contrase|senha|copyr|\(c\)|maint|contrib"
    r"|written|created|modified|developer|curl|identified|basic|\d{3}\W{1,2}\d{3}\W\d{4}",
    re.IGNORECASE | re.ASCII,
)
_PART = re.compile(r"[^\s\"'`<>()\[\]{},;|]+")
_SLASH = re.compile(r"([/\\])")
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
# A member of one of these names says who somebody is.
_PERSON_KEYS = word_set(
    "user username login author committer owner assignee reviewer reporter requester requestor approver person people "
    "contact customer employee fullname firstname lastname surname displayname nickname email mail phone telephone "
    "mobile"
)
_DONE_BY = word_set("created logged approved reviewed submitted requested reported assigned updated changed merged")
_NAMED = word_set("user author owner first last full display given family real committer")
_NUMBERED = word_set("phone telephone mobile")
# Programs have accounts too; theirs are what logs are joined by.
_PROGRAM = word_set(
    "system admin root bot master worker agent daemon service router scheduler coordinator manager operator pipeline "
    "ci cd cron api test tests anonymous unknown none null default automation development security inventory cicd "
    "human user monitor runner server job task model"
)
_MEMBER_NAMES = ("name", "key", "variable", "header")
_MEMBER_VALUES = frozenset({"value", "val", "secret_value", "default", "content"})
_SOMEBODY = re.compile(r"@?[^\W\d_][\w.'’-]*(?: [^\W\d_][\w.'’-]*){0,3}")
_FEWEST_DIGITS = 7


@dataclass(frozen=True)
class RedactedRecord:
    """A record without private values; the same object if it had none. One redaction an occurrence."""

    value: Any
    redactions: tuple[Redaction, ...]


@dataclass(frozen=True)
class _Key:
    """Properties of an object key.

    ``telling_name`` is empty unless it can mark the value as private; a generic key only says "value", and another
    member holds the name.
    """

    redacted_name: str
    redactions: tuple[Redaction, ...]
    telling_name: str
    may_be_phone: bool
    is_generic: bool


def redact_record(record: Any, settings: PrivacySettings, key: bytes) -> RedactedRecord:
    """Replace private values in a record, in keys as well as values, with placeholders.

    Called by all code that stores or trains on external records: log readers, feedback, prompts, notes, reviews. Equal
    values get equal placeholders, so records stay joinable by ids; ids and names without private parts stay unchanged.
    A member is also judged by its key: the value of ``password`` is always a secret, and the value of ``created_by`` a
    person unless it is a program. Redaction is idempotent. The key is `logs_key` for records outside of projects.
    """
    return RecordRedactor(settings, key)(record)


class RecordRedactor:
    """`redact_record` for many records, with cached results."""

    def __init__(self, settings: PrivacySettings, key: bytes) -> None:
        self._settings = settings
        self._key = key
        self._known: dict[tuple[str, str], tuple[str, tuple[Redaction, ...]]] = {}
        self._keys: dict[str, _Key] = {}

    def __call__(self, record: Any) -> RedactedRecord:
        redactions: list[Redaction] = []
        value = self._value(record, self._read(""), redactions, 0)
        return RedactedRecord(value if redactions else record, tuple(redactions))

    def _value(self, value: Any, key: _Key, redactions: list[Redaction], depth: int) -> Any:
        if isinstance(value, str):
            return self._text(value, key.telling_name, redactions)
        if depth > _DEEPEST:
            raise RecursionError(f"the record is nested deeper than {_DEEPEST} levels")
        if isinstance(value, dict):
            redacted = {}
            for name, member in value.items():
                own = member_key = self._keys.get(name) or self._read(str(name))
                redactions += own.redactions
                if own.is_generic:  # {"name": "PASSWORD", "value": …}
                    names_beside = [value[other] for other in _MEMBER_NAMES if isinstance(value.get(other), str)]
                    member_key = self._read(names_beside[0]) if names_beside else key
                redacted[own.redacted_name] = self._value(member, member_key, redactions, depth + 1)
            return redacted
        if isinstance(value, (list, tuple)):
            return [self._value(item, key, redactions, depth + 1) for item in value]
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        is_phone = key.may_be_phone and is_number and abs(value) >= 10**_FEWEST_DIGITS
        if not is_phone or PERSONAL not in self._settings.redact:
            return value
        redactions.append(Redaction(PERSONAL, "phone", "medium", self._person(str(value))))
        return redactions[-1].placeholder

    def _read(self, name: str) -> _Key:
        """Properties of a key; placeholders of keys stay distinct."""
        inside: list[Redaction] = []
        is_private = self._text(name, "", inside) != name
        redacted_name = name_pseudonym(name, self._key) if is_private else name
        key = _Key(
            redacted_name=redacted_name,
            redactions=tuple(replace(redaction, placeholder=redacted_name) for redaction in inside),
            telling_name=name if names.SUSPECT.search(name.lower()) or _role_of(name) else "",
            may_be_phone=bool(_NUMBERED.intersection(_split_words(name))),
            is_generic=name.lower() in _MEMBER_VALUES,
        )
        if len(self._keys) < _MOST_REMEMBERED:
            self._keys[name] = key
        return key

    def _text(self, text: str, name: str, redactions: list[Redaction]) -> str:
        if not name and (not text or (_HARMLESS.fullmatch(text) and not _TELLING.search(text))):
            return text
        cache_key = (name, text)
        cached = self._known.get(cache_key)
        if cached is None:
            cached = self._redacted(text, name)
            if len(self._known) >= _MOST_REMEMBERED:
                self._known.clear()
            self._known[cache_key] = cached
        redactions += cached[1]
        return cached[0]

    def _redacted(self, text: str, name: str) -> tuple[str, tuple[Redaction, ...]]:
        if not PLACEHOLDER.search(text):  # its key may mark the value as private
            rule = member_secret(name, text, self._settings) if name else None
            if rule is not None and SECRET in self._settings.redact:
                span = Span(0, len(text), SECRET, rule, "high")
                placeholder = placeholder_of(span, text, self._key)
                return placeholder, (Redaction(SECRET, rule, "high", placeholder),)
            if PERSONAL in self._settings.redact and _is_personal(text, name):
                return self._person(text), (Redaction(PERSONAL, "person", "medium", self._person(text)),)
        if len(text) <= _LONGEST_NAME and not any(map(str.isspace, text)) and "://" not in text:
            return self._names(text)
        redacted = redact_text(text, "", None, self._settings, self._key)
        redactions = [Redaction(r.category, r.rule, r.severity, r.placeholder) for r in redacted.redactions]

        def redact_word(word: re.Match[str]) -> str:
            # a longer word is not a name, and the scan of the text has seen it
            is_name = len(word[0]) <= _LONGEST_NAME and "://" not in word[0] and not PLACEHOLDER.search(word[0])
            return self._text(word[0], "", redactions) if is_name else word[0]

        return _PART.sub(redact_word, redacted.text), tuple(redactions)

    def _names(self, text: str) -> tuple[str, tuple[Redaction, ...]]:
        parts, redactions = [], []
        for part in _SLASH.split(text):
            redacted_name, span = redact_name(part, self._settings, self._key)
            parts.append(redacted_name)
            if span is not None:
                redactions.append(Redaction(span.category, span.rule, span.severity, redacted_name))
        return "".join(parts), tuple(redactions)

    def _person(self, text: str) -> str:
        return f"redacted-{author_pseudonym(text.removeprefix('@'), self._key)}"


def _split_words(name: str) -> tuple[str, ...]:
    return tuple(word.lower() for word in _WORDS.findall(name))


@lru_cache(maxsize=1 << 14)
def _role_of(name: str) -> str:
    """Whether a key holds a ``person`` (or account, or contact details), a ``doer``: a program as often, or neither."""
    before, last = ("", "", *_split_words(name))[-2:]
    if last in _PERSON_KEYS or before + last in _PERSON_KEYS or (last == "name" and before in _NAMED):
        return "person"
    return "doer" if last in ("by", "to") and before in _DONE_BY else ""


def _is_personal(text: str, name: str) -> bool:
    """Whether a key and its value identify a person: by name, address, number or account.

    Programs have lower-case names of one word, so where a program is as likely such a name stays.
    """
    role = _role_of(name)
    if not role:
        return False
    if "@" in text.strip("@ ") or (role == "person" and sum(map(str.isdigit, text)) >= _FEWEST_DIGITS):
        return True
    if not _SOMEBODY.fullmatch(text.strip()) or _PROGRAM.intersection(_split_words(text)):
        return False
    return role == "person" or not text.islower() or bool(re.search(r"[. ]", text.strip()))


def redacted(settings: PrivacySettings, text: str) -> tuple[str, int]:
    """The text without private values, and their number."""
    record = redact_record({"text": text}, settings, logs_key(settings))
    return str(record.value["text"]), len(record.redactions)
