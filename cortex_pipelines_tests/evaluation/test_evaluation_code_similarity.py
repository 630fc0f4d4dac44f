from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_pipelines.evaluation.metrics import code_trees
from cortex_pipelines.evaluation.metrics.grading import edit_similarity, grade, same_answer, word_f1
from cortex_pipelines.evaluation.metrics.style import FEATURES, distances_by_feature, learn_style, style_distance
from cortex_pipelines.prompts.examples import Example, StopRule, cut, extent_of, is_complete
from cortex_pipelines.versioning.project import read_yaml
from cortex_pipelines_tests.adapters.tinymodel import example
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)
words = st.text("abc ", max_size=12)
SNIPPETS = read_yaml(Path(__file__).with_name("similar_code.yaml"))
CODE = {language: tuple(map(str, snippets.values())) for language, snippets in SNIPPETS.items()}
BLOCK = "    a = 1\n\n    if a:\n        b()"


@pytest.mark.parametrize("language", CODE)
def test_layout_and_comments_make_no_difference_and_code_does(language: str) -> None:
    code, laid_out, other, broken = CODE[language]
    assert code_trees.same_code(code, laid_out, language)
    assert not code_trees.same_code(code, other, language)
    assert code_trees.syntax_errors(code, language) == code_trees.syntax_errors(laid_out, language) == 0
    assert code_trees.syntax_errors(broken, language) > 0


def test_code_is_compared_as_deep_as_it_is_indented_and_names_by_their_words() -> None:
    inside = "for a in b:\n    c(a)\n    d(a)"
    outside = "for a in b:\n    c(a)\nd(a)"
    assert not code_trees.same_code(inside, outside, "python")
    assert code_trees.same_code("        return a\n", "    return a", "python")
    deep = "(" * 3000 + "a" + ")" * 3000
    assert code_trees.same_code(deep, deep, "python")
    names = ("get_user", "getUserName"), ("load", "save"), ("HTTPServer", "http_server")
    assert [code_trees.subtoken_f1(*pair) for pair in names] == [pytest.approx(0.8), 0, 1]


@given(st.text(max_size=60), st.text(max_size=60), st.sampled_from(sorted(CODE)))
def test_any_two_texts_can_be_compared(output: str, expected: str, language: str) -> None:
    code_trees.same_code(output, expected, language)
    assert code_trees.same_code(output, output, language)


@pytest.mark.parametrize(
    ("extent", "text", "expected"),
    CASES["an_answer_is_cut_where_it_ends"],
)  # fmt: skip
def test_an_answer_is_cut_where_it_ends(extent: StopRule, text: str, expected: str) -> None:
    assert cut(text, extent) == expected
    assert is_complete(text, extent)
    assert not is_complete(expected, extent)


@given(st.text(alphabet="a (){}[]\n\"'=:", max_size=40), st.sampled_from(list(StopRule.__args__)))  # type: ignore[attr-defined]
def test_what_is_cut_is_a_beginning_and_stays_as_it_is(text: str, extent: StopRule) -> None:
    assert text.startswith(cut(text, extent))


def refactoring(language: str = "python") -> Example:
    item = example(1, "refactoring", "# a.py\n# This code has an error.\nx\n\n# The fixed code:\n")
    return replace(item, language=language, kind="error", completion="def f():\n    return 1")


def test_a_fix_counts_in_any_layout_and_a_name_only_as_it_is() -> None:
    item = refactoring()
    graded = grade(item, "def f():\n  return 1  # one", "<NAME>")
    assert (graded["right"], graded["exact_match"], graded["syntax_correct"]) == (True, False, True)
    assert not grade(item, "def f():\n    return 2", "<NAME>")["right"]
    assert (extent_of(item), extent_of(refactoring("go"))) == ("unit", "braced_unit")
    item = example(1, "completion", "class A {\n  int f() {\n", "    return 1;\n  }")
    item = replace(item, language="java", kind="method")
    assert grade(item, "    return 2;\n  }", "<NAME>")["syntax_correct"]
    assert not grade(item, "    return (2;\n  }", "<NAME>")["syntax_correct"]
    assert not grade(item, "", "<NAME>")["syntax_correct"]
    item = example(1, "naming", "def <NAME>(a):\n    return a\n\n# <NAME> is a function. Its name:\n", "same")
    assert grade(item, "same", "<NAME>")["right"]
    flags = {"syntax_correct": True, "exact_match": False, "right": False, "word_f1": None}
    grades = flags | {"edit_similarity": 0, "subtoken_f1": pytest.approx(2 / 3)}
    assert grade(item, "same_as", "<NAME>") | {"edit_similarity": 0} == grades
    assert grade(item, "not a name", "<NAME>")["syntax_correct"] is False


