"""How often tasks are answered on held-out units, how often rightly, how sure and how fast.

``python -m benchmarks.task_answers DATA PROJECT… [--items 12]`` reads the folder ``data`` of a root in which the data
sets of the projects are made. Questions are units of validation and test that the team's examples do not contain; the
default base answers, and nothing of an adapter. Every candidate that passes its checks is judged:

* a name is the repository's own, or has its words up to their endings;
* a refactoring no longer has the smell that it was asked to mend, has no new one, and no test of the project fails;
* documentation is prose, and names nothing that does not stand in the project;
* a test passes and fails on at least one of eight mutants that its checks have not seen.

Confidence is fitted on one half of the units (validation) and judged on the other (test), ``--write`` keeps it.
"""

import argparse
import hashlib
import json
import os
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from math import fsum
from pathlib import Path
from typing import Any

import polars as pl
from rich.console import Console
from rich.table import Table

from benchmarks.calibration import fit_steps
from benchmarks.served import base_here
from benchmarks.workspace import CHECKOUT
from cortex_pipelines.annotation.evidence import read_file
from cortex_pipelines.annotation.labels.vocabulary import LABELS
from cortex_pipelines.answers import answer
from cortex_pipelines.answers.answer import Calibration, Candidate, GeneratedText, Means, NoAnswerError
from cortex_pipelines.answers.answering import TASKS, question_of
from cortex_pipelines.answers.documentation_style import described_parameters
from cortex_pipelines.answers.question import TaskContext, TaskError
from cortex_pipelines.answers.tasks.tests import unit_of_question
from cortex_pipelines.answers.team import TEAM_ASSETS, Team
from cortex_pipelines.answers.unit import UnitError, parse_code
from cortex_pipelines.answers.written_tests import judge
from cortex_pipelines.augmentation.mutation.inject import mutate_unit
from cortex_pipelines.config import load_parameters
from cortex_pipelines.datasets.tasks.documentation import without_docstring
from cortex_pipelines.execution.tests.mutant_killing import MutantUnderTest, find_killed
from cortex_pipelines.extraction.test_cases import is_test
from cortex_pipelines.extraction.units import file_units
from cortex_pipelines.ingestion.files.languages import language_of
from cortex_pipelines.project_names import BASE
from cortex_pipelines.routing.serving.bundle import RouterError
from cortex_pipelines.serving.catalogue import Catalogue, CatalogueSource, Release, ServedModel
from cortex_pipelines.serving.gateway import Gateway
from cortex_pipelines.serving.open_gateway import gateway_over
from cortex_pipelines.serving.routing import RouterBatcher
from cortex_pipelines.serving.task_answers import GatewayWriter
from cortex_pipelines.syntax.grammars import grammar_for

EVALUATED_TASKS = ("naming", "refactoring", "documentation", "tests")
FITTED, TESTED = "validation", "test"
PARAMETERS = load_parameters(CHECKOUT)
_WORD = re.compile(r"[^\W\d]\w*")
_STATEMENT = re.compile(r"(?m)^\s*(?:[#/]|def |func |class |import |@\w+\s*$)|[{};]\s*$")
_CODE = re.compile(r"`+([^`]+)`+")


@dataclass(frozen=True)
class HeldOutQuestion:
    """A question: its task, where it is from, and what a judge has to know (``truth``)."""

    task: str
    project: str
    split: str
    unit_id: str
    text: str
    context: TaskContext
    truth: str


@dataclass(frozen=True)
class JudgedCandidate:
    """A candidate that passed its checks; ``right`` as the module says."""

    source: str
    score: float
    right: bool
    result: str


@dataclass(frozen=True)
class QuestionResult:
    task: str
    project: str
    split: str
    unit_id: str
    seconds: float
    candidates: tuple[JudgedCandidate, ...]
    reason: str


