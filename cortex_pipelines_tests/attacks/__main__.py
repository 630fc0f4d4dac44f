"""``python -m cortex_pipelines_tests.attacks [NAME…]``: run the long attacks stage by stage.

A stage is the long form of a file of attacks, its result kept as JSON. One that is done for the code as it stands is
not run again; an interrupted one is.
"""

import argparse
import ast
import hashlib
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from xml.etree import ElementTree

from cortex_pipelines.atomic import write_whole

ROOT = Path(__file__).parents[2]
_MINUTES = re.compile(r"^MINUTES = ([\d.]+)", re.MULTILINE)


@dataclass(frozen=True)
class Result:
    code: str
    status: int
    held: int
    broken: int
    skipped: int
    minutes: float

    @property
    def is_complete(self) -> bool:
        """Whether pytest came to its end; if not, the stage is run again."""
        return self.status in (0, 1)


@dataclass(frozen=True)
class Stage:
    file: Path
    folder: Path

    @property
    def name(self) -> str:
        """Name on the command line: that of the file without what all have in common."""
        return re.sub(r"^test_attacks?_", "", self.file.stem)

    @property
    def summary(self) -> str:
        return (ast.get_docstring(ast.parse(self._text())) or "").split("\n", 1)[0]

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.log"

    def last(self) -> Result | None:
        path = self.folder / f"{self.name}.json"
        return Result(**json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None

    def current_result(self, code: str) -> Result | None:
        """Result for this version of the code; None if missing or cut short."""
        last = self.last()
        return last if last is not None and last.code == code and last.is_complete else None

    def estimate(self) -> float | None:
        """Minutes: of the last run that ended, else what the file says (``MINUTES = 5``)."""
        last = self.last()
        if last is not None and last.is_complete:
            return last.minutes
        declared = _MINUTES.search(self._text())
        return float(declared[1]) if declared else None

    def run(self, code: str) -> Result:
        """Run the tests marked ``attack``, or all of a file that marks none; keep the result."""
        self.folder.mkdir(parents=True, exist_ok=True)
        report = self.folder / f"{self.name}.xml"
        report.unlink(missing_ok=True)
        marked = "attack" if "mark.attack" in self._text() else ""
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-m", marked]
        begun = time.monotonic()
        with self.log.open("w", encoding="utf-8") as log:
            status = subprocess.run(
                [*command, f"--junitxml={report}", str(self.file)], stdout=log, stderr=subprocess.STDOUT
            ).returncode
        minutes = round((time.monotonic() - begun) / 60, 2)
        result = Result(code, status, *_counts(report), minutes)
        write_whole(self.folder / f"{self.name}.json", json.dumps(asdict(result), indent=1) + "\n")
        return result

    def _text(self) -> str:
        return self.file.read_text(encoding="utf-8")


def stages_in(tests: Path, folder: Path) -> list[Stage]:
    """All files of attacks in a folder, by name; results are kept in ``folder``."""
    return [Stage(file, folder) for file in sorted(tests.glob("test_attack*.py"))]


def _counts(report: Path) -> tuple[int, int, int]:
    """Attacks held (by ``record_property("attacks", n)``, else one a test), tests broken and tests skipped."""
    succeeded = broken = skipped = 0
    if report.exists():
        for case in ElementTree.parse(report).iter("testcase"):
            if case.find("failure") is not None or case.find("error") is not None:
                broken += 1
            elif case.find("skipped") is not None:
                skipped += 1
            else:
                number = case.find("properties/property[@name='attacks']")
                succeeded += 1 if number is None else int(number.attrib["value"])
    return succeeded, broken, skipped


def code_version(root: Path) -> str:
    """Hash over the names and bytes of all that git tracks, or would, in a working tree."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    tracked = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout
    digest = hashlib.sha256()
    for name in sorted(set(tracked.split("\0")) - {""}):
        path = root / name
        if path.is_file():
            digest.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\0".encode())
    return digest.hexdigest()[:16]


def markdown(results: Iterable[tuple[str, Result]]) -> str:
    lines = ["| stage | attacks | held | broken | skipped | minutes |", "| --- | ---: | ---: | ---: | ---: | ---: |"]
    sums, minutes = [0, 0, 0, 0], 0.0
    rows: list[tuple[str, Iterable[int], float]] = []
    for name, result in results:
        row = (result.held + result.broken, result.held, result.broken, result.skipped)
        sums = [total + number for total, number in zip(sums, row, strict=True)]
        minutes += result.minutes
        note = "" if result.is_complete else f" (did not end: status {result.status})"
        rows.append((name + note, row, result.minutes))
    for name, numbers, duration in (*rows, ("all", sums, minutes)):
        lines.append(f"| {name} | {' | '.join(f'{number:,}' for number in numbers)} | {duration:.1f} |")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make attack", description=__doc__)
    parser.add_argument("names", nargs="*", help="stages; none: all")
    parser.add_argument("--again", action="store_true", help="run also what is done")
    parser.add_argument("--plan", action="store_true", help="say what would run, and stop")
    parser.add_argument("--state", type=Path, default=ROOT / ".cortex" / "attack", help="folder for the results")
    parser.add_argument("--tests", type=Path, default=Path(__file__).parent, help="the stages")
    options = parser.parse_args(arguments)
    stages = stages_in(options.tests, options.state)
    unknown = set(options.names) - {stage.name for stage in stages}
    if unknown:
        names = ", ".join(stage.name for stage in stages)
        parser.error(f"no stage {', '.join(sorted(unknown))}; there are: {names}")
    stages = [stage for stage in stages if not options.names or stage.name in options.names]
    if not stages:
        parser.error(f"{options.tests}: no stages; give a folder with files of attacks to --tests")
    code = code_version(ROOT)
    current = {stage.name: stage.current_result(code) for stage in stages}
    finished = {name: result for name, result in current.items() if result and not options.again}
    for stage in stages:
        minutes = stage.estimate()
        lasts = "minutes not known" if minutes is None else f"about {minutes:.1f} minutes"
        print(f"{stage.name:<14} {'done before' if stage.name in finished else lasts:<20} {stage.summary}")
    remaining_minutes = sum(stage.estimate() or 0 for stage in stages if stage.name not in finished)
    print(f"about {remaining_minutes:.0f} minutes in all")
    if options.plan:
        return 0
    results = [(stage.name, finished.get(stage.name) or _run(stage, code)) for stage in stages]
    table = markdown(results)
    (options.state / "attack.md").write_text(table, encoding="utf-8")
    print(f"\n{table}\nwritten to {options.state / 'attack.md'}")
    return 0 if all(result.status == 0 for _, result in results) else 1


def _run(stage: Stage, code: str) -> Result:
    print(f"\n{stage.name}: begun", flush=True)
    result = stage.run(code)
    print(f"{stage.name}: {result.held:,} held, {result.broken:,} broken", flush=True)
    if result.status:
        print("".join(stage.log.read_text(encoding="utf-8").splitlines(keepends=True)[-40:]))
        print(f"all of it: {stage.log}", flush=True)
    return result


if __name__ == "__main__":
    sys.exit(main())
