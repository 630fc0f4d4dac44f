"""What is written in another way does the same; where that cannot be shown it is left out."""

import ast
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortex_pipelines.augmentation.node_table import NodeTable
from cortex_pipelines.augmentation.rewriting.equivalence import canonical
from cortex_pipelines.augmentation.rewriting.rewrite_units import is_same, rewrites, rewritten
from cortex_pipelines.augmentation.snippets import parse_unit
from cortex_pipelines.schemas.vocabulary import LANGUAGES
from cortex_pipelines_tests.parameters import PROPERTY_STEPS, load_cases

CASES = load_cases(__file__)


PYTHON = CASES["PYTHON"]
BRACES = CASES["BRACES"]
CODE = {
    "python": PYTHON,
    "javascript": BRACES,
    "typescript": BRACES.replace("(a, b) {", "(a: number, b: number) {", 1),
    "java": BRACES.replace("function f(a, b)", "int f(int a, int b)").replace("let n", "int n"),
    "go": (
        "func f(a bool, b int) int {\n\t// Look first.\n\tif a { /* now */\n\t\tg(a, b)\n"
        "\t} else {\n\t\th(a)\n\t}\n\tif a {\n\t\tif b < 1 {\n\t\t\treturn 1\n\t\t}\n\t}\n"
        "\tn := 0\n\tn += 1\n\tif !(a && b > n) {\n\t\treturn n\n\t} else {\n\t\tn = n * 2\n\t}\n"
        "\treturn g(n, b)\n}"
    ),
    "rust": (
        "fn f(a: bool, b: i32) -> i32 {\n    // Look first.\n    if a { /* now */\n"
        "        g(a, b);\n    } else {\n        h(a);\n    }\n    let mut n = 0;\n    n += 1;\n"
        "    if !(a && b < n) {\n        return n;\n    }\n    g(n, b)\n}"
    ),
}


def variants(code: str, language: str = "python", seed: int = 1) -> dict[str, str]:
    rewritings = rewritten(code, language, "function", "", 99, seed)
    return {variant.rewrite: variant.code for variant in rewritings}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_rewrite_works_in_every_language_it_claims(language: str) -> None:
    claimed = {rewrite.name for rewrite in rewrites() if language in rewrite.languages}
    code = CODE[language]
    if language == "java":
        code = f"class A {{ {code} }}"
        rewritings = rewritten(CODE[language], language, "method", "", 99, 1)
        assert {rewrite.rewrite for rewrite in rewritings} == claimed
        return
    assert set(variants(code, language)) == claimed
    assert len(claimed) >= 7


def lines(code: str) -> set[str]:
    return {line.strip() for line in code.splitlines()}


NEW_LINES = CASES["new_lines"]


@pytest.mark.parametrize("name", NEW_LINES)
def test_the_other_way_to_write_it(name: str) -> None:
    new = lines(variants(PYTHON)[name]) - lines(PYTHON)
    if name == "inverted_branches":
        assert "if a:" in lines(variants(PYTHON)[name])
        return
    assert sorted(new) == NEW_LINES[name]


def test_strings_the_tree_and_what_tools_read_in_comments_stay() -> None:
    code = "def f(a):\n    # type: ignore\n    x = a  # noqa: E501\n    # words\n    return x\n"
    assert variants(code)["comments_removed"] == code.replace("    # words\n", "")
    code = 'def f(a):\n    x = """one\n    two"""\n    if a:\n        x += a\n    return x\n'
    other = variants(code)["reindented"]
    assert 'x = """one\n    two"""' in other
    assert other != code
    for name in ("reindented", "one_argument_a_line", "comments_removed", "comments_restyled"):
        assert ast.dump(ast.parse(variants(PYTHON)[name])) == ast.dump(ast.parse(PYTHON))


LEFT_ALONE = CASES["left_alone"]


@pytest.mark.parametrize(("name", "code"), LEFT_ALONE.values(), ids=LEFT_ALONE)
def test_is_left_alone(name: str, code: str) -> None:
    assert name not in variants(code)


def test_a_decorated_method_keeps_where_it_stands() -> None:
    code = "@cached\n    def f(self, a):\n        if a:\n            return 1\n        return 2"
    other = variants(code)["reindented"]
    assert other == code.replace("\n        ", "\n      ").replace("\n          ", "\n        ")
    assert "reindented" not in variants("def f(self, a):\n        return g(a)\n")


