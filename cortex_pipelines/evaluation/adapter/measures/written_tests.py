"""Generated tests run in place of the repository's own, on the true code and its mutants.

A test replaces the true one in its file, with the file's imports and fixtures, under a unique name.
"""

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from cortex_pipelines.augmentation.mutation.inject import mutate_unit
from cortex_pipelines.augmentation.settings import AugmentationSettings
from cortex_pipelines.evaluation.adapter.measures.bits_per_byte import WRITERS
from cortex_pipelines.execution.tests.environment import OWN, Interpreter
from cortex_pipelines.execution.tests.mutant_killing import SingleTest, TestOutcome, pytest_files, run_single_tests
from cortex_pipelines.prompts.examples import Example, read_examples
from cortex_pipelines.schemas.evaluation import WRITTEN_TESTS

_NAME = "test_written_here"
_UNIT = ("unit_id", "source", "path", "kind", "name", "qualified_name", "start_byte", "end_byte")


@dataclass(frozen=True)
class RunnableTest:
    """A held-out Python test and its location; ``mutants`` are contents of the tested file, each with one error."""

    item: Example
    source: str
    path: str
    mutants: tuple[str, ...]
    before: str
    after: str
    indent: str
    owners: tuple[str, ...]

    def with_test(self, name: str, code: str) -> SingleTest | None:
        """None if the code is not a test."""
        try:
            body = ast.parse(code).body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None
        functions = (node for node in body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
        test = next((function for function in functions if function.name.startswith("test")), None)
        if test is None:
            return None
        lines, definition = code.split("\n"), test.lineno - 1
        lines[definition] = re.sub(rf"\bdef\s+{re.escape(test.name)}\b", f"def {_NAME}", lines[definition], count=1)
        node = "::".join((self.item.path, *self.owners, _NAME))
        text = self.before + f"\n{self.indent}".join(lines) + self.after
        return SingleTest(name, self.path, self.mutants, self.item.path, text, node)


class WrittenTests:
    def __init__(
        self,
        texts: Mapping[str, dict[str, str]],
        code_units: Path,
        tests_dataset: Path | None,
        settings: AugmentationSettings,
        interpreter: Interpreter = OWN,
    ) -> None:
        self._texts, self._settings, self._interpreter = texts, settings, interpreter
        self.runnable = _runnable(tests_dataset, code_units, texts, settings) if tests_dataset else {}

    def judge(self, tests: Sequence[tuple[RunnableTest, str]]) -> list[TestOutcome]:
        single_tests = [test.with_test(str(index), code) for index, (test, code) in enumerate(tests)]
        verdicts = dict.fromkeys(range(len(tests)), TestOutcome(False, 0, "it is not a test"))
        for source in sorted({test.source for test, _ in tests}):
            singles = {
                index: single
                for index, ((test, _), single) in enumerate(zip(tests, single_tests, strict=True))
                if test.source == source and single is not None
            }
            answers = run_single_tests(list(singles.values()), self._texts[source], self._settings, self._interpreter)
            verdicts |= dict(zip(singles, answers, strict=True))
        return [verdicts[index] for index in range(len(tests))]


def _runnable(
    tests_dataset: Path, code_units: Path, texts: Mapping[str, dict[str, str]], settings: AugmentationSettings
) -> dict[str, RunnableTest]:
    rows = pl.read_parquet(tests_dataset / "test.parquet", columns=["example_id", "unit_id", "test_id"])
    units = pl.read_parquet(code_units / "units.parquet", columns=[*_UNIT, "language", "code"])
    units_by_id = {row["unit_id"]: row for row in units.filter(language="python").iter_rows(named=True)}
    examples = {item.example_id: item for item in read_examples(tests_dataset, "tests", "test")}
    files = {source: pytest_files(source_files) for source, source_files in texts.items()}
    runnable = {}
    for example_id, unit_id, test_id in rows.iter_rows():
        unit, test = units_by_id.get(unit_id), units_by_id.get(test_id)
        if unit is None or test is None or test["path"] not in files.get(test["source"], {}):
            continue
        unit_surroundings = _text_around(unit, texts.get(unit["source"], {}).get(unit["path"], ""))
        surroundings = _text_around(test, texts[test["source"]][test["path"]])
        if unit_surroundings is None or surroundings is None:
            continue
        seed = (settings.seed, "written tests", unit["unit_id"])
        unit_fields = (unit["code"], "python", unit["kind"], unit["path"], unit["name"])
        mutated = mutate_unit(*unit_fields, settings.mutants_per_unit, *seed)
        mutants = tuple(unit_surroundings[0] + mutant.buggy_code + unit_surroundings[1] for mutant in mutated)
        if mutants:
            indent = surroundings[0].rpartition("\n")[2]
            owners = tuple(test["qualified_name"].split(".")[:-1])
            origin = (examples[example_id], unit["source"], unit["path"])
            runnable[example_id] = RunnableTest(*origin, mutants, *surroundings, indent, owners)
    return runnable


def _text_around(unit: Mapping[str, Any], text: str) -> tuple[str, str] | None:
    data, code = text.encode(), unit["code"].encode()
    start, end = unit["start_byte"], unit["end_byte"]
    return (data[:start].decode(), data[end:].decode()) if data[start:end] == code else None


REPOSITORY = "repository"
TEST_WRITERS = (REPOSITORY, *WRITERS)
_COUNTED = ("passes", "killed", "mutants")


def written_test_table(generations: pl.DataFrame, tests: WrittenTests) -> pl.DataFrame:
    """Outcome of each greedily generated test; only run if the true test passes."""
    greedy = generations.filter(task="tests", sample=0)
    columns = greedy.select("example_id", "role", "output").iter_rows()
    generated = [(tests.runnable[name], role, output) for name, role, output in columns if name in tests.runnable]
    test_by_id = {test.item.example_id: test for test, _, _ in generated}
    originals = [(test, REPOSITORY, test.item.completion) for test in test_by_id.values()]
    verdicts = dict(zip(test_by_id, tests.judge([(test, code) for test, _, code in originals]), strict=True))
    sound = [entry for entry in generated if verdicts[entry[0].item.example_id].passes]
    rows = list(zip(originals, verdicts.values(), strict=True))
    rows += zip(sound, tests.judge([(test, code) for test, _, code in sound]), strict=True)
    unsound = TestOutcome(None, 0, "the true test does not pass here")
    rows += [(entry, unsound) for entry in generated if entry not in sound]
    return WRITTEN_TESTS.frame(
        [
            {
                **{"example_id": test.item.example_id, "role": role, "path": test.item.path},
                **{"mutants": len(test.mutants), "passes": verdict.passes},
                **{"killed": verdict.killed, "detail": verdict.detail},
            }
            for (test, role, _), verdict in rows
        ]
    )


def written_test_metrics(table: pl.DataFrame) -> dict[str, float]:
    """Shares that pass on the true code, and of killed mutants; a test that fails on the true code kills none.

    Only tests that could be run for all roles count.
    """
    unknown = table.filter(pl.col("passes").is_null())["example_id"]
    ran = table.filter(~pl.col("example_id").is_in(unknown.implode()))
    failing = ran.filter((pl.col("role") == REPOSITORY) & ~pl.col("passes"))["example_id"]
    sound = ran.filter(~pl.col("example_id").is_in(failing.implode()))
    if sound.is_empty():
        return {}
    metrics = {"written_tests_items": float(sound["example_id"].n_unique())}
    for role in TEST_WRITERS:
        role_rows = sound.filter(pl.col("role") == role)
        passed, killed, mutants = (float(role_rows[name].sum()) for name in _COUNTED)
        metrics[f"written_tests_{role}_pass"] = passed / role_rows.height
        metrics[f"written_tests_{role}_kill"] = killed / mutants
    return metrics
