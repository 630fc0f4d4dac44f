"""What compilers and runs say about mutants, on a small project with tests of its own."""

import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cortex_pipelines.augmentation import compiling
from cortex_pipelines.augmentation.compiling import TOOLCHAINS, compiles, toolchain_version
from cortex_pipelines.augmentation.mutant_verification import verified
from cortex_pipelines.config import load_parameters
from cortex_pipelines.execution.sandbox import sandbox
from cortex_pipelines.execution.tests import mutant_killing
from cortex_pipelines.execution.tests.mutant_killing import Answer, MutantUnderTest, find_killed
from cortex_pipelines.schemas.augmentation import INJECTED_ERRORS
from cortex_pipelines.schemas.extraction import CODE_UNITS
from cortex_pipelines.schemas.ingestion import REPOSITORY_FILES

ROOT = Path(__file__).parents[2]
SETTINGS = load_parameters(ROOT).augmentation.model_copy(update={"test_seconds": 10.0, "verification_seconds": 120.0})
SHOP = '''"""A shop."""


def price(amount: int, each: int) -> int:
    return amount * each


def lonely(left: int, right: int) -> int:
    return left - right


def strange(connection):
    return connection.open() < 3


class Till:
    def __init__(self):
        self.sum = 0

    def take(self, coins: list):
        for coin in coins:
            self.sum += coin
        return self.sum


def patient(number: int) -> int:
    while number > 0:
        number -= 1
    return number
'''
TEXTS = {
    "src/shop/__init__.py": "",
    "src/shop/till.py": SHOP,
    "tests/test_till.py": ("from shop.till import price\n\ndef test_price():\n    assert price(2, 3) == 6\n"),
    "tests/test_broken.py": "import nowhere_to_be_found\nfrom shop.till import lonely\n",
}


def subject(name: str, old: str, new: str, path: str = "src/shop/till.py") -> MutantUnderTest:
    text = TEXTS[path]
    assert text.count(old) == 1
    unit = next(part for part in text.split("\n\n") if old in part).strip("\n")
    return MutantUnderTest(name, path, name, unit, text.replace(old, new))


@pytest.fixture(scope="module")
def answers() -> dict[str, Answer]:
    reason = sandbox.unavailable()
    if reason:
        pytest.skip(reason)
    subjects = [
        subject("price", "amount * each", "amount / each"),
        subject("lonely", "left - right", "left + right"),
        subject("strange", "< 3", "<= 3"),
        subject("Till.take", "self.sum += coin", "self.sum -= coin"),
        subject("patient", "number -= 1", "number += 1"),
    ]
    soon = SETTINGS.model_copy(update={"test_seconds": 3.0})
    # the last one never ends, and the time limit of the others does not matter
    return find_killed(subjects[:-1], TEXTS, SETTINGS) | find_killed(subjects[-1:], TEXTS, soon)


def test_a_test_kills_a_mutant(answers: dict[str, Answer]) -> None:
    assert answers["price"][0] == "yes"
    assert "tests/test_till.py::test_price fails" in answers["price"][1]


def test_calls_tell_where_no_test_runs(answers: dict[str, Answer]) -> None:
    result, detail = answers["lonely"]
    assert result == "yes"
    assert detail.startswith("lonely(")
    assert " instead of " in detail


def test_methods_are_called_on_an_object(answers: dict[str, Answer]) -> None:
    assert answers["Till.take"][0] == "yes"


def test_a_mutant_that_never_ends_is_killed(answers: dict[str, Answer]) -> None:
    assert answers["patient"] == ("yes", "calls of it do not end, those of the original do")


def test_what_cannot_be_called_is_unknown(answers: dict[str, Answer]) -> None:
    result, detail = answers["strange"]
    assert result == "unknown"
    assert "no call of it succeeds" in detail


def test_a_mutant_that_survives_its_tests_is_not_killed() -> None:
    if sandbox.unavailable():
        pytest.skip("no sandbox")
    texts = TEXTS | {"src/shop/till.py": SHOP.replace("amount * each", "each * amount")}
    old = texts["src/shop/till.py"]
    mutant = MutantUnderTest("1", "src/shop/till.py", "price", "def price(): pass", old + "\n# more\n")
    assert find_killed([mutant], texts, SETTINGS)["1"] == ("no", "passes tests/test_till.py")


