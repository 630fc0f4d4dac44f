"""An answer stays only if its prompt, the project or the language tells it."""

import polars as pl
import pytest

from cortex_pipelines.datasets.answerable import (
    INPUTS,
    ProjectWords,
    changes_alone,
    follows,
    holds_placeholder,
    language_names,
    naming_reasons,
    only_refers,
    tells_prose,
    unanswerable,
)
from cortex_pipelines.schemas.vocabulary import LANGUAGES

HELPER = b"def helper(): return 'known', 42\nimport fresh, github, com, spf13\n"
PROJECT = ProjectWords([HELPER * 2, b"helper()\ncount = rv\n" * 6])
NAME, LITERAL, IMPORT, ERROR = (f"unanswerable_{what}" for what in ("name", "literal", "import", "error"))

# language, kind, prompt (the beginning of the code), answer, what follows, reason
CASES = {
    "names of prompt and language": ("python", "function", "def f(items):\n", "    return len(items)\n", "", None),
    "a name of the project": ("python", "function", "def f(items):\n", "    return helper(items)\n", "", None),
    "a name that stands nowhere": ("python", "function", "def f(items):\n", "    return blorb(items)\n", "", NAME),
    "an attribute of no known thing": ("python", "function", "def f(a):\n", "    return a.blorb\n", "", NAME),
    "a name that the answer binds": ("python", "function", "def f(a):\n", "    blorb = a\n    g = blorb\n", "", None),
    "a function that the answer defines": (
        "python", "function", "def f(a):\n", "    def blorb():\n        return a\n    return blorb\n", "", None
    ),
    "a name after the gap": ("python", "function", "def f(a):\n", "    a = blorb(a)\n", "    return blorb(a)\n", None),
    "a long text": (
        "python", "function", "def f(a):\n", "    raise ValueError('nobody could foresee this text')\n", "", LITERAL
    ),
    "a text of the prompt": ("python", "function", "def f(a='x y z w'):\n", "    return 'x y z w'\n", "", None),
    "a number": ("python", "variable", "LIMIT", " = 86413\n", "", LITERAL),
    "a word of the project in a long answer": (
        "python", "function", "def f(items):\n", "    return helper(items, items, items, 'known')\n", "", None
    ),
    "an import that is used": ("python", "import", "from ", "fresh import thing", "\nthing()", None),
    "an import that is not used": ("python", "import", "from ", "fresh import thing", "\nother()", IMPORT),
    "an import of Go": ("go", "import", "", '"github.com/spf13/pflag"', "\npflag.Parse()", None),
    "an import of a major version of Go": ("go", "import", "", '"github.com/spf13/fresh/v2"', "\nfresh.Parse()", None),
    "an import of a versioned path of Go": ("go", "import", "", '"github.com/fresh.v2"', "\nfresh.Parse()", None),
    "a package that is called by its version": ("go", "import", "", '"github.com/spf13/v1"', "\nv1.Parse()", None),
    "names of JavaScript": ("javascript", "function", "function f(a) {\n", "  return a.map(String);\n}", "", None),
    "no name of TypeScript": ("typescript", "function", "function f(a) {\n", "  return a.blorb(1);\n}", "", NAME),
    "a text of a page": (
        "javascript", "function", "function f(a, b) {\n", "  return <b>{a} Nobody foresees it.</b>;\n}", "", LITERAL
    ),
    "a word of the project on a page": (
        "javascript", "function", "function f(a, b) {\n", "  return <b>{a.map(String)} known</b>;\n}", "", None
    ),
    "what is called wrong": (
        "typescript", "function", "function f(a) {\n  // @ts-expect-error\n", "  return a.length;\n}", "", ERROR
    ),
    "after what is called wrong": (
        "typescript", "function", "function f(a) {\n  // @ts-expect-error\n  g(a);\n", "  return a.length;\n}", "", None
    ),
    "names of Java": ("java", "method", "int f(String a) {\n", "  return a.length();\n}", "", None),
    "names of Go": ("go", "function", "func f(a string) bool {\n", '\treturn strings.Contains(a, "")\n}', "", None),
    "a variable of Go": ("go", "function", "func f(a int) int {\n", "\tblorb := a\n\treturn blorb\n}", "", None),
    "names of Rust": ("rust", "function", "fn f(a: Option<u8>) -> u8 {\n", "    a.unwrap_or(0)\n}", "", None),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_an_answer_is_known_or_says_why_not(case: str) -> None:
    language, kind, prompt, answer, suffix, reason = CASES[case]
    row = ("a", prompt + answer, language, kind, "", prompt, answer, suffix)
    rows = pl.DataFrame([row], schema=INPUTS, orient="row")
    assert unanswerable(rows, PROJECT, None).to_list() == [reason]


@pytest.mark.parametrize(
    ("path", "word", "reason"),
    [("shop/cart.py", "known", None), ("tests/test_cart.py", "known", LITERAL), ("tests/test_cart.py", "count", None)],
)
def test_a_test_asserts_what_stands_often_elsewhere(path: str, word: str, reason: str | None) -> None:
    answer = f"    assert helper(items, items, items, items, items) == helper(items, items, items, '{word}')\n"
    row = ("a", "def test(items):\n" + answer, "python", "function", path, "def test(items):\n", answer, "")
    assert unanswerable(pl.DataFrame([row], schema=INPUTS, orient="row"), PROJECT, None).to_list() == [reason]


NAMES = {
    "words of the code": ("def <NAME>(user):\n    return user.email", "get_user_email", True),
    "other words": ("def <NAME>(user):\n    return user.email", "contact_address", False),
    "a custom of the project": ("def f():\n    <NAME> = g()", "rv", True),
    "a constant of many uses": ("<NAME> = 4711", "helper", False),
    "a constant of many classes": ("<NAME> = 4711", "count", True),
    "a function of many callers": ("def <NAME>(user):\n    return user.email", "helper", False),
    "a function of many types": ("def <NAME>(user):\n    return user.email", "count", True),
    "a number": ("<NAME> = app()", "app2", False),
    "a test of half its words": ("def <NAME>():\n    assert sort([2, 1])", "test_sort_keeps_order", False),
}


@pytest.mark.parametrize(("prompt", "name", "known"), NAMES.values(), ids=NAMES)
def test_a_name_is_told_by_its_code_or_a_custom(prompt: str, name: str, known: bool) -> None:
    assert is_told(prompt, name, body=9) == known


def test_a_name_that_a_custom_gives_to_nothing_is_not_told() -> None:
    prompt, name, _ = NAMES["a function of many types"]
    assert is_told(prompt, name, body=9)
    assert not is_told(prompt, name, body=None)


def is_told(prompt: str, name: str, body: int | None) -> bool:
    unit = "f" if prompt.startswith("def f") else name
    row = {
        "prompt": prompt,
        "completion": name,
        "code": prompt,
        "name": unit,
        "kind": "method",
        "body_start_byte": body,
    }
    return naming_reasons(pl.DataFrame([row]), PROJECT, {"helper": 1, "count": 2})[0] is None


@pytest.mark.parametrize(
    ("text", "refers"),
    [
        ("See https://example.org/spec", True),
        ("Bug #4711.", True),
        ("GH-12", True),
        ("render implements screen.Renderer.", True),
        ("Close implements the Closer interface.", True),
        ("UnmarshalJSON satisfies json.Unmarshaler.", True),
        ("AddBinary is part of the zapcore.ObjectEncoder interface.", True),
        ("Clock is part of a machine that forgets.", False),
        ("Cache implements a store that forgets.", False),
        ("Sends a request to a host.", False),
    ],
)
def test_a_link_a_ticket_or_an_interface_documents_nothing(text: str, refers: bool) -> None:
    assert only_refers(text) == refers


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Sums the prices of no row, see issue 4711.", True),
        ("Sums the prices of no row, see issue 12.", False),
        ("Regression of sums of prices (GH-12)", False),
        ("Regression of sums of prices (#12)", False),
        ("Sums 12 prices.", True),
        ("Sums prices of a row (default: true)", False),
        ("Sums prices of a row, defaults to ``0``.", True),
        ("Sums prices, by default those of a row, which defaults to the first.", True),
        ("Waits for the kettle.", False),
    ],
)
def test_documentation_is_told_by_the_words_and_tickets_of_its_code(text: str, told: bool) -> None:
    code = "def regression_of_sums_gh_4711(prices):\n    assert sum(prices.row) == 0\n"
    assert tells_prose(code, text) == told


