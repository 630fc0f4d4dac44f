"""Tests of a Python unit: written from observed calls and doctests, and judged by running them on it and on mutants."""

import ast
import doctest
import json
import re
import shutil
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property

from cortex_pipelines.answers.simple_calls import simple_calls
from cortex_pipelines.answers.unit import python_tree
from cortex_pipelines.atomic import temporary_folder
from cortex_pipelines.augmentation.mutation.inject import mutate_unit
from cortex_pipelines.augmentation.settings import AugmentationSettings
from cortex_pipelines.execution.sandbox import sandbox
from cortex_pipelines.execution.tests import call_trial
from cortex_pipelines.execution.tests.environment import OWN, module_place, write_project
from cortex_pipelines.execution.tests.mutant_killing import SingleTest, run_single_tests

_RUN_LOCK = threading.Lock()
"""One run at a time: each may take the memory and time that the limits of the sandbox allow."""
_SECONDS_TO_WAIT = 5.0

ALONE = "unit_under_test.py"
"""File of a unit that stands in no project."""

_TEST_FILE = "test_written_here.py"
_MOST_MUTANTS, _MOST_RUN, _MOST_ASSERTIONS, _FEW_ASSERTIONS = 8, 2, 4, 3
_SECONDS_TO_OBSERVE, _SECONDS_TO_TEST = 3.0, 6.0

CallOutcome = Mapping[str, str] | None
"""``value`` or ``list`` (of what an iterator gives) with a literal, ``error`` with a class; None if neither."""

_OTHER_SEED = {"PYTHONHASHSEED": "1"}
"""Tests run with another one: an order that hangs on it is noticed."""


@dataclass(eq=False)
class TestedUnit:
    """A Python unit in its file.

    ``texts`` are the files of the project by path, ``before`` and ``after`` the text of the unit's file around it.
    """

    __test__ = False  # for pytest

    code: str
    qualified_name: str
    kind: str
    path: str
    before: str
    after: str
    texts: Mapping[str, str]
    settings: AugmentationSettings
    verdicts: dict[str, "TestVerdict"] = field(default_factory=dict)
    observed: str | None = None  # the test whose calls kill the first mutant

    @property
    def name(self) -> str:
        return self.qualified_name.rpartition(".")[2]

    @property
    def imported_name(self) -> str:
        return self.qualified_name.partition(".")[0]

    @property
    def file(self) -> str:
        return self.before + self.code + self.after

    @property
    def module(self) -> str:
        return module_place(self.path, self.texts)[1]

    @cached_property
    def mutants(self) -> list[str]:
        """Contents of the file with one error each."""
        seed = (self.settings.seed, "written tests", self.code)
        mutated = mutate_unit(self.code, "python", self.kind, self.path, self.name, _MOST_MUTANTS, *seed)
        return [self.before + mutant.buggy_code + self.after for mutant in mutated]

    def verdict(self, test: str) -> "TestVerdict":
        """The verdict on a test, cached."""
        if test not in self.verdicts:
            self.verdicts[test] = judge(test, self)
        return self.verdicts[test]


def unit_in_file(
    code: str,
    qualified_name: str,
    kind: str,
    path: str,
    preceding_code: str,
    texts: Mapping[str, str],
    settings: AugmentationSettings,
) -> TestedUnit:
    """A unit in the file of the project that holds it, else in a new one after ``preceding_code``."""
    text = texts.get(path, "")
    start = text.find(code)
    if start >= 0:
        surroundings = (text[:start], text[start + len(code) :])
        return TestedUnit(code, qualified_name, kind, path, *surroundings, texts, settings)
    before = f"{preceding_code.rstrip()}\n\n\n" if preceding_code.strip() else ""
    return TestedUnit(code, qualified_name, kind, ALONE, before, "\n", {}, settings)


@contextmanager
def _exclusive_run() -> Iterator[None]:
    if not _RUN_LOCK.acquire(timeout=_SECONDS_TO_WAIT):
        raise sandbox.SandboxError("other tests are being run; ask again in some seconds")
    try:
        yield
    finally:
        _RUN_LOCK.release()


