"""What becomes of each record of logs in training: tasks by master, and the reason of every record not used."""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from cortex_pipelines.coordination.records import NO_NAME, SEVERAL_MASTERS
from cortex_pipelines.routing.dataset.build import deduplicated
from cortex_pipelines.routing.dataset.labels import KINDS, LabelledTask, labelled_task, normalised, steps_by_task

FEWEST_TASKS = 3
"""Tasks from which on a master is taken for one: fewer may be a slip, and cannot be held out and learnt from."""

TEST_ROW = "it comes from a test (coordination.test_rows)"
NO_MASTER = "it names no master"
NO_TEXT = "it has no text of a task"
NO_DECISION = "it is an outcome, but no record names a master of a task with its id"
FAILED = "the task failed or was taken away there: it tells only who was wrong"
AGAIN = "the same task again"
CONTRADICTED = "the same task went more often, or later, to another master"
RARE = "its master has fewer than three tasks"

Place = tuple[str, int]
"""File and byte offset of a record."""


@dataclass(frozen=True)
class Accounting:
    """``tasks`` to learn from, and the places of all records that gave none, by reason.

    ``joined`` counts records beyond the first about a task. ``rare`` are masters with fewer than three tasks, with
    their number; their tasks are left out if asked for.
    """

    tasks: Sequence[LabelledTask]
    unused: Mapping[str, Sequence[Place]]
    joined: int
    rare: Mapping[str, int]

    @property
    def masters(self) -> list[tuple[str, int]]:
        return Counter(task.master for task in self.tasks).most_common()

    @property
    def spellings(self) -> list[list[str]]:
        """Masters whose names differ only in case, spaces, hyphens, underscores and a last word such as `agent`."""
        alike: dict[str, list[str]] = defaultdict(list)
        for master in sorted({master for master, _ in self.masters} | set(self.rare)):
            alike[re.sub(r"[\s_-]+(?:(?:agent|master|expert)$)?", "", master.casefold())].append(master)
        return [masters for masters in alike.values() if len(masters) > 1]

    @property
    def unconfirmed(self) -> int:
        """Tasks that were sent to a master, of which no outcome is known."""
        return sum(task.source == "decision" for task in self.tasks)


def account(events: pl.DataFrame, unread: pl.DataFrame, keep_rare: bool) -> Accounting:
    """Of frames of ``COORDINATION_EVENTS`` and ``UNREAD_FIELDS``, by the same steps as in training."""
    no_masters = unread.filter(pl.col("reason").is_in([NO_NAME, SEVERAL_MASTERS]))
    unnamed = {tuple(place): reason for *place, reason in no_masters.select("file", "byte_offset", "reason").rows()}
    reasons: dict[Place, str | None] = {}
    columns = ("file", "byte_offset", "kind", "text", "master", "test_row", "task_id")
    text_places: dict[str, list[Place]] = defaultdict(list)  # of a task whose master other records name
    for file, offset, kind, text, master, test_row, task_id in events.select(columns).rows():
        place = (file, offset)
        if kind not in KINDS:
            reasons[place] = f"it is about no task ({kind.replace('_', ' ')})"
        elif test_row:
            reasons[place] = TEST_ROW
        elif master is None:
            reasons[place] = unnamed.get(place, NO_MASTER if text or kind != "outcome" else NO_DECISION)
            if text and task_id and place not in unnamed:
                text_places[task_id].append(place)
        else:
            reasons[place] = NO_TEXT
    labelled = []
    for text, steps in steps_by_task(events):
        task = labelled_task(text, steps)
        places = [(step["file"], step["byte_offset"]) for step in steps]
        places += text_places.get(steps[0]["task_id"], [])
        reasons.update(dict.fromkeys(places, None if task else FAILED))
        if task:
            labelled.append((task, places))
    kept = deduplicated([task for task, _ in labelled])
    counts = Counter(task.master for task in kept.values())
    rare = {master: count for master, count in sorted(counts.items()) if count < FEWEST_TASKS}
    for task, places in labelled:
        first = kept[normalised(task.text)]
        reason = None if first is task else AGAIN if first.master == task.master else CONTRADICTED
        if first is task and task.master in rare and not keep_rare:
            reason = RARE
        reasons.update(dict.fromkeys(places, reason))
    unused: dict[str, list[Place]] = defaultdict(list)
    for place, reason in reasons.items():
        if reason is not None:
            unused[reason].append(place)
    tasks = [task for task in kept.values() if keep_rare or task.master not in rare]
    by_size = sorted(unused, key=lambda reason: (-len(unused[reason]), reason))
    joined = sum(reason is None for reason in reasons.values()) - len(tasks)
    return Accounting(tasks, {reason: unused[reason] for reason in by_size}, joined, rare)
