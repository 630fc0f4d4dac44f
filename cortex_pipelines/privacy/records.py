"""Redact free-form records (nested JSON: logs, feedback, prompts, reviews).

`redact_record` is the one door: whatever keeps or trains on a record that people or programs wrote
passes it through here first, and keeps only what comes out.
"""

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from cortex_pipelines.privacy.detect import names
from cortex_pipelines.privacy.detect.findings import PERSONAL, SECRET, Span
from cortex_pipelines.privacy.detect.rules.assignments import member_secret
from cortex_pipelines.privacy.detect.text.wording import word_set
from cortex_pipelines.privacy.detect.values import PLACEHOLDER
from cortex_pipelines.privacy.paths import redact_name
from cortex_pipelines.privacy.pseudonyms import author_pseudonym, name_pseudonym
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
    "user username login author committer owner assignee reviewer reporter requester requestor "
    "approver person people contact customer employee fullname firstname lastname surname "
    "displayname nickname email mail phone telephone mobile"
)
_DONE_BY = word_set(
    "created logged approved reviewed submitted requested reported assigned updated changed merged"
)
_NAMED = word_set("user author owner first last full display given family real committer")
_NUMBERED = word_set("phone telephone mobile")
# Programs have accounts too; theirs are what logs are joined by.
_PROGRAM = word_set(
    "system admin root bot master worker agent daemon service router scheduler coordinator manager "
    "operator pipeline ci cd cron api test tests anonymous unknown none null default automation "
    "development security inventory cicd human user monitor runner server job task model"
)
_MEMBER_NAMES = ("name", "key", "variable", "header")
_MEMBER_VALUES = frozenset({"value", "val", "secret_value", "default", "content"})
_SOMEBODY = re.compile(r"@?[^\W\d_][\w.'’-]*(?: [^\W\d_][\w.'’-]*){0,3}")
_FEWEST_DIGITS = 7


@dataclass(frozen=True, order=True)
class RecordRedaction:
    """A value redacted in a record.

    Args:
        category: ``secret`` or ``personal``.
        rule: Rule that found it.
        severity: ``low``, ``medium`` or ``high``.
        placeholder: What stands there now.
    """

    category: str
    rule: str
    severity: str
    placeholder: str


@dataclass(frozen=True)
class RedactedRecord:
    """A record without private values.

    Args:
        value: The record; the same object if nothing was found.
        found: What was taken out, in the order of the record; of equal values each.
    """

    value: Any
    found: tuple[RecordRedaction, ...]


@dataclass(frozen=True)
class _Key:
    """Properties of an object key.

    Args:
        shown: What it is called in the redacted record.
        redactions: What was taken out of it.
        speaks: Its name, if it may say of its value that it is private; else empty.
        numbered: Whether its value may be a phone number.
        stands_for_another: Whether it only says "value", and the name is elsewhere.
    """

    shown: str
    redactions: tuple[RecordRedaction, ...]
    speaks: str
    numbered: bool
    stands_for_another: bool


def redact_record(record: Any, settings: PrivacySettings, key: bytes) -> RedactedRecord:
    """Replace private values in a record, in keys as well as values, with placeholders.

    To be called by all that stores or trains on records from outside: log readers, feedback,
    prompts, memories, reviews. Equal values get equal placeholders, so records stay joinable by
    ids; ids and names that hold nothing private stay as they are. A member is judged by its key
    too: what ``password`` is given is a secret whatever it looks like, and what ``created_by``
    names is a person unless it is a program. Calling it on its own result changes nothing.

    Args:
        record: Anything that JSON can hold.
        settings: What counts, and which categories are taken out.
        key: `project_key` of a project, or `logs_key` for what belongs to none.
    """
    return RecordRedactor(settings, key)(record)


