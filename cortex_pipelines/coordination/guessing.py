"""Guess which key of foreign logs holds which fact about a task, by name, type and values."""

import difflib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, permutations
from typing import Any

from cortex_pipelines.coordination.fact_names import USUAL, name_score
from cortex_pipelines.coordination.mapping import (
    FACTS,
    belonging_label,
    duration_seconds,
    flattened,
    mapped_outcome,
    says_where,
)
from cortex_pipelines.coordination.outcome_values import OutcomeReading
from cortex_pipelines.coordination.settings import Fact
from cortex_pipelines.timestamps import is_timestamp
from cortex_pipelines.words import unseparated_words

SEEN = 5000
"""Most records that a guess is made from."""
_MOST_MASTERS = 200
"""Most labels that a key may have whose name does not say that it is a task's master."""
_FIT = 0.8
"""Least share of a key's values that must have the form of the fact; the rest may be slips."""

_NEEDED: tuple[Fact, ...] = ("task", "master")
_ROLES = frozenset(["user", "assistant", "system", "tool", "function", "human", "ai", "model", "developer"])
"""Who speaks in a conversation, in whatever words: no masters."""


@dataclass(frozen=True)
class LogColumn:
    """The values of a key in the records seen; None where a record has none."""

    name: str
    values: Sequence[Any]

    @cached_property
    def filled(self) -> list[Any]:
        return [value for value in self.values if value not in (None, "") and not isinstance(value, list)]

    @cached_property
    def texts(self) -> list[str]:
        return [value.strip() for value in self.filled if isinstance(value, str) and re.search(r"[^\W\d_]", value)]

    @cached_property
    def different(self) -> int:
        return len(set(map(str, self.filled)))

    @cached_property
    def _readings(self) -> list[OutcomeReading]:
        return [mapped_outcome(self.name, value) for value in self.filled]

    @cached_property
    def understood(self) -> float:
        """Share of the values that can be outcomes."""
        return sum(reading.success is not None or reading.problem is None for reading in self._readings) / len(
            self.filled
        )

    @cached_property
    def decided(self) -> bool:
        """Whether some value says that a task succeeded or failed."""
        return any(reading.success is not None for reading in self._readings)

    def share(self, holds: Callable[[Any], bool]) -> float:
        return sum(map(holds, self.filled)) / len(self.filled) if self.filled else 0.0


@dataclass(frozen=True)
class Guess:
    """``mapping`` has explicit and unambiguous keys; ``open`` has the facts with several candidate keys."""

    mapping: Mapping[Fact, str]
    open: Mapping[Fact, Sequence[str]]
    columns: Mapping[str, LogColumn]

    @property
    def clarity(self) -> tuple[bool, float]:
        """Whether there are keys, or candidates, of both task and master; and how much their names say so."""
        keys = {fact: [self.mapping[fact]] if fact in self.mapping else self.open.get(fact, ()) for fact in _NEEDED}
        return all(keys.values()), sum(max((name_score(fact, key) for key in keys[fact]), default=0) for fact in keys)

    def question(self, fact: Fact, render: Callable[[str], str]) -> str:
        """Names the candidate keys with three redacted values each."""
        keys = [f"{key!r} ({_sample(self.columns[key], render)})" for key in self.open[fact]]
        choices = " or ".join(f"--map {fact}={_quoted(key)}" for key in self.open[fact])
        return f"which is the {fact}: {', '.join(keys[:-1])} or {keys[-1]}? Say {choices}"


def _quoted(key: str) -> str:
    return f'"{key}"' if re.search(r"[^\w.-]", key) else key


def _sample(column: LogColumn, render: Callable[[str], str]) -> str:
    first = [render(value) for value in list(dict.fromkeys(str(value)[:30] for value in column.filled))[:3]]
    return f"{column.different} different: {', '.join(first)}"


def columns_of(records: Sequence[Mapping[str, Any]]) -> dict[str, LogColumn]:
    flat = [dict(flattened(record)) for record in records[:SEEN]]
    names = dict.fromkeys(name for record in flat for name in record)
    return {name: LogColumn(name, [belonging_label(record.get(name)) for record in flat]) for name in names}