def questions(data: Path, project: str, split: str, items: int) -> Iterator[HeldOutQuestion]:
    """Held-out questions of each task, drawn by hash."""
    units = pl.read_parquet(data / f"code_units/{project}/units.parquet")
    split_rows = pl.read_parquet(data / f"unit_splits/{project}/splits.parquet").filter(split=split)
    units = units.join(split_rows, on="unit_id", how="semi").filter(pl.col("kind").is_in(["function", "method"]))
    units = units.filter(~pl.col("has_error") & pl.col("body_start_byte").is_not_null())
    rows = {row["unit_id"]: row for row in units.iter_rows(named=True) if not is_test(row["path"])}
    by_hash = sorted(rows.values(), key=lambda row: hashlib.sha256(row["unit_id"].encode()).hexdigest())
    python = [row for row in by_hash if row["language"] == "python"]
    for task, task_rows in (("documentation", by_hash), ("tests", python)):
        for row in task_rows[:items]:
            yield HeldOutQuestion(
                task,
                project,
                split,
                row["unit_id"],
                _question_text(row, task),
                TaskContext(path=row["path"]),
                row["name"],
            )
    findings = pl.read_parquet(data / f"annotated_units/{project}/findings.parquet").filter(pl.col("kind") != "pattern")
    smells = dict(findings.select("unit_id", "label").iter_rows())
    for row in [row for row in by_hash if row["unit_id"] in smells][:items]:
        context = TaskContext(path=row["path"], smell=smells[row["unit_id"]])
        yield HeldOutQuestion(
            "refactoring", project, split, row["unit_id"], row["code"], context, smells[row["unit_id"]]
        )
    names = pl.read_parquet(data / f"naming_dataset/{project}/{split}.parquet").filter(origin="original")
    naming_rows = sorted(
        names.iter_rows(named=True), key=lambda row: hashlib.sha256(row["example_id"].encode()).hexdigest()
    )
    for row in naming_rows[: 2 * items]:  # about half of them are lines of several places, which do not parse
        text = row["prompt"].rsplit("\n\n", 1)[0]
        context = TaskContext(path=row["path"], kind=row["kind"])
        yield HeldOutQuestion("naming", project, split, row["unit_id"], text, context, row["completion"].strip())


def _question_text(row: Mapping[str, Any], task: str) -> str:
    """A unit as one would send it: a method of Python under its class; for documentation without its own."""
    code: str = row["code"]
    if row["language"] != "python":
        return code
    if task == "documentation" and row["docstring"]:
        offset = row["body_start_byte"] - row["start_byte"]
        code = without_docstring(code, "python", row["docstring"], offset) or code
    header = row["context"].strip().split("\n")[-1]
    return f"{header}\n    {code}" if row["kind"] == "method" and header else code


# --- answers ---


def open_gateway(data: Path, projects: Sequence[str], state: Path) -> Gateway:
    base = base_here()

    def team(name: str) -> Team:
        return Team(name, {asset: data / asset / name for asset in TEAM_ASSETS if (data / asset / name).is_dir()})

    models = {
        name: ServedModel(name, Release("base", base.digest), team=cache(partial(team, name))) for name in projects
    }
    models[BASE] = ServedModel(BASE, Release("base", base.digest))
    catalogue = Catalogue(models, BASE, base.name)

    def no_router() -> Any:
        raise RouterError("nothing is routed here")

    def no_examples(_folder: Path) -> Any:
        raise LookupError("no similar code is shown here")

    source = CatalogueSource(lambda: catalogue, lambda: 0)
    router = RouterBatcher(no_router, lambda: None)
    return gateway_over(state, PARAMETERS, base, None, source, no_examples, router)


class _NoModel:
    def __call__(self, *_: object, **__: object) -> list[GeneratedText]:
        return []

    def notes(self) -> list[str]:
        return []


NO_MODEL = _NoModel()


def _processor_seconds() -> float:
    """Of this process and of what it ran in the sandbox; a busy machine changes them less than the clock."""
    return fsum(os.times()[:4])


def run_question(
    gateway: Gateway, held_out: HeldOutQuestion, right: Callable[[HeldOutQuestion, Candidate], bool], patience: float
) -> QuestionResult | None:
    """All candidates that pass; None for what cannot be asked."""
    served = gateway.source.current.models[held_out.project]
    team = served.team() if served.team is not None else Team()
    began, spent = time.perf_counter(), _processor_seconds()
    try:
        question = question_of(held_out.task, held_out.text, held_out.context, PARAMETERS)
        budget = getattr(PARAMETERS.serving.tasks, held_out.task)
        writer = GatewayWriter(
            gateway, held_out.project, served, question, budget, began + patience * budget.seconds, team
        )
        means = Means(writer if patience else NO_MODEL, team, writer.left, PARAMETERS, Calibration())
        checks = TASKS[held_out.task].checks(question, means)
    except TaskError:
        return None
    passed: list[Candidate] = []
    reason = ""
    try:
        for candidate in TASKS[held_out.task].candidates(question, means):
            refusal = next(
                (reason_text for check in checks if (reason_text := check.refusal(candidate)) is not None), None
            )
            if refusal is None:
                passed.append(candidate)
            reason = refusal or reason
            if patience and writer.left() <= 0:
                break
    except NoAnswerError as error:
        reason = str(error)
    seconds = _processor_seconds() - spent
    reason = "" if passed else "; ".join([*writer.notes(), reason])
    results = tuple(JudgedCandidate(each.source, each.score, right(held_out, each), each.result) for each in passed)
    return QuestionResult(
        held_out.task, held_out.project, held_out.split, held_out.unit_id, round(seconds, 3), results, reason
    )


