import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_pipelines.extraction.settings import ExtractionSettings
from cortex_pipelines.extraction.units import file_units
from cortex_pipelines.syntax.grammars import GRAMMARS
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)

LIMITS = ExtractionSettings(max_file_bytes=200_000, max_nesting=8, max_header_chars=60, max_repeated_bytes=2_000)
LANGUAGES = sorted({grammar.language for grammar in GRAMMARS})
PIECES = ["{", "}", "(", ")", "def f", "class A", ":\n ", "func", "fn x", "=>", "'", '"', "/*", "//"]


def check(data: bytes, language: str) -> None:
    units = file_units(data, language, "a.tsx" if language == "typescript" else "", LIMITS)
    lines = data.count(b"\n") + 1
    codes = set()
    for unit in units:
        assert unit.code == data[unit.start_byte : unit.end_byte].decode()
        assert 0 <= unit.start_byte < unit.end_byte <= len(data)
        assert 1 <= unit.start_line <= unit.name_line <= unit.end_line <= lines
        assert data.count(b"\n", 0, unit.start_byte) + 1 == unit.start_line
        assert data.count(b"\n", 0, unit.end_byte) + 1 == unit.end_line
        assert unit.name
        codes.add((unit.kind, unit.name, unit.start_byte, unit.end_byte))
    assert len(codes) == len(units)


POSITIONS = st.integers(0, 2 * len(CASES["SAMPLE"]))
TEXTS = {
    "any text": st.text(max_size=200),
    "a heap of tokens": st.lists(st.sampled_from(PIECES), max_size=60).map(" ".join),
    "code cut anywhere": st.tuples(POSITIONS, POSITIONS).map(lambda cut: (CASES["SAMPLE"] * 2)[min(cut) : max(cut)]),
}


@pytest.mark.parametrize("texts", TEXTS.values(), ids=TEXTS)
@given(language=st.sampled_from(LANGUAGES), data=st.data())
def test_units_of_any_text_are_its_lines(texts: st.SearchStrategy[str], language: str, data: st.DataObject) -> None:
    check(data.draw(texts).encode(errors="replace"), language)


@given(st.sampled_from(LANGUAGES), st.binary(max_size=120))
def test_bytes_that_are_no_text(language: str, data: bytes) -> None:
    for unit in file_units(data, language, "", LIMITS):
        assert unit.code == data[unit.start_byte : unit.end_byte].decode(errors="replace")


@pytest.mark.parametrize(
    ("language", "text", "most"),
    [
        ("javascript", "function a(){" * 10_000 + "}" * 10_000, 9),
        ("java", "class A{" * 10_000, 9),
        ("rust", "mod a{" * 10_000 + "fn f(){}", 9),
        ("python", "(" * 100_000, 0),
        ("python", "lambda:" * 20_000, 0),
        ("go", "package a\n" + "// c\n" * 20_000 + "func f(){}", 1),
        ("typescript", "a" * 150_000, 0),
        ("javascript", "var " + ",".join(f"a{n}={n}" for n in range(8_000)), 8_000),
        ("javascript", "f(" + "/**/" * 15_000 + "(" * 999 + ",".join(["{m(){}}"] * 4_000) + ")" * 1_000, 4_000),
        ("typescript", "let [" + ",".join(f"a{n}" for n in range(8_000)) + "] = b", 1),
    ],
)
def test_deep_and_endless_code(language: str, text: str, most: int) -> None:
    units = file_units(text, language, "", LIMITS)
    assert len(units) <= most
    # what nests is repeated no more often than the limit allows
    assert sum(len(unit.code) for unit in units) <= (LIMITS.max_nesting + 1) * len(text)


def test_a_file_above_the_limit_has_no_units() -> None:
    text = "def f(): pass\n"
    assert file_units(text, "python", "a.py", LIMITS)
    assert file_units(text + "#" * 200_000, "python", "a.py", LIMITS) == []


def test_a_header_that_is_too_long_is_left_out() -> None:
    outer, inner = file_units(f"class {'A' * 500}:\n    def f(self): pass\n", "python", "a.py", LIMITS)
    assert len(outer.name) == 500
    assert (len(inner.context), inner.qualified_name) == (0, "A" * LIMITS.max_header_chars + ".f")


def test_of_a_long_header_the_name_is_left() -> None:
    parameters = ", ".join(f"Parameter{number}" for number in range(9))
    for code, language in (
        (f"interface Store<{parameters}> {{\n  get(): void\n}}", "typescript"),
        (f"class Store({parameters}):\n    def get(self): pass\n", "python"),
    ):
        _, inner = file_units(code, language, "a.ts", LIMITS)
        assert inner.context == {"typescript": "interface Store {", "python": "class Store:"}[language]


def test_line_ends_of_other_systems() -> None:
    data = b"\xef\xbb\xbfdef f():\r\n    return 1\r\n\r\nclass A:\r\n    x = 1\r\n"
    check(data, "python")
    function, kind, _ = file_units(data, "python", "a.py", LIMITS)
    assert (function.code, kind.start_line, kind.end_line) == ("def f():\r\n    return 1", 4, 5)


def test_long_names_of_many_levels_are_repeated_only_in_part() -> None:
    name = "A" * 5_000
    units = file_units(f"class {name} {{" * 7 + "void f() {}" * 50 + "}" * 7, "java", "A.java", LIMITS)
    assert len(units) == 57
    most = 5 * LIMITS.max_header_chars
    assert max(len(unit.context) for unit in units) <= most
    assert max(len(unit.qualified_name) for unit in units if unit.kind == "method") <= most


@pytest.mark.parametrize("repeats", [10_000, pytest.param(75_000, marks=pytest.mark.long)])
@pytest.mark.parametrize("language", LANGUAGES)
def test_one_line_of_megabytes(language: str, repeats: int) -> None:
    limits = LIMITS.model_copy(update={"max_file_bytes": 3_000_000})
    text = "x = [" + "'ä', 1, f(2), " * repeats + "]"
    units = file_units(text, language, "a.tsx" if language == "typescript" else "", limits)
    assert sum(len(unit.code) for unit in units) <= 3 * len(text)
