import ast
import shutil
import subprocess
import textwrap
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortex_pipelines.augmentation.renaming.python_scopes import LocalVariable
from cortex_pipelines.augmentation.renaming.rename import (
    NotEquivalentError,
    apply_renames,
    check_equivalent,
    locals_of,
    rename_locals,
)
from cortex_pipelines.augmentation.snippets import parse_unit
from cortex_pipelines.privacy.detect.scanning import scan_text
from cortex_pipelines.privacy.settings import PrivacySettings
from cortex_pipelines_tests.parameters import PROPERTY_STEPS, load_cases, sections

CASES = load_cases(__file__)


def variables_of(code: str) -> list[LocalVariable]:
    snippet = parse_unit(code.encode(), "python", "function")
    return [] if snippet is None else locals_of(snippet, "function")


def test_names_change_wherever_they_are_used_and_the_layout_stays() -> None:
    code = "def f(a):\n    total = 0\n    for x in a:\n        total += x\n    return total\n"
    result = rename_locals(code, "python", "function", "m.py", 1)
    names = dict(result.renames)
    assert set(names) == {"total", "x"}
    assert result.code == code.replace("total", names["total"]).replace("for x", f"for {names['x']}").replace(
        "+= x", f"+= {names['x']}"
    )
    code = "@cached\n    def f(self):\n        value = self.x\n        return value"
    result = rename_locals(code, "python", "method", "", 1)
    assert result.code == code.replace("value", dict(result.renames)["value"])


def test_no_new_name_makes_a_text_look_like_a_secret() -> None:
    code = CASES["no_new_name_makes_a_text_look_like_a_secret"]
    new_names = set()
    privacy = PrivacySettings.model_validate(sections()["privacy"])
    for seed in range(400):
        result = rename_locals(code, "python", "function", "m.py", seed)
        new_names |= {new for _, new in result.renames}
        assert [finding.rule for finding in scan_text(result.code, "m.py", privacy, "python")] == [], result.code
    assert len(new_names) > 30


@pytest.mark.parametrize("code", CASES["left_alone"].values(), ids=CASES["left_alone"])
def test_is_left_alone(code: str) -> None:
    assert rename_locals(code, "python", "function", "", 1) is None


@pytest.mark.parametrize(("code", "names"), CASES["renamed"].values(), ids=CASES["renamed"])
def test_renames_what_is_local(code: str, names: list[str]) -> None:
    result = rename_locals(textwrap.dedent(code), "python", "function", "", 7)
    assert sorted({old for old, _ in result.renames} if result else ()) == names


def test_new_names_are_used_nowhere_else() -> None:
    code = "def f(a):\n    x = 1\n    return a.item, slot, 'token', x  # entry\n"
    for seed in range(40):
        result = rename_locals(code, "python", "function", "", seed)
        assert dict(result.renames)["x"] not in code
    body = "".join(f"    x{n} = {n}\n" for n in range(300))
    result = rename_locals(f"def f():\n{body}", "python", "function", "", 1)
    assert len({new for _, new in result.renames}) == 300


def test_names_keep_their_style_and_depend_on_the_seed() -> None:
    code = "def f():\n    MAX_SIZE = 1\n    a_b = 2\n    return MAX_SIZE + a_b\n"
    result = rename_locals(code, "python", "function", "", 1)
    new = dict(result.renames)
    assert new["MAX_SIZE"].isupper()
    assert "_" in new["a_b"]
    code = "def f():\n    x = 1\n    return x\n"
    codes = [rename_locals(code, "python", "function", "", seed) for seed in (1, 1, 2, 3, 4)]
    assert codes[0] == codes[1]
    assert len({result.code for result in codes if result}) > 1


@pytest.mark.parametrize(("before", "after"), CASES["not_equivalent"].values(), ids=CASES["not_equivalent"])
def test_the_check_refuses(before: str, after: str) -> None:
    with pytest.raises(NotEquivalentError):
        check_equivalent(before, after)


@pytest.mark.parametrize(("before", "after"), CASES["equivalent"].values(), ids=CASES["equivalent"])
def test_the_check_accepts(before: str, after: str) -> None:
    check_equivalent(before, after)


def test_the_check_accepts_constants_of_every_sort() -> None:
    code = "def f(x):\n    y = x in {'a', 'b', 1, None}\n    return y, (1, ('z', 2.0)), b'x', ...\n"
    check_equivalent(code, code.replace("y", "known"))


NAMES = st.sampled_from(["a", "b", "c"])
EXPRESSIONS = st.recursive(
    st.one_of(NAMES, st.integers(0, 9).map(str)),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda p: f"({p[0]} + {p[1]})"),
        st.tuples(inner, NAMES, inner).map(lambda p: f"sum([{p[0]} for {p[1]} in range({p[2]})])"),
        st.tuples(NAMES, inner).map(lambda p: f"({p[0]} := {p[1]})"),
        st.tuples(NAMES, inner, inner).map(lambda p: f"(lambda {p[0]}: {p[1]})({p[2]})"),
        st.tuples(NAMES, inner).map(lambda p: f"dict({p[0]}={p[1]})[{p[0]!r}]"),
        inner.map(lambda e: f"int(f'{{{e}}}')"),
    ),
    max_leaves=4,
)


