"""Run tests on mutants inside the sandbox; standard library only.

Reads ``jobs.json`` beside it and prints a line of JSON for each answer, as soon as it has it, so that running out of
time costs only what was not reached. The project lies in ``project/``. Every trial is a fork of this process, which has
imported pytest and nothing of the project: starting Python again for each mutant would cost more than most tests do.
"""

import contextlib
import io
import json
import os
import re
import select
import signal
import sys
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

try:
    import pytest
except ImportError:  # then nothing is tested, only called
    pytest = None  # type: ignore[assignment]

PROJECT = Path("project").resolve()
_PATIENCE = 2  # time limit as a multiple of the original's, so that load does not kill mutants
_ENOUGH = 1 << 20


@dataclass(frozen=True)
class Baseline:
    """Why tests cannot be used (empty if they pass), and the failing ones of a file that has passing ones."""

    trouble: str
    failing: tuple[str, ...] = ()


def main() -> None:
    task = json.loads(Path("jobs.json").read_text(encoding="utf-8"))
    sys.path[:0] = [str(PROJECT / root) for root in task["roots"]]
    seconds = float(task["test_seconds"])
    baselines: dict[str, dict[str, Baseline]] = {}
    for job in task["jobs"]:
        files = job.get("files", {})
        job_baselines = baselines.setdefault(json.dumps(files, sort_keys=True), {})
        with contextlib.ExitStack() as changed:
            for path, text in files.items():
                target = PROJECT / path
                changed.enter_context(_mutated(target, text, target.read_bytes()))
            answer = _answer(job, job_baselines, seconds)
        print(json.dumps({"mutant_id": job["mutant_id"], **answer}), flush=True)


def _answer(job: dict[str, Any], baselines: dict[str, Baseline], seconds: float) -> dict[str, str]:
    target = PROJECT / job["path"]
    original = target.read_bytes()
    strict = "files" in job
    for test in job["tests"]:
        if test not in baselines:
            baselines[test] = _baseline(test, seconds, strict)
    tests = {test: baselines[test].failing for test in job["tests"] if not baselines[test].trouble}
    troubles = [baselines[test].trouble for test in job["tests"] if baselines[test].trouble]
    if "buggy_file" not in job:  # the job is about the test, not a mutant
        return {"result": "yes" if troubles else "no", "detail": "; ".join(troubles)}
    answer = _run_tests(job, target, original, tests, seconds)
    if answer["result"] == "unknown" and not strict:
        answer["detail"] = "; ".join([answer["detail"], *troubles[:1]])
    return answer


def _baseline(test: str, seconds: float, strict: bool) -> Baseline:
    """Run a test (file or node id) on the original; if not ``strict``, failing tests of a file are deselected."""
    result = _forked(lambda: _pytest([test], to_first_failure=strict), seconds)
    if result is None:
        return Baseline(f"{test} takes longer than {seconds:g} s")
    if result["code"] == 0:
        return Baseline("" if result["passed"] else f"{test} is skipped")
    failing = tuple(result.get("failing", ()))
    if failing and result["passed"] and not strict:
        again = _forked(lambda: _pytest([test], failing), seconds)  # none may need another's traces
        if again is not None and again["code"] == 0:
            return Baseline("", failing)
    return Baseline(f"{test} fails as it is: {result['words']}")


def _run_tests(
    job: dict[str, Any], target: Path, original: bytes, tests: dict[str, tuple[str, ...]], seconds: float
) -> dict[str, str]:
    if pytest is None or not tests:
        return {"result": "unknown", "detail": "no test of it runs here"}
    patience = seconds * (len(tests) + _PATIENCE)
    failing = {name for names in tests.values() for name in names}
    with _mutated(target, job["buggy_file"], original):
        result = _forked(lambda: _pytest(list(tests), failing), patience)
    if result is None:
        return {"result": "yes", "detail": f"the tests do not end within {patience:g} s"}
    if result["code"] == 0:
        naming = [test for test in tests if test in job["naming"]]
        if naming:
            return {"result": "no", "detail": "passes " + ", ".join(naming)}
        return {"result": "unknown", "detail": "no test names it, those of its module pass"}
    return {"result": "yes", "detail": result["words"] or "the tests cannot be collected"}


def _pytest(tests: list[str], deselected: Collection[str] = (), to_first_failure: bool = True) -> dict[str, Any]:
    os.chdir(PROJECT)
    recorder = _Tests(deselected)
    arguments = ["-q", "-p", "no:cacheprovider", "-o", "addopts=", "-W", "ignore", *tests]
    code = pytest.main(["-x", *arguments] if to_first_failure else arguments, plugins=[recorder])
    return {
        "code": int(code),
        "words": recorder.first,
        "passed": len(recorder.passed - recorder.failing),
        "failing": sorted(recorder.failing),
    }


class _Tests:
    def __init__(self, deselected: Collection[str]) -> None:
        self.first = ""
        self.passed: set[str] = set()
        self.failing: set[str] = set()
        self._deselected = deselected

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        items[:] = [item for item in items if item.nodeid not in self._deselected]

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.when == "call" and report.passed:
            self.passed.add(report.nodeid)
        if report.failed:
            self.failing.add(report.nodeid)
            self.first = self.first or f"{report.nodeid} fails by {_error(report)}"

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed and not self.first:
            self.first = f"{report.nodeid} cannot be collected: {_error(report)}"


def _error(report: Any) -> str:
    """Class name of an error, without its message, which may not be deterministic."""
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash is not None else str(report.longrepr)
    missing = re.search(r"ModuleNotFoundError: No module named '[\w.]+'", text)
    if missing:
        return missing[0]
    match = re.match(r"(?:E\s+)?([\w.]*\w)(?::|$)", text.strip().splitlines()[-1 if crash is None else 0])
    return match[1] if match else "AssertionError" if crash is not None else "an error"


@contextlib.contextmanager
def _mutated(target: Path, code: str, original: bytes) -> Iterator[None]:
    target.write_bytes(code.encode())
    try:
        yield
    finally:
        target.write_bytes(original)


def _forked(work: Callable[[], dict[str, Any]], seconds: float) -> dict[str, Any] | None:
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read_end)
        code = 1
        with contextlib.suppress(BaseException):  # a child must never go on as its parent
            os.setpgid(0, 0)
            nothing = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(nothing, stream)
            sys.stdout = sys.stderr = io.StringIO()
            answer = json.dumps(work()).encode()
            while answer:
                answer = answer[os.write(write_end, answer) :]
            code = 0
        os._exit(code)
    os.close(write_end)
    data, end = b"", time.monotonic() + seconds
    try:
        while len(data) < _ENOUGH:
            remaining_seconds = end - time.monotonic()
            if remaining_seconds <= 0 or not select.select([read_end], [], [], remaining_seconds)[0]:
                return None
            chunk = os.read(read_end, 65536)
            if not chunk:
                break
            data += chunk
    finally:
        os.close(read_end)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
    try:
        outcome: dict[str, Any] = json.loads(data)
    except ValueError:
        return {"code": 1, "words": "the process ended without an answer"}
    return outcome


if __name__ == "__main__":
    main()