@pytest.mark.parametrize(
    ("prompt", "completion", "holds"),
    [
        ("# Its test:\n", 'add("shop@example.com")', False),
        ("# Its test:\n", 'add("redacted-2b9a361e@example.invalid")', True),
        ('mail = "redacted-2b9a361e@example.invalid"\n', 'add("redacted-2b9a361e@example.invalid")', False),
        ('mail = "redacted-48648664@example.invalid"\n', 'add("redacted-2b9a361e@example.invalid")', True),
        ('key = "REDACTED_KEY_2b9a361e"\n', 'add("REDACTED_KEY_2b9a361e")', True),
    ],
)
def test_an_answer_may_repeat_what_stands_for_a_mail_address(prompt: str, completion: str, holds: bool) -> None:
    for rows in ({"prompt": prompt}, {"prompt": "", "suffix": prompt}, {"prompt": prompt, "suffix": None}):
        frame = pl.DataFrame(rows | {"completion": completion})
        assert frame.select(holds_placeholder(frame.columns)).item() is holds


def test_a_change_follows_from_its_description_or_does_more() -> None:
    prompt = (
        "Rename Method. The method get was renamed to fetch.\ndef get(url, timeout):\n    return send(url, timeout)\n"
    )
    assert follows(prompt, "def fetch(url, timeout):\n    return send(url, timeout)\n")
    assert not follows(prompt, "def fetch(url, timeout):\n    log.warning(retries)\n    return send(url, timeout)\n")
    body = "".join(f"    send(url_{number}, timeout)\n" for number in range(30))
    prompt = f"Add Parameter. The function get got the parameter retries.\ndef get(url):\n{body}"
    assert follows(prompt, f"def get(url, retries):\n{body}")
    for default in ("None", "3"):
        assert not follows(prompt, f"def get(url, retries={default}):\n{body}"), "its default is not told"


