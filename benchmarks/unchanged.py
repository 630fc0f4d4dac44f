"""A second run with nothing changed: every stage of three projects is looked at and skipped."""

from collections.abc import Callable

from benchmarks.plain import PlainStages
from benchmarks.timing import Spent, Timing
from benchmarks.workspace import DATA_STAGES, SOURCES, Workspace

_PLAIN = "dvc repro, plain stages"


def measure(work: Workspace, repeats: int) -> list[Timing]:
    """The whole path is made first (untrained models of a few kilobytes), outside the timing."""
    work.cortex("run")
    plain = PlainStages(work)
    plain.dvc("repro")
    one = ("run", "code_units", "--project", "testing")
    ours: dict[str, Callable[[], Spent]] = {
        "dvc repro": lambda: work.dvc("repro"),
        "cortex run": lambda: work.cortex("run"),
        "cortex run, one asset": lambda: work.cortex(*one),
        "cortex status": lambda: work.cortex("status"),
    }
    found = [
        Timing(
            _PLAIN,
            tuple(plain.dvc("repro") for _ in range(repeats)),
            peer=True,
            note=f"only the {len(DATA_STAGES) * len(SOURCES)} data stages, no models",
        )
    ]
    for what, act in ours.items():
        target = 3.0 if what == "dvc repro" else None
        found.append(Timing(what, tuple(act() for _ in range(repeats)), target, _PLAIN))
    return found
