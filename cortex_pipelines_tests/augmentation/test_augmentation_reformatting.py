"""What a formatter lays out stays the same code; where that cannot be shown it is left out."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortex_pipelines.augmentation.augment import rewritten_rows
from cortex_pipelines.augmentation.rewriting import formatter as programs
from cortex_pipelines.augmentation.rewriting import reformatting
from cortex_pipelines.augmentation.rewriting.equivalence import is_same_but_for_layout
from cortex_pipelines.augmentation.rewriting.formatter import Formatter, FormatterError, Style
from cortex_pipelines.augmentation.rewriting.reformatting import formatters, is_drawn, reformatted
from cortex_pipelines.augmentation.snippets import Snippet, parse_unit
from cortex_pipelines.config import load_parameters
from cortex_pipelines.schemas.vocabulary import LANGUAGES
from cortex_pipelines_tests.parameters import load_cases

TABLES = load_cases(__file__)

ROOT = Path(__file__).parents[2]
SETTINGS = load_parameters(ROOT).augmentation.model_copy(
    update={"seed": 1, "rewrites_per_unit": 1, "reformatted_share": 1.0}
)
CODE = {
    "python": "def f(a, b = 'x'):\n  # Look first.\n  if a :\n    return [1,2, b]\n  return {}",
    "javascript": "function f(a, b,)\n{ // Look first.\nif (a) return [1, 'x'];\n return {a:b}; }",
    "typescript": 'function f(a : number, b?: string) {\nif (a) return [1,2, "x"]; return {a:b}; }',
    "java": "int f(int a,int b)\n{ /* Look first. */ if (a>b) return g(1, \"x\");\n return 'c'; }",
    "go": "func f(a int, b string) int {\n\tif a > 1 {\n\t\treturn g(a, b)\n\t}\n\treturn 0\n}",
    "rust": "fn f(a: i32) -> i32 {\n    if a > 1 {\n        return g(a, 2);\n    }\n    a\n}",
}


def unit(code: str, language: str = "python", name: str = "u", **more: Any) -> dict[str, Any]:
    kind = "method" if language == "java" else "function"
    row = {"unit_id": name, "language": language, "kind": kind, "path": "", "code": code}
    return row | more


def reformat(code: str, language: str = "python", seed: int = 1, **more: Any) -> str | None:
    layouts = reformatted([unit(code, language, **more)], seed)
    return layouts["u"].code if layouts else None


def styles(code: str, language: str = "python", **more: Any) -> set[str]:
    """The code in every style that some seed draws."""
    return {text for seed in range(20) if (text := reformat(code, language, seed, **more))}


def snippet(code: str, language: str) -> Snippet:
    kind = "method" if language == "java" else "function"
    parsed = parse_unit(code.encode(), language, kind)
    assert parsed is not None
    return parsed


@pytest.mark.parametrize("language", sorted(formatters()))
def test_each_language_is_laid_out_in_several_styles(language: str) -> None:
    layouts = styles(CODE[language], language)
    assert len(layouts) >= 3
    for text in layouts:
        assert re.sub(r"[\s'\",]", "", text) == re.sub(r"[\s'\",]", "", CODE[language])
        assert is_same_but_for_layout(snippet(CODE[language].replace(",)", ")"), language), snippet(text, language))


def test_python_is_laid_out_as_black_does_where_it_stands() -> None:
    expected = 'def f(a, b="x"):\n    # Look first.\n    if a:\n        return [1, 2, b]\n    return {}'
    assert expected in styles(CODE["python"])
    code = "def f(self, a):\n        if a :\n            return ( 1,2 )\n        return a"
    assert code.replace("a :", "a:").replace("( 1,2 )", "(1, 2)") in styles(code, kind="method")
    decorated = "@cached\n    " + code
    assert decorated.replace("a :", "a:").replace("( 1,2 )", "(1, 2)") in styles(decorated, kind="method")


@pytest.mark.parametrize("language", ["javascript", "typescript"])
def test_a_nested_unit_keeps_where_it_stands(language: str) -> None:
    code = "function f(a, b) {\n        if (a) return `x\n  y`;\n        return g(a,b);\n    }"
    layouts = styles(code, language)
    assert layouts
    for text in layouts:
        assert text.endswith("\n    }")
        assert "`x\n  y`" in text


def test_words_in_strings_of_several_lines_stay() -> None:
    code = 'def f(a):\n        """Doc.\n\n        More.\n        """\n        return """a\n b""" +a'
    layouts = styles(code, kind="method")
    assert layouts
    assert all("a\n b" in text and "+ a" in text for text in layouts)
    assert all(ast.get_docstring(ast.parse(text).body[0]) == "Doc.\n\nMore." for text in layouts)  # type: ignore[arg-type]


UNCHANGED = {
    "what is laid out like this anyway": ("javascript", "function f() {}"),
    "jsx, where white space is text": ("javascript", "function f( ) { return <b> a </b> }"),
    "what is nested too deep": ("javascript", "function f() {" + "{" * 250 + "}" * 250 + "}"),
    "a language without a formatter": ("go", CODE["go"]),
    "what does not parse": ("python", "def f(:"),
}


@pytest.mark.parametrize(("language", "code"), UNCHANGED.values(), ids=UNCHANGED)
def test_is_left_alone(language: str, code: str) -> None:
    seeds = [1] if "what is laid" in language else range(8)
    assert any(reformat(code, language, seed) is None for seed in seeds)
    if code != "function f() {}":
        assert not styles(code, language)


OTHER = TABLES["other"]


@pytest.mark.parametrize(("language", "before", "after"), OTHER.values(), ids=OTHER)
def test_the_check_refuses(language: str, before: str, after: str) -> None:
    original = snippet(before, language)
    assert is_same_but_for_layout(original, original)
    assert not is_same_but_for_layout(original, original.with_code(after.encode()))


def test_a_result_that_the_formatter_would_lose_is_not_lost() -> None:
    code = "function f(a) {\n  return {a: b}\n}"
    clang_format = formatters()["javascript"]
    style = next(one_of for one_of in clang_format.styles if one_of.name == "microsoft")
    (broken,) = clang_format.formatted([code.encode()], "javascript", style)
    assert re.search(rb"return\s*\n", broken)
    layouts = styles(code, "javascript")
    assert layouts
    assert not any(re.search(r"return\s*\n", text) for text in layouts)


class Liar(Formatter):
    """Replaces a name, refuses what says so, and dies of what says so."""

    name = "liar"
    version = "1"
    endings: ClassVar = {"python": ".py"}
    styles = (Style("plain", ()),)

    def command(self, style: Style) -> list[str]:
        script = (
            "import os, pathlib, sys\n"
            "for name in sys.argv[1:]:\n"
            "    file = pathlib.Path(name)\n"
            "    text = file.read_text()\n"
            "    if 'die' in text: os.abort()\n"
            "    file.write_text(text.replace('lie', 'lay').replace(' = ', '  =  '))\n"
            "sys.exit(1)\n"
        )
        return [sys.executable, "-c", script]


def test_what_changes_more_than_layout_is_laid_out_with_the_same_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reformatting, "formatters", lambda: {"python": Liar()})
    codes = [f"def f(a):\n    {word} = a\n    while a:\n        a = {word}" for word in ("true", "lie")]
    units = [unit(code, name=str(n)) for n, code in enumerate(codes)]
    rewrites = [rows[0]["rewrite"] for rows in rewritten_rows(units, SETTINGS)]
    assert rewrites == ["liar_plain", "reindented"]


def test_many_are_laid_out_in_several_calls_of_which_one_may_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [b"a = b", b"die", b"c = d", b"e", b"f = g"]
    formatted = Liar().formatted(texts, "python", Liar.styles[0])
    assert formatted == [b"a  =  b", b"die", b"c  =  d", b"e", b"f  =  g"]
    monkeypatch.setattr(programs, "_MOST_FILES", 2)
    texts = [f"x  =  {n}\n".encode() for n in range(5)]
    formatter = formatters()["python"]
    formatted = formatter.formatted(texts, "python", formatter.styles[0])
    assert formatted == [f"x = {n}\n".encode() for n in range(5)]


def test_what_stands_beside_a_unit_does_not_matter() -> None:
    units = [unit(code, language, name=f"{language}{n}") for language, code in CODE.items() for n in range(6)]
    units.insert(3, unit("def f(:", name="broken"))
    together = list(rewritten_rows(units, SETTINGS))
    alone = [rows for each in units for rows in rewritten_rows([each], SETTINGS)]
    assert together == alone
    assert len({rows[0]["rewrite"] for rows in together if rows}) >= 8


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_language_without_a_formatter_keeps_its_tokens(language: str) -> None:
    rewrites = {
        row["rewrite"]
        for n in range(8)
        for rows in rewritten_rows([unit(CODE[language], language, f"u{n}")], SETTINGS)
        for row in rows
    }
    formatter = formatters().get(language)
    plain = {"reindented", "one_argument_a_line"}
    assert rewrites
    assert all(name.startswith(formatter.name) if formatter else name in plain for name in rewrites)


def test_a_share_is_drawn() -> None:
    selected = [is_drawn(0.3, 1, f"u{n}") for n in range(2000)]
    assert 0.25 < sum(selected) / len(selected) < 0.35
    assert not any(is_drawn(0.0, 1, f"u{n}") for n in range(50))
    assert all(is_drawn(1.0, 1, f"u{n}") for n in range(50))
    none = SETTINGS.model_copy(update={"reformatted_share": 0.0, "rewrites_per_unit": 99})
    (rows,) = rewritten_rows([unit(CODE["python"])], none)
    assert not any(row["rewrite"].startswith("ruff") for row in rows)


def test_of_two_equal_variants_one_is_kept() -> None:
    many = SETTINGS.model_copy(update={"rewrites_per_unit": 99})
    code = "def f(a):\n    if a:\n        return 1\n    return 2"
    for n in range(12):
        (rows,) = rewritten_rows([unit(code, name=f"u{n}")], many)
        codes = [row["rewritten_code"] for row in rows]
        assert len(codes) == len(set(codes))


def test_other_versions_and_missing_programs_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    pinned = set((ROOT / "constraints.txt").read_text(encoding="utf-8").split())
    assert {f"{name.name.replace('_', '-')}=={name.version}" for name in formatters().values()} <= pinned
    with pytest.raises(FormatterError, match="pip install liar==1"):
        Liar().check_version()
    ruff = formatters()["python"]
    monkeypatch.setattr(type(ruff), "version", "0.0.1")
    with pytest.raises(FormatterError, match=r"ruff==0\.0\.1 to format code, but found \d"):
        ruff.check_version()
    monkeypatch.setattr(Liar, "command", lambda self, style: ["/no/such/program"])
    with pytest.raises(FormatterError, match="liar cannot be started"):
        Liar().formatted([b"a"], "python", Liar.styles[0])


WORDS = st.sampled_from(["a", "b", "x + 1", "'it\"s'", '"a\'b"', "f(a, b)", "[1,2]", "a if b else c"])


def _bodies() -> Iterator[st.SearchStrategy[str]]:
    yield WORDS.map(lambda word: f"return {word}")
    yield WORDS.map(lambda word: f"g( {word},'q' )")
    yield st.tuples(WORDS, WORDS).map(lambda two: f"x = {two[0]}  ,{two[1]}  # Say (why).")
    yield WORDS.map(lambda word: f"if {word} :\n        pass")
    yield WORDS.map(lambda word: f"with open({word}) as (x) : x .read( )")


@settings(max_examples=40, deadline=None)
@given(st.lists(st.one_of(*_bodies()), min_size=1, max_size=6), st.integers(0, 9))
def test_python_keeps_its_tree(body: list[str], seed: int) -> None:
    code = "def f(a, b, c):\n" + "".join(f"    {line}\n" for line in body)
    other = reformat(code, seed=seed)
    if other is not None:
        assert ast.dump(ast.parse(other)) == ast.dump(ast.parse(code))
        assert other.count("# Say (why).") == code.count("# Say (why).")


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=80), st.sampled_from(LANGUAGES))
def test_no_input_stops_it(text: str, language: str) -> None:
    code = text.encode(errors="ignore").decode()
    reformatted([unit(code, language)], 1)
