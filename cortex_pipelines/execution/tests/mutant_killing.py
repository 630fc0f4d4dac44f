"""Check which mutants of Python code are killed by tests."""

import contextlib
import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from typing import Any

from cortex_pipelines.atomic import temporary_folder
from cortex_pipelines.augmentation.settings import AugmentationSettings
from cortex_pipelines.execution.sandbox import sandbox
from cortex_pipelines.execution.tests.environment import OWN, Interpreter, module_place, write_project

_TEST_FILE = re.compile(r"(?:^|/)(?:test_[^/]*|[^/]*_test)\.py$")
_MOST_TESTS = 2
_WORDS = re.compile(r"\w+")


@dataclass(frozen=True)
class MutantUnderTest:
    mutant_id: str
    path: str
    qualified_name: str
    buggy_file: str


Answer = tuple[str, str]  # ``yes``, ``no`` or ``unknown``, and why


def find_killed(
    subjects: list[MutantUnderTest],
    texts: dict[str, str],
    settings: AugmentationSettings,
    interpreter: Interpreter = OWN,
) -> dict[str, Answer]:
    """Whether a related test notices each mutant; tests that fail on the original are left out."""
    unavailable = sandbox.unavailable()
    if unavailable is not None:
        return {subject.mutant_id: ("unknown", unavailable) for subject in subjects}
    tests = pytest_files(texts)
    return run_jobs([_job(subject, texts, tests) for subject in subjects], texts, settings, interpreter)


def run_jobs(
    jobs: list[dict[str, Any]], texts: dict[str, str], settings: AugmentationSettings, interpreter: Interpreter = OWN
) -> dict[str, Answer]:
    from cortex_pipelines.execution.tests import test_run  # imports pytest

    roots = ["", "src", *sorted({module_place(job["path"], texts)[0] for job in jobs} - {"", "src"})]
    task = {"jobs": jobs, "roots": roots, "test_seconds": settings.test_seconds}
    limits = settings.sandbox_limits(settings.verification_seconds)
    answers = {}
    with temporary_folder("trial") as folder:
        write_project(folder, texts)
        (folder / "jobs.json").write_text(json.dumps(task), encoding="utf-8")
        shutil.copyfile(test_run.__file__, folder / "trial.py")
        command = [str(interpreter.program), "trial.py"]
        try:
            result = sandbox.run(command, folder, limits, interpreter.variables, interpreter.readable_paths)
        except sandbox.SandboxError as error:
            return {job["mutant_id"]: ("unknown", f"the sandbox failed: {error}") for job in jobs}
    for line in result.stdout.decode(errors="replace").splitlines():
        with contextlib.suppress(ValueError, KeyError, TypeError):  # the last line may be cut
            row = json.loads(line)
            if str(row["result"]) in ("yes", "no", "unknown"):
                answers[str(row["mutant_id"])] = (str(row["result"]), str(row["detail"]))
    words = result.stderr.decode(errors="replace").strip().splitlines()
    trouble = f"the trial ended early: {words[-1] if words else result.status}"
    if result.stopped:
        trouble = f"not reached: the sandbox was stopped by its limit of {result.stopped}"
    return {job["mutant_id"]: answers.get(job["mutant_id"], ("unknown", trouble)) for job in jobs}


def pytest_files(texts: dict[str, str]) -> dict[str, set[str]]:
    """Test files of pytest, with the words in each and, without ``test``, in its path."""
    return {
        path: {*_WORDS.findall(text), *_WORDS.findall(re.sub(r"test_|_test\b", " ", path))}
        for path, text in texts.items()
        if _TEST_FILE.search(path)
    }


def used_as(qualified_name: str) -> str:
    """The word by which a test uses a unit; special methods are not called by name."""
    *owners, name = qualified_name.split(".")
    return owners[-1] if owners and name.startswith("__") else name


def _job(subject: MutantUnderTest, texts: dict[str, str], tests: dict[str, set[str]]) -> dict[str, Any]:
    _, module = module_place(subject.path, texts)
    return {
        "mutant_id": subject.mutant_id,
        "path": subject.path,
        "buggy_file": subject.buggy_file,
        "tests": _related(subject, module.split("."), tests),
        "naming": [path for path, words in tests.items() if used_as(subject.qualified_name) in words],
    }


def _related(subject: MutantUnderTest, module: Sequence[str], tests: dict[str, set[str]]) -> list[str]:
    """Test files that use the unit, then others of its class and module, at most a few.

    Of those that use it the ones with its rarest words come first: a file with ``append`` may be
    about any list, one with ``bitstring`` is about that module.
    """
    if subject.path in tests:
        return [subject.path]
    telling = {
        word: log(len(tests) / files)
        for word in sorted({*module, *subject.qualified_name.split(".")})
        if (files := sum(word in words for words in tests.values()))
    }
    used = used_as(subject.qualified_name)
    ranked = [
        (used not in words, -sum(telling[word] for word in matching), len(words), path)
        for path, words in tests.items()
        if (matching := [word for word in telling if word in words])
    ]
    return [path for *_, path in sorted(ranked)][:_MOST_TESTS]


@dataclass(frozen=True)
class SingleTest:
    """One test (pytest's ``node``) in its file, with the file of the unit it tests and mutants of that file."""

    name: str
    path: str
    mutants: tuple[str, ...]
    test_path: str
    test_file: str
    node: str


@dataclass(frozen=True)
class TestOutcome:
    """``passes`` is None where the test could not be run; ``killed`` are mutants with which it fails."""

    passes: bool | None
    killed: int
    detail: str


def run_single_tests(
    tests: Sequence[SingleTest], texts: dict[str, str], settings: AugmentationSettings, interpreter: Interpreter = OWN
) -> list[TestOutcome]:
    unavailable = sandbox.unavailable()
    if unavailable is not None or not tests:
        return [TestOutcome(None, 0, unavailable or "") for _ in tests]
    jobs = []
    for test in tests:
        job = {
            "path": test.path,
            "files": {test.test_path: test.test_file},
            "tests": [test.node],
            "naming": [test.node],
        }
        jobs.append({**job, "mutant_id": f"{test.name}:right"})
        for index, mutant in enumerate(test.mutants):
            jobs.append({**job, "mutant_id": f"{test.name}:{index}", "buggy_file": mutant})
    answers = run_jobs(jobs, texts, settings, interpreter)
    verdicts = []
    for test in tests:
        failed, detail = answers[f"{test.name}:right"]
        passes = {"yes": False, "no": True}.get(failed)
        results = [answers[f"{test.name}:{index}"][0] for index in range(len(test.mutants))]
        if passes and "unknown" in results:  # the time is up: a part would count as too few
            passes, detail = None, answers[f"{test.name}:{results.index('unknown')}"][1]
        verdicts.append(TestOutcome(passes, results.count("yes") if passes else 0, detail))
    return verdicts
