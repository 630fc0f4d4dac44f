"""Run generated function bodies against the repository's own tests, and users' HumanEval-style files, in the sandbox.

As in the verification of injected bugs, a unit's related tests first run on the original
repository, then those that pass there on the repository with the generated body. The outcome only
counts if some of them fail with a body that raises.
"""

import ast
import hashlib
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import comb, fsum
from pathlib import Path
from typing import Any

import polars as pl

from cortex_pipelines.atomic import temporary_folder
from cortex_pipelines.augmentation.settings import AugmentationSettings
from cortex_pipelines.evaluation.adapter.measures.bits_per_byte import WRITERS, ComparedModels
from cortex_pipelines.evaluation.adapter.measures.likelihood import GenerationRequest, ItemScorer
from cortex_pipelines.evaluation.settings import EvaluationSettings, ProblemFile
from cortex_pipelines.execution.sandbox import sandbox
from cortex_pipelines.execution.tests.environment import OWN, Interpreter
from cortex_pipelines.execution.tests.mutant_killing import MutantUnderTest, find_killed, pytest_files, used_as
from cortex_pipelines.prompts.examples import Example, read_examples
from cortex_pipelines.schemas.evaluation import BENCHMARK_PROBLEMS

Outcome = tuple[str | None, str]
"""``passed``, ``failed`` or None if unknown; and the reason."""

_RESULTS = {"yes": "failed", "no": "passed", "unknown": None}  # answer to: was the mutant killed
_BATCH_SIZE = 16  # bodies that share one time limit
_CANDIDATES_PER_ITEM = 4  # functions tried per requested item


@dataclass(frozen=True)
class RunnableItem:
    """A held-out Python function mentioned in a test file of its repository, and the file around its body."""

    item: Example
    source: str
    qualified_name: str
    before: bytes
    after: bytes


class Repository:
    """Files of a project's sources, and the items that their tests cover."""

    def __init__(
        self,
        repository_files: Path,
        code_units: Path,
        completion_dataset: Path,
        settings: AugmentationSettings,
        interpreter: Interpreter = OWN,
    ) -> None:
        self._interpreter = interpreter
        self._settings = settings
        files = pl.read_parquet(repository_files / "files.parquet", columns=["source", "path", "text"])
        self.texts: dict[str, dict[str, str]] = {}
        for source, path, text in files.iter_rows():
            self.texts.setdefault(source, {})[path] = text
        self.runnable = _runnable(completion_dataset, code_units, self.texts)
        self._controls: dict[str, Outcome] = {}

    def select_testable(self, items: Sequence[Example], limit: int) -> list[Example]:
        """Items to generate bodies for: first those whose tests notice a body that raises.

        At most four times ``limit`` are tried; if fewer are noticed, others fill up, whose outcome says why it is
        unknown.
        """
        noticed: list[Example] = []
        for start in range(0, min(len(items), _CANDIDATES_PER_ITEM * limit), _BATCH_SIZE):
            if len(noticed) < limit:
                batch = items[start : start + _BATCH_SIZE]
                self._control([self.runnable[item.example_id] for item in batch])
                noticed += [item for item in batch if self._is_noticed(item)]
        return [*noticed, *(item for item in items if not self._is_noticed(item))][:limit]

    def run(self, bodies: Sequence[tuple[RunnableItem, str]]) -> list[Outcome]:
        """Whether the related tests pass with each body in place of the original.

        Unknown if the tests mention the function without testing it: they pass with a body that raises.
        """
        self._control([item for item, _ in bodies])
        testable = [index for index, (item, _) in enumerate(bodies) if self._is_noticed(item.item)]
        outcomes = dict(zip(testable, self._outcomes([bodies[index] for index in testable]), strict=True))
        for index, (item, _) in enumerate(bodies):
            if index not in outcomes:
                control, detail = self._controls[item.item.example_id]
                outcomes[index] = None, "its tests pass without it as well" if control == "passed" else detail
        return [outcomes[index] for index in range(len(bodies))]

    def _is_noticed(self, item: Example) -> bool:
        return self._controls.get(item.example_id, ("", ""))[0] == "failed"

    def _control(self, items: Iterable[RunnableItem]) -> None:
        missing = {item.item.example_id: item for item in items}
        missing = {name: item for name, item in missing.items() if name not in self._controls}
        raising = [(item, _raising_body(item, "RuntimeError")) for item in missing.values()]
        self._controls |= zip(missing, self._outcomes(raising), strict=True)

    def _outcomes(self, bodies: Sequence[tuple[RunnableItem, str]]) -> list[Outcome]:
        outcomes: dict[int, Outcome] = {}
        order = sorted(range(len(bodies)), key=lambda index: bodies[index][0].item.path)
        for source in sorted({item.source for item, _ in bodies}):
            indices = [index for index in order if bodies[index][0].source == source]
            for start in range(0, len(indices), _BATCH_SIZE):
                subjects = {index: _subject(index, *bodies[index]) for index in indices[start : start + _BATCH_SIZE]}
                answers = find_killed(list(subjects.values()), self.texts[source], self._settings, self._interpreter)
                for index, subject in subjects.items():
                    result, detail = answers[subject.mutant_id]
                    broken = _syntax_error(*bodies[index])
                    # a raising call only shows whether the tests can run
                    outcome = "failed" if broken and result != "unknown" else _RESULTS[result]
                    outcomes[index] = (outcome, broken or detail)
        return [outcomes[index] for index in range(len(bodies))]


