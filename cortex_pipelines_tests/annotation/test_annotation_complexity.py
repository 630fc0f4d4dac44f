import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortex_pipelines.annotation.complexity.treewalk import walk
from cortex_pipelines.annotation.evidence import Complexity, complexity_of, marks_of
from cortex_pipelines.extraction.units import file_units
from cortex_pipelines.syntax.grammars import grammar_for, parse
from cortex_pipelines_tests.parameters import EXTRACTION, load_cases

CASES = load_cases(__file__)


def measures(language: str, text: str, path: str = "") -> dict[str, Complexity]:
    data, grammar = text.encode(), grammar_for(language, path)
    tree = parse(data, grammar)
    units = [unit for unit in file_units(text, language, path, EXTRACTION) if unit.kind != "import"]
    offsets = {offset for unit in units for offset in (unit.start_byte, unit.body_start_byte)} - {None}
    walked = walk(tree, data, language, offsets)
    starts = [step.start for step in walked.steps]
    return {
        unit.qualified_name: complexity_of(walked, unit.start_byte, unit.end_byte, unit.body_start_byte, starts)
        for unit in units
    }


@pytest.mark.parametrize(
    ("name", "language"), [(name, language) for name in CASES["FIGURES"] for language in CASES[name]]
)
def test_one_algorithm_has_one_complexity(name: str, language: str) -> None:
    function = "classify" if name == "CLASSIFY" else "f"
    unit = measures(language, CASES[name][language])[f"A.{function}" if language == "java" else function]
    assert [unit.cyclomatic, unit.cognitive, unit.nesting] == CASES["FIGURES"][name]


@pytest.mark.parametrize(("code", "cyclomatic", "cognitive"), CASES["python_counted_by_hand"])
def test_python_counted_by_hand(code: str, cyclomatic: int, cognitive: int) -> None:
    complexity = measures("python", code)["f"]
    assert (complexity.cyclomatic, complexity.cognitive) == (cyclomatic, cognitive)


def test_a_unit_is_measured_from_its_own_level_and_a_type_by_its_methods() -> None:
    complexities = measures("python", "def f():\n  def g():\n    if a:\n      if b: pass\n  if c: g()\n")
    assert (complexities["f.g"].cyclomatic, complexities["f.g"].cognitive, complexities["f.g"].nesting) == (3, 3, 2)
    # the inner function is a level deeper for whoever reads the outer one
    assert (complexities["f"].cyclomatic, complexities["f"].cognitive, complexities["f"].nesting) == (4, 6, 3)
    body = "  def f(self):\n    if a: pass\n  def g(self):\n    for b in c:\n      if d: pass\n"
    complexities = measures("python", f"class A:\n{body}")
    assert complexities["A"].cognitive == complexities["A.f"].cognitive + complexities["A.g"].cognitive == 4
    assert complexities["A"].cyclomatic == 4


@pytest.mark.parametrize(("language", "code", "name", "count"), CASES["parameters_without_the_receiver"])
def test_parameters_without_the_receiver(language: str, code: str, name: str, count: int) -> None:
    grammar = grammar_for(language)
    unit = next(u for u in file_units(code, language, "", EXTRACTION) if u.qualified_name == name)
    _, starts = marks_of(parse(code.encode(), grammar).root_node, grammar, 0)
    end = unit.end_byte if unit.body_start_byte is None else unit.body_start_byte
    assert sum(unit.start_byte <= start < end for start in starts) == count


@given(st.integers(1, 12))
@settings(max_examples=12)
def test_nested_ifs_cost_the_sum_of_their_levels(depth: int) -> None:
    lines = ["def f():", *("  " * level + "if a:" for level in range(1, depth + 1))]
    complexity = measures("python", "\n".join([*lines, "  " * (depth + 1) + "pass"]))["f"]
    assert (complexity.nesting, complexity.cyclomatic) == (depth, 1 + depth)
    assert complexity.cognitive == depth * (depth + 1) // 2


@given(st.sampled_from(sorted(CASES["CLASSIFY"])), st.data())
def test_cut_code_is_measured_too(language: str, data: st.DataObject) -> None:
    text = CASES["CLASSIFY"][language]
    start = data.draw(st.integers(0, len(text)))
    for complexity in measures(language, text[start : data.draw(st.integers(start, len(text)))]).values():
        assert 1 <= complexity.cyclomatic <= 9
        assert 0 <= complexity.nesting <= 3
        assert 0 <= complexity.cognitive <= 11


@pytest.mark.parametrize(("language", "code", "name", "figures"), CASES["what_only_some_languages_have"])
def test_what_only_some_languages_have(language, code, name, figures) -> None:
    complexity = measures(language, code)[name]
    assert [complexity.cyclomatic, complexity.cognitive] == figures


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("python", "x = " + "(" * 20_000 + "1" + ")" * 20_000),
        ("javascript", "f = " + "()=>" * 20_000 + "1"),
        ("javascript", "if(a)" * 10_000 + "b"),
        ("python", "x = " + " and ".join(["a"] * 20_000)),
        ("go", "package a\nfunc f() {" + "if a {" * 5_000),
        ("rust", "fn f() { " + "x = || " * 10_000),
        ("java", "class A { void f() { " + "{" * 20_000),
        ("python", "\x00\ufffd\r\n" * 1000),
    ],
)
def test_deep_nesting_is_walked_without_recursion(language: str, code: str) -> None:
    data, grammar = code.encode(), grammar_for(language)
    result = walk(parse(data, grammar), data, language, {0})
    assert [step.start for step in result.steps] == sorted(step.start for step in result.steps)
