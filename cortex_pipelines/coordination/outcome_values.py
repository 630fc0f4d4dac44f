"""What the value of an outcome says of success: the one reading of logs, databases and interfaces.

A verdict needs every word of a value to be known, so that `completed with errors` or `done: failed`
is never taken for its first word.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

Key = Literal["outcome", "exit_code"]

CONTRADICTION = "it says success and failure"
PARTLY = "it says success in part, or with a reservation"
UNKNOWN_WORD = "a word in it is not known"
UNKNOWN_NUMBER = "a number other than 0 and 1"
UNKNOWN_EXIT = "not an exit code"

_LONGEST = 200


@dataclass(frozen=True)
class OutcomeReading:
    """Whether a task succeeded, None if that is not known (yet), and why a value was not understood."""

    success: bool | None
    problem: str | None = None


_LINES = (Path(__file__).parent / "outcome_words.txt").read_text(encoding="utf-8").splitlines()
_WORDS = {name: frozenset(words.split()) for name, words in (line.split(": ") for line in _LINES)}
_SUCCEEDED, _COMPLETED, _FAILED = _WORDS["succeeded"], _WORDS["completed"], _WORDS["failed"]
_FAULTS = _WORDS["faults"]  # what there may be none of, unlike what a task may not have done
_OPEN, _PARTLY, _FILLERS, _WHOLLY = _WORDS["open"], _WORDS["partly"], _WORDS["fillers"], _WORDS["wholly"]
_DENIALS, _NOTHING = _WORDS["denials"], _WORDS["nothing"]
_WITHOUT = _WORDS["without"]  # denials that a fault may follow, which then was absent
_DETAIL = _WORDS["detail"]  # what may follow a failure and begin its cause, of which nothing but failure is known
_PHRASES = (
    (re.compile(r"\btimed[\s_-]*out\b|\btime[\s_-]out\b"), "timeout"),
    (re.compile(r"\bre[\s_-]routed\b"), "rerouted"),
    (re.compile(r"\bre[\s_-]assigned\b"), "reassigned"),
    (re.compile(r"\brolled[\s_-]back\b|\brollback\b"), "reverted"),
    (re.compile(r"\b(?:in|on)[\s_-](?:progress|hold|review)\b|\bto[\s_-]do\b"), "pending"),
    (re.compile(r"\b(?:in bearbeitung|zu erledigen|en (?:cours|attente|curso|espera)|à faire|por hacer)\b"), "pending"),
    (re.compile(r"\bout[\s_-]of[\s_-]memory\b"), "oom"),
    (re.compile(r"\b(error|failure|fault|crash)[\s_-]free\b"), r"no \1"),
    (re.compile(r"\b([a-z]+)\s*[:=]\s*0\b"), r"0 \1"),
    (re.compile(r"\b([a-z]+)\s*[:=]\s*(?:no|false)(?=\s*(?:[,;)]|$))"), r"no \1"),
    (re.compile(r"\b([a-z]+)\s*[:=]\s*(?:yes|true)(?=\s*(?:[,;)]|$))"), r"\1"),
)
_ALONE = {"0": False, "0.0": False, "f": False, "n": False, "1": True, "1.0": True, "t": True, "y": True}
"""Verdicts as the whole value; within a sentence they belong to an id or count something."""
_EXIT = re.compile(
    r"(?:process )?(?:exit|exited|return|returned|rc|exitcode|returncode)"
    r"(?:[\s_-]*(?:with|code|status|value))*[\s:=]*(-?\d{1,10})"
)
_WORD = re.compile(r"[^\W\d_]+(?:'t)?|\d+(?:\.\d+)?%?|[✓✔✅✗✘❌]|/")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")


def read_outcome(value: Any, key: Key = "outcome") -> OutcomeReading:
    """Read a logged outcome: text, number or truth value. For ``exit_code`` 0 is success, elsewhere 1."""
    if key == "exit_code":
        return _exit_code(value)
    if isinstance(value, bool):
        return OutcomeReading(value)
    if isinstance(value, int | float):
        is_binary = value in (0, 1)
        return OutcomeReading(bool(value)) if is_binary else OutcomeReading(None, UNKNOWN_NUMBER)
    if not isinstance(value, str) or len(value) > _LONGEST:
        return OutcomeReading(None, UNKNOWN_WORD)
    return _text(value)


def _exit_code(value: Any) -> OutcomeReading:
    text = value.strip() if isinstance(value, str) else value
    if isinstance(text, str) and re.fullmatch(r"[+-]?\d{1,10}", text):
        text = int(text)
    if isinstance(text, bool) or not isinstance(text, int | float) or text != text // 1:
        return OutcomeReading(None, UNKNOWN_EXIT)
    return OutcomeReading(text == 0)


@lru_cache(maxsize=4096)
def _text(value: str) -> OutcomeReading:
    text = _CAMEL.sub(" ", value.strip()).lower().replace("’", "'")
    if text in ("", "-", "–", "—", "n/a", "na", "?"):
        return OutcomeReading(None)
    if text in _ALONE:
        return OutcomeReading(_ALONE[text])
    if exit_code := _EXIT.fullmatch(text):
        return _exit_code(exit_code[1])
    for phrase, word in _PHRASES:
        text = phrase.sub(word, text)
    words = _WORD.findall(text)
    if not words:
        return OutcomeReading(None, UNKNOWN_WORD)
    return _cause(text, words) or _verdict(words)


def _cause(text: str, words: list[str]) -> OutcomeReading | None:
    first, *remaining = words
    if first not in _FAILED or not remaining:
        return None
    if _NOTHING.issuperset(remaining):  # `failed: false`
        return OutcomeReading(None, CONTRADICTION)
    names_cause = re.match(rf"{re.escape(first)}(?:\s*[:(–—,;]|\s+-\s)", text) or remaining[0] in _DETAIL
    if not names_cause or (_SUCCEEDED | _COMPLETED | _PARTLY | _OPEN).intersection(remaining):
        return None
    return OutcomeReading(success=False)


def _verdict(words: list[str]) -> OutcomeReading:
    if words == ["no"]:
        return OutcomeReading(success=False)
    signs: set[_Sign] = set()
    denial = ""
    for word in words:
        if word in _DENIALS:
            denial = word
            continue
        sign = _sign(word, denial)
        if sign is not None:
            signs.add(sign)
            denial = ""
    if not denial and (clear := _OF_SIGNS.get(frozenset(signs))):
        return clear
    if "unknown" in signs or not signs:
        return OutcomeReading(None, UNKNOWN_WORD)
    return OutcomeReading(None, CONTRADICTION if {"good", "bad"} <= signs else PARTLY)


_Sign = Literal["good", "bad", "open", "clean", "partly", "unknown"]
_OF_SIGNS: dict[frozenset[_Sign], OutcomeReading] = {
    frozenset({"good"}): OutcomeReading(success=True),
    frozenset({"good", "clean"}): OutcomeReading(success=True),
    frozenset({"bad"}): OutcomeReading(success=False),
    frozenset({"open"}): OutcomeReading(None),
}


def _sign(word: str, denial: str) -> _Sign | None:
    if word in _PARTLY or word.endswith("%") or word == "/" or (denial and word in _WHOLLY):
        return "partly"
    if word in _OPEN:
        return "partly" if denial else "open"
    if word in _COMPLETED:
        return "open" if denial else "good"
    if word in _SUCCEEDED:
        return ("partly" if denial == "0" else "bad") if denial else "good"
    if word in _FAILED | _FAULTS:
        none_of_it = denial == "0" or (word in _FAULTS and denial in _WITHOUT)
        return "bad" if not denial else "clean" if none_of_it else "partly"
    return None if word in _FILLERS or word[0].isdigit() else "unknown"
