"""Loading the code location: what ``dagster dev`` waits for at the start and at each reload."""

from benchmarks.timing import Timing
from benchmarks.workspace import Workspace

_OURS = "code location"
_DAGSTER = "import dagster alone"


def measure(work: Workspace, repeats: int) -> list[Timing]:
    """A fresh process each time, as ``dagster dev`` starts one."""
    ours = "import cortex_pipelines.definitions"
    work.python("-c", ours)  # writes the byte code
    return [
        Timing(
            _OURS, tuple(work.python("-c", ours) for _ in range(repeats)), 2.0, _DAGSTER, amount=1, unit="processes"
        ),
        Timing(
            _DAGSTER,
            tuple(work.python("-c", "import dagster") for _ in range(repeats)),
            peer=True,
            note="the least any code location takes",
            amount=1,  # so that processor time is compared, which other work does not change
            unit="processes",
        ),
    ]