def test_tests_that_fail_on_the_original_say_nothing() -> None:
    if sandbox.unavailable():
        pytest.skip("no sandbox")
    texts = TEXTS | {"tests/test_till.py": "from shop.till import strange\nassert 0\n"}
    mutant = subject("strange", "< 3", "<= 3")
    result, detail = find_killed([mutant], texts, SETTINGS)["strange"]
    assert result == "unknown"
    assert "fails as it is" in detail


def test_of_a_file_of_tests_only_those_that_fail_on_the_original_are_left_out() -> None:
    if sandbox.unavailable():
        pytest.skip("no sandbox")
    tests = (
        "import pytest\nfrom shop.till import price\n\n\n"
        "def test_broken():\n    assert price(1, 1) == 7\n\n\n"
        "@pytest.mark.parametrize('each', [2, 3])\n"
        "def test_price(each):\n    assert each == 2 and price(5, each) == 10\n"
    )
    texts = TEXTS | {"tests/test_till.py": tests}
    settings = SETTINGS.model_copy(update={"calls_per_unit": 0})
    wrong = subject("price", "amount * each", "amount + each")
    answer = find_killed([wrong], texts, settings)["price"]
    assert answer == ("yes", "tests/test_till.py::test_price[2] fails by AssertionError")
    right = subject("price", "amount * each", "each * amount")
    assert find_killed([right], texts, settings)["price"] == ("no", "passes tests/test_till.py")


def test_the_tests_of_a_method_are_those_of_its_class_and_module() -> None:
    texts = {
        "src/shop/till.py": SHOP,
        "tests/test_till.py": "from shop.till import Till\nTill().take([1])\nTill().sum\n",
        "tests/test_lists.py": "[].take()\n",
        "tests/test_other.py": "object.__init__\n",
    }
    tests = mutant_killing.pytest_files(texts)

    def related(name: str, path: str = "src/shop/till.py") -> Any:
        job = mutant_killing._job(MutantUnderTest("1", path, name, "", ""), texts, tests)
        return job["tests"], job["naming"]

    # a shorter file has the word as well, but nothing else of it
    assert related("Till.take") == (
        ["tests/test_till.py", "tests/test_lists.py"],
        ["tests/test_till.py", "tests/test_lists.py"],
    )
    # nobody calls a special method by its name
    assert related("Till.__init__") == (["tests/test_till.py", "tests/test_other.py"], ["tests/test_till.py"])
    assert related("lonely") == (["tests/test_till.py"], [])
    assert related("anything", "lists.py")[0] == ["tests/test_lists.py"]
    assert related("elsewhere", "nowhere.py") == ([], [])
    assert related("test_it", "tests/test_till.py")[0] == ["tests/test_till.py"]


def test_without_a_sandbox_nothing_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "unavailable", lambda: "no sandbox here")
    mutant = subject("price", "amount * each", "amount / each")
    assert find_killed([mutant], TEXTS, SETTINGS) == {"price": ("unknown", "no sandbox here")}


def test_what_is_not_reached_in_time_is_unknown() -> None:
    if sandbox.unavailable():
        pytest.skip("no sandbox")
    mutant = subject("price", "amount * each", "amount / each")
    settings = SETTINGS.model_copy(update={"verification_seconds": 0.01})
    result, detail = find_killed([mutant], TEXTS, settings)["price"]
    assert result == "unknown"
    assert "limit of time" in detail


def test_a_sandbox_that_fails_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise sandbox.SandboxError("no room")

    monkeypatch.setattr(sandbox, "unavailable", lambda: None)
    monkeypatch.setattr(mutant_killing.sandbox, "run", fail)
    mutant = subject("price", "amount * each", "amount / each")
    assert find_killed([mutant], TEXTS, SETTINGS)["price"] == ("unknown", "the sandbox failed: no room")
    if shutil.which("node"):
        texts = {"a.js": "f();"}
        script = MutantUnderTest("1", "a.js", "f", "f();", "g();")
        assert compiles([script], texts, "javascript", SETTINGS)["1"][0] == "unknown"


def test_python_compiles_in_this_process() -> None:
    good = subject("price", "amount * each", "amount / each")
    bad = subject("lonely", "left - right", "left -")
    answers = compiles([good, bad], TEXTS, "python", SETTINGS)
    assert answers["price"] == ("yes", "")
    assert answers["lonely"] == ("no", "Python refuses the file with the error")
    other = {"src/shop/till.py": "print 1\n"}
    assert compiles([good], other, "python", SETTINGS)["price"][0] == "unknown"
    assert toolchain_version("python").startswith("Python 3.")