def guess_mapping(
    records: Sequence[Mapping[str, Any]], explicit: Mapping[Fact, str], all_records: Sequence[Mapping[str, Any]] = ()
) -> Guess:
    """``explicit`` facts stand (an empty key leaves a fact out); task and master are chosen before the others.

    If no record says what came of a task, others of ``all_records`` with the same key of an id may.
    """
    columns = columns_of(records)
    mapping = dict(explicit)
    choices: dict[Fact, Sequence[str]] = {}
    for fact in FACTS:
        if fact in explicit:
            continue
        used_keys = set(mapping.values())
        task = columns.get(mapping.get("task", ""))
        unused = [column for name, column in columns.items() if name not in used_keys]
        best = _best(fact, unused, task.different if task else None)
        if len(best) == 1:
            mapping[fact] = best[0]
        elif best:
            choices[fact] = best
    if "id" not in explicit and (joining := _joining_id(columns, mapping)):
        mapping["id"] = joining
    decided = columns[mapping["outcome"]].decided if mapping.get("outcome") in columns else False
    if all_records and not decided and "outcome" not in explicit and mapping.get("id"):
        ids = columns.get(mapping["id"]) or LogColumn(mapping["id"], [])
        if outcome := _outcome_elsewhere(ids, all_records, set(mapping.values())):
            mapping["outcome"], columns[outcome.name] = outcome.name, outcome
    return Guess({fact: mapping[fact] for fact in FACTS if mapping.get(fact)}, choices, columns)


def _joining_id(columns: Mapping[str, LogColumn], mapping: Mapping[Fact, str]) -> str | None:
    """Where task and master stand in different records, the key with most values that records of both have."""
    if not {mapping.get(fact) for fact in _NEEDED} <= columns.keys():
        return None
    of_task, of_master = (columns[mapping[fact]].values for fact in _NEEDED)
    if any(task is not None and master is not None for task, master in zip(of_task, of_master, strict=True)):
        return None
    shared = {}
    for name, column in columns.items():
        tasks, masters = (
            {str(key) for key, value in zip(column.values, values, strict=True) if None not in (key, value)}
            for values in (of_task, of_master)
        )
        shared[name] = len(tasks & masters)
    best = max(shared, key=lambda name: shared[name])
    return best if shared[best] > 1 else None


def _outcome_elsewhere(ids: LogColumn, records: Sequence[Mapping[str, Any]], used: set[str]) -> LogColumn | None:
    """The outcome in records that tell of tasks by their id alone; most of their ids must be among ``ids``."""
    columns = columns_of([record for record in records if ids.name in dict(flattened(record))])
    task_ids = set(map(str, ids.filled))
    for name in _best("outcome", [column for name, column in columns.items() if name not in used]):
        column = columns[name]
        pairs = zip(columns[ids.name].values, column.values, strict=True)
        referenced = {str(task_id) for task_id, value in pairs if value is not None}
        if column.decided and 2 * len(task_ids & referenced) >= len(referenced):
            return column
    return None


def _best(fact: Fact, columns: Sequence[LogColumn], tasks: int | None = None) -> list[str]:
    """The keys that fit a fact best: one, several that nothing tells apart, or none; ``tasks`` differ in text."""
    scores = {column.name: name_score(fact, column.name) for column in columns if _fits(fact, column, tasks)}
    if fact in ("task", "master") and not any(scores.values()):  # names in no known word: the values alone
        fitting = [column for column in columns if column.name in scores]
        if fact == "task" and fitting:
            return [max(fitting, key=lambda column: sum(map(len, column.texts)) / len(column.filled)).name]
        varied = [column for column in fitting if column.different > 1]
        return [column.name for column in (varied if len(varied) > 1 else fitting)]
    if fact == "master":  # `area/web` is there to say it, the author of an issue is not
        scores = {c.name: scores[c.name] and scores[c.name] + c.share(says_where) for c in columns if c.name in scores}
    if fact in _NEEDED:  # what is the same everywhere decides nothing
        telling = {column.name for column in columns if column.different > 1 and scores.get(column.name)}
        scores = {name: score for name, score in scores.items() if not telling or name in telling}
    if fact == "time" and not any(scores.values()) and len(scores) == 1:
        return list(scores)
    if fact == "outcome":  # `state: closed` says less than `state_reason: completed`
        scores = {c.name: scores[c.name] and scores[c.name] + 2 * c.understood for c in columns if c.name in scores}
    top = max(scores.values(), default=0.0)
    best = [column for column in columns if top > 0 and scores.get(column.name) == top]
    # of keys whose values map one to one the first is enough, and none that repeats what another says
    duplicates = {b.name for a, b in combinations(best, 2) if _one_to_one(a, b)}
    duplicates |= {b.name for a, b in permutations(best, 2) if _repeats(b, a)}
    best = [column for column in best if column.name not in duplicates]
    if fact in _NEEDED:
        return [column.name for column in best]
    return [max(best, key=lambda column: len(column.filled)).name] if best else []


