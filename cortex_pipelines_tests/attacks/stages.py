"""Stages of ``make attack``: the long form of each file of attacks, its result kept as JSON."""

import ast
import hashlib
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from xml.etree import ElementTree

PATTERN = "test_attack*.py"
_MINUTES = re.compile(r"^MINUTES = ([\d.]+)", re.MULTILINE)
_PASSED, _FAILED = 0, 1


@dataclass(frozen=True)
class Result:
    """What a stage came to."""

    code: str
    status: int
    held: int
    broken: int
    skipped: int
    minutes: float

    @property
    def is_complete(self) -> bool:
        """Whether pytest came to its end; if not, the stage is run again."""
        return self.status in (_PASSED, _FAILED)


@dataclass(frozen=True)
class Stage:
    """A file of attacks."""

    file: Path
    folder: Path

    @property
    def name(self) -> str:
        """Name on the command line: that of the file without what all have in common."""
        return re.sub(r"^test_attacks?_", "", self.file.stem)

    @property
    def summary(self) -> str:
        """First line of the file's docstring."""
        doc = ast.get_docstring(ast.parse(self._text())) or ""
        return doc.split("\n", 1)[0]

    @property
    def log(self) -> Path:
        """Output of pytest's last run of it."""
        return self.folder / f"{self.name}.log"

    def last(self) -> Result | None:
        """Result of the last run, of whatever version of the code; None before the first."""
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
        result_path = self.folder / f"{self.name}.json"
        partial_path = result_path.with_suffix(".part")
        partial_path.write_text(json.dumps(asdict(result), indent=1) + "\n", encoding="utf-8")
        partial_path.replace(result_path)
        return result

    def _text(self) -> str:
        return self.file.read_text(encoding="utf-8")


def stages_in(tests: Path, folder: Path) -> list[Stage]:
    """All files of attacks in a folder, by name; results are kept in ``folder``."""
    return [Stage(file, folder) for file in sorted(tests.glob(PATTERN))]


def _counts(report: Path) -> tuple[int, int, int]:
    """Attacks held, tests broken and tests skipped in a JUnit report.

    A test that does many attacks says how many by ``record_property("attacks", n)``. One that
    failed counts for nothing held: nobody knows how far it came.
    """
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
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    digest = hashlib.sha256()
    for name in sorted(set(tracked.split("\0")) - {""}):
        path = root / name
        if path.is_file():
            digest.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\0".encode())
    return digest.hexdigest()[:16]


def markdown(results: Iterable[tuple[str, Result]]) -> str:
    """Results by stage as a table in Markdown, with a line for their sum."""
    lines = ["| stage | attacks | held | broken | skipped | minutes |", "| --- | ---: | ---: | ---: | ---: | ---: |"]
    sums = [0, 0, 0, 0]
    minutes = 0.0
    for name, result in results:
        row = (result.held + result.broken, result.held, result.broken, result.skipped)
        sums = [total + number for total, number in zip(sums, row, strict=True)]
        minutes += result.minutes
        note = "" if result.is_complete else f" (did not end: status {result.status})"
        lines.append(_line(name + note, row, result.minutes))
    lines.append(_line("all", sums, minutes))
    return "\n".join(lines) + "\n"


def _line(name: str, numbers: Iterable[int], minutes: float) -> str:
    cells = " | ".join(f"{number:,}" for number in numbers)
    return f"| {name} | {cells} | {minutes:.1f} |"
