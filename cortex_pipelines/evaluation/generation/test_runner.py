"""Run generated function bodies against the repository's own tests, in the sandbox.

As in the verification of injected bugs, a unit's related tests run on the original repository
first, and those that pass there on the repository with the other body; and only where some fail
with a body that raises, is anything said of them.
"""

import ast
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import comb
from pathlib import Path

import polars as pl

from cortex_pipelines.augmentation.settings import AugmentationSettings
from cortex_pipelines.execution.tests.environment import OWN, Interpreter
from cortex_pipelines.execution.tests.mutant_killing import (
    MutantUnderTest,
    find_killed,
    pytest_files,
    used_as,
)
from cortex_pipelines.prompts.examples import Example, read_examples

Outcome = tuple[str | None, str]
"""``passed``, ``failed``, or None where it is not known; and why."""

_RESULTS = {"yes": "failed", "no": "passed", "unknown": None}  # of the question: is it killed
_TOGETHER = 16  # bodies that share the time limit of a trial
_TRIED = 4  # functions for each that is wanted


@dataclass(frozen=True)
class RunnableItem:
    """A held-out Python function mentioned in a test file of its repository.

    Args:
        item: The example; its completion is the body.
        source: Source in the project.
        qualified_name: Name with its classes.
        before: The file's text up to the body.
        after: The file's text from the body's end on.
        code: The function as it is.
    """

    item: Example
    source: str
    qualified_name: str
    before: bytes
    after: bytes
    code: str


class Repository:
    """Files of a project's sources, and the items that their tests cover.

    Args:
        repository_files: Folder of the project's files.
        code_units: Folder of its units.
        completion_dataset: Folder of its completion data set.
        settings: Limits of the sandbox.
        interpreter: Runs the tests.
    """

    def __init__(
        self,
        repository_files: Path,
        code_units: Path,
        completion_dataset: Path,
        settings: AugmentationSettings,
        interpreter: Interpreter = OWN,
    ) -> None:
        self._interpreter = interpreter
        # tests are to be run, not units to be called with made-up values
        self._settings = settings.model_copy(update={"calls_per_unit": 0})
        files = pl.read_parquet(
            repository_files / "files.parquet", columns=["source", "path", "text"]
        )
        self._texts: dict[str, dict[str, str]] = {}
        for source, path, text in files.iter_rows():
            self._texts.setdefault(source, {})[path] = text
        self._runnable = _runnable(completion_dataset, code_units, self._texts)
        self._controls: dict[str, Outcome] = {}

    @property
    def texts(self) -> Mapping[str, dict[str, str]]:
        """Source to its text files, by path."""
        return self._texts

    @property
    def runnable(self) -> dict[str, RunnableItem]:
        """Items covered by tests, by example."""
        return self._runnable

    def tested(self, items: Sequence[Example], most: int) -> list[Example]:
        """Items to write bodies for: first those whose tests notice a body that raises.

        Args:
            items: Runnable items, in the order in which they are tried; after four times ``most``
                the search ends.
            most: How many are wanted. Where the tests of fewer notice anything, others fill up,
                whose outcome says why nothing is known of them.
        """
        noticed: list[Example] = []
        for start in range(0, min(len(items), _TRIED * most), _TOGETHER):
            if len(noticed) < most:
                batch = items[start : start + _TOGETHER]
                self._control([self._runnable[item.example_id] for item in batch])
                noticed += [item for item in batch if self._is_noticed(item)]
        return [*noticed, *(item for item in items if not self._is_noticed(item))][:most]

    def run(self, bodies: Sequence[tuple[RunnableItem, str]]) -> list[Outcome]:
        """Whether the related tests pass with each body in place of the original.

        A function that tests only name is not tested: where they pass with a body that raises,
        nothing is known.
        """
        self._control([item for item, _ in bodies])
        asked = [place for place, (item, _) in enumerate(bodies) if self._is_noticed(item.item)]
        found = dict(zip(asked, self._outcomes([bodies[place] for place in asked]), strict=True))
        return [
            found[place] if place in found else _untested(self._controls[item.item.example_id])
            for place, (item, _) in enumerate(bodies)
        ]

    def _is_noticed(self, item: Example) -> bool:
        return self._controls.get(item.example_id, ("", ""))[0] == "failed"

    def _control(self, items: Iterable[RunnableItem]) -> None:
        """Run the tests of items with a body that raises, unless that was done."""
        new = {item.item.example_id: item for item in items}
        new = {name: item for name, item in new.items() if name not in self._controls}
        raising = [(item, _raising(item, "RuntimeError")) for item in new.values()]
        self._controls |= zip(new, self._outcomes(raising), strict=True)

    def _outcomes(self, bodies: Sequence[tuple[RunnableItem, str]]) -> list[Outcome]:
        outcomes: dict[int, Outcome] = {}
        order = sorted(range(len(bodies)), key=lambda place: bodies[place][0].item.path)
        for source in sorted({item.source for item, _ in bodies}):
            places = [place for place in order if bodies[place][0].source == source]
            for start in range(0, len(places), _TOGETHER):
                subjects = {
                    place: _subject(place, *bodies[place])
                    for place in places[start : start + _TOGETHER]
                }
                answers = find_killed(
                    list(subjects.values()),
                    self._texts[source],
                    self._settings,
                    self._interpreter,
                )
                for place, subject in subjects.items():
                    result, detail = answers[subject.mutant_id]
                    broken = _syntax_error(*bodies[place])
                    # a raising call only shows whether the tests can run
                    outcome = "failed" if broken and result != "unknown" else _RESULTS[result]
                    outcomes[place] = (outcome, broken or detail)
        return [outcomes[place] for place in range(len(bodies))]


