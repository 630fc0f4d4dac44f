"""The keyword router, read from the agent system's ``routing-patterns.json``: fallback and baseline."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from cortex_pipelines.words import fold, whole_word

_ENDINGS = "s|es|d|ed|ing"
_THRESHOLDS = ("single_expert", "minimum_activation")
_LISTS = ("activation_keywords", "confidence_boosters", "negative_indicators")

BOOSTER = 0.5  # weight of a booster, where a keyword has 1 and a negative indicator -1
CLOSE = 0.2  # score difference up to which experts share a task (the agent system's own rule)


class RulesError(ValueError):
    """A rules file lacks what the keyword router needs."""


@dataclass(frozen=True)
class Keyword:
    """A word of the rules."""

    word: str

    @cached_property
    def plain(self) -> str:
        """It in lower case, empty beyond ASCII."""
        return self.word.lower() if self.word.isascii() else ""

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Whole words with their regular endings: "add" must not be found in "address"."""
        return whole_word(self.word, _ENDINGS)

    def occurs(self, text: str, lowered: str) -> bool:
        """``lowered`` is the text in lower case, empty where it is not ASCII."""
        # most keywords are in no text, and to look for letters takes a tenth of a pattern's time
        if self.plain and lowered and self.plain not in lowered:
            return False
        return self.pattern.search(text) is not None


@dataclass(frozen=True)
class RulesDecision:
    """``master`` is None if nothing speaks for any; the scores, 0 to 1, are no probabilities."""

    master: str | None
    score: float
    supporting: tuple[str, ...]
    scores: Mapping[str, float]


@dataclass(frozen=True)
class Rules:
    """Keywords, boosters and negative indicators of each master.

    From ``single`` on a master does the task alone, below ``minimum`` it is not considered; scores, 0 to 1.
    """

    experts: Mapping[str, Sequence[Sequence[Keyword]]]
    single: float
    minimum: float

    @property
    def masters(self) -> tuple[str, ...]:
        return tuple(self.experts)

    def decide(self, text: str) -> RulesDecision:
        """Each further match halves the rest of a score.

        One keyword gives 0.5, two 0.75, two and a booster 0.82; boosters alone stay below the usual minimum of 0.3.
        """
        lowered = text.lower() if text.isascii() else ""
        folded = lowered or fold(text)
        scores = {}
        for name, lists in self.experts.items():
            hits, boosts, denials = (sum(keyword.occurs(folded, lowered) for keyword in words) for words in lists)
            scores[name] = 1.0 - float(0.5 ** max(0.0, hits + BOOSTER * (boosts > 0) - denials))
        best, *lower_ranked = sorted(scores, key=lambda name: (-scores[name], name))
        if scores[best] < self.minimum:
            return RulesDecision(None, scores[best], (), scores)
        close = [name for name in lower_ranked if scores[name] >= self.minimum and scores[best] - scores[name] <= CLOSE]
        return RulesDecision(best, scores[best], () if scores[best] >= self.single else tuple(close), scores)


def load_rules(path: Path) -> Rules:
    """Raises ``RulesError`` if the file cannot be read, is not JSON, or lacks a key."""
    try:
        return parse_rules(json.loads(path.read_text(encoding="utf-8")), str(path))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise RulesError(f"{path}: keyword rules cannot be read: {error}") from error


def parse_rules(value: Any, name: str) -> Rules:
    """The content of a ``routing-patterns.json``; ``name`` says where it comes from in errors (``RulesError``)."""
    experts = _mapping(value, "experts", name)
    if not experts:
        raise RulesError(f"{name}: experts is empty; at least one master is expected")
    limits = _mapping(value, "thresholds", name)
    for key in _THRESHOLDS:
        limit = limits.get(key)
        if isinstance(limit, bool) or not isinstance(limit, (int, float)) or not 0 <= limit <= 1:
            raise RulesError(f"{name}: thresholds.{key} must be a number from 0 to 1, is {limit!r}")
    keywords: dict[str, list[list[Keyword]]] = {}
    for expert in sorted(experts):
        lists = _mapping(experts, expert, name)
        keywords[expert] = []
        for key in _LISTS:
            words = lists.get(key, [])
            if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
                raise RulesError(f"{name}: experts.{expert}.{key} must be a list of words")
            keywords[expert].append([Keyword(word.strip()) for word in words if word.strip()])
    return Rules(keywords, *(float(limits[key]) for key in _THRESHOLDS))


def _mapping(value: Any, key: str, name: str) -> Mapping[str, Any]:
    mapping = value.get(key) if isinstance(value, Mapping) else None
    if not isinstance(mapping, Mapping):
        raise RulesError(f"{name}: {key} must be an object of names and values")
    return mapping