class RecordRedactor:
    """`redact_record` for many records, with cached results.

    Args:
        settings: What counts, and which categories are taken out.
        key: `project_key` of a project, or `logs_key` for what belongs to none.
    """

    def __init__(self, settings: PrivacySettings, key: bytes) -> None:
        self._settings = settings
        self._key = key
        self._known: dict[tuple[str, str], tuple[str, tuple[RecordRedaction, ...]]] = {}
        self._keys: dict[str, _Key] = {}

    def __call__(self, record: Any) -> RedactedRecord:
        """Redact one record; see `redact_record`."""
        redactions: list[RecordRedaction] = []
        value = self._value(record, self._read(""), redactions, 0)
        return RedactedRecord(value if redactions else record, tuple(redactions))

    def _value(self, value: Any, key: _Key, redactions: list[RecordRedaction], depth: int) -> Any:
        if isinstance(value, str):
            return self._text(value, key.speaks, redactions)
        if depth > _DEEPEST:
            raise RecursionError(f"the record is nested deeper than {_DEEPEST} levels")
        if isinstance(value, dict):
            return self._members(value, key, redactions, depth + 1)
        if isinstance(value, (list, tuple)):
            return [self._value(item, key, redactions, depth + 1) for item in value]
        return self._number(value, redactions) if key.numbered else value

    def _members(
        self, members: dict[Any, Any], outer: _Key, redactions: list[RecordRedaction], depth: int
    ) -> dict[str, Any]:
        shown = {}
        for name, value in members.items():
            key = self._keys.get(name) or self._read(str(name))
            redactions += key.redactions
            if key.stands_for_another:  # {"name": "PASSWORD", "value": …}
                shown[key.shown] = self._value(
                    value, self._named(members, outer), redactions, depth
                )
            else:
                shown[key.shown] = self._value(value, key, redactions, depth)
        return shown

    def _named(self, members: dict[Any, Any], outer: _Key) -> _Key:
        """Key that a value belongs to: the name beside it, else the object's own key."""
        named_by = (members.get(name) for name in _MEMBER_NAMES)
        name = next((name for name in named_by if isinstance(name, str)), None)
        return outer if name is None else self._read(name)

    def _read(self, name: str) -> _Key:
        """Properties of a key; placeholders of keys stay distinct."""
        inside: list[RecordRedaction] = []
        shown = name
        if self._text(name, "", inside) != name:
            shown = name_pseudonym(name, self._key)
        key = _Key(
            shown=shown,
            redactions=tuple(replace(redaction, placeholder=shown) for redaction in inside),
            speaks=name if _speaks(name) else "",
            numbered=bool(_NUMBERED.intersection(_words(name))),
            stands_for_another=name.lower() in _MEMBER_VALUES,
        )
        if len(self._keys) < _MOST_REMEMBERED:
            self._keys[name] = key
        return key

    def _text(self, text: str, name: str, redactions: list[RecordRedaction]) -> str:
        if not name and (not text or (_HARMLESS.fullmatch(text) and not _TELLING.search(text))):
            return text
        place = (name, text)
        known = self._known.get(place)
        if known is None:
            known = self._redacted(text, name)
            if len(self._known) >= _MOST_REMEMBERED:
                self._known.clear()
            self._known[place] = known
        redactions += known[1]
        return known[0]

    def _redacted(self, text: str, name: str) -> tuple[str, tuple[RecordRedaction, ...]]:
        whole = self._by_name(text, name)
        if whole is not None:
            return whole.placeholder, (whole,)
        if len(text) <= _LONGEST_NAME and not any(map(str.isspace, text)) and "://" not in text:
            return self._names(text)
        redacted = redact_text(text, "", None, self._settings, self._key)
        redactions = [
            RecordRedaction(
                redaction.finding.category,
                redaction.finding.rule,
                redaction.finding.severity,
                redaction.placeholder,
            )
            for redaction in redacted.redactions
        ]
        shown = _PART.sub(lambda part: self._part(part[0], redactions), redacted.text)
        return shown, tuple(redactions)

    def _part(self, part: str, redactions: list[RecordRedaction]) -> str:
        """Redact a word of a text, which may be a name."""
        if "://" in part or PLACEHOLDER.search(part):
            return part
        return self._text(part, "", redactions)

    def _names(self, text: str) -> tuple[str, tuple[RecordRedaction, ...]]:
        """Redact an id, a name or a path."""
        parts, redactions = [], []
        for part in _SLASH.split(text):
            shown, span = redact_name(part, self._settings, self._key)
            parts.append(shown)
            if span is not None:
                redactions.append(RecordRedaction(span.category, span.rule, span.severity, shown))
        return "".join(parts), tuple(redactions)

    def _by_name(self, text: str, name: str) -> RecordRedaction | None:
        """Placeholder of a value that its key marks as private."""
        if PLACEHOLDER.search(text):
            return None
        rule = member_secret(name, text, self._settings) if name else None
        if rule is not None and SECRET in self._settings.redact:
            span = Span(0, len(text), SECRET, rule, "high")
            return RecordRedaction(SECRET, rule, "high", placeholder_of(span, text, self._key))
        if PERSONAL in self._settings.redact and _is_personal(text, name):
            return RecordRedaction(PERSONAL, "person", "medium", self._person(text))
        return None

    def _number(self, value: Any, redactions: list[RecordRedaction]) -> Any:
        """Redact a phone number that is stored as a number."""
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or abs(value) < 10**_FEWEST_DIGITS or PERSONAL not in self._settings.redact:
            return value
        shown = self._person(str(value))
        redactions.append(RecordRedaction(PERSONAL, "phone", "medium", shown))
        return shown

    def _person(self, text: str) -> str:
        return f"redacted-{author_pseudonym(text.removeprefix('@'), self._key)}"


def _words(name: str) -> tuple[str, ...]:
    return tuple(word.lower() for word in _WORDS.findall(name))


@lru_cache(maxsize=1 << 14)
def _speaks(name: str) -> bool:
    """Whether a key can mark its value as private."""
    return bool(names.SUSPECT.search(name.lower())) or _names_person(name) or _names_doer(name)


@lru_cache(maxsize=1 << 14)
def _names_person(name: str) -> bool:
    """Whether a key holds a person, an account or contact details."""
    before, last = ("", "", *_words(name))[-2:]
    known = last in _PERSON_KEYS or before + last in _PERSON_KEYS
    return known or (last == "name" and before in _NAMED)


@lru_cache(maxsize=1 << 14)
def _names_doer(name: str) -> bool:
    """Whether a key holds an actor: a program as often as a person."""
    before, last = ("", "", *_words(name))[-2:]
    return last in ("by", "to") and before in _DONE_BY


def _is_personal(text: str, name: str) -> bool:
    """Whether a key and its value identify a person: by name, address, number or account.

    Programs have lower-case names of one word, so where a program is as likely such a name stays.
    """
    if not (_names_person(name) or _names_doer(name)):
        return False
    if "@" in text.strip("@ "):
        return True
    if _names_person(name) and sum(map(str.isdigit, text)) >= _FEWEST_DIGITS:
        return True
    if not _SOMEBODY.fullmatch(text.strip()) or _PROGRAM.intersection(_words(text)):
        return False
    return _names_person(name) or not text.islower() or bool(re.search(r"[. ]", text.strip()))
