"""Categories, patterns and quality of units."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from cortex_pipelines.annotation.labels.categories import CATEGORIES, DEFAULT, RULES
from cortex_pipelines.annotation.labels.labelling import quality, quality_features
from cortex_pipelines.annotation.labels.vocabulary import first_sentence, words_of
from cortex_pipelines.annotation.settings import QualityWeights

PYTHON = '''\
import sqlite3
from flask import Flask, request

app = Flask(__name__)
MAX_RETRIES = 3


@app.route("/login", methods=["POST"])
def login():
    """Check the user's password. Then start a session."""
    return find_user(request.form["name"], [])


def find_user(name, seen=[]):
    try:
        return db.execute("SELECT id FROM users WHERE name = ?", name)
    except:
        pass


def parse_header(line): return line.split(":")


def frobnicate(a, b, c, d, e):
    return a
'''


def test_labels_of_a_small_service(annotated) -> None:
    units = annotated("service/app.py", PYTHON)
    login, find = units["login"], units["find_user"]
    assert login["category"] == "api-endpoint"
    assert login["category_source"] == "rule"
    assert login["category_confidence"] >= 0.95
    assert find["category"] == "database-query"
    assert find["patterns"] == ["bare-except", "mutable-default", "swallowed-exception"]
    assert units["parse_header"]["category"] == "parsing"
    assert units["frobnicate"]["category"] == DEFAULT
    assert units["frobnicate"]["category_source"] == "default"
    assert units["frobnicate"]["category_confidence"] < login["category_confidence"]
    assert units["frobnicate"]["patterns"] == ["long-parameter-list"]
    assert login["quality"] > units["frobnicate"]["quality"] > find["quality"]


@pytest.mark.parametrize(
    ("path", "code", "name", "category"),
    [
        ("a/test_x.py", "def test_sum(): assert 1", "test_sum", "test-case"),
        ("ATest.java", "class A { @Test void adds() {} }", "A.adds", "test-case"),
        ("a.rs", "#[test]\nfn adds() {}", "adds", "test-case"),
        ("a_test.go", "package a\nfunc TestAdd(t *testing.T) {}", "TestAdd", "test-case"),
        ("x.go", "package a\nfunc H(w http.ResponseWriter, r *http.Request) {}", "H", "api-endpoint"),
        ("A.java", 'class A { @GetMapping("/x") int x() { return 1; } }', "A.x", "api-endpoint"),
        ("a.tsx", "export const Card = () => <div/>;", "Card", "react-component"),
        ("a.js", "class Card extends React.Component { render() {} }", "Card", "react-component"),
        ("a.py", "def authenticate(user): pass", "authenticate", "authentication"),
        ("a.rs", "pub struct ParseError { m: String }", "ParseError", "error-handling"),
        ("a.py", "class UserRepository: pass", "UserRepository", "data-access"),
        ("a.py", "@click.command()\ndef run_all(): pass", "run_all", "cli"),
        ("a.ts", "import x from 'y'", "y", "dependency"),
        ("a.go", "package a\nfunc MarshalJSON() {}", "MarshalJSON", "serialization"),
        ("a.py", "def validate_email(x): pass", "validate_email", "validation"),
    ],
)
def test_categories(annotated, path: str, code: str, name: str, category: str) -> None:
    assert annotated(path, code)[name]["category"] == category


@pytest.mark.parametrize(
    ("path", "code", "name", "pattern"),
    [
        ("a.py", "class A:\n  def __enter__(self): pass", "A", "context-manager"),
        ("a.py", "@contextmanager\ndef f(): yield", "f", "context-manager"),
        ("a.py", "def deco(f):\n  @functools.wraps(f)\n  def g(): pass\n  return g", "deco", "decorator"),
        ("a.py", "class A:\n  def __next__(self): pass", "A", "iterator"),
        ("a.py", "@dataclass(frozen=True)\nclass A: pass", "A", "value-object"),
        ("a.py", "@cache\ndef f(): pass", "f", "memoisation"),
        ("a.py", "def f():\n  global x", "f", "global-state"),
        ("a.py", "def f(): return eval(x)", "f", "dynamic-code"),
        ("a.py", "def f(): return x == None", "f", "none-by-equality"),
        ("a.py", "from x import *", "x", "wildcard-import"),
        ("a.py", "def create_widget(): return Widget()", "create_widget", "factory"),
        ("a.js", "function f() { return a == b; }", "f", "loose-equality"),
        ("a.js", "function f() { try { g(); } catch (e) {} }", "f", "swallowed-exception"),
        ("a.js", "function* f() {}", "f", "generator"),
        ("a.js", "function f() { useEffect(g); }", "f", "hook"),
        ("a.js", "function f() { x.addEventListener('a', g); }", "f", "observer"),
        ("a.ts", "function f(a: any) { return a!; }", "f", "any-type"),
        ("A.java", "class A { static A getInstance() { return a; } }", "A", "singleton"),
        ("A.java", "class A { void f() { try { g(); } catch (Exception e) { } } }", "A.f", "broad-except"),
        ("A.java", "class A { void f() { System.out.println(1); } }", "A.f", "console-output"),
        ("A.java", "class A implements AutoCloseable { }", "A", "context-manager"),
        ("A.java", "class A { @Inject B b; }", "A", "dependency-injection"),
        ("a.go", "package a\nfunc f() { _ = g() }", "f", "ignored-error"),
        ("a.go", "package a\nfunc f() { go g() }", "f", "goroutine"),
        ("a.go", "package a\nfunc NewServer() *Server { return nil }", "NewServer", "factory"),
        ("a.go", "package a\nfunc WithPort(p int) Option { return nil }", "WithPort", "functional-options"),
        ("a.rs", "fn f() { x.unwrap(); }", "f", "unwrap"),
        ("a.rs", "fn f() { unsafe { g() } }", "f", "unsafe"),
        ("a.rs", "pub struct RequestBuilder { x: u8 }", "RequestBuilder", "builder"),
    ],
)
def test_patterns_and_anti_patterns(annotated, path: str, code: str, name: str, pattern: str) -> None:
    assert pattern in annotated(path, code)[name]["patterns"]


def test_figures_past_their_limits_are_smells(annotated) -> None:
    deep = "def f():\n if a:\n  while b:\n   if c:\n    x\n" + "".join(f" y{i} = 1\n" for i in range(12))
    many = "class A:\n" + "".join(f" def m{i}(self): pass\n" for i in range(4))
    units = annotated("a.py", deep + many)
    assert units["f"]["patterns"] == ["deep-nesting", "long-method"]
    assert units["A"]["patterns"] == ["god-class"]
    branches = "def g():\n" + " if a: x\n" * 10
    assert annotated("a.py", branches)["g"]["patterns"] == ["complex-method"]
    methods = "".join(f"func (t *T) M{i}() {{}}\n" for i in range(4))
    assert annotated("a.go", f"package a\ntype T struct {{}}\n{methods}")["T"]["patterns"] == ["god-class"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("getUserById", "get user by id"),
        ("HTTPServer2", "http server 2"),
        ("parse_HTML_größe", "parse html größe"),
        ("__init__", "init"),
        ("kebab-case", "kebab case"),
        ("a", "a"),
        ("变量名", "变量名"),
    ],
)
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
@hypothesis_settings(max_examples=100, deadline=None)
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
    frame = pl.DataFrame([{**best, "has_error": False, "generated": False}])
    assert frame.select(quality(settings)).item() == 1
