"""Costs of the data stages of real projects, from which `cortex run --plan` estimates those of others.

``taskset -c 0 python -m benchmarks.stage_costs measure FOLDER REPOSITORY…`` makes the data of each git repository in a
fresh project and writes its costs to FOLDER; ``again FOLDER REPOSITORY…`` makes it with workers on all
cores, for the share of each stage that they divide; ``fit FOLDER WORKSPACE…`` writes cortex_pipelines/orchestration/
stage_costs.json from them, with what else ran in finished workspaces, and prints how far off it is on each project when
fitted without it.
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import yaml
from scipy.optimize import nnls

from cortex_pipelines.orchestration.stage_costs import FITTED, ProjectSize
from cortex_pipelines.projects.added import project_size
from cortex_pipelines.tracking.recorded_versions import Run, last_runs

_COMMITS = int(os.environ.get("COMMITS", 80))  # of a history that refactorings are mined from; a few have to vary
_STAGES = (
    *("line_times", "compliance", "augmented_units", "architecture_dataset", "completion_dataset", "naming_dataset"),
    *("refactoring_dataset", "documentation_dataset", "tests_dataset", "code_graph", "search_documents"),
)
_WITH_MODELS = ("code_embeddings",)  # in a run of its own: what it loads would count as memory of the stages after it


def measure(folder: Path, repository: Path, workers: int) -> dict[str, Any]:
    """Costs of each stage. On one core seconds are of the processor: other work on this machine counts for nothing."""
    name = repository.parent.name.split("+")[-1] if repository.name == "repo" else repository.name
    name = name.lower().replace(".", "-")
    root = folder / f"{name}-{_COMMITS}-{workers}"
    cortex = Path(sys.executable).with_name("cortex")
    subprocess.run([cortex, "init", root], check=True, capture_output=True)
    subprocess.run([cortex, "add", "--no-control", name, repository], cwd=root, check=True, capture_output=True)
    parameters = root / "params.yaml"
    values = yaml.safe_load(parameters.read_text())
    parameters.write_text(yaml.safe_dump(values | {"pairs": {"max_commits": _COMMITS}}))
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    backend = ["--workers", str(workers)] if workers > 1 else ["--backend", "serial"]
    for assets in (_STAGES, _WITH_MODELS):
        subprocess.run([cortex, "run", *assets, "--project", name, "--upstream", *backend], cwd=root, check=True)
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic() - start
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    size, commits = project_size(root, name)
    stages = {
        asset: {
            "seconds": run.seconds * min(1, processor / wall),
            "memory": run.memory,
            "disk": sum(file.stat().st_size for file in (root / "data" / asset / name).rglob("*") if file.is_file()),
        }
        for (asset, partition), run in last_runs(root).items()
        if partition == name
    }
    mined = min(commits, _COMMITS)
    return {
        "project": name,
        "bytes": size,
        "commits": commits,
        "mined": mined,
        "wall": wall,
        "cpu": processor,
        "stages": stages,
    }


def mapped(alone: list[dict[str, Any]], together: list[dict[str, Any]], workers: int) -> dict[str, float]:
    """Share of each stage's seconds that workers divide, of projects that were made both ways."""
    sums: dict[str, list[float]] = {}
    pairs = [(row, other) for row in alone for other in together if _made(row) == _made(other)]
    for row, other in pairs:
        for asset in row["stages"].keys() & other["stages"].keys():
            both = sums.setdefault(asset, [0.0, 0.0])
            for number, each in enumerate((row, other)):
                both[number] += each["stages"][asset]["seconds"]
    saved = {asset: 1 - again / once for asset, (once, again) in sums.items() if once}
    return {asset: round(min(max(share * workers / (workers - 1), 0), 1), 2) for asset, share in sorted(saved.items())}


def _made(row: dict[str, Any]) -> tuple[str, int]:
    return row["project"], row["mined"]


def record(root: Path) -> dict[str, Any]:
    """Costs of what projects share, and of what follows a training: the longest last run in a finished workspace."""
    runs, stages = last_runs(root), {}
    for output in filter(Path.is_dir, sorted((root / "data").iterdir())):
        times = [run for (asset, _), run in runs.items() if asset == output.name]
        run = max(
            times, key=lambda run: run.seconds, default=Run(0, None)
        )  # none is kept of what took less than half a second
        disk = sum(file.stat().st_size for file in output.rglob("*") if file.is_file())
        stages[output.name] = {"seconds": run.seconds, "memory": run.memory, "disk": disk}
    return {"project": root.name, "bytes": 0, "commits": 0, "mined": 0, "stages": stages}


_SIZES = {"seconds": (0, 1, 2, 3), "memory": (0, 1), "disk": (0, 1, 2)}
"""What each quantity may depend on: nothing, bytes, commits, commits that are mined."""
_LEAST = {"seconds": 0.3, "memory": 50.0, "disk": 0.01}
"""Differences below this are noise of the machine or of rounding."""