def test_of_judgements_about_imports_only_the_verdict_counts() -> None:
    item = replace(example(1, "architecture", "May a import b?", "violation: a must not import b."), kind="violation")
    assert grade(item, "violation: of the order.", "<NAME>")["right"]
    assert not grade(item, "allowed: why not.", "<NAME>")["right"]
    assert same_answer(item, "allowed: so.", "Allowed: or so.")


def test_documentation_is_a_paragraph_graded_by_its_words_and_a_test_is_code() -> None:
    item = example(1, "documentation", "# What it does:\n", "Add up.")
    assert (extent_of(item), cut("Add up\nall.\n\nMore.", "paragraph")) == ("paragraph", "Add up\nall.")
    extents = {"python": "unit", "typescript": "statement", "go": "braced_unit"}
    assert {name: extent_of(replace(example(1, "tests"), language=name)) for name in extents} == extents
    call = "it('adds', () => {\n  expect(add(1)).toBe(2);\n});"
    assert cut(f"{call}\nit('b')", "statement") == call
    item = example(1, "documentation", "# What it does:\n", "Adds up all prices.")
    grades = grade(item, "Adds all of the prices!", "<NAME>")
    assert (grades["syntax_correct"], grades["subtoken_f1"]) == (None, None)
    assert grades["word_f1"] == pytest.approx(2 * 3 / (3 + 4))
    assert not grades["right"]
    assert grade(item, "Adds up\nall prices.", "<NAME>")["right"]
    test_item = example(1, "tests", "# Its test:\n", "def test_a():\n    assert a() == 1")
    assert grade(test_item, "def test_a():\n    assert a() == 2", "<NAME>")["syntax_correct"]
    assert not grade(test_item, "def test_a(:\n    assert", "<NAME>")["syntax_correct"]
    assert grade(test_item, "x", "<NAME>")["word_f1"] is None


@pytest.mark.parametrize(
    ("output", "expected", "f1"),
    [
        ("Return the user.", "returns THE user", 0.5),
        ("the of and", "the of and", 0.0),  # function words do not count
        ("user user user", "user", 0.5),  # repeating a word gains nothing
        ("", "Return the user.", 0.0),
        ("user Return", "Return the user.", 1.0),
    ],
)
def test_the_words_of_two_texts_are_compared_without_function_words(output: str, expected: str, f1: float) -> None:
    assert (word_f1(output, expected), word_f1(expected, output)) == (pytest.approx(f1), pytest.approx(f1))


@given(words, words)
def test_edit_similarity_is_one_for_the_same_text_but_for_its_ends(first: str, second: str) -> None:
    assert 0 <= edit_similarity(first, second) <= 1
    assert (edit_similarity(first, second) == 1) == (first.strip() == second.strip())
    assert (edit_similarity(f"  {first}\n", first), edit_similarity("kitten", "sitting")) == (1, pytest.approx(4 / 7))


TEAM = CASES["TEAM"]
LIKE = [("python", 'def move_all(things):\n    kept = {"x": 3}\n    return kept\n')]
UNLIKE = [("python", "def moveAll(theThings):\n  keptOnes={'x':3,'y':4};\n  return keptOnes;\n")]


def distance(code: list[tuple[str, str]], team: list[tuple[str, str]] = TEAM) -> float:
    value = style_distance(learn_style(code), learn_style(team))
    assert value is not None
    return value


def test_code_is_like_itself_and_nearer_to_its_like_and_nothing_has_no_style() -> None:
    assert distance(TEAM) == 0
    assert distance(LIKE) < 0.35 < distance(UNLIKE)
    distances = distances_by_feature(learn_style(UNLIKE), learn_style(TEAM))
    for feature in ("quotes", "names", "indentation", "operators", "commas", "semicolons"):
        assert distances[feature] == 1, feature
    assert set(distances) <= set(FEATURES)
    assert style_distance(learn_style([]), learn_style(TEAM)) is None
    assert style_distance(learn_style([("yaml", "a: 1")]), learn_style(TEAM)) is None
    go = [("go", "func a() {\n\tb := 1\n}\n")]
    assert style_distance(learn_style(go), learn_style(TEAM)) is None  # another language


@given(st.lists(st.sampled_from([*TEAM, *LIKE, *UNLIKE]), min_size=1, max_size=4), st.text(max_size=40))
def test_a_distance_is_symmetric_and_between_0_and_1(texts: list[tuple[str, str]], text: str) -> None:
    style, other = learn_style(texts), learn_style([("python", text), *TEAM])
    first, second = style_distance(style, other), style_distance(other, style)
    assert first == second
    assert first is not None
    assert 0 <= first <= 1