def pass_at_k(samples: int, passed: int, k: int) -> float:
    """Unbiased estimate of the probability that one of k samples passes (Chen et al. 2021)."""
    if not 1 <= k <= samples or not 0 <= passed <= samples:
        raise ValueError(f"pass@{k} of {samples} samples with {passed} passed has no meaning")
    return 1 - comb(samples - passed, k) / comb(samples, k)


def pass_at_k_metrics(results: Mapping[str, Sequence[bool]], pass_k: Sequence[int]) -> dict[str, float]:
    """``pass_at_<k>``: mean over problems with at least k samples that ran."""
    metrics = {}
    for k in pass_k:
        estimates = [pass_at_k(len(passed), sum(passed), k) for passed in results.values() if len(passed) >= k]
        if estimates:
            metrics[f"pass_at_{k}"] = fsum(estimates) / len(estimates)
    return metrics


def _runnable(
    completion_dataset: Path, code_units: Path, texts: Mapping[str, Mapping[str, str]]
) -> dict[str, RunnableItem]:
    test = pl.read_parquet(completion_dataset / "test.parquet", columns=["example_id", "unit_id", "task", "origin"])
    columns = ("unit_id", "source", "path", "language", "kind", "qualified_name", "start_byte", "end_byte", "code")
    units = pl.read_parquet(code_units / "units.parquet", columns=list(columns))
    functions = units.filter((pl.col("language") == "python") & pl.col("kind").is_in(["function", "method"]))
    rows = test.filter(task="completion", origin="original").join(functions, on="unit_id", maintain_order="left")
    examples = {example.example_id: example for example in read_examples(completion_dataset, "completion", "test")}
    tests = {source: pytest_files(dict(source_files)) for source, source_files in texts.items()}
    items = {}
    for row in rows.iter_rows(named=True):
        test_files = tests.get(row["source"], {})
        is_mentioned = any(used_as(row["qualified_name"]) in identifiers for identifiers in test_files.values())
        runnable_item = _item(row, examples[row["example_id"]], texts.get(row["source"], {}))
        if runnable_item is not None and is_mentioned and row["path"] not in test_files:
            items[row["example_id"]] = runnable_item
    return items


def _item(row: Mapping[str, object], item: Example, texts: Mapping[str, str]) -> RunnableItem | None:
    data = texts.get(str(row["path"]), "").encode()
    code = str(row["code"])
    start, end = int(str(row["start_byte"])), int(str(row["end_byte"]))
    unit = code.rstrip().encode()
    body = item.completion.encode()
    if data[start:end] != code.encode() or not unit.endswith(body):
        return None
    cut = start + len(unit) - len(body)
    return RunnableItem(item, str(row["source"]), str(row["qualified_name"]), data[:cut], data[cut + len(body) :])


def _syntax_error(item: RunnableItem, body: str) -> str:
    try:
        ast.parse(_with_body(item, body))
    except (SyntaxError, ValueError) as error:
        return f"does not parse: {error}"
    return ""


def _with_body(item: RunnableItem, body: str) -> bytes:
    return item.before + body.encode(errors="replace") + item.after


def _raising_body(item: RunnableItem, error: str) -> str:
    truth = item.item.completion
    return f"{truth[: len(truth) - len(truth.lstrip())]}raise {error}"


def _subject(index: int, item: RunnableItem, body: str) -> MutantUnderTest:
    if _syntax_error(item, body):
        # a file that does not parse would break every import of it, test set-up included
        body = _raising_body(item, "SyntaxError")
    changed_file = _with_body(item, body).decode(errors="replace")
    return MutantUnderTest(str(index), path=item.item.path, qualified_name=item.qualified_name, buggy_file=changed_file)


_KEYS = ("task_id", "prompt", "test", "entry_point")
_LONGEST = 200