# --- judges ---


@dataclass(frozen=True)
class Judge:
    data: Path

    def __call__(self, held_out: HeldOutQuestion, candidate: Candidate) -> bool:
        judge_of = {
            "naming": _same_stem,
            "refactoring": self._removes_smell,
            "documentation": self._exists,
            "tests": self._kills,
        }
        return bool(judge_of[held_out.task](held_out, candidate.result))

    @cache  # noqa: B019 - one judge a run
    def _texts(self, project: str) -> dict[str, str]:
        files = pl.read_parquet(self.data / f"repository_files/{project}/files.parquet", columns=["path", "text"])
        return dict(files.drop_nulls().iter_rows())

    @cache  # noqa: B019
    def _vocabulary(self, project: str) -> frozenset[str]:
        return frozenset(word for text in self._texts(project).values() for word in _WORD.findall(text))

    def _exists(self, held_out: HeldOutQuestion, result: str) -> bool:
        signature = held_out.text.partition("{" if not held_out.context.path.endswith(".py") else "):")[0]
        parameters = set(_WORD.findall(signature))
        quoted = {word for code in _CODE.findall(result) for word in _WORD.findall(re.sub(r"(['\"]).*?\1", "", code))}
        marked = {
            word
            for word in _WORD.findall(_CODE.sub(" ", result))
            if "_" in word.strip("_") or word[1:] != word[1:].lower()
        }
        project_words = self._vocabulary(held_out.project)
        is_prose = not _STATEMENT.search(result)
        return is_prose and set(described_parameters(result)) <= parameters and quoted | marked <= project_words

    def _removes_smell(self, held_out: HeldOutQuestion, result: str) -> bool:
        before, after = (_smells(text, held_out.context.path) for text in (held_out.text, result))
        is_removed = after.count(held_out.truth) < before.count(held_out.truth)
        return is_removed and len(after) < len(before) and self._passes(held_out, result)

    def _passes(self, held_out: HeldOutQuestion, result: str) -> bool:
        """Whether no test of the project that uses the unit fails with a change; nothing is known outside of Python."""
        texts = self._texts(held_out.project)
        file, path = texts.get(held_out.context.path, ""), held_out.context.path
        if not path.endswith(".py") or held_out.text not in file:
            return True
        name = re.search(r"def (\w+)", held_out.text)
        subject = MutantUnderTest("it", path, name[1] if name else "", file.replace(held_out.text, result))
        settings = PARAMETERS.augmentation.model_copy(update={"verification_seconds": 60.0, "test_seconds": 30.0})
        return find_killed([subject], texts, settings)["it"][0] != "yes"

    def _kills(self, held_out: HeldOutQuestion, result: str) -> bool:
        question = question_of("tests", held_out.text, held_out.context, PARAMETERS)
        unit = unit_of_question(
            question,
            Team(held_out.project, {"repository_files": self.data / "repository_files" / held_out.project}),
            PARAMETERS,
        )
        if unit is None:
            return False
        variants = mutate_unit(unit.code, "python", unit.kind, unit.path, unit.name, 8, "judge", held_out.unit_id)
        mutants = [unit.before + mutant.buggy_code + unit.after for mutant in variants]
        fresh = replace(unit, verdicts={}, observed=None)
        fresh.mutants = mutants
        return bool(mutants) and judge(result, fresh, most=len(mutants), seconds=40.0).killed > 0


