import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_pipelines.annotation.labels.categories import CATEGORIES, DEFAULT, RULES
from cortex_pipelines.annotation.labels.labelling import quality, quality_features
from cortex_pipelines.annotation.labels.vocabulary import first_sentence, words_of
from cortex_pipelines.annotation.settings import QualityWeights
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)


def test_labels_of_a_small_service(annotated) -> None:
    units = annotated("service/app.py", CASES["PYTHON"])
    login, find = units["login"], units["find_user"]
    assert (login["category"], login["category_source"]) == ("api-endpoint", "rule")
    assert login["category_confidence"] >= 0.95
    assert find["category"] == "database-query"
    assert find["patterns"] == ["bare-except", "mutable-default", "swallowed-exception"]
    assert (units["parse_header"]["category"], units["frobnicate"]["category"]) == ("parsing", DEFAULT)
    assert units["frobnicate"]["category_source"] == "default"
    assert units["frobnicate"]["category_confidence"] < login["category_confidence"]
    assert units["frobnicate"]["patterns"] == ["long-parameter-list"]
    assert login["quality"] > units["frobnicate"]["quality"] > find["quality"]


@pytest.mark.parametrize(("path", "code", "name", "category"), CASES["categories"])
def test_categories(annotated, path: str, code: str, name: str, category: str) -> None:
    assert annotated(path, code)[name]["category"] == category


@pytest.mark.parametrize(("path", "code", "name", "pattern"), CASES["patterns_and_anti_patterns"])
def test_patterns_and_anti_patterns(annotated, path: str, code: str, name: str, pattern: str) -> None:
    assert pattern in annotated(path, code)[name]["patterns"]


@pytest.mark.parametrize(("path", "code", "name", "pattern"), CASES["what_only_looks_like_one"])
def test_what_only_looks_like_a_pattern_or_smell(annotated, path: str, code: str, name: str, pattern: str) -> None:
    assert pattern not in annotated(path, code)[name]["patterns"]


@pytest.mark.parametrize(
    ("code", "is_raw"),
    [
        ("node.innerHTML = text", True),
        ("node.innerHTML = `<p>${text}</p>`", True),
        ('node.innerHTML = "<b>" + text + "</b>"', True),
        ("return <p dangerouslySetInnerHTML={{ __html: text }} />", True),
        ('node.innerHTML = ""', False),
        ("node.innerHTML = `<p>\n</p>`", False),
        ("node.innerHTML = DOMPurify.sanitize(text)", False),
        ("return <p dangerouslySetInnerHTML={{ __html: DOMPurify.sanitize(text) }} />", False),
    ],
)
def test_html_is_raw_unless_it_is_constant_or_sanitised(annotated, code: str, is_raw: bool) -> None:
    assert ("raw-html" in annotated("a.jsx", f"function show(node, text) {{ {code}; }}")["show"]["patterns"]) is is_raw


@pytest.mark.parametrize(
    ("comment", "is_code"),
    [
        ("size = 0", True),
        ("check(size == 0)", True),
        ("await rows.fetch()", True),
        ("size == 0", False),
        ("{'seq': 0, 'name': 'main'}", False),
        ("(m0, m0.T)", False),
    ],
)
def test_a_value_in_a_comment_is_no_code(annotated, comment: str, is_code: bool) -> None:
    patterns = annotated("a.py", f"def f(size):\n    # {comment}\n    return size\n")["f"]["patterns"]
    assert ("commented-out-code" in patterns) is is_code


@pytest.mark.parametrize(
    ("values", "is_built"),
    [("{placeholders}", False), ("{', '.join(ids)}", True), ("{placeholders}) OR {extra}", True)],
)
def test_a_query_with_placeholders_alone_is_not_built_from_pieces(annotated, values: str, is_built: bool) -> None:
    code = f'def drop(ids, placeholders, extra):\n    run(f"DELETE FROM task WHERE id IN ({values})", ids)\n'
    assert ("sql-concatenation" in annotated("a.py", code)["drop"]["patterns"]) is is_built


@pytest.mark.parametrize(
    ("path", "code", "name", "label"),
    [
        ("a.py", "def f(r):\n    return r.status_code == 404\n", "f", None),
        ("a.ts", "function f(r) { return r.statusCode >= 500 }", "f", None),
        ("a.py", "def f(r):\n    return r.width == 404\n", "f", "magic-number"),
        ("a.go", "package a\nfunc f(r int) int { return r>>24 & 0xF0 }", "f", None),
        ("a.go", "package a\nfunc f(r int) int { return r & 24 }", "f", "magic-number"),
        ("a.py", "def f(host):\n    return host in {'0.0.0.0', '::'}\n", "f", None),
        ("a.py", "def f(host):\n    bind(['0.0.0.0'])\n", "f", "hard-coded-bind"),
        (
            "src/test/java/ATest.java",
            "class ATest { void f() { try { g(); fail(); } catch (E e) {} } }",
            "ATest.f",
            None,
        ),
        ("src/A.java", "class A { void f() { try { g(); } catch (E e) {} } }", "A.f", "swallowed-exception"),
    ],
)
def test_what_is_usual_where_it_stands_is_no_smell(annotated, path: str, code: str, name: str, label: str) -> None:
    patterns = annotated(path, code)[name]["patterns"]
    smells = {"magic-number", "hard-coded-bind", "swallowed-exception"}
    assert smells.intersection(patterns) == ({label} if label else set())


