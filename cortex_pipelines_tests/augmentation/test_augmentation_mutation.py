import ast
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_pipelines.augmentation.mutation import operators as folder
from cortex_pipelines.augmentation.mutation.file_mutation import mutate_code
from cortex_pipelines.augmentation.mutation.inject import CHECKS, Mutant, mutate_unit, operators
from cortex_pipelines.config import load_parameters
from cortex_pipelines.schemas.vocabulary import LANGUAGES
from cortex_pipelines_tests.parameters import ROOT, load_cases

TABLES = load_cases(__file__)
SAMPLES: dict[str, str] = TABLES["samples"]
SAMPLES["typescript"] = (
    SAMPLES["javascript"]
    .replace("static async f(a, b = 1, c)", "@cached static async f(a: number, b = 1, c?: string)")
    .replace("let total = a - b", "let total: number = a - b")
    .replace("const value", "mix(a, total); blend(total, a); p = { q: a, r: total }; u(this.x || this.y); let value")
)

PARAMETERS = load_parameters(ROOT)
EXTRACTION, SETTINGS = PARAMETERS.extraction, PARAMETERS.augmentation
FAMILIES = {"operator", "literal", "identifier", "control_flow", "removal"}


def mutants(code: str | bytes, language: str = "python", limit: int | None = None) -> list[Mutant]:
    return mutate_code(code, language, "", EXTRACTION, SETTINGS, limit)


def mutated(data: bytes, mutant: Mutant) -> bytes:
    return data[: mutant.start_byte] + mutant.buggy_code.encode() + data[mutant.end_byte :]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_operator_fires_where_it_claims_and_mutants_take_the_place_of_their_unit(language: str) -> None:
    claimed = {operator.name for operator in operators() if language in operator.places}
    assert {mutant.operator for mutant in mutants(SAMPLES[language], language)} == claimed
    assert len(claimed) >= 20
    data = SAMPLES[language].encode()
    all_mutants = mutants(data, language)
    for mutant in all_mutants:
        assert data[mutant.start_byte : mutant.end_byte].decode() == mutant.fixed_code != mutant.buggy_code
        assert mutant.verification == CHECKS
        assert "`" in mutant.explanation
        assert mutant.explanation.startswith("Line ")
    assert len({mutated(data, mutant) for mutant in all_mutants}) == len(all_mutants)


def test_there_are_five_families_and_names_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    all_operators = operators()
    assert {operator.error_type for operator in all_operators} == FAMILIES
    assert len({operator.name for operator in all_operators}) == len(all_operators)
    for operator in all_operators:
        assert operator.weight >= 1
        assert set(operator.places) <= set(LANGUAGES)
    first, second = (type(operator) for operator in operators()[:2])
    monkeypatch.setattr(second, "name", first.name)
    with pytest.raises(RuntimeError, match="two classes"):
        operators.__wrapped__()
    assert isinstance(folder, ModuleType)


def test_a_sample_of_real_code_parses_and_means_something_else() -> None:
    for path in sorted((ROOT / "cortex_pipelines" / "ingestion").glob("*.py"))[:6]:
        data = path.read_bytes()
        tree = ast.dump(ast.parse(data))
        for mutant in mutants(data, limit=15):
            assert ast.dump(ast.parse(mutated(data, mutant))) != tree
            assert mutant.compiles


PARSERS = {"javascript": (["node", "--check"], "x.js"), "go": (["gofmt", "-e", "-l"], "x.go")}


@pytest.mark.parametrize("language", PARSERS)
def test_mutants_parse_with_the_languages_own_parser(language: str, tmp_path: Path) -> None:
    command, name = PARSERS[language]
    if shutil.which(command[0]) is None:
        pytest.skip(f"no {command[0]} on this machine")
    data = SAMPLES[language].encode()
    for mutant in mutants(data, language, limit=12):
        (tmp_path / name).write_bytes(mutated(data, mutant))
        completed = subprocess.run([*command, str(tmp_path / name)], capture_output=True)
        assert completed.returncode == 0, (mutant.explanation, completed.stderr)


# operator, code, and what the mutants have in place of a part of it
@pytest.mark.parametrize(
    ("operator", "language", "code", "expected"), TABLES["in_place"].values(), ids=TABLES["in_place"]
)
def test_a_mistake_is_one_that_the_compiler_accepts_and_that_changes_something(
    operator: str, language: str, code: str, expected: list[str]
) -> None:
    assert {m.buggy_code for m in mutants(code, language) if m.operator == operator} == set(expected)


# operator, code, and the lines that only the mutants have
@pytest.mark.parametrize(("operator", "code", "lines"), TABLES["exact"].values(), ids=TABLES["exact"])
def test_the_mistake_is_exactly(operator: str, code: str, lines: set[str]) -> None:
    buggy = [m.buggy_code for m in mutants(code) if m.operator == operator]
    old = set(code.splitlines())
    new = {line for text in buggy for line in text.splitlines()} - old
    assert {line.strip() for line in new} == {line.strip() for line in lines}


def test_a_break_that_ends_a_switch_case_stays() -> None:
    code = "function f(a) { for (;;) { switch (a) { case 1: g(); break; } break; } }"
    buggy = [m.buggy_code for m in mutants(code, "javascript") if m.operator == "break_continue"]
    assert buggy == ["function f(a) { for (;;) { switch (a) { case 1: g(); break; } continue; } }"]