@pytest.mark.parametrize(
    ("language", "code", "reindented", "one_argument"), CASES["a_nested_unit_keeps_where_it_stands"]
)
def test_a_nested_unit_keeps_where_it_stands(language: str, code: str, reindented: str, one_argument: str) -> None:
    rewritings = rewritten(code, language, "function", "", 20, 1)
    by_name = {variant.rewrite: variant.code for variant in rewritings}
    assert by_name["reindented"] == reindented
    assert by_name["one_argument_a_line"] == one_argument


def test_a_few_are_drawn_the_same_every_time() -> None:
    sample = rewritten(PYTHON, "python", "function", "", 2, 1)
    assert len(sample) == 2
    assert sample == rewritten(PYTHON, "python", "function", "", 2, 1)
    names = {rewritten(PYTHON, "python", "function", "", 1, seed)[0].rewrite for seed in range(30)}
    assert len(names) > 4
    assert rewritten(PYTHON, "python", "function", "", 0, 1) == []
    assert rewritten("def f(:", "python", "function", "", 3, 1) == []


WRONG = CASES["wrong"]


@pytest.mark.parametrize(("right", "wrong"), WRONG.values(), ids=WRONG)
def test_the_check_refuses(right: str, wrong: str) -> None:
    before, after = (f"def f(a, b):\n    {text}\n" for text in (right, wrong))
    snippet = parse_unit(before.encode(), "python", "function")
    assert snippet is not None
    assert not is_same("structure", NodeTable(snippet), after.encode())


def test_canonical_forms_of_different_code_differ() -> None:
    codes = ["a < b", "b < a", "not a < b", "a <= b", "a == b", "a != b", "a in b", "a not in b"]
    forms = {canonical(ast.parse(code)) for code in codes}
    assert len(forms) == len(codes)


CONDITIONS = st.recursive(
    st.sampled_from(["a", "b", "a < b", "a == 2", "b in (1, 2)", "a is None"]),
    lambda inner: st.one_of(
        inner.map(lambda c: f"not ({c})"),
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda p: f"({p[0]}) {p[1]} ({p[2]})"),
    ),
    max_leaves=4,
)
BODIES = st.recursive(
    st.sampled_from([["n += 1"], ["return g(n, a)"], ["n = n * 2  # twice"], ["out.append(n)"], ["n -= 3"]]),
    lambda inner: st.one_of(
        st.tuples(CONDITIONS, inner).map(lambda p: [f"if {p[0]}:", *_in(p[1])]),
        st.tuples(CONDITIONS, inner, inner).map(lambda p: [f"if {p[0]}:", *_in(p[1]), "else:", *_in(p[2])]),
        st.tuples(inner, inner).map(lambda p: [*p[0], *p[1]]),
    ),
    max_leaves=6,
)


def _in(block: list[str]) -> list[str]:
    return [f"    {line}" for line in block]


@settings(max_examples=PROPERTY_STEPS, deadline=None)
@given(BODIES, st.integers(0, 5))
def test_a_rewritten_function_does_the_same(body: list[str], seed: int) -> None:
    code = "\n".join(["def f(a, b, n=0):", *_in(body), "    return n", ""])
    expected = _behaviour(code)
    for name, other in variants(code, seed=seed).items():
        assert _behaviour(other) == expected, (name, other)


def _behaviour(code: str) -> list[object]:
    outcomes: list[object] = []
    for a in (0, 1, 2, None):
        for b in (0, 2, 3):
            space: dict[str, object] = {"out": outcomes, "g": lambda *values: values}
            exec(code, space)
            try:
                outcomes.append(space["f"](a, b))  # type: ignore[operator]
            except TypeError as error:
                outcomes.append(type(error).__name__)
    return outcomes


def test_javascript_does_the_same(tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node on this machine")
    script = """
const out = []; const g = (...v) => { out.push(v); return v; }; const h = g;
CODE
for (const a of [0, 1, true, null]) for (const b of [0, 1, 2]) out.push(f(a, b));
console.log(JSON.stringify(out));
"""
    answers = set()
    for number, code in enumerate([BRACES, *variants(BRACES, "javascript").values()]):
        file = tmp_path / f"{number}.js"
        file.write_text(script.replace("CODE", code))
        answers.add(subprocess.run([node, file], capture_output=True, check=True).stdout)
    assert len(answers) == 1


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=80), st.sampled_from(LANGUAGES))
def test_no_input_stops_it(text: str, language: str) -> None:
    code = text.encode(errors="ignore").decode()
    rewritten(code, language, "function", "", 9, 1)