def fit(rows: list[dict[str, Any]], others: list[dict[str, Any]]) -> dict[str, Any]:
    """Models of all stages; of those that only ``others`` have run, a constant."""
    overhead = median(
        (row["cpu"] - _START - sum(s["seconds"] for s in row["stages"].values())) / len(row["stages"]) for row in rows
    )
    stages: dict[str, Any] = {}
    for asset in sorted({asset for row in (*rows, *others) for asset in row["stages"]}):
        measured = [row for row in rows if asset in row["stages"]]
        stages[asset] = model = {}
        for quantity, columns in _SIZES.items():
            points = [
                row
                for row in measured or others
                if asset in row["stages"] and row["stages"][asset][quantity] is not None
            ]
            values = [_value(row, asset, quantity, overhead) for row in points]
            if not values or (quantity == "seconds" and asset in _BY_SETTINGS):
                continue
            if not measured or len(values) < 5:
                model[quantity] = [round(median(values), 2), 0, 0, 0]
                model[f"{quantity}_range"] = list(_UNKNOWN)
                continue
            sizes = [_size(row) for row in points]
            model[quantity] = [round(float(value), 3) for value in _coefficients(sizes, values, columns)]
            low, high = np.quantile(list(_left_out(sizes, values, columns)), (0.1, 0.9))
            model[f"{quantity}_range"] = [round(min(1, float(low)), 2), round(max(1, float(high)), 2)]
    return {"projects": len(rows), "overhead": round(overhead, 2), "stages": stages}


_BY_SETTINGS = ("code_adapter", "code_adapter_evaluation")  # their seconds follow from limits on tokens and texts
_START = 8.0  # seconds of the processor until both commands run their first stage
_UNKNOWN = (0.3, 3.0)


def _size(row: dict[str, Any]) -> tuple[float, ...]:
    return ProjectSize(row["bytes"], row["commits"], row["mined"]).features()


def _value(row: dict[str, Any], asset: str, quantity: str, overhead: float) -> float:
    value = row["stages"][asset][quantity]
    value = value / 1e6 if quantity == "disk" else value + overhead if quantity == "seconds" else value
    return float(max(value, _LEAST[quantity]))


def _coefficients(sizes: list[tuple[float, ...]], values: list[float], columns: tuple[int, ...]) -> np.ndarray:
    """Least squares of the relative deviations, none negative, moved so that as many are above as below."""
    matrix = np.array(sizes)[:, columns] / np.array(values)[:, None]
    coefficients = np.zeros(4)
    coefficients[list(columns)] = nnls(matrix, np.ones(len(values)))[0]
    estimates = [max(np.dot(coefficients, size), 1e-9) for size in sizes]
    return coefficients * median(value / estimate for value, estimate in zip(values, estimates, strict=True))


def _left_out(sizes: list[tuple[float, ...]], values: list[float], columns: tuple[int, ...]) -> Iterator[float]:
    """Measured over estimated, for each project from the others."""
    for index, value in enumerate(values):
        rest = [number for number in range(len(values)) if number != index]
        model = _coefficients([sizes[n] for n in rest], [values[n] for n in rest], columns)
        yield value / float(np.dot(model, sizes[index]))


def errors(rows: list[dict[str, Any]]) -> None:
    """Print how many stages are within a factor 2 when their project is left out, and the sums of the projects."""
    right = count = 0
    for row in rows:
        model = fit([other for other in rows if other is not row], [])
        inside, expected, real = 0, 0.0, 0.0
        for asset in row["stages"]:
            estimate = float(np.dot(model["stages"][asset]["seconds"], _size(row)))
            value = _value(row, asset, "seconds", model["overhead"])
            inside += 0.5 <= estimate / value <= 2
            expected, real = expected + estimate, real + value
        right, count = right + inside, count + len(row["stages"])
        print(
            f"{row['project']:<16} {inside} of {len(row['stages'])} stages, {expected:.0f} s estimated of {real:.0f} s"
        )
    print(f"{right} of {count} stages within a factor 2: {right / count:.0%}")


def main() -> None:
    """Measure or fit."""
    command, folder, paths = sys.argv[1], Path(sys.argv[2]).absolute(), list(map(Path, sys.argv[3:]))
    cores = len(os.sched_getaffinity(0))
    if command in ("measure", "again"):
        for repository in paths:
            row = measure(folder, repository, 1 if command == "measure" else cores)
            (folder / f"{row['project']}-{row['mined']}.{command}.json").write_text(json.dumps(row, indent=1))
    elif command == "fit":
        alone, together = (
            [json.loads(path.read_text()) for path in sorted(folder.glob(f"*.{kind}.json"))]
            for kind in ("measure", "again")
        )
        fitted = fit(alone, [record(path) for path in paths])
        for asset, share in mapped(alone, together, cores).items():
            fitted["stages"][asset]["mapped"] = share
        lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(model)}" for name, model in fitted.pop("stages").items())
        FITTED.write_text(f'{json.dumps(fitted)[:-1]}, "stages": {{\n{lines}\n}}}}\n')
        errors(alone)


if __name__ == "__main__":
    main()
