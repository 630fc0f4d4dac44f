"""Run generated tests in the place of the repository's own: do they pass, and do they find errors.

A generated test stands in its file where the true one stands, with the file's imports and fixtures,
under a name that no other test has.
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
from cortex_pipelines.execution.tests.environment import OWN, Interpreter
from cortex_pipelines.execution.tests.mutant_killing import pytest_files
from cortex_pipelines.execution.tests.single_tests import SingleTest, TestOutcome, run_single_tests
from cortex_pipelines.prompts.examples import Example, read_examples

_NAME = "test_written_here"
_UNIT = ("unit_id", "source", "path", "kind", "name", "qualified_name", "start_byte", "end_byte")


@dataclass(frozen=True)
class RunnableTest:
    """A held-out Python test with its place in its file.

    Args:
        item: The example; its completion is the test.
        source: Source in the project.
        path: File of the unit that is tested.
        mutants: That file, with an error in the unit each.
        before: Text of the test file up to the test.
        after: And from its end on.
        indent: White space before the test.
        owners: Classes around it.
    """

    item: Example
    source: str
    path: str
    mutants: tuple[str, ...]
    before: str
    after: str
    indent: str
    owners: tuple[str, ...]

    def with_test(self, name: str, code: str) -> SingleTest | None:
        """The file with another test in its place; None if the code is no test."""
        renamed = _renamed(code)
        if renamed is None:
            return None
        test = renamed.replace("\n", f"\n{self.indent}")
        node = "::".join((self.item.path, *self.owners, _NAME))
        text = self.before + test + self.after
        return SingleTest(name, self.path, self.mutants, self.item.path, text, node)


class WrittenTests:
    """The held-out tests of a project that can be run, by example.

    Args:
        texts: Source to its text files, by path.
        code_units: Folder of the project's units.
        tests_dataset: Folder of its data set of tests; None where tests are not asked for.
        settings: Limits of the sandbox, and how many mutants of a unit.
        interpreter: Runs the tests.
    """

    def __init__(
        self,
        texts: Mapping[str, dict[str, str]],
        code_units: Path,
        tests_dataset: Path | None,
        settings: AugmentationSettings,
        interpreter: Interpreter = OWN,
    ) -> None:
        self._texts, self._settings, self._interpreter = texts, settings, interpreter
        self.runnable = (
            _runnable(tests_dataset, code_units, texts, settings) if tests_dataset else {}
        )

    def judge(self, asked: Sequence[tuple[RunnableTest, str]]) -> list[TestOutcome]:
        """What each test shows in the place of the true one."""
        placed = [test.with_test(str(at), code) for at, (test, code) in enumerate(asked)]
        verdicts = dict.fromkeys(range(len(asked)), TestOutcome(False, 0, "it is no test"))
        for source in sorted({test.source for test, _ in asked}):
            mine = [
                (at, single)
                for at, ((test, _), single) in enumerate(zip(asked, placed, strict=True))
                if test.source == source and single is not None
            ]
            singles = [single for _, single in mine]
            answers = run_single_tests(
                singles, self._texts[source], self._settings, self._interpreter
            )
            verdicts |= dict(zip((at for at, _ in mine), answers, strict=True))
        return [verdicts[at] for at in range(len(asked))]


def _runnable(
    tests_dataset: Path,
    code_units: Path,
    texts: Mapping[str, dict[str, str]],
    settings: AugmentationSettings,
) -> dict[str, RunnableTest]:
    columns = ["example_id", "unit_id", "test_id"]
    asked = pl.read_parquet(tests_dataset / "test.parquet", columns=columns)
    units = pl.read_parquet(code_units / "units.parquet", columns=[*_UNIT, "language", "code"])
    python = units.filter(pl.col("language") == "python")
    known = {row["unit_id"]: row for row in python.iter_rows(named=True)}
    examples = {item.example_id: item for item in read_examples(tests_dataset, "tests", "test")}
    files = {source: pytest_files(of_source) for source, of_source in texts.items()}
    found = {}
    for example_id, unit_id, test_id in asked.iter_rows():
        unit, test = known.get(unit_id), known.get(test_id)
        if unit is None or test is None or test["path"] not in files.get(test["source"], {}):
            continue
        made = _placed(examples[example_id], unit, test, texts, settings)
        if made is not None:
            found[example_id] = made
    return found


def _placed(
    item: Example,
    unit: Mapping[str, Any],
    test: Mapping[str, Any],
    texts: Mapping[str, dict[str, str]],
    settings: AugmentationSettings,
) -> RunnableTest | None:
    """The test in its file; None where it or the unit is not where it was, or has no mutant."""
    mutants = _mutants(unit, texts.get(unit["source"], {}).get(unit["path"], ""), settings)
    around = _around(test, texts[test["source"]][test["path"]])
    if around is None or not mutants:
        return None
    before, after = around
    line = before.rpartition("\n")[2]
    owners = tuple(test["qualified_name"].split(".")[:-1])
    return RunnableTest(item, unit["source"], unit["path"], mutants, before, after, line, owners)


def _mutants(unit: Mapping[str, Any], text: str, settings: AugmentationSettings) -> tuple[str, ...]:
    around = _around(unit, text)
    if around is None:
        return ()
    seed = (settings.seed, "written tests", unit["unit_id"])
    words = (unit["code"], "python", unit["kind"], unit["path"], unit["name"])
    mutants = mutate_unit(*words, settings.mutants_per_unit, *seed)
    return tuple(around[0] + mutant.buggy_code + around[1] for mutant in mutants)


def _around(unit: Mapping[str, Any], text: str) -> tuple[str, str] | None:
    """Text before and after a unit; None if it is not there."""
    data, code = text.encode(), unit["code"].encode()
    start, end = unit["start_byte"], unit["end_byte"]
    return (data[:start].decode(), data[end:].decode()) if data[start:end] == code else None


def _renamed(code: str) -> str | None:
    """The code with its test function under another name; None if it does not hold one."""
    try:
        body = ast.parse(code).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith(
            "test"
        ):
            lines = code.split("\n")
            place = node.lineno - 1
            name = re.escape(node.name)
            lines[place] = re.sub(rf"\bdef\s+{name}\b", f"def {_NAME}", lines[place], count=1)
            return "\n".join(lines)
    return None
