"""Set-up and the demo from a fresh clone: the two things that a new user waits for."""

import subprocess
import tempfile
from pathlib import Path

from benchmarks.timing import Timing, command
from benchmarks.workspace import CHECKOUT, Workspace, clean_environment


def measure(work: Workspace, repeats: int) -> list[Timing]:
    """Run once each, ignoring ``repeats``, on a clone of this checkout's commit."""
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        subprocess.run(("git", "clone", "-q", str(CHECKOUT), str(clone)), check=True)
        setup = command(("make", "install"), clone, clean_environment())
        demo = command(("make", "demo"), clone, clean_environment())
    return [
        Timing("make install", (setup,), note="wheels come from pip's cache where it has them"),
        Timing("make demo", (demo,), note="after make install"),
        Timing("both", (setup + demo,), 600.0),
    ]
