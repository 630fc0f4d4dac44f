"""Process units in parallel, with ordered results as from one process.

The processes are started directly and communicate by JSON: ``multiprocessing`` would fork a process
with threads (polars'), or import the caller's main module again, which scripts may not support.
"""

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from cortex_pipelines.progress import track
from cortex_pipelines.settings import Settings

S = TypeVar("S", bound=Settings)
Row = dict[str, Any]
Work = Callable[[Row, S], list[Row]]
"""What makes rows of a unit."""
_WORTH_A_PROCESS = 2000  # starting one takes as long as a few hundred units
_MOST_PROCESSES = 8
_START = f"from {__name__} import serve; serve()"


def in_processes(work: Work[S], units: Sequence[Row], settings: S, doing: str) -> list[Row]:
    """Apply ``work``, a module-level function of JSON values, to the units in several processes, in order."""
    processes = min(len(os.sched_getaffinity(0)), _MOST_PROCESSES, len(units) // _WORTH_A_PROCESS + 1)
    if processes == 1:
        return [row for unit in track(units, doing) for row in work(unit, settings)]
    size = -(-len(units) // processes)  # ids are hashes: the shares are as long as each other
    shares = [units[start : start + size] for start in range(0, len(units), size)]
    with ThreadPoolExecutor(processes) as pool:
        results = pool.map(lambda share: _run_subprocess(work, share, settings), shares)
        return [row for _ in track(shares, doing) for row in next(results)]


def _run_subprocess(work: Work[S], share: Sequence[Row], settings: S) -> list[Row]:
    task = {
        "work": [work.__module__, work.__qualname__],
        "settings": [type(settings).__module__, type(settings).__qualname__],
        "values": settings.model_dump(mode="json"),
        "units": list(share),
    }
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    completed = subprocess.run(
        [sys.executable, "-c", _START],
        input=json.dumps(task).encode(),
        capture_output=True,
        env=environment,
        check=False,
    )
    if completed.returncode != 0:
        words = completed.stderr.decode(errors="replace").strip()[-2000:]
        raise RuntimeError(f"a process that augments units ended with {completed.returncode}: {words}")
    rows: list[Row] = json.loads(completed.stdout)
    return rows


def serve() -> None:
    task = json.loads(sys.stdin.buffer.read())
    names = (task["work"], task["settings"])
    work, kind = (getattr(importlib.import_module(module), name) for module, name in names)
    settings = kind(**task["values"])
    rows = [row for unit in task["units"] for row in work(unit, settings)]
    sys.stdout.buffer.write(json.dumps(rows).encode())