def observed_test(unit: TestedUnit, team_calls: Iterable[str] = ()) -> str | None:
    """A test that asserts results of simple calls; None if no call kills a mutant. Raises SandboxError."""
    calls = simple_calls(unit.file, unit.qualified_name, team_calls)
    if not calls or not unit.mutants:
        return None
    versions = [unit.file, unit.file, *unit.mutants]
    with _exclusive_run():
        outcomes = _observe(unit, versions, calls)
    if len(outcomes) < 3:  # the original twice, and a mutant
        return None
    original, again, *mutants = outcomes
    steady = [
        index
        for index, outcome in enumerate(original)
        if _is_assertable(outcome, unit.code) and again[index : index + 1] == [outcome]
    ]
    killed = {
        index: {
            number for number, other in enumerate(mutants) if index < len(other) and other[index] != original[index]
        }
        for index in steady
    }
    killable = set().union(*killed.values())
    unit.mutants = [
        unit.mutants[number] for number in sorted(range(len(unit.mutants)), key=lambda at: at not in killable)
    ]
    trees = [ast.walk(ast.parse(call)) for call in calls]
    shapes = [[type(node.value if isinstance(node, ast.Constant) else node) for node in tree] for tree in trees]
    cover = _smallest_cover(killed, original, shapes)
    if cover:
        unit.observed = _test_of(unit, [(calls[index], original[index] or {}) for index in cover])
    return unit.observed


def _observe(unit: TestedUnit, versions: Sequence[str], calls: Sequence[str]) -> list[list[CallOutcome]]:
    """The outcome of each call (an expression in the module's names) with each version of the module's file.

    Calls that did not run in time are missing at the end. Raises ``SandboxError``.
    """
    path, seconds = unit.path, _SECONDS_TO_OBSERVE
    roots = ["", "src", module_place(path, unit.texts)[0]]
    task = {
        **{"module": unit.module, "path": path, "roots": roots},
        **{"versions": versions, "calls": calls, "seconds": seconds},
    }
    with temporary_folder("calls") as folder:
        write_project(folder, {**unit.texts, path: versions[0]})
        (folder / "calls.json").write_text(json.dumps(task), encoding="utf-8")
        shutil.copyfile(call_trial.__file__, folder / "trial.py")
        command = [str(OWN.program), "trial.py"]
        variables = {**OWN.variables, **_OTHER_SEED}
        limits = unit.settings.sandbox_limits(seconds + 2)
        result = sandbox.run(command, folder, limits, variables, OWN.readable_paths)
    lines = result.stdout.decode(errors="replace").splitlines()
    return [json.loads(line) for line in lines if line.endswith("]")]


def _is_assertable(outcome: CallOutcome, code: str) -> bool:
    """Whether a test may assert an outcome: a value, or an error that the unit itself raises."""
    if outcome is None or outcome.get("value") == "None":
        return False
    return "error" not in outcome or f"raise {outcome['error']}" in code


def _smallest_cover(
    killed: Mapping[int, set[int]], original: Sequence[CallOutcome], shapes: Sequence[list[type]]
) -> list[int]:
    """Few calls that kill most mutants (greedy set cover), those with new outcomes first, in their order."""
    cover: list[int] = []
    uncovered = set().union(*killed.values()) if killed else set()
    while uncovered and len(cover) < _MOST_ASSERTIONS:
        outcomes = [original[index] for index in cover]
        best = max(
            killed,
            key=lambda at: (len(killed[at] & uncovered), original[at] not in outcomes, _is_rich(original[at]), -at),
        )
        if not killed[best] & uncovered:
            break
        cover.append(best)
        uncovered -= killed[best]
    for index in killed if cover else ():  # what else it gives, for the reader
        is_alike = shapes[index] == shapes[cover[0]] and ast.Assign not in shapes[index]
        if is_alike and len(cover) < _FEW_ASSERTIONS and original[index] not in [original[other] for other in cover]:
            cover.append(index)
    return sorted(cover)


def _is_rich(outcome: CallOutcome) -> bool:
    return outcome is not None and next(iter(outcome.values())) not in ("[]", "{}", "()", "''", "0", "False")


def _test_of(unit: TestedUnit, observed: Sequence[tuple[str, Mapping[str, str]]]) -> str:
    lines: list[str] = []
    for call, outcome in observed:
        *setup, expression = call.split("\n")
        lines += ["", *setup] if setup and lines else setup
        kind, value = next(iter(outcome.items()))
        if kind == "error":
            lines += [f"with pytest.raises({value}):", f"    {expression}"]
        else:
            actual = expression if kind == "value" else f"{kind}({expression})"
            lines.append(f"assert {actual} {'is' if value in ('True', 'False') else '=='} {value}")
    return "\n".join([f"def test_{_test_name(unit)}():", *(f"    {line}".rstrip() for line in lines)])


def _test_name(unit: TestedUnit) -> str:
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", unit.qualified_name.replace(".", "_")).lower()
    return re.sub(r"_+", "_", words).strip("_")


