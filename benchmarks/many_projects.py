"""How commands grow with the number of projects: ``python -m benchmarks.many_projects 10 100 1000``.

Each project is a package of two small modules, of which one stage is made: what is measured is what surrounds it. Up to
100 projects ``cortex run`` makes it; of more, this process does, with one commit. Processor seconds of each command,
children included; between two numbers of projects also the exponent of the growth.
"""

import math
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import yaml

from cortex_pipelines.catalog import open_project
from cortex_pipelines.projects.status_cache import FILE
from cortex_pipelines_tests.versioning.toy import make_at_once

_STAGE = "repository_files"
_MOST_RUN = 100
_LOAD = (
    "from pathlib import Path; from cortex_pipelines.orchestration.location import open_location as o; o(Path.cwd())"
)


def measure(root: Path, number: int) -> dict[str, float]:
    """Seconds of each command in a fresh workspace with so many projects."""
    cortex = str(Path(sys.executable).with_name("cortex"))
    _seconds([cortex, "init", str(root)], root.parent)
    projects = {}
    for name in (f"p{index:04d}" for index in range(number)):
        package = root / "packages" / name
        package.mkdir(parents=True)
        for module in ("one", "two"):
            (package / f"{module}.py").write_text(
                f'def {name}_{module}(value):\n    """Add."""\n    return value + 1\n'
            )
        projects[name] = {"sources": [{"directory": f"packages/{name}"}]}
    parameters = root / "params.yaml"
    parameters.write_text(yaml.safe_dump({**yaml.safe_load(parameters.read_text()), "projects": projects}))
    dvc = str(Path(sys.executable).with_name("dvc"))
    steps = {
        "pins of all sources": [cortex, "update"],
        "code location": [sys.executable, "-c", _LOAD],
        "first run": [cortex, "run", _STAGE],
        "sync": [cortex, "sync"],
        "idle run": [cortex, "run", "--upstream", _STAGE],
        "plan": [cortex, "run", "--plan", _STAGE],
        "dvc status": [dvc, "status", "-q"],
        "cortex status": [cortex, "status"],
        "cortex status again": [cortex, "status"],
    }
    spent = {}
    for label, words in steps.items():
        if label == "first run" and number > _MOST_RUN:
            make_at_once(open_project(root), [(_STAGE, name) for name in projects])
            continue
        if label == "cortex status":
            (root / FILE).unlink(missing_ok=True)
        spent[label] = _seconds(words, root)
        print(f"{number:>5}  {label:<20} {spent[label]:8.1f} s", flush=True)
    return spent


def _seconds(words: Sequence[str], folder: Path) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, env=os.environ)
    if done.returncode > 1:  # dvc status has 1 for what is not made
        raise RuntimeError(f"{' '.join(words)} failed: {done.stderr[-500:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Measure each of the numbers of projects in the command line."""
    earlier: tuple[int, dict[str, float]] | None = None
    for number in map(int, sys.argv[1:]):
        with tempfile.TemporaryDirectory() as folder:
            spent = measure(Path(folder) / "team", number)
        if earlier:
            ratio = math.log(number / earlier[0])
            growth = {
                label: math.log(spent[label] / earlier[1][label]) / ratio for label in spent if label in earlier[1]
            }
            print(f"from {earlier[0]} to {number}: " + ", ".join(f"{k} {v:.2f}" for k, v in growth.items()))
        earlier = (number, spent)


if __name__ == "__main__":
    main()
