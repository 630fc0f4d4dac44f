"""Weakly labelled tasks from commits, while the logs are few."""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from cortex_pipelines.routing.dataset.labels import normalised
from cortex_pipelines.routing.settings import WeakRule

FEWEST_WORDS = 3
"""Least words of a subject; shorter ones ("fix", "wip") carry no information."""


@dataclass(frozen=True)
class WeakTask:
    text: str
    master: str
    origin: str
    occurred_at: datetime


class WeakLabeller:
    """The first rule that matches a path has its vote."""

    def __init__(self, rules: Sequence[WeakRule]) -> None:
        self._paths = [(r.master, [re.compile(p) for p in r.paths]) for r in rules]
        self._subjects = [(r.master, [re.compile(p, re.I) for p in r.subjects]) for r in rules]

    def master(self, subject: str, paths: Sequence[str]) -> str | None:
        """Label of a commit: by its subject, else by most of its paths; None on a tie."""
        for master, patterns in self._subjects:
            if any(pattern.search(subject) for pattern in patterns):
                return master
        votes = Counter(vote for path in paths if (vote := self._vote(path)))
        ranked = votes.most_common(2)
        if not ranked or (len(ranked) > 1 and ranked[0][1] == ranked[1][1]):
            return None
        return ranked[0][0]

    def _vote(self, path: str) -> str | None:
        for master, patterns in self._paths:
            if any(pattern.search(path) for pattern in patterns):
                return master
        return None


def weak_tasks(commits: pl.DataFrame, project: str, rules: Sequence[WeakRule], per_master: int) -> list[WeakTask]:
    """At most ``per_master`` tasks of each master, chosen by hash so that growth keeps most of them; no merges."""
    labeller = WeakLabeller(rules)
    by_master: dict[str, dict[str, WeakTask]] = defaultdict(dict)
    for row in commits.sort("source", "commit").iter_rows(named=True):
        text = row["subject"].strip()
        key = normalised(text)
        if len(row["parents"]) > 1 or len(key.split()) < FEWEST_WORDS:
            continue
        master = labeller.master(text, row["paths"])
        if master:
            task = WeakTask(text, master, f"{project}/{row['source']}", row["committed_at"])
            by_master[master].setdefault(key, task)
    return [tasks[key] for _, tasks in sorted(by_master.items()) for key in sorted(tasks, key=_by_hash)[:per_master]]


def _by_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
