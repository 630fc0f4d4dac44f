"""Run users' own HumanEval-style benchmarks in the sandbox."""

import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from cortex_pipelines.atomic import temporary_folder
from cortex_pipelines.augmentation.settings import AugmentationSettings
from cortex_pipelines.evaluation.adapter.measures.bits_per_byte import WRITERS, ComparedModels
from cortex_pipelines.evaluation.adapter.measures.likelihood import GenerationRequest, ItemScorer
from cortex_pipelines.evaluation.adapter.measures.test_runner import Outcome, pass_at_k_metrics
from cortex_pipelines.evaluation.settings import EvaluationSettings, ProblemFile
from cortex_pipelines.execution.sandbox import sandbox
from cortex_pipelines.prompts.examples import Example
from cortex_pipelines.schemas.evaluation import BENCHMARK_PROBLEMS

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
