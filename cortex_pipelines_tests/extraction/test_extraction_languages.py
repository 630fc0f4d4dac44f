from pathlib import Path

import pytest
import yaml

from cortex_pipelines.extraction.units import file_units
from cortex_pipelines.syntax.grammars import UnknownLanguageError, grammar_for, parse
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)

OUTLINES = yaml.safe_load((Path(__file__).parent / "outlines.yaml").read_text(encoding="utf-8"))


def by_name(text: str, language: str, path: str, settings) -> dict:
    units_by_name: dict = {}
    for unit in file_units(text, language, path, settings):
        units_by_name.setdefault(unit.qualified_name, unit)
    return units_by_name


def outlined(path: str, settings) -> dict:
    return by_name(OUTLINES[path]["code"], OUTLINES[path]["language"], path, settings)


@pytest.mark.parametrize("path", OUTLINES)
def test_units_with_names_lines_and_exact_spans(path: str, settings) -> None:
    case = OUTLINES[path]
    units = file_units(case["code"], case["language"], path, settings)
    assert [
        f"{unit.kind} {unit.qualified_name.replace(', ', ',')} {unit.start_line} {unit.name_line} {unit.end_line}"
        for unit in units
    ] == case["units"]
    data = case["code"].encode()
    for unit in units:
        assert not unit.has_error
        assert (unit.code.encode(), unit.code) == (data[unit.start_byte : unit.end_byte], unit.code.strip())
        assert "trailing" not in unit.code.split("\n")[-1]
        if unit.body_start_byte is not None:
            assert unit.start_byte < unit.body_start_byte < unit.end_byte


@pytest.mark.parametrize(("path", "name", "docstring", "signature"), CASES["documentation_and_signature"])
def test_documentation_and_signature(path: str, name: str, docstring: str | None, signature: str, settings) -> None:
    unit = outlined(path, settings)[name]
    assert (unit.docstring, unit.signature) == (docstring, signature)


@pytest.mark.parametrize(("language", "text", "context"), CASES["context_is_what_encloses"])
def test_context_is_what_encloses(language: str, text: str, context: list[str], settings) -> None:
    (unit,) = (unit for unit in file_units(text, language, "", settings) if unit.name == "unit")
    assert unit.context.split("\n") == context


def test_a_trailing_comment_does_not_document_the_next_unit(settings) -> None:
    assert by_name("package a\nvar x = 1 // of x\nfunc f() {}\n", "go", "a.go", settings)["f"].docstring is None
    assert by_name("package a\n\n// far\n\nfunc f() {}\n", "go", "a.go", settings)["f"].docstring is None
    text = "package a\n\n// f runs:\n//\n//\tf()\n//\n// Once.\nfunc f() {}\n"
    assert by_name(text, "go", "a.go", settings)["f"].docstring == "f runs:\n\n\tf()\n\nOnce."


def test_a_member_of_a_group_is_not_the_group(settings) -> None:
    units = by_name("package a\nconst (\n\tX = 1\n)\ntype (\n\tY struct{}\n)\nconst Z = 2\n", "go", "a.go", settings)
    rows = [(units[name].code, units[name].end_line) for name in "XYZ"]
    assert rows == [("X = 1", 3), ("Y struct{}", 6), ("const Z = 2", 8)]


def test_each_name_of_a_declaration_is_a_unit_unless_there_is_much_to_repeat(settings) -> None:
    text = "(a, b) = [c, *d] = 1, 2\ne = f = g.h = I = 3\nx.y = z = [w, V] = 1\nJ, k = 1, 2\n"
    names = [(unit.kind, unit.name) for unit in file_units(text, "python", "a.py", settings)]
    variables = [("variable", name) for name in "abef"]
    assert names == [*variables, ("constant", "I"), ("variable", "z"), ("constant", "J"), ("variable", "k")]
    many = ", ".join(f"n{number}" for number in range(100))
    values = "0, " * (settings.max_repeated_bytes // 300)
    units = file_units(f"const [{many}] = x;", "javascript", "a.js", settings)
    assert [unit.name for unit in units] == many.split(", ")
    (unit,) = file_units(f"const [{many}] = [{values}];", "javascript", "a.js", settings)
    assert (unit.kind, unit.name) == ("constant", many)


@pytest.mark.parametrize(("language", "path"), [("javascript", "a.js"), ("typescript", "a.ts")])
def test_names_of_what_takes_a_value_apart(language: str, path: str, settings) -> None:
    units = file_units(CASES["DESTRUCTURED"], language, path, settings)
    constants = [(unit.name, unit.start_line) for unit in units if unit.kind == "constant"]
    assert constants == [(name, 1) for name in "acdfhjkm"]
    assert [(unit.name, unit.start_line) for unit in units if unit.kind == "variable"] == [("o", 2)]


@pytest.mark.parametrize(("language", "text", "docstrings"), CASES["documentation_across_blank_lines"])
def test_documentation_across_blank_lines(language: str, text: str, docstrings: list[str | None], settings) -> None:
    assert [unit.docstring for unit in file_units(text, language, "a", settings)] == docstrings


# What the grammar of TypeScript takes for errors, and TypeScript does not.


def test_valid_code_that_the_grammar_does_not_know(settings) -> None:
    units = file_units(CASES["GAPS"], "typescript", "a.d.ts", settings)
    assert [(unit.kind, unit.name, unit.name_line, unit.end_line) for unit in units] == [
        *(("constant", "_default", 1, 3), ("function", "default", 4, 6), ("interface", "Factory", 7, 12)),
        *(("variable", "Shared", 13, 13), ("function", "load", 14, 14)),
    ]
    assert not any(unit.has_error for unit in units)
    assert not parse(CASES["GAPS"].encode(), grammar_for("typescript", "a.d.ts")).root_node.has_error
    assert all(unit.code in CASES["GAPS"] for unit in units)


def test_a_language_without_grammar_is_named(settings) -> None:
    with pytest.raises(UnknownLanguageError, match=r"a\.rb: no grammar for 'ruby'.*rust"):
        file_units("x", "ruby", "a.rb", settings)


@pytest.mark.parametrize(("language", "text", "units"), CASES["names_and_first_lines"])
def test_names_and_first_lines(language: str, text: str, units: str, settings) -> None:
    rows = [f"{unit.qualified_name}:{unit.start_line}" for unit in file_units(text, language, "a", settings)]
    assert " ".join(rows) == units
