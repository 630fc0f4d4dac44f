import ast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cortex_pipelines.augmentation.node_table import NodeTable
from cortex_pipelines.augmentation.rewriting import REWRITES, is_same, rewritten
from cortex_pipelines.augmentation.snippets import parse_unit
from cortex_pipelines.schemas.vocabulary import LANGUAGES
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)

PYTHON = "def f(a, b):\n    # Look first.\n    if a:  # nothing\n        g(a, b)\n    return a\n"
BRACES = "function f(a, b) {\n  // Look first.\n  if (a) { /* nothing */\n    g(a, b);\n  }\n  return a;\n}"
CODE = {
    "python": PYTHON,
    "javascript": BRACES,
    "typescript": BRACES.replace("(a, b) {", "(a: number, b: number) {", 1),
    "java": BRACES.replace("function f(a, b)", "int f(int a, int b)"),
    "go": "func f(a bool, b int) int {\n\t// Look first.\n\tif a { /* now */\n\t\tg(a, b)\n\t}\n\treturn b\n}",
    "rust": "fn f(a: bool, b: u8) -> u8 {\n    // Look first.\n    if a { /* now */\n        g(a, b);\n    }\n    b\n}",
}


def variants(code: str, language: str = "python", seed: int = 1) -> dict[str, str]:
    kind = "method" if language == "java" else "function"
    return {variant.rewrite: variant.code for variant in rewritten(code, language, kind, "", 99, seed)}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_rewrite_works_in_every_language(language: str) -> None:
    assert variants(CODE[language], language).keys() == REWRITES.keys()


def test_the_other_way_to_write_it() -> None:
    new = {name: {*code.split("\n")} - {*PYTHON.split("\n")} for name, code in variants(PYTHON).items()}
    assert new["comments_removed"] == {"    if a:"}
    assert new["comments_restyled"] == {"    # look first", "    if a:  # Nothing."}
    assert new["one_argument_a_line"] >= {"        g(", "            a,", "        )"}


def test_the_tree_and_what_tools_read_in_comments_stay() -> None:
    code = "def f(a):\n    # type: ignore\n    x = a  # noqa: E501\n    # words\n    return x\n"
    assert variants(code)["comments_removed"] == code.replace("    # words\n", "")
    assert {ast.dump(ast.parse(other)) for other in variants(PYTHON).values()} == {ast.dump(ast.parse(PYTHON))}


@pytest.mark.parametrize("language", ["python", "javascript", "go", "rust"])
@pytest.mark.parametrize("comment", [["x = g(a)"], ["Looks first at the longest,", "which is the last."]])
def test_a_comment_that_is_code_or_a_part_of_a_sentence_is_not_restyled(language: str, comment: list[str]) -> None:
    mark = "#" if language == "python" else "//"
    old = next(line for line in CODE[language].split("\n") if "ook first" in line)
    indent = old[: len(old) - len(old.lstrip())]
    code = CODE[language].replace(old, "\n".join(f"{indent}{mark} {line}" for line in comment))
    assert all(f"{mark} {line}" in variants(code, language)["comments_restyled"] for line in comment)


@pytest.mark.parametrize(("language", "code", "one_argument"), CASES["a_nested_unit_keeps_where_it_stands"])
def test_a_nested_unit_keeps_where_it_stands(language: str, code: str, one_argument: str) -> None:
    assert variants(code, language)["one_argument_a_line"] == one_argument


def test_a_few_are_drawn_the_same_every_time() -> None:
    sample = rewritten(PYTHON, "python", "function", "", 2, 1)
    assert (len(sample), sample) == (2, rewritten(PYTHON, "python", "function", "", 2, 1))
    names = {rewritten(PYTHON, "python", "function", "", 1, seed)[0].rewrite for seed in range(30)}
    assert names == REWRITES.keys()
    assert rewritten(PYTHON, "python", "function", "", 0, 1) == []
    assert rewritten("def f(:", "python", "function", "", 3, 1) == []


@pytest.mark.parametrize("changed", [PYTHON.replace("(a, b)", "(b, a)"), PYTHON.replace("return a", "return return")])
def test_the_check_refuses_other_code(changed: str) -> None:
    snippet = parse_unit(PYTHON.encode(), "python", "function")
    assert snippet is not None
    assert not is_same(NodeTable(snippet), changed.encode())


@given(st.text(max_size=80), st.sampled_from(LANGUAGES))
@example("#", "python")
def test_no_input_stops_it(text: str, language: str) -> None:
    rewritten(text.encode(errors="ignore").decode(), language, "function", "", 9, 1)
