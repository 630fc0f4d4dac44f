"""A second run with nothing changed: every stage of three projects is looked at and skipped."""

from collections.abc import Callable

from benchmarks.plain import PlainStages
from benchmarks.timing import Spent, Timing
from benchmarks.workspace import DATA_STAGES, SOURCES, Workspace
from cortex_pipelines.projects.status_cache import FILE

_PLAIN = "dvc repro, plain stages"
_TARGETS = {"dvc repro": 3.0, "cortex status": 2.0, "cortex --help": 0.5}


def measure(work: Workspace, repeats: int) -> list[Timing]:
    """The whole path is made first (untrained models of a few kilobytes), outside the timing."""
    work.cortex("run")
    plain = PlainStages(work)
    plain.dvc("repro")
    command = ("run", "code_units", "--project", "testing")
    ours: dict[str, Callable[[], Spent]] = {
        "dvc repro": lambda: work.dvc("repro"),
        "cortex run": lambda: work.cortex("run"),
        "cortex run, one asset": lambda: work.cortex(*command),
        "cortex status": lambda: work.cortex("status"),
        "cortex status, worked out": lambda: _status_worked_out(work),
        "cortex --help": lambda: work.cortex("--help"),
    }
    timings = [
        Timing(
            _PLAIN,
            tuple(plain.dvc("repro") for _ in range(repeats)),
            peer=True,
            note=f"only the {len(DATA_STAGES) * len(SOURCES)} data stages, no models",
        )
    ]
    for label, act in ours.items():
        runs = tuple(act() for _ in range(repeats))
        timings.append(Timing(label, runs, _TARGETS.get(label), _PLAIN))
    return timings


def _status_worked_out(work: Workspace) -> Spent:
    """A status that has no earlier answer to give again."""
    (work.root / FILE).unlink(missing_ok=True)
    return work.cortex("status")
