from pathlib import Path

import pytest

from cortex_pipelines.config import load_parameters
from cortex_pipelines.execution.sandbox import sandbox
from cortex_pipelines.execution.tests import mutant_killing
from cortex_pipelines.execution.tests.mutant_killing import MutantUnderTest, find_killed
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)
ROOT = Path(__file__).parents[2]
SETTINGS = load_parameters(ROOT).augmentation.model_copy(update={"test_seconds": 10.0, "verification_seconds": 120.0})
SHOP = CASES["SHOP"]
TEXTS = CASES["TEXTS"]
PARTLY_BROKEN = CASES["PARTLY_BROKEN"]
needs_sandbox = pytest.mark.skipif(sandbox.unavailable() is not None, reason=str(sandbox.unavailable()))


def mutant(name: str, old: str, new: str) -> MutantUnderTest:
    assert SHOP.count(old) == 1
    return MutantUnderTest(name, "src/shop/till.py", name, SHOP.replace(old, new))


@needs_sandbox
@pytest.mark.parametrize(("test", "name", "old", "new", "answer"), CASES["tests_tell_who_sees_a_change"])
def test_tests_tell_who_sees_a_change(test: str | None, name: str, old: str, new: str, answer: tuple[str, str]) -> None:
    """Tests that fail on the original say nothing; of a file, only those are left out."""
    texts = TEXTS | ({"tests/test_till.py": test} if test else {})
    result, detail = find_killed([mutant(name, old, new)], texts, SETTINGS)[name]
    assert [result, detail[: len(answer[1])]] == answer


def test_the_tests_of_a_method_are_those_of_its_class_and_module() -> None:
    test = "from shop.till import Till\nTill().take([1])\nTill().sum\n"
    texts = {"src/shop/till.py": SHOP, "tests/test_till.py": test}
    texts |= {"tests/test_lists.py": "[].take()\n", "tests/test_other.py": "object.__init__\n"}
    tests = mutant_killing.pytest_files(texts)

    def related(name: str, path: str = "src/shop/till.py") -> tuple[list[str], list[str]]:
        job = mutant_killing._job(MutantUnderTest("1", path, name, ""), texts, tests)
        return job["tests"], job["naming"]

    # a shorter file has the word as well, but nothing else of it
    assert related("Till.take") == (["tests/test_till.py", "tests/test_lists.py"],) * 2
    # nobody calls a special method by its name
    assert related("Till.__init__") == (["tests/test_till.py", "tests/test_other.py"], ["tests/test_till.py"])
    assert related("lonely") == (["tests/test_till.py"], [])
    assert related("anything", "lists.py")[0] == ["tests/test_lists.py"]
    assert related("elsewhere", "nowhere.py") == ([], [])
    assert related("test_it", "tests/test_till.py")[0] == ["tests/test_till.py"]


def test_what_the_sandbox_does_not_run_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "unavailable", lambda: "no sandbox here")
    answers = find_killed([mutant("price", "* each", "/ each")], TEXTS, SETTINGS)
    assert answers == {"price": ("unknown", "no sandbox here")}

    def fail(*_: object, **__: object) -> None:
        raise sandbox.SandboxError("no room")

    monkeypatch.setattr(sandbox, "unavailable", lambda: None)
    monkeypatch.setattr(sandbox, "run", fail)
    answers = find_killed([mutant("price", "* each", "/ each")], TEXTS, SETTINGS)
    assert answers["price"] == ("unknown", "the sandbox failed: no room")


@needs_sandbox
def test_what_is_not_reached_in_time_is_unknown() -> None:
    settings = SETTINGS.model_copy(update={"verification_seconds": 0.01})
    result, detail = find_killed([mutant("price", "* each", "/ each")], TEXTS, settings)["price"]
    assert result == "unknown"
    assert "limit of time" in detail