def _indented(lines: list[str]) -> list[str]:
    return [f"    {line}" for line in lines]


STATEMENTS = st.recursive(
    st.one_of(
        st.tuples(NAMES, EXPRESSIONS).map(lambda p: [f"{p[0]} = {p[1]}"]),
        st.tuples(NAMES, EXPRESSIONS).map(lambda p: [f"{p[0]} += {p[1]}"]),
        EXPRESSIONS.map(lambda e: [f"out.append({e})"]),
        NAMES.map(lambda n: [f"global {n}"]),
        NAMES.map(lambda n: [f"nonlocal {n}"]),
        NAMES.map(lambda n: [f"del {n}"]),
    ),
    lambda inner: st.one_of(
        st.tuples(NAMES, inner).map(lambda p: [f"for {p[0]} in range(2):", *_indented(p[1])]),
        st.tuples(NAMES, NAMES, inner).map(lambda p: [f"def {p[0]}({p[1]}=1):", *_indented(p[2]), f"{p[0]}()"]),
        inner.map(lambda lines: ["class C:", *_indented(lines)]),
        st.tuples(inner, inner).map(lambda p: [*p[0], *p[1]]),
    ),
    max_leaves=6,
)


@settings(max_examples=2 * PROPERTY_STEPS)
@given(STATEMENTS, st.integers())
def test_a_renamed_function_does_the_same(lines: list[str], seed: int) -> None:
    code = "\n".join(["def f():", "    c = 1", *_indented(lines)]) + "\n"
    try:
        compile(code, "f", "exec")
    except SyntaxError:
        return
    variables = variables_of(code)
    result = rename_locals(code, "python", "function", "", seed)
    # The analysis alone must be right: the check behind it never has to refuse.
    assert (result is None) == (not variables)
    if result is not None:
        assert _behaviour(code) == _behaviour(result.code)
        assert ast.dump(ast.parse(code)) != ast.dump(ast.parse(result.code))


def _behaviour(code: str) -> tuple[list[object], str]:
    out: list[object] = []
    space = {"out": out, "a": 10, "b": 20}
    try:
        exec(code, space)
        space["f"]()  # type: ignore[operator]
        error = ""
    except Exception as raised:  # noqa: BLE001
        error = type(raised).__name__
    return [str(value) if isinstance(value, int) else "?" for value in out], error


def test_renames_are_applied_at_their_places_only() -> None:
    code = b"def f():\n    n = 1\n    return n\n"
    variables = variables_of(code.decode())
    assert [variable.places for variable in variables] == [((13, 14), (30, 31))]
    assert apply_renames(code, [(variables[0], "number")]) == code.replace(b"n =", b"number =").replace(
        b"return n", b"return number"
    )


def test_deep_nesting_stops_nothing() -> None:
    code = "def f():\n    x = 1\n    return " + "(" * 3000 + "x" + ")" * 3000 + "\n"
    assert rename_locals(code, "python", "function", "", 1) is None
    code = "def f():\n    " + "(" * 3000 + "x" + ")" * 3000 + " = 1\n    return x\n"
    assert rename_locals(code, "python", "function", "", 1) is None


@pytest.mark.parametrize(
    ("language", "code", "names"),
    [(language, *case) for language, cases in CASES["cases"].items() for case in cases.values()],
    ids=[f"{language}: {title}" for language, cases in CASES["cases"].items() for title in cases],
)
def test_renames_exactly_what_is_sure(language: str, code: str, names: list[str]) -> None:
    kind = "method" if language == "java" else "function"
    snippet = parse_unit(code.encode(), language, kind)
    assert snippet is not None
    assert sorted({variable.name for variable in locals_of(snippet, kind)}) == names
    result = rename_locals(code, language, kind, "", 3)
    kept = {"err", "ex", "i", "j", "k", "ok"}  # nobody gives them another name
    assert sorted({old for old, _ in result.renames} if result else ()) == [name for name in names if name not in kept]


def test_a_unit_is_read_where_it_stands_by_the_grammar_of_its_file() -> None:
    code = "async go(a) {\n    const n = await a;\n    return n;\n  }"
    result = rename_locals(code, "javascript", "method", "", 1)
    assert result.renames[0][0] == "n"
    code = "handle = (a: number) => { const n = a; return n; }"
    result = rename_locals(code, "typescript", "function", "a.ts", 1)
    assert result is not None
    code = "function F() { const n = 1; return <div>{n}</div>; }"
    assert rename_locals(code, "typescript", "function", "a.tsx", 1) is not None
    assert rename_locals(code, "typescript", "function", "a.ts", 1) is None


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_a_renamed_program_does_the_same(tmp_path: Path) -> None:
    result = rename_locals(CASES["PROGRAM"].strip(), "javascript", "function", "", 5)
    assert len(result.renames) >= 5
    outputs = []
    for code in (CASES["PROGRAM"], result.code):
        script = tmp_path / "program.js"
        script.write_text(code + "\nconsole.log(f([3, 1, 4, 1, 5]));\n")
        outputs.append(subprocess.run(["node", str(script)], capture_output=True, text=True, check=True).stdout)
    assert outputs[0] == outputs[1]