def _one_to_one(a: LogColumn, b: LogColumn) -> bool:
    pairs = {(str(x), str(y)) for x, y in zip(a.values, b.values, strict=True) if x is not None or y is not None}
    return len(pairs) == len({x for x, _ in pairs}) == len({y for _, y in pairs})


def _repeats(column: LogColumn, other: LogColumn) -> bool:
    """Whether ``other`` has all values of a column in the same records, and more."""
    fuller = len(other.filled) > len(column.filled)
    return fuller and all(x in (None, y) for x, y in zip(column.values, other.values, strict=True))


def _fits(fact: Fact, column: LogColumn, tasks: int | None) -> bool:
    filled = len(column.filled)
    if not filled:
        return False
    match fact:
        case "task":
            worded = sum(len(text.split()) + unseparated_words(text) > 1 for text in column.texts)
            many = column.different >= max(3, math.sqrt(filled) / 2)  # names of agents have two words, too
            return worded >= filled / 2 and many and column.share(is_timestamp) < 1 - _FIT
        case "master":
            short = len(column.texts) >= filled / 2 and sum(map(len, column.texts)) <= 40 * len(column.texts)
            is_named = name_score("master", column.name) >= USUAL
            few = column.different <= max(3, filled / 2 if is_named else min(filled / 2, _MOST_MASTERS))
            is_other = max(column.share(is_timestamp), column.understood) >= _FIT
            return short and few and not is_other and not _ROLES.issuperset(map(str.lower, column.texts))
        case "outcome":
            is_verdict = column.different <= max(30, filled / 4) or column.understood >= 0.5
            return is_verdict and column.share(is_timestamp) < _FIT
        case "time":
            return column.share(is_timestamp) >= _FIT
        case "duration":
            return column.share(lambda value: duration_seconds(value, column.name) is not None) >= _FIT
        case "tokens":
            return column.share(lambda value: bool(re.fullmatch(r"\d[\d,]*(\.0)?", str(value)))) >= _FIT
        case "id":
            return column.different >= min(filled, tasks or filled) / 3  # many records may tell of a task


def parse_map(text: str) -> dict[Fact, str]:
    """``task=summary,master=agent``; an empty key leaves the fact out. ValueError has a sentence."""
    mapping: dict[Fact, str] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        name, equals, key = map(str.strip, part.partition("="))
        fact = next((fact for fact in FACTS if fact == name), None)
        if fact is None or not equals:
            matches = difflib.get_close_matches(name, FACTS, 1, 0.5)
            hint = f"; did you mean {matches[0]}={key or '…'}?" if matches else ""
            raise ValueError(f"--map {part}: write FACT=KEY, with a fact of {', '.join(FACTS)}{hint}")
        mapping[fact] = key
    return mapping


def unknown_key(mapping: Mapping[Fact, str], columns: Mapping[str, LogColumn]) -> str | None:
    """Error message for the first key that no record has, or None."""
    for fact, key in mapping.items():
        if key and key not in columns:
            nested = [name for name in columns if name.endswith(f".{key}")]
            matches = difflib.get_close_matches(key, columns, 1, 0.5) or nested
            hint = f"; did you mean {fact}={matches[0]}?" if matches else "."
            return f"--map {fact}={key}: no record has that key{hint} The keys are {', '.join(sorted(columns)[:40])}"
    return None