def test_generated_code_has_patterns_and_no_smells(annotated) -> None:
    code = "class A:\n    def __enter__(self):\n        return self.width == 4711\n"
    assert annotated("a.py", code)["A"]["patterns"] == ["context-manager", "magic-number"]
    assert annotated("a.py", code, generated=True)["A"]["patterns"] == ["context-manager"]


def test_a_word_in_a_comment_is_no_code(annotated) -> None:
    units = annotated("A.java", "class A {\n void f() {\n  // NOOP;\n }\n void g() {\n  // stop();\n }\n}")
    assert ["commented-out-code" in units[name]["patterns"] for name in ("A.f", "A.g")] == [False, True]


def test_figures_past_their_limits_are_smells(annotated) -> None:
    deep = "def f():\n if a:\n  while b:\n   if c:\n    x\n" + "".join(f" y{i} = 1\n" for i in range(12))
    units = annotated("a.py", deep + "class A:\n" + "".join(f" def m{i}(self): pass\n" for i in range(4)))
    assert (units["f"]["patterns"], units["A"]["patterns"]) == (["deep-nesting", "long-method"], ["god-class"])
    assert annotated("a.py", "def g():\n" + " if a: x\n" * 10)["g"]["patterns"] == ["complex-method"]
    methods = "".join(f"func (t *T) M{i}() {{}}\n" for i in range(4))
    assert annotated("a.go", f"package a\ntype T struct {{}}\n{methods}")["T"]["patterns"] == ["god-class"]


@pytest.mark.parametrize(("name", "words"), CASES["words_of_names"])
def test_words_of_names(name: str, words: str) -> None:
    assert words_of(name) == words


@pytest.mark.parametrize(
    ("docstring", "sentence"),
    [
        ("Read it. Then close it.", "Read it"),
        ("Read it\n\nArgs:\n  x: y", "Read it"),
        ("Reads\nthe {@code File}.\n@param x the file", "Reads the File"),
        ("<p>Read <b>it</b></p>", "Read it"),
        ("Like :py:meth:`~a.b`, but *faster*", "Like a.b, but faster"),
        ("word " * 40, ("word " * 20).strip()),
        ("x" * 200, "x" * 100),
        ("...", ""),
    ],
)
def test_of_a_documentation_the_first_sentence_counts(docstring: str, sentence: str) -> None:
    assert first_sentence(docstring) == sentence


def test_rules_name_categories_once_and_weigh_as_chances() -> None:
    assert DEFAULT not in CATEGORIES
    assert all(0 < rule.weight < 1 for rule in RULES)


FIGURES = {
    "lines": st.integers(1, 1000),
    "cyclomatic": st.integers(1, 200),
    "cognitive": st.integers(0, 200),
    "nesting": st.integers(0, 50),
    "parameters": st.integers(0, 50),
    "smell_count": st.integers(0, 20),
}
FLAGS = ("has_error", "generated")


@given(st.fixed_dictionaries(FIGURES), st.sampled_from([*FIGURES, *FLAGS, "docstring"]), st.integers(1, 99))
def test_quality_is_monotone_and_between_0_and_1(settings, figures, changed: str, by: int) -> None:
    better = {**figures, "docstring": "x", "name": "abc", "has_error": False, "generated": False}
    worse = dict(better)
    if changed in FIGURES:
        worse[changed] += by
    else:
        worse[changed] = None if changed == "docstring" else True
    frame = pl.DataFrame([better, worse], schema_overrides={"docstring": pl.String})
    high, low = frame.select(quality(settings)).to_series()
    assert 0 <= low <= high <= 1
    # a figure counts from its limit on, a flag always
    if changed not in FIGURES:
        assert low < high


def test_quality_weighs_every_feature_and_reaches_one(settings) -> None:
    assert set(quality_features(settings)) == set(QualityWeights.model_fields)
    best = dict.fromkeys(FIGURES, 1) | {"smell_count": 0, "docstring": "x", "name": "abc"}
    assert pl.DataFrame([{**best, "has_error": False, "generated": False}]).select(quality(settings)).item() == 1