def _same_stem(held_out: HeldOutQuestion, result: str) -> bool:
    stems = (
        [_stem(word.lower()) for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+", name)]
        for name in (result, held_out.truth)
    )
    first, second = stems
    return result == held_out.truth or first == second


def _stem(word: str) -> str:
    return re.sub(r"(?:ing|ed|es|s|e)$", "", word) if len(word) > 4 else word.removesuffix("s")


def _smells(code: str, path: str) -> list[str]:
    """Labels of smells and anti-patterns in a unit; more than there are if it does not parse."""
    language = language_of(path, "") or ""
    try:
        snippet = parse_code(code, language, path).snippet
    except UnitError:
        return ["does not parse"] * 1000
    data = snippet.prefix + snippet.code + snippet.suffix
    units = [each._asdict() for each in file_units(data, language, path, PARAMETERS.extraction)]
    findings = read_file(snippet.tree, data, grammar_for(language, path), units, PARAMETERS.annotation).evidence
    return [each.label for each in dict.fromkeys(findings) if LABELS[each.label].kind != "pattern"]


# --- figures ---


def best_candidate(result: QuestionResult, fitted: Calibration) -> tuple[JudgedCandidate, float | None] | None:
    """The candidate that would be the answer, with its confidence."""
    sure = [(each, fitted.confidence(result.task, each.source, each.score)) for each in result.candidates]
    confident = [pair for pair in sure if pair[1] is None or pair[1] >= fitted.min_confidence]
    return max(confident, key=lambda pair: 1.0 if pair[1] is None else pair[1], default=None)


def fit(rows: Sequence[QuestionResult], min_confidence: float) -> Calibration:
    by_source: defaultdict[tuple[str, str], list[tuple[float, bool]]] = defaultdict(list)
    for row in rows:
        for each in row.candidates:
            by_source[row.task, each.source].append((each.score, each.right))
    steps: defaultdict[str, dict[str, Any]] = defaultdict(dict)
    for (task, source), scores in sorted(by_source.items()):
        steps[task][source] = fit_steps(scores, open_end=source == "model")
    return Calibration(dict(steps), min_confidence)


def calibration_error(pairs: Sequence[tuple[float, bool]], bins: int = 10) -> float | None:
    """Expected calibration error: mean distance of confidence and share of right answers, over equal bins."""
    if not pairs:
        return None
    grouped: defaultdict[int, list[tuple[float, bool]]] = defaultdict(list)
    for confidence, right in pairs:
        grouped[min(int(confidence * bins), bins - 1)].append((confidence, right))
    gaps = (
        abs(fsum(confidence for confidence, _ in group) - sum(right for _, right in group))
        for group in grouped.values()
    )
    return fsum(gaps) / len(pairs)


def table_of(rows: Sequence[QuestionResult], fitted: Calibration) -> Table:
    table = Table(title="Answers to held-out questions; p50 and p95 in processor seconds")
    for column in (
        "task",
        "questions",
        "answered",
        "right of answered",
        "by source",
        "confidence off by",
        "p50 s",
        "p95 s",
    ):
        table.add_column(column, justify="left" if column in ("task", "by source") else "right")
    for task in EVALUATED_TASKS:
        task_rows = [row for row in rows if row.task == task]
        if not task_rows:
            continue
        answers = [best for row in task_rows if (best := best_candidate(row, fitted)) is not None]
        sources = defaultdict[str, list[bool]](list)
        for each, _ in answers:
            sources[each.source].append(each.right)
        seconds = sorted(row.seconds for row in task_rows)
        error = calibration_error([(sure, each.right) for each, sure in answers if sure is not None])
        by_source = ", ".join(f"{name} {sum(rights)}/{len(rights)}" for name, rights in sorted(sources.items()))
        right = sum(each.right for each, _ in answers)
        table.add_row(
            *(task, str(len(task_rows)), f"{len(answers) / len(task_rows):.0%}", f"{right}/{len(answers)}", by_source),
            *("" if error is None else f"{error:.2f}", f"{seconds[len(seconds) // 2]:.1f}"),
            f"{seconds[int(len(seconds) * 0.95)]:.1f}",
        )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.task_answers", description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("projects", nargs="+")
    parser.add_argument("--items", type=int, default=12, help="questions of each task, project and split")
    parser.add_argument(
        "--patience", type=float, default=1.0, help="times the deadline, on a busy machine; 0: no model is asked"
    )
    parser.add_argument("--results", type=Path, default=Path("task_answers.jsonl"), help="every answer, a line each")
    parser.add_argument("--tasks", nargs="+", choices=EVALUATED_TASKS, default=EVALUATED_TASKS)
    parser.add_argument(
        "--add", type=Path, nargs="+", default=[], help="results of other runs, such as those without a model"
    )
    parser.add_argument("--write", action="store_true", help="keep the calibration in the package")
    options = parser.parse_args()
    gateway = open_gateway(options.data, options.projects, CHECKOUT)
    right, rows = Judge(options.data), [row for path in options.add for row in read(path)]
    with options.results.open("w", encoding="utf-8") as results:
        for split in (TESTED, FITTED):
            for project in options.projects:
                for held_out in questions(options.data, project, split, options.items):
                    if held_out.task not in options.tasks:
                        continue
                    if (result := run_question(gateway, held_out, right, options.patience)) is not None:
                        rows.append(result)
                        results.write(json.dumps(asdict(result)) + "\n")
                        results.flush()
    gateway.close()
    report(rows, options.write)


def read(path: Path) -> list[QuestionResult]:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [
        QuestionResult(**{**row, "candidates": tuple(JudgedCandidate(**each) for each in row["candidates"])})
        for row in rows
    ]


def report(rows: Sequence[QuestionResult], write: bool) -> None:
    fitted = fit([row for row in rows if row.split == FITTED], PARAMETERS.serving.tasks.least_confidence)
    Console(width=160).print(table_of([row for row in rows if row.split == TESTED], fitted))
    if write:
        path = Path(answer.__file__).with_name("calibration.json")
        path.write_text(json.dumps(fit(rows, 0.0).steps, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
