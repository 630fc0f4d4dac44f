import random
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tree_sitter import Node

from cortex_pipelines.extraction.refactoring.detection import detect
from cortex_pipelines.extraction.refactoring.model import Refactoring, Statement
from cortex_pipelines.extraction.refactoring.statements import StatementReader
from cortex_pipelines.extraction.settings import RefactoringSettings
from cortex_pipelines_tests.parameters import load_cases, sections

TABLES = load_cases(__file__)
CASES: dict[str, dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "cases.yaml").read_text(encoding="utf-8"))


def _rows(refactorings: list[Refactoring]) -> list[str]:
    return [
        " ~ ".join(value or "" for value in (r.type, r.name_before, r.name_after, r.container_after, r.purity))
        for r in refactorings
    ]


def _keys(refactorings: list[Refactoring]) -> list[tuple[str, str, str]]:
    return sorted((r.type, r.name_before or "", r.name_after or "") for r in refactorings)


def _between(before: str, after: str, settings: RefactoringSettings, path: str = "a.py") -> list[tuple[str, str, str]]:
    return _keys(detect({path: before}, {path: after}, settings))


@pytest.mark.parametrize("name", CASES)
def test_the_refactorings_between_two_versions(name: str, settings: RefactoringSettings) -> None:
    case = CASES[name]
    before, after = (
        {case["path"]: case[key]} if isinstance(case[key], str) else case[key] for key in ("before", "after")
    )
    refactorings = detect(before, after, settings)
    assert _rows(refactorings) == case["refactorings"]
    assert all(case.get("description", "") in refactoring.description for refactoring in refactorings)
    if "reversed" in case:
        assert _rows(detect(after, before, settings)) == case["reversed"]


def test_the_code_of_a_method_keeps_its_indentation_and_a_new_order_is_told(settings: RefactoringSettings) -> None:
    before = "class A:\n    @b\n    def f(self, x, y):\n        return x - y\n"
    (found,) = detect({"a.py": before}, {"a.py": before.replace("x, y", "y, x")}, settings)
    assert found.code_before == before.partition("\n")[2].rstrip()
    assert found.description == "The parameters of the method f became y, x."


def test_files_whose_names_were_passed_on(settings: RefactoringSettings) -> None:
    functions = "".join(f"def f{i}(a):\n    x = a.left({i})\n    return x\n\n\n" for i in range(9))
    two = "".join(f"def g{i}(b):\n    y = b.right({i})\n    return y\n\n\n" for i in range(9))
    before = {"a.py": functions, "b.py": two}
    refactorings = detect(before, {"b.py": functions.replace("x", "z", 2), "c.py": two}, settings)
    assert [(r.type, r.path_before, r.path_after) for r in refactorings] == [("Rename Variable", "a.py", "b.py")]