ADDED = ("def f(a):\n    g(a)", "def f(a, b):\n    g(a)")
CHANGES = {
    "a name": ("Rename Method", "f", "g", "def f(a):\n    return a", "def g(a):\n    return a", True),
    "a name and the layout": ("Rename Method", "f", "g", "f(a, b)", "g(\n    a, b)", True),
    "two names": ("Rename Method", "f", "g", "def f(a): ...", "def g(b): ...", False),
    "a name and a removed function": (
        "Rename Variable", "read", "parse", "var read = make()\nfunction parse (b) { return read(b) }\nuse(parse)",
        "var parse = make()\nuse(parse)", False,
    ),
    "a move and a type": ("Move Class", "A", "A", "class A extends B {}", "class A extends C {}", False),
    "a move, a name and a parent": ("Move And Rename Class", "A", "B", "class A is C", "class B is D", False),
    "a parameter": ("Add Parameter", None, "b", *ADDED, True),
    "a parameter less": ("Remove Parameter", "b", None, *reversed(ADDED), True),
    "two parameters": ("Remove Parameter", "b", None, "f(a, b, c)", "f(a)", False),
    "a generic one": ("Remove Parameter", "b", None, "f(A a, Map<K, V> b)", "f(A a)", True),
    "another type": ("Add Parameter", None, "value", "add(Object object)", "add(String value)", False),
    "another order": ("Reorder Parameter", "a, b", "b, a", "f(a, b)", "f(b, a)", True),
    "an extraction": ("Extract Method", None, "g", "f() { a(); }", "f() { g(); }\n\ng() { a(); }", True),
}  # fmt: skip


@pytest.mark.parametrize(("change", "only"), [(case[:-1], case[-1]) for case in CHANGES.values()], ids=CHANGES)
def test_a_change_does_only_what_it_is_named_after(change: tuple[str, ...], only: bool) -> None:
    assert changes_alone(*change) == only


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_its_names(language: str) -> None:
    assert {"return", "if"} <= language_names(language)
    assert len(language_names(language)) > 500