class ProblemError(ValueError):
    """A benchmark file is missing, unreadable or differs from its pinned hash."""


@dataclass(frozen=True)
class Problem:
    benchmark: str
    problem: str
    prompt: str
    test: str
    entry_point: str


def read_problems(root: Path, files: Sequence[ProblemFile]) -> list[Problem]:
    """Raises ``ProblemError`` if a file is missing, has another hash, or a line lacks a key."""
    problems = []
    for file in files:
        path = root / file.path
        if not path.is_file():
            raise ProblemError(f"evaluation.benchmarks: {file.path} does not exist; put it below the project's root")
        data = path.read_bytes()
        actual = hashlib.sha256(data).hexdigest()
        if actual != file.sha256:
            raise ProblemError(
                f"evaluation.benchmarks: {file.path} has sha256 {actual}, params.yaml names "
                f"{file.sha256}; write the new one there if the file was meant to change"
            )
        for number, line in enumerate(data.decode("utf-8").splitlines(), 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                name, prompt, test, entry = (str(row[key]) for key in _KEYS)
            except (ValueError, KeyError, TypeError) as error:
                expected = f"expected a JSON object with {', '.join(_KEYS)} ({error!r})"
                raise ProblemError(f"{file.path}, line {number}: {expected}") from error
            if not entry.isidentifier():
                raise ProblemError(f"{file.path}, line {number}: entry_point {entry!r} is not a name")
            problems.append(Problem(path.name, name, prompt, test, entry))
    return problems


def problem_table(
    problems: Sequence[Problem],
    models: ComparedModels,
    scorer: ItemScorer,
    settings: EvaluationSettings,
    limits: AugmentationSettings,
) -> pl.DataFrame:
    """Samples of both models with test results; without a sandbox ``passed`` is null and ``detail`` says why."""
    unavailable_reason = sandbox.unavailable() if problems else None
    queries = [(problem, sample) for problem in problems for sample in range(settings.samples)]
    requests = []
    for problem, sample in queries:
        name, origin = problem.problem, (problem.benchmark, "python", "function")
        example = Example(name, "completion", *origin, problem.prompt, "", cluster=name)
        requests.append(GenerationRequest(example, "indented", sample))
    rows: list[dict[str, Any]] = []
    for role in WRITERS:
        outputs = scorer.outputs(requests, models.folder(role)) if queries else []
        for (problem, sample), output in zip(queries, outputs, strict=True):
            result, detail = (None, unavailable_reason) if unavailable_reason else _run(problem, output, limits)
            names = ("benchmark", "problem", "prompt")
            row = {name: getattr(problem, name) for name in names} | {"role": role, "sample": sample, "output": output}
            rows.append(row | {"passed": None if result is None else result == "passed", "detail": detail})
    return BENCHMARK_PROBLEMS.frame(rows)


def problem_metrics(table: pl.DataFrame, settings: EvaluationSettings) -> dict[str, float]:
    metrics = {}
    for role in WRITERS:
        results: dict[str, list[bool]] = {}
        role_rows = table.filter((pl.col("role") == role) & pl.col("passed").is_not_null())
        for row in role_rows.iter_rows(named=True):
            results.setdefault(f"{row['benchmark']}:{row['problem']}", []).append(row["passed"])
        for name, value in pass_at_k_metrics(results, settings.pass_k).items():
            metrics[f"problems_{role}_{name}"] = value
    return metrics


def _run(problem: Problem, output: str, settings: AugmentationSettings) -> Outcome:
    # a program that exits early has status 0 too, so only the last line's output counts
    sentinel = hashlib.sha256(f"{problem.problem}:{problem.test}".encode()).hexdigest()
    check_call = f"check({problem.entry_point})\nprint({sentinel!r})"
    program = f"{problem.prompt}{output}\n\n{problem.test}\n\n{check_call}\n"
    limits = settings.sandbox_limits(settings.test_seconds)
    with temporary_folder("problem") as folder:
        (folder / "program.py").write_text(program, encoding="utf-8", errors="replace")
        try:
            result = sandbox.run([sys.executable, "-I", "program.py"], folder, limits)
        except sandbox.SandboxError as error:
            return None, f"the sandbox failed: {error}"
    if result.stopped:
        return "failed", f"stopped by the limit of {result.stopped}"
    if result.status == 0 and result.stdout.decode(errors="replace").strip().endswith(sentinel):
        return "passed", ""
    error_lines = result.stderr.decode(errors="replace").strip().splitlines()
    return "failed", (error_lines[-1] if error_lines else f"status {result.status}")[:_LONGEST]