def test_only_what_changed_is_read(settings: RefactoringSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def spy(reader: StatementReader, node: Node) -> list[Statement]:
        read.append(node.type)
        return original(reader, node)

    original = StatementReader.read
    monkeypatch.setattr(StatementReader, "read", spy)
    same = "".join(
        f"class C{i}:\n    kind = {i}\n\n    def f(self, a):\n        return a.left({i})\n\n\n" for i in range(9)
    )
    before = f"{same}def g(a):\n    total = a.left(1)\n    other = total.right(2)\n    return other\n"
    after = before.replace("total", "amount")
    (renamed,) = detect({"only.py": before}, {"only.py": after}, settings)
    assert (renamed.type, renamed.line_before, renamed.line_after) == ("Rename Variable", 65, 65)
    assert read == ["block", "block"]  # those of g


def test_equal_bodies_have_lines_of_their_own(settings: RefactoringSettings) -> None:
    before = "def f(a):\n    total = a.left(1)\n    other = total.right(2)\n    return other\n"
    after, above = before.replace("total", "amount"), "y = 1\n" * 7
    (at_the_top,) = detect({"a.py": before}, {"a.py": after}, settings)
    (below,) = detect({"a.py": above + before}, {"a.py": above + after}, settings)
    assert (at_the_top.type, at_the_top.line_before, at_the_top.line_after) == ("Rename Variable", 2, 2)
    assert (below.type, below.line_before, below.line_after) == ("Rename Variable", 9, 9)


@pytest.mark.parametrize("ending", ["py", "js", "ts", "tsx", "java", "go", "rs"])
def test_garbage_does_no_harm(ending: str, settings: RefactoringSettings) -> None:
    draw = random.Random(7)
    texts = ["".join(chr(draw.randrange(1, 0x250)) for _ in range(600)) for _ in range(2)]
    texts += ["f(" * 500, "{" * 500, "\x00", "\ud800", ""]
    path = f"a.{ending}"
    for text in texts:
        for other in texts:
            detect({path: text}, {path: other}, settings)


def test_thousands_of_functions_in_one_file(settings: RefactoringSettings) -> None:
    functions = "".join(f"def f{i}(a):\n    return a.x{i} + {i}\n\n" for i in range(400))
    refactorings = detect({"a.py": functions}, {"a.py": functions.replace("def f", "def g")}, settings)
    assert _keys(refactorings) == sorted(("Rename Method", f"f{i}", f"g{i}") for i in range(400))


def test_a_function_of_a_thousand_statements(settings: RefactoringSettings) -> None:
    function = "def f(a):\n" + "".join(f"    x{i} = a.get({i})\n" for i in range(400))
    refactorings = detect({"a.py": function}, {"a.py": function.replace("    x", "    y")}, settings)
    assert _keys(refactorings) == sorted(("Rename Variable", f"x{i}", f"y{i}") for i in range(400))


def test_files_above_the_limit_are_left_out(settings: RefactoringSettings) -> None:
    text = "def f(a):\n    x = a\n    return g(x, x)\n"
    padding = "#" * settings.max_file_bytes
    assert detect({"a.py": text + padding}, {"a.py": text.replace("x", "y") + padding}, settings) == []


_LINES = st.lists(
    st.sampled_from(["x = f(a)", "y = x + 1", "if x:", "    return y", "for i in a:", "    g(i, x)", "return h(x, y)"]),
    max_size=12,
)


@given(_LINES, _LINES)
def test_the_result_is_the_same_each_time_and_says_nothing_of_equal_code(lines_before, lines_after: list[str]) -> None:
    settings = RefactoringSettings(**sections()["refactoring"])
    before = "def f(a):\n    pass\n" + "".join(f"    {line}\n" for line in lines_before)
    after = "def f(a):\n    pass\n" + "".join(f"    {line}\n" for line in lines_after)
    refactorings = detect({"a.py": before}, {"a.py": after}, settings)
    assert refactorings == detect({"a.py": before}, {"a.py": after}, settings)
    assert detect({"a.py": before}, {"a.py": before + "\n\n"}, settings) == []
    for row in refactorings:
        assert row.description.endswith(".")
        assert row.purity in ("pure", "mixed")


@pytest.mark.parametrize(
    ("path", "before", "after", "added"), TABLES["every_name_that_a_signature_binds_is_a_parameter"]
)
def test_every_name_that_a_signature_binds_is_a_parameter(path, before, after, added, settings) -> None:
    head = "class A { " if path == "A.java" else ""
    ones, new_text = head + before + " }" * bool(head), head + after + " }" * bool(head)
    assert _between(ones, new_text, settings, path) == [("Add Parameter", "", name) for name in added]


@pytest.mark.parametrize(("path", "code"), TABLES["every_way_to_bind_a_variable"])
def test_every_way_to_bind_a_variable(path: str, code: str, settings: RefactoringSettings) -> None:
    before, after = code.replace("NAME", "first"), code.replace("NAME", "second")
    assert _between(before, after, settings, path) == [("Rename Variable", "first", "second")]


def test_many_functions_in_one_class_are_compared_by_what_they_share(settings: RefactoringSettings) -> None:
    functions = "".join(
        f"def f{i}(a):\n    x = a.left({i})\n    y = x.right[{i}]\n    return x + y\n\n\n" for i in range(120)
    )
    other = functions.replace("def f", "def g") + "def user():\n    return [g1(1), g2(2)]\n"
    refactorings = detect({"a.py": functions + "def user():\n    return [f1(1), f2(2)]\n"}, {"a.py": other}, settings)
    assert _keys(refactorings) == sorted(("Rename Method", f"f{i}", f"g{i}") for i in range(120))


def test_a_statement_without_end_is_compared_by_its_beginning(settings: RefactoringSettings) -> None:
    data = ", ".join(str(number) for number in range(5000))
    before = f"def f(a):\n    table = [{data}]\n    return table[a] + g(table)\n"
    after = before.replace("table", "values")
    assert _between(before, after, settings) == [("Rename Variable", "table", "values")]
    refactorings = detect({"a.py": before}, {"a.py": after.replace("4999", "5000")}, settings)
    assert [r.purity for r in refactorings] == ["mixed"]
