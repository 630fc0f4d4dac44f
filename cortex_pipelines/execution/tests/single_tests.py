"""Check single tests: whether they pass with the right code, and which mutants of it they kill."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cortex_pipelines.augmentation.settings import AugmentationSettings
from cortex_pipelines.execution.sandbox import sandbox
from cortex_pipelines.execution.tests.environment import OWN, Interpreter
from cortex_pipelines.execution.tests.mutant_killing import run_jobs


@dataclass(frozen=True)
class SingleTest:
    """One test in its file.

    Args:
        name: Its unique name.
        path: File of the unit that is tested.
        mutants: Versions of that file, each with one error.
        test_path: File of the test.
        test_file: That file with the test in it.
        node: Its pytest node id.
    """

    name: str
    path: str
    mutants: tuple[str, ...]
    test_path: str
    test_file: str
    node: str


@dataclass(frozen=True)
class TestOutcome:
    """Outcome of a test on the correct code and on mutants.

    Args:
        passes: Whether it passes with the right code; None where it could not be run. A test that
            is skipped does not pass.
        killed: Mutants with which it fails; 0 where it fails with the right code too.
        detail: The failure, or the reason why nothing was run.
    """

    passes: bool | None
    killed: int
    detail: str


def run_single_tests(
    tests: Sequence[SingleTest], texts: dict[str, str], settings: AugmentationSettings, interpreter: Interpreter = OWN
) -> list[TestOutcome]:
    unavailable = sandbox.unavailable()
    if unavailable is not None or not tests:
        return [TestOutcome(None, 0, unavailable or "") for _ in tests]
    jobs = [job for test in tests for job in _jobs(test)]
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


def _jobs(test: SingleTest) -> Iterator[dict[str, Any]]:
    job = {"path": test.path, "files": {test.test_path: test.test_file}, "tests": [test.node], "naming": [test.node]}
    yield {**job, "mutant_id": f"{test.name}:right"}
    for index, mutant in enumerate(test.mutants):
        yield {**job, "mutant_id": f"{test.name}:{index}", "buggy_file": mutant}