def test_an_explanation_names_what_is_wrong_and_what_puts_it_right() -> None:
    (mutant,) = [m for m in mutants("def f(a):\n    return a < 0\n") if m.operator == "boundary"]
    for part in ("Line 2 of `f`", "`a <= 0`", "off by one", "`a < 0`"):
        assert part in mutant.explanation


def test_an_explanation_of_something_long_cuts_no_word() -> None:
    call = "open_the_gate(self.get_or_create_test_user(), False, bookmark, wait_until_all_gates_are_open=1, really=1)"
    explanations = [m.explanation for m in mutants(f"def f():\n    {call}\n") if m.operator == "argument_swap"]
    assert any(
        "`get_or_create_test_user(), False, bookmark, wait_until_all_gates_are_open`." in e for e in explanations
    )


def test_mutants_belong_to_the_innermost_unit() -> None:
    code = (
        "LIMIT = 3 - 1\n\nclass A:\n    size = 4 - 1\n\n    def f(self):\n"
        "        def g():\n            return 5 - 1\n        return 6 - 1\n\nprint(LIMIT - 2)\n"
    )
    units = {m.fixed_code.split("\n")[0] for m in mutants(code)}
    assert units == {"LIMIT = 3 - 1", "size = 4 - 1", "def f(self):", "def g():", "print(LIMIT - 2)"}
    code = "def f():\n    n = 0\n    def g(a):\n        nonlocal n\n        n += a - 1\n    return g\n"
    inner = [m for m in mutants(code) if m.fixed_code.startswith("def g")]
    assert {"arithmetic", "augmented_assignment"} <= {m.operator for m in inner}
    assert all(m.compiles for m in inner)


def test_a_limit_samples_the_same_few_every_time() -> None:
    code = SAMPLES["python"]
    sample = mutants(code, limit=5)
    assert len(sample) == 5
    assert set(sample) <= set(mutants(code))
    assert sample == mutants(code, limit=5)
    other = SETTINGS.model_copy(update={"seed": SETTINGS.seed + 1})
    assert sample != mutate_code(code, "python", "", EXTRACTION, other, 5)
    assert mutants(code, limit=0) == []
    code = "def f(a, b):\n    return g(a + 1, b) < 7\n"
    assert set(mutants(code, limit=10_000)) == set(mutants(code))


def test_a_sample_is_of_different_operators_and_heavier_ones_come_more_often() -> None:
    counts: Counter[str] = Counter()
    code = "def f(a, b):\n    return [len(a) < b, [a]]\n"
    for seed in range(300):
        counts.update(m.operator for m in mutate_unit(code, "python", "function", "", "f", 1, seed))
    assert counts["variable_misuse"] > counts["boundary"] > 0
    assert len({m.operator for m in mutate_unit(SAMPLES["go"], "go", "function", "", "f", 12, 1)}) == 12


def test_what_does_not_parse_has_no_mutants_and_stops_no_others() -> None:
    assert mutate_unit("def f(:\n    return 1 + 1", "python", "function", "", "f", 9, 1) == []
    assert {m.operator for m in mutants("def broken(:\n    pass\n\ndef f(a):\n    return a < 0\n")} >= {"boundary"}
    all_mutants = mutants("def f(a):\n    print a\n    return a < 0\n")
    assert {m.compiles for m in all_mutants if m.operator == "boundary"} == {None}


def test_text_that_is_not_ascii_keeps_its_offsets() -> None:
    data = "NAME = 'zażółć'\n\ndef f(ä):\n    return ä < 1  # größer\n".encode()
    for mutant in mutants(data):
        assert data[mutant.start_byte : mutant.end_byte].decode() == mutant.fixed_code


@pytest.mark.parametrize("code", ["((((" * 3000, "a = [" + "1, " * 20000 + "]", "if a:\n " * 900])
def test_depth_and_length_stop_nothing(code: str) -> None:
    assert len(mutants(code, limit=3)) <= 3


@pytest.mark.parametrize(("language", "code"), [("go", '*=":*'), ("typescript", "!(:*!+,1:")])
def test_a_name_that_the_parser_misses_stops_nothing(language: str, code: str) -> None:
    assert len(mutants(code.encode(), language)) < 20


@given(st.binary(max_size=200), st.sampled_from(LANGUAGES))
def test_no_input_stops_it(data: bytes, language: str) -> None:
    for mutant in mutants(data, language):
        assert data[mutant.start_byte : mutant.end_byte].decode() == mutant.fixed_code


@given(st.data(), st.sampled_from(LANGUAGES))
def test_a_cut_file_stops_nothing(data: st.DataObject, language: str) -> None:
    text = SAMPLES[language].encode()
    cut = text[: data.draw(st.integers(0, len(text)))]
    for mutant in mutants(cut, language, limit=8):
        assert cut[mutant.start_byte : mutant.end_byte].decode() == mutant.fixed_code


def test_a_unit_above_the_limit_is_left_as_it_is() -> None:
    table = "TABLE = [" + "1, " * SETTINGS.max_unit_bytes + "]\n\ndef f(a):\n    return a < 0\n"
    assert {m.fixed_code.split("(")[0] for m in mutants(table)} == {"def f"}


@pytest.mark.parametrize(("language", "path", "code", "operator"), TABLES["not_in"].values(), ids=TABLES["not_in"])
def test_what_the_language_would_not_parse_is_left_out(language: str, path: str, code: str, operator: str) -> None:
    assert operator not in {mutant.operator for mutant in mutate_code(code, language, path, EXTRACTION, SETTINGS)}
