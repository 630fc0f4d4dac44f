import json
import sys
from pathlib import Path
from typing import Any

import pytest

from cortex_pipelines.execution.tests import test_run

JOB: dict[str, Any] = {"mutant_id": "m", "path": "toys.py", "tests": ["test_toys.py"], "naming": ["test_toys.py"]}
TOYS = "def add(a, b):\n    return a + a\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "toys.py").write_text(TOYS)
    (folder / "test_toys.py").write_text("from toys import add\ndef test_add(): assert add(1, 1) == 2\n")
    monkeypatch.setattr(test_run, "PROJECT", folder)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.delitem(sys.modules, "toys", raising=False)
    return folder


@pytest.fixture
def unforked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work that is forked is done in this process instead."""

    def work_here(work: Any, seconds: float) -> Any:
        sys.modules.pop("toys", None)
        return work()

    monkeypatch.setattr(test_run, "_forked", work_here)


def buggy(old: str, new: str, **changes: Any) -> dict[str, Any]:
    return JOB | {"buggy_file": TOYS.replace(old, new)} | changes


def test_a_fork_answers_or_is_ended(project: Path) -> None:
    import time

    assert test_run._forked(lambda: {"a": 1}, 20) == {"a": 1}
    assert test_run._forked(lambda: time.sleep(60) or {}, 0.3) is None

    def fail() -> dict[str, Any]:
        raise OSError

    assert test_run._forked(fail, 20) == {"code": 1, "words": "the process ended without an answer"}


def test_tests_decide_first(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = iter([{"code": 1, "words": "test_add fails"}, {"code": 0, "words": ""}, None])
    monkeypatch.setattr(test_run, "_forked", lambda work, seconds: next(codes))
    target, tests = project / "toys.py", {"test_toys.py": ()}
    job = buggy("a + a", "a - a")
    answers = [test_run._run_tests(job, target, TOYS.encode(), tests, 1.0) for _ in range(3)]
    assert ([answer["result"] for answer in answers], answers[0]["detail"]) == (["yes", "no", "yes"], "test_add fails")
    assert "do not end" in answers[2]["detail"]
    assert test_run._run_tests(job, target, b"", {}, 1.0)["result"] == "unknown"
    monkeypatch.setattr(test_run, "_forked", lambda work, seconds: {"code": 0, "words": ""})
    unnamed = test_run._run_tests(job | {"naming": []}, target, TOYS.encode(), tests, 1.0)
    assert unnamed["result"] == "unknown"


def test_a_test_that_fails_as_it_is_is_of_no_use_but_those_beside_it_are(monkeypatch: pytest.MonkeyPatch) -> None:
    good = {"code": 0, "words": "", "passed": 2}
    codes = iter([{"code": 1, "words": "no"}, None, good, good | {"passed": 0}])
    monkeypatch.setattr(test_run, "_forked", lambda work, seconds: next(codes))
    assert test_run._baseline("a", 1, False).trouble == "a fails as it is: no"
    assert test_run._baseline("b", 1, False).trouble == "b takes longer than 1 s"
    assert test_run._baseline("c", 1, False) == test_run.Baseline("")
    assert test_run._baseline("d", 1, False).trouble == "d is skipped"
    partly_failing = {"code": 1, "words": "a::x fails", "passed": 2, "failing": ["a::x"]}
    failed = {"code": 1, "words": "a::y fails"}
    answers: list[dict[str, Any]] = []
    monkeypatch.setattr(test_run, "_forked", lambda work, seconds: answers.pop(0))
    answers += [partly_failing, {"code": 0, "words": "", "passed": 2}]
    assert test_run._baseline("a", 1, False) == test_run.Baseline("", ("a::x",))
    answers += [partly_failing, failed]  # y passes only after x
    assert test_run._baseline("a", 1, False).trouble == "a fails as it is: a::x fails"
    answers += [partly_failing | {"passed": 0}]
    assert test_run._baseline("a", 1, False).trouble
    answers += [partly_failing]
    assert test_run._baseline("a", 1, True).trouble  # what is asked is this very test
    assert not answers


def test_the_error_of_a_report_has_no_chance_in_it() -> None:
    class Report:
        nodeid, failed, passed, when = "test_a", True, False, "call"

        def __init__(self, longrepr: object) -> None:
            self.longrepr = longrepr

    class Crash:
        def __init__(self, message: str) -> None:
            self.reprcrash = self
            self.message = message

    assert test_run._error(Report(Crash("ValueError: at 0x7f"))) == "ValueError"
    assert test_run._error(Report(Crash("assert 1 == 2"))) == "AssertionError"
    missing = "E   ModuleNotFoundError: No module named 'x.y'"
    assert test_run._error(Report(missing)) == "ModuleNotFoundError: No module named 'x.y'"
    assert test_run._error(Report("something else")) == "an error"
    recorder = test_run._Tests(())
    recorder.pytest_collectreport(Report(missing))
    recorder.pytest_runtest_logreport(Report(missing))
    assert recorder.first.startswith("test_a cannot be collected: ModuleNotFoundError")
    other = test_run._Tests(())
    other.pytest_runtest_logreport(Report(Crash("KeyError: 1")))
    assert (other.first, bool(other.passed)) == ("test_a fails by KeyError", False)


@pytest.mark.usefixtures("unforked")
def test_jobs_get_lines(project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def tested(*_: object, **__: object) -> dict[str, Any]:
        return {"code": int("a - a" in (project / "toys.py").read_text()), "words": "", "passed": 1}

    monkeypatch.setattr(test_run, "_pytest", tested)
    jobs = [buggy("a + a", "a - a", mutant_id="1"), buggy("a + a", "a + a  #", mutant_id="2")]
    task = {"jobs": jobs, "roots": [""], "test_seconds": 5}
    Path("jobs.json").write_text(json.dumps(task))
    test_run.main()
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["mutant_id"], row["result"]) for row in rows] == [("1", "yes"), ("2", "no")]
