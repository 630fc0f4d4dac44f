"""The data stages of one project after one file changed, against all of them from nothing."""

from benchmarks.plain import PlainStages
from benchmarks.timing import Timing
from benchmarks.workspace import DATA_STAGES, Workspace

_PROJECT = "network"
_FULL = "cortex run, from nothing"
_PLAIN = "script of the same functions, everything"


def measure(work: Workspace, repeats: int) -> list[Timing]:
    """Each repetition appends a function to one file, moves the pin, and makes what is stale."""
    words = ("run", *DATA_STAGES, "--project", _PROJECT)
    full = work.cortex(*words)
    plain = PlainStages(work, (_PROJECT,))
    plain.dvc("repro")
    scripted = tuple(plain.script(_PROJECT) for _ in range(repeats))
    ours, peer_times = [], []
    for number in range(repeats):
        _edit(work, number)
        ours.append(work.cortex("update", _PROJECT) + work.cortex(*words))
        peer_times.append(plain.dvc("repro"))
    again = "update and cortex run, one file changed"
    return [
        Timing(_FULL, (full,), None, _PLAIN, note="creates the databases of Dagster and MLflow"),
        Timing(again, tuple(ours), None, _FULL),
        Timing("dvc repro of plain stages, one file changed", tuple(peer_times), None, again, True),
        Timing(_PLAIN, scripted, None, again, True, "one process; no versions, nothing skipped"),
    ]


def _edit(work: Workspace, number: int) -> None:
    path = work.source(_PROJECT) / "http" / "server.py"
    added = f"\n\ndef benchmark_{number}(first, second):\n    return first + {number} * second\n"
    path.write_text(path.read_text(encoding="utf-8") + added, encoding="utf-8")
