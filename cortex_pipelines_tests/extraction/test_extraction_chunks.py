import ast
import textwrap
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortex_pipelines.extraction.settings import ExtractionSettings
from cortex_pipelines.extraction.units import file_units

LIMITS = ExtractionSettings(
    max_file_bytes=500_000, max_nesting=8, max_header_chars=400, max_repeated_bytes=2_000, chunk_bytes=300
)


def chunked(text: str, language: str, path: str):
    data = text.encode()
    for unit in file_units(text, language, path, LIMITS):
        position = unit.start_byte
        for chunk in unit.chunks:
            assert position <= chunk.start_byte < chunk.end_byte <= unit.end_byte
            part = data[chunk.start_byte : chunk.end_byte].decode()
            assert part == part.strip()
            assert part in chunk.code
            position = chunk.end_byte
        assert len(unit.chunks) != 1
        if unit.chunks:
            assert unit.end_byte - unit.start_byte > LIMITS.chunk_bytes
        yield unit


def parses(code: str) -> bool:
    try:
        ast.parse(textwrap.dedent(code))
    except SyntaxError:
        return False
    return True


@pytest.mark.parametrize("module", ["textwrap.py", "heapq.py", "queue.py"])
def test_parts_of_real_functions_are_small_and_leave_no_statement_out(module: str) -> None:
    text = (Path(ast.__file__).parent / module).read_text(encoding="utf-8")
    large = [unit for unit in chunked(text, "python", module) if unit.chunks]
    assert large
    stand_alone = total = 0
    for unit in large:
        names = {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}
        all_code = " ".join(chunk.code for chunk in unit.chunks)
        assert {name for name in names if name in unit.code} <= {name for name in names if name in all_code}
        stand_alone += sum(parses(chunk.code) for chunk in unit.chunks)
        total += len(unit.chunks)
    # what does not is cut at this size inside of a list of arguments, or an else of a try
    assert stand_alone >= 0.95 * total


def test_a_part_has_its_heads_and_closing_brackets() -> None:
    calls = "\n".join(f"    work({number}, 'ä');" for number in range(30))
    (unit,) = chunked(f"export async function f(a) {{\n{calls}\n}}", "javascript", "a.js")
    assert len(unit.chunks) > 1
    for chunk in unit.chunks:
        assert chunk.code.startswith("export async function f(a) {")
        assert chunk.code.endswith("}")
        assert chunk.end_byte - chunk.start_byte <= LIMITS.chunk_bytes
        (again,) = file_units(chunk.code, "javascript", "a.js", LIMITS)
        assert not again.has_error


def test_what_stands_in_a_condition_keeps_it() -> None:
    body = "\n".join(f"        total += step_{number}(total)" for number in range(30))
    text = f"def f(x):\n    total = prepare(x)\n    if x > 0:\n{body}\n    return total\n"
    (unit,) = chunked(text, "python", "a.py")
    inner = [chunk for chunk in unit.chunks if "step_7(" in chunk.code]
    assert len(inner) == 1
    assert "if x > 0:" in inner[0].code
    ast.parse(inner[0].code)


@pytest.mark.parametrize(
    ("language", "path", "text"),
    [
        ("java", "A.java", "class A {\n" + "  int m() { return 1; }\n" * 40 + "}"),
        ("go", "a.go", "package a\nfunc f() {\n" + "\tg(1)\n" * 80 + "}"),
        ("rust", "a.rs", "#[test]\nfn f() {\n" + "    g(1);\n" * 80 + "}"),
        ("typescript", "a.ts", "interface A {\n" + "  m(a: string): void;\n" * 40 + "}"),
    ],
)
def test_every_language_has_parts_within_their_head(language: str, path: str, text: str) -> None:
    unit = next(unit for unit in chunked(text, language, path) if unit.chunks)
    head = unit.code.partition("{")[0]
    assert all(chunk.code.startswith(head) for chunk in unit.chunks)
    assert sum(chunk.end_byte - chunk.start_byte for chunk in unit.chunks) > 0.8 * len(unit.code)


def test_what_has_no_border_stays_whole() -> None:
    (unit,) = chunked("def f():\n    '''" + "word " * 200 + "'''\n", "python", "a.py")
    assert unit.chunks == []


@given(st.lists(st.sampled_from(["if a {", "}", "x(1);", "[", "]", "'ü',", "f(", ")"]), max_size=200))
@settings(max_examples=80, deadline=None)
def test_broken_code_has_parts_in_order(words: list[str]) -> None:
    for language, path in (("go", "a.go"), ("javascript", "a.js")):
        list(chunked("function f() {" + " ".join(words), language, path))
        list(chunked("package a\nfunc f() {" + " ".join(words), language, path))