def doctest_test(unit: TestedUnit) -> str | None:
    """A test of the unit's doctests; None without one that compares a literal."""
    try:
        examples = doctest.DocTestParser().get_examples(ast.get_docstring(ast.parse(unit.code).body[0]) or "")  # type: ignore[arg-type]
    except (SyntaxError, ValueError, TypeError, IndexError):
        return None
    lines = []
    for example in examples:
        want = example.want.strip()
        try:
            ast.literal_eval(want)
            ast.parse(example.source, mode="eval")
        except (ValueError, SyntaxError):
            continue
        lines.append(f"    assert {example.source.strip()} == {want}")
    return "\n".join([f"def test_{_test_name(unit)}():", *lines[:_MOST_ASSERTIONS]]) if lines else None


def adapted_test(test: str, tested: str, unit: TestedUnit) -> str:
    """A test of another unit, ``tested``, that calls this one instead."""
    return re.sub(rf"(?<![A-Za-z0-9]){re.escape(tested)}(?![A-Za-z0-9])", unit.name, test)


def first_test(output: str) -> str | None:
    """The first complete test function of a text, or None."""
    lines = output.strip("\n").split("\n")
    for last in range(len(lines), 0, -1):
        tree = python_tree("\n".join(lines[:last]))
        if tree is None:
            continue
        tests = (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test"))
        test = next(tests, None)
        return ast.get_source_segment("\n".join(lines[:last]), test) if test is not None else None
    return None


# --- judging ---


@dataclass(frozen=True)
class TestVerdict:
    """Reason for rejecting a test (empty if accepted), and the number of mutants it kills."""

    __test__ = False  # for pytest

    refusal: str
    killed: int = 0
    mutants: int = 0


def judge(test: str, unit: TestedUnit, most: int = _MOST_RUN, seconds: float = _SECONDS_TO_TEST) -> TestVerdict:
    """Run a test, which may begin with imports, on the unit and on at most ``most`` mutants of it."""
    if reason := sandbox.unavailable():
        return TestVerdict(reason)
    if not unit.mutants:
        return TestVerdict("no mutant can be made of the code, so nothing would show that a test can fail")
    function = first_test(test)
    if function is None or unit.name not in re.findall(r"\w+", function):
        return TestVerdict("it does not test the unit")
    name = function.partition("def ")[2].partition("(")[0]
    file = imports_of(function, unit, unit.module) + function
    mutants = tuple(unit.mutants[: 1 if function == unit.observed else most])
    single = SingleTest("test", unit.path, mutants, _TEST_FILE, file, f"{_TEST_FILE}::{name}")
    texts = {**unit.texts, unit.path: unit.file, _TEST_FILE: ""}
    limits = {"verification_seconds": seconds, "test_seconds": 2.0}
    try:
        with _exclusive_run():
            (outcome,) = run_single_tests([single], texts, unit.settings.model_copy(update=limits))
    except sandbox.SandboxError as error:
        return TestVerdict(f"it cannot be run: {error}")
    if outcome.passes is None:
        return TestVerdict(f"it cannot be run: {outcome.detail}")
    if not outcome.passes:
        return TestVerdict(f"it does not pass on the code as it is ({outcome.detail.rpartition(' ')[2]})")
    killed = "" if outcome.killed else "it passes on every mutant"
    return TestVerdict(killed, outcome.killed, len(mutants))


def imports_of(test: str, unit: TestedUnit, module: str) -> str:
    """The import lines that a test needs, with the blank lines after them; of the unit only if its module is known."""
    words = {node.id for node in ast.walk(ast.parse(test)) if isinstance(node, ast.Name)}
    lines = [f"import {name}" for name in ("pytest",) if name in words]
    if module:
        used = sorted(words & _names_of(unit.file) | {unit.imported_name}, key=lambda name: (name.lower(), name))
        lines += [*([""] if lines else []), f"from {module} import {', '.join(used)}"]
    return "\n".join(lines) + "\n\n\n" if lines else ""


def _names_of(file: str) -> set[str]:
    """Names that a module binds at its top level."""
    names: set[str] = set()
    for node in ast.parse(file).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name.partition(".")[0] for alias in node.names}
        else:
            names |= {
                part.id for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)
            }
    return names


def calls_in(tests: Iterable[str], name: str) -> Iterator[str]:
    """Calls of a function by its simple name in test code, as expressions."""
    for test in tests:
        tree = python_tree(test) if f"{name}(" in test else None
        for node in ast.walk(tree) if tree is not None else ():
            if isinstance(node, ast.Call) and name == getattr(node.func, "id", getattr(node.func, "attr", "")):
                node.func = ast.Name(name)
                yield ast.unparse(node)
