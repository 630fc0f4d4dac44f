"""Label logged tasks by outcome, and commits weakly by rules while the logs are few."""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import polars as pl

from cortex_pipelines.routing.settings import WeakRule
from cortex_pipelines.words import folded_words

_WITHIN = re.compile(r"[_.]")
_ADDRESS = re.compile(
    r"(?<![a-z0-9+.-])[a-z][a-z0-9+.-]*://[!-~]+"  # URLs
    r"|(?<![!-~])(?:~?\.{0,2}/|[a-z]:\\)[!-~]+"  # absolute paths, and those from here
    r"|(?<![!-~])[\w.-]+(?:/[\w.-]+)*/(?:[\w.-]+\.\w+|[\w.-]+/[\w.-]*)"  # a/file.txt and a/b/c, not either/or
    r"|(?<![a-z0-9])[0-9a-f]{8,}(?:-[0-9a-f]{4,})*(?![a-z0-9])",  # hashes and UUIDs
    re.IGNORECASE | re.ASCII,
)
_WITH_DIGIT = re.compile(r"\S*\d\S*(?: \S*\d\S*)*")
KINDS = ("decision", "outcome", "event")
_LONG_AGO, _LAST = (time.replace(tzinfo=UTC) for time in (datetime.min, datetime.max))


@dataclass(frozen=True)
class LabelledTask:
    """``source``: ``outcome`` if the label was confirmed, ``decision`` if the task was only sent, ``weak:commit``.

    ``occurred_at`` is the latest time that a record of the task has.
    """

    text: str
    master: str
    source: str
    origin: str
    occurred_at: datetime | None


def normalised(text: str) -> str:
    """The normalised words of a text; equal texts are the same task."""
    parts = (part for word in folded_words(text) for part in _WITHIN.split(word) if part)
    return " ".join(parts) or text


def wording(text: str) -> str:
    """The normalised words with 0 for numbers, ids, hashes, paths and URLs: what the tasks of a template share."""
    return _WITH_DIGIT.sub("0", normalised(_ADDRESS.sub(" 0 ", text)))


def shares_words(texts: Sequence[str], learnt: Sequence[str]) -> list[bool]:
    """Of each text whether half of all words of it and a learnt one are in both, numbers apart.

    So much have tasks of a template, whatever stands in its gaps. Two such texts share one of the rarer half of words
    of each (the prefix filter: Bayardo et al., Scaling Up All Pairs Similarity Search, 2007).
    """
    words = [frozenset(wording(text).split()) for text in learnt]
    numbers: dict[str, list[int]] = defaultdict(list)
    for number, each in enumerate(words):
        for word in each:
            numbers[word].append(number)
    shared = []
    for task in (frozenset(wording(text).split()) for text in texts):
        rarest = sorted(task, key=lambda word: (len(numbers.get(word, ())), word))[: len(task) // 2 + 1]
        candidates = (words[number] for word in rarest for number in numbers.get(word, ()))
        shared.append(any(3 * len(task & each) >= len(task) + len(each) for each in candidates))
    return shared


def labelled_tasks(events: pl.DataFrame) -> list[LabelledTask]:
    """Label tasks from a frame of ``schemas.COORDINATION_EVENTS``.

    A master where the task failed, or that it was taken away from, gives no label.
    """
    return [task for text, steps in steps_by_task(events) if (task := labelled_task(text, steps)) is not None]


def labelled_task(text: str, steps: Sequence[dict[str, Any]]) -> LabelledTask | None:
    label = _label(steps)
    latest = max((step["occurred_at"] for step in steps if step["occurred_at"]), default=None)
    return LabelledTask(text, *label, steps[-1]["file"], latest) if label else None


def steps_by_task(events: pl.DataFrame) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The text of each task, and the records about it in the order of time; rows from tests are left out.

    Records are joined by the task's id, unless two different tasks were given the same id.
    """
    records = events.filter(pl.col("kind").is_in(KINDS) & pl.col("master").is_not_null() & ~pl.col("test_row"))
    by_id: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in records.sort("file", "byte_offset").iter_rows(named=True):
        by_id[row["task_id"] or f"\n{row['text']}"].append(row)
    for rows in by_id.values():
        texts: dict[str, str] = {}
        for row in rows:
            if row["text"]:
                texts.setdefault(normalised(row["text"]), row["text"])
        for key, text in texts.items():
            yield text, _by_time([row for row in rows if row["text"] and normalised(row["text"]) == key])


def _by_time(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Among records with a time, an outcome without one comes last: it is of the last decision."""
    untimed = _LAST if any(row["occurred_at"] for row in steps) else _LONG_AGO
    return sorted(steps, key=lambda row: row["occurred_at"] or (_LONG_AGO if row["success"] is None else untimed))


def _label(steps: Sequence[dict[str, Any]]) -> tuple[str, str] | None:
    """Label and its source; None if only a wrong master is known."""
    right: str | None = None
    wrong: set[str] = set()
    current: str | None = None
    for step in steps:
        master = step["master"]
        if current is not None and master != current:  # taken away from where it was
            wrong.add(current)
        current = master
        if step["success"] is False:
            wrong.add(master)
        if step["success"] is True or step["ideal_master"]:
            right = step["ideal_master"] or master
            wrong.discard(right)
    if right is not None and right not in wrong:
        return right, "outcome"
    return None if current is None or current in wrong else (current, "decision")


FEWEST_WORDS = 3  # least words of a subject; shorter ones ("fix", "wip") carry no information


def weak_master(rules: Sequence[WeakRule], subject: str, paths: Sequence[str]) -> str | None:
    """Label of a commit: by its subject, else by most of its paths; None on a tie."""
    for rule in rules:
        if any(re.search(pattern, subject, re.IGNORECASE) for pattern in rule.subjects):
            return rule.master
    votes: Counter[str] = Counter()
    for path in paths:  # the first rule that matches a path has its vote
        matching = (rule.master for rule in rules if any(re.search(pattern, path) for pattern in rule.paths))
        votes.update([name] if (name := next(matching, None)) else [])
    ranked = votes.most_common(2)
    tied = len(ranked) > 1 and ranked[0][1] == ranked[1][1]
    return ranked[0][0] if ranked and not tied else None


def weak_tasks(commits: pl.DataFrame, project: str, rules: Sequence[WeakRule], per_master: int) -> list[LabelledTask]:
    """At most ``per_master`` tasks of each master, chosen by hash so that growth keeps most of them; no merges."""
    by_master: dict[str, dict[str, LabelledTask]] = defaultdict(dict)
    for row in commits.sort("source", "commit").iter_rows(named=True):
        text = row["subject"].strip()
        key = normalised(text)
        if len(row["parents"]) > 1 or len(key.split()) < FEWEST_WORDS:
            continue
        master = weak_master(rules, text, row["paths"])
        if master:
            task = LabelledTask(text, master, "weak:commit", f"{project}/{row['source']}", row["committed_at"])
            by_master[master].setdefault(key, task)

    def by_hash(text: str) -> str:
        return hashlib.sha256(text.encode()).hexdigest()

    return [tasks[key] for _, tasks in sorted(by_master.items()) for key in sorted(tasks, key=by_hash)[:per_master]]
