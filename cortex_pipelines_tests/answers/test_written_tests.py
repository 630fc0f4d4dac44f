"""Tests that are written from observed calls: they pass, they fail on a mutant, and nothing else is a test."""

from pathlib import Path

import pytest

from cortex_pipelines.answers.simple_calls import simple_calls
from cortex_pipelines.answers.written_tests import (
    TestedUnit,
    adapted_test,
    calls_in,
    doctest_test,
    first_test,
    imports_of,
    observed_test,
    unit_in_file,
)
from cortex_pipelines.config import load_parameters
from cortex_pipelines.execution.sandbox.sandbox import unavailable

SETTINGS = load_parameters(Path(__file__).parents[2]).augmentation
needs_sandbox = pytest.mark.skipif(unavailable() is not None, reason=unavailable() or "")
LEAP = (
    "def is_leap(year: int) -> bool:\n"
    '    """Leap years.\n\n    >>> is_leap(2000)\n    True\n    """\n'
    "    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)\n"
)
STACK = (
    "class Stack:\n    def __init__(self):\n        self.items = []\n\n"
    "    def push(self, item: int):\n        self.items.append(item)\n"
)


def unit_of(code: str, name: str, path: str = "", texts: dict[str, str] | None = None) -> TestedUnit:
    kind = "method" if "." in name else "function"
    return unit_in_file(code, name, kind, path, "", texts or {}, SETTINGS)


@needs_sandbox
def test_what_calls_give_is_asserted_and_told_from_mutants() -> None:
    unit = unit_of(LEAP, "is_leap")
    test = observed_test(unit, ["is_leap(1900)"])
    assert test is not None
    assert test.startswith("def test_is_leap():\n    assert is_leap(")
    verdict = unit.verdict(test)
    assert (verdict.refusal, verdict.killed) == ("", 1)
    documented = doctest_test(unit)
    assert documented == "def test_is_leap():\n    assert is_leap(2000) == True"
    assert (
        unit.verdict("def test_it():\n    assert is_leap(1999)").refusal
        == "it does not pass on the code as it is (AssertionError)"
    )
    assert unit.verdict("def test_it():\n    assert True").refusal == "it does not test the unit"


@needs_sandbox
def test_a_method_is_tested_in_its_file_by_what_it_changes() -> None:
    method = "def push(self, item: int):\n        self.items.append(item)"
    texts = {"src/shop/__init__.py": "", "src/shop/stack.py": STACK, "README.md": "x"}
    unit = unit_of(method, "Stack.push", "src/shop/stack.py", texts)
    assert unit.module == "shop.stack"
    assert unit.file == STACK
    test = observed_test(unit)
    assert test is not None
    assert imports_of(test, unit, unit.module) + test == (
        "from shop.stack import Stack\n\n\n"
        "def test_stack_push():\n    stack = Stack()\n    stack.push(0)\n    assert stack.items == [0]"
    )
    assert unit.verdict(test).refusal == ""


@needs_sandbox
@pytest.mark.parametrize(
    "code",
    [
        "import random\n\n\ndef pick(n: int):\n    return random.random() + n\n",
        "def order(n: int):\n    return list({'a', 'b', 'c', str(n)})\n",
        "def wait(n: int):\n    while True:\n        n += 1\n    return n\n",
        "import missing_package\n\n\ndef f(n: int):\n    return n + 1\n",
    ],
    ids=["chance", "the order of a set", "no end", "a package that is missing"],
)
def test_what_cannot_be_relied_on_is_not_asserted(code: str) -> None:
    name = code.partition("def ")[2].partition("(")[0]
    unit = unit_of(code, name)
    test = observed_test(unit)
    assert test is None or unit.verdict(test).refusal


def test_calls_take_values_from_annotations_literals_and_the_teams_tests() -> None:
    calls = simple_calls("def f(a: int, *, b='x'):\n    return a > 41\n", "f", ["f(7, b='q')", "f(y)"])
    assert calls[0] == "f(7, b='q')"
    assert {"f(41)", "f(42)", "f(0)", "f(7)"} <= set(calls)
    assert "f(0, b='q')" in calls
    assert not any("y" in call for call in calls)
    assert simple_calls("async def f(a): return a", "f") == simple_calls("x = 1", "f") == []
    assert "Basket()" in simple_calls("def f(basket: Basket): return 1", "f")[0]


def test_tests_are_taken_from_texts_and_adapted_to_another_unit() -> None:
    output = "import os\n\ndef test_a():\n    assert a(1) == 2\n\ndef test_b(:\n    as"
    assert first_test(output) == "def test_a():\n    assert a(1) == 2"
    assert first_test("assert a(1)") is first_test("def test_(:") is None
    unit = unit_of("def twice(x):\n    return x * 2\n", "twice", str(Path("shop.py")))
    assert adapted_test("def test_half():\n    assert half(2) == 1 != halfway", "half", unit) == (
        "def test_twice():\n    assert twice(2) == 1 != halfway"
    )
    assert list(calls_in(["def test_x():\n    assert m.twice(3) == twice(x=4)", "not python twice("], "twice")) == [
        "twice(3)",
        "twice(x=4)",
    ]