# path, original, mutant that compiles, mutant that does not
SOURCES = {
    "javascript": ("a.js", "export const f = () => 1;\n", "export const f = () => 2;\n", "f(;\n"),
    "java": (
        "A.java",
        "class A { int f(int a) { return a + 1; } }\n",
        "class A { int f(int a) { return a - 1; } }\n",
        "class A { int f(int a) { return b + 1; } }\n",
    ),
    "go": ("a.go", "package a\n\nfunc f() {}\n", "package a\n\nfunc g() {}\n", "package a\nfunc(\n"),
    "rust": (
        "a.rs",
        "pub fn f(a: i32) -> i32 { a + 1 }\n",
        "pub fn f(a: i32) -> i32 { a - 1 }\n",
        "pub fn f(a: i32) -> i32 { a + true }\n",
    ),
}


@pytest.mark.parametrize("language", SOURCES)
def test_a_compiler_that_is_here_is_asked(language: str) -> None:
    if shutil.which(TOOLCHAINS[language].program) is None:
        pytest.skip(f"no {TOOLCHAINS[language].program} on this machine")
    if sandbox.unavailable():
        pytest.skip("no sandbox")
    path, original, good, bad = SOURCES[language]
    subjects = [MutantUnderTest(key, path, "f", original, text) for key, text in (("good", good), ("bad", bad))]
    answers = compiles(subjects, {path: original}, language, SETTINGS)
    assert answers["good"][0] == "yes", answers
    assert answers["bad"][0] == "no", answers
    assert answers["bad"][1]
    assert toolchain_version(language)


def test_a_file_that_needs_others_is_not_held_against_its_mutants() -> None:
    if shutil.which("javac") is None or sandbox.unavailable():
        pytest.skip("no javac or sandbox")
    original = "class A { Missing m; int f(int a) { return a + 1; } }\n"
    mutant = MutantUnderTest("1", "A.java", "f", "", original.replace("+", "-"))
    result, detail = compiles([mutant], {"A.java": original}, "java", SETTINGS)["1"]
    assert (result, detail) == ("unknown", "the file alone does not compile; the error adds no message")


def test_a_compiler_that_is_not_here_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    compiling._program.cache_clear()
    monkeypatch.setattr(shutil, "which", lambda program: None)
    try:
        mutant = MutantUnderTest("1", "A.java", "f", "", "")
        answers = compiles([mutant], {"A.java": ""}, "java", SETTINGS)
        assert answers == {"1": ("unknown", "no javac on this machine")}
        assert toolchain_version("java") == ""
    finally:
        compiling._program.cache_clear()


def table_rows() -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    start = SHOP.index("def price")
    code = "def price(amount: int, each: int) -> int:\n    return amount * each"
    unit: dict[str, Any] = dict.fromkeys(CODE_UNITS.schema) | {
        "unit_id": "u", "source": "s", "path": "src/shop/till.py", "name": "price",
        "qualified_name": "price", "start_byte": start, "end_byte": start + len(code),
    }  # fmt: skip
    error = {
        "mutant_id": "m", "unit_id": "u", "language": "python", "operator": "arithmetic",
        "error_type": "operator", "fixed_code": code, "buggy_code": code.replace("*", "/"),
        "explanation": "", "verification": [],
    }  # fmt: skip
    files = [{"source": "s", "path": path, "text": text, "blob": "", "language": None} for path, text in TEXTS.items()]
    lost = error | {"mutant_id": "n", "fixed_code": "def price(): pass"}
    other = error | {"mutant_id": "o", "unit_id": "nowhere", "language": "go"}
    return (
        pl.DataFrame([error, lost, other], schema=INJECTED_ERRORS.schema),
        pl.DataFrame([unit], schema=CODE_UNITS.schema),
        pl.DataFrame([dict.fromkeys(REPOSITORY_FILES.schema) | file for file in files]),
    )


def test_the_table_has_two_rows_a_mutant() -> None:
    table = verified(*table_rows(), SETTINGS)
    rows = {(row["mutant_id"], row["check"]): row for row in table.to_dicts()}
    assert len(rows) == table.height == 6
    assert rows["m", "compiled"]["result"] == "yes"
    expected = "unknown" if sandbox.unavailable() else "yes"
    assert rows["m", "killed"]["result"] == expected
    for lost in ("n", "o"):
        assert rows[lost, "compiled"]["result"] == "unknown"
        assert rows[lost, "compiled"]["detail"] == "its unit is not at its place in the file"


def test_only_a_sample_is_verified() -> None:
    few = SETTINGS.model_copy(update={"verified_mutants": 0})
    assert verified(*table_rows(), few).is_empty()