def pass_at_k(samples: int, passed: int, k: int) -> float:
    """Unbiased estimate of the probability that one of k samples passes (Chen et al. 2021).

    Args:
        samples: Samples that were run.
        passed: How many of them passed.
        k: Samples that a user would look at, at most ``samples``.

    Raises:
        ValueError: k is not from 1 to ``samples``, or more passed than were run.
    """
    if not 1 <= k <= samples or not 0 <= passed <= samples:
        raise ValueError(f"pass@{k} of {samples} samples with {passed} passed has no meaning")
    return 1 - comb(samples - passed, k) / comb(samples, k)


def pass_figures(results: Mapping[str, Sequence[bool]], pass_k: Sequence[int]) -> dict[str, float]:
    """``pass_at_<k>``: mean over problems with at least k samples that ran."""
    figures = {}
    for k in pass_k:
        known = [
            pass_at_k(len(passed), sum(passed), k)
            for passed in results.values()
            if len(passed) >= k
        ]
        if known:
            figures[f"pass_at_{k}"] = sum(known) / len(known)
    return figures


def _runnable(
    completion_dataset: Path, code_units: Path, texts: Mapping[str, Mapping[str, str]]
) -> dict[str, RunnableItem]:
    test = pl.read_parquet(
        completion_dataset / "test.parquet", columns=["example_id", "unit_id", "task", "origin"]
    )
    asked = test.filter((pl.col("task") == "completion") & (pl.col("origin") == "original"))
    columns = ("unit_id", "source", "path", "language", "kind", "qualified_name")
    units = pl.read_parquet(
        code_units / "units.parquet", columns=[*columns, "start_byte", "end_byte", "code"]
    )
    rows = asked.join(units, on="unit_id").filter(
        (pl.col("language") == "python") & pl.col("kind").is_in(["function", "method"])
    )
    examples = {
        example.example_id: example
        for example in read_examples(completion_dataset, "completion", "test")
    }
    tests = {source: pytest_files(dict(known)) for source, known in texts.items()}
    items = {}
    for row in rows.iter_rows(named=True):
        known = tests.get(row["source"], {})
        named = any(used_as(row["qualified_name"]) in words for words in known.values())
        made = _item(row, examples[row["example_id"]], texts.get(row["source"], {}))
        if made is not None and named and row["path"] not in known:
            items[row["example_id"]] = made
    return items


def _item(
    row: Mapping[str, object], item: Example, texts: Mapping[str, str]
) -> RunnableItem | None:
    """Runnable item of a row; None if the unit has moved or does not end with the body."""
    data = texts.get(str(row["path"]), "").encode()
    code = str(row["code"])
    start, end = int(str(row["start_byte"])), int(str(row["end_byte"]))
    unit = code.rstrip().encode()
    body = item.completion.encode()
    if data[start:end] != code.encode() or not unit.endswith(body):
        return None
    cut = start + len(unit) - len(body)
    return RunnableItem(
        item,
        str(row["source"]),
        str(row["qualified_name"]),
        data[:cut],
        data[cut + len(body) :],
        code,
    )


def _syntax_error(item: RunnableItem, body: str) -> str:
    """Syntax error of the file with a body; empty if it parses."""
    try:
        ast.parse(_changed(item, body))
    except (SyntaxError, ValueError) as error:
        return f"does not parse: {error}"
    return ""


def _changed(item: RunnableItem, body: str) -> bytes:
    return item.before + body.encode(errors="replace") + item.after


def _raising(item: RunnableItem, error: str) -> str:
    """A body that does nothing but raise."""
    truth = item.item.completion
    return f"{truth[: len(truth) - len(truth.lstrip())]}raise {error}"


def _untested(control: Outcome) -> Outcome:
    outcome, detail = control
    return None, "its tests pass without it as well" if outcome == "passed" else detail


def _subject(place: int, item: RunnableItem, body: str) -> MutantUnderTest:
    if _syntax_error(item, body):
        # in a file that does not parse whatever imports it fails, also what sets the tests up
        body = _raising(item, "SyntaxError")
    changed = _changed(item, body)
    return MutantUnderTest(
        mutant_id=str(place),
        path=item.item.path,
        qualified_name=item.qualified_name,
        fixed_code=item.code,
        buggy_file=changed.decode(errors="replace"),
    )
