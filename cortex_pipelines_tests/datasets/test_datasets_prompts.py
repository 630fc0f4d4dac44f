"""What the model sees, and that the answer is not in it."""

import re
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_pipelines.datasets.settings import DatasetSettings
from cortex_pipelines.datasets.splitting.unit_splits import deprecated, left_out
from cortex_pipelines.datasets.tasks.completion import completion_candidates
from cortex_pipelines.datasets.tasks.naming import (
    LOCAL_NAMES,
    is_repeated_name,
    masked,
    naming_candidates,
    naming_example,
    unit_name,
    uses_of,
    variable_names,
)
from cortex_pipelines.datasets.unit_text import UnitParts, cut_unit, enclosing_headers, file_bytes, with_layout
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)

MakeFrame = Callable[[Any], pl.DataFrame]
Candidates = Callable[..., dict[str, dict[str, Any]]]

PYTHON = CASES["PYTHON"]

GO = CASES["GO"]


def cut(code: str, body_start: str) -> UnitParts | None:
    return cut_unit(code, len(code[: code.index(body_start)].encode()))


def test_a_unit_is_cut_before_its_body() -> None:
    code = "def f(self):\n        x = 1\n        return x\n\n"
    parts = cut(code, "x = 1")
    assert parts == UnitParts("def f(self):\n", "        x = 1\n        return x")
    assert cut("int f() {\n  return 1;\n}", "{") == UnitParts("int f() {\n", "  return 1;\n}")
    assert cut("int f() { return 1; }", "{") == UnitParts("int f() {", " return 1; }")
    assert cut("def f(ä='ß'):\n    return ä\n", "return") == UnitParts("def f(ä='ß'):\n", "    return ä")
    assert cut("void f() {\n}", "{") is None
    assert cut("void f() { }", "{") is None


def test_headers_around_are_indented() -> None:
    for indent in (" " * 8, " " * 12):  # the second within an `if`
        assert enclosing_headers({"context": "class A:\nclass B:", "indent": indent}) == ["class A:", "    class B:"]
    assert enclosing_headers({"context": "", "indent": ""}) == []


@pytest.fixture(scope="module")
def candidates(make_files: MakeFrame, make_units: MakeFrame, settings: DatasetSettings) -> Candidates:
    """Units of a file, by name, with their completion examples."""

    def make(path: str, text: str, **changes: Any) -> dict[str, dict[str, Any]]:
        files, changed = make_files({path: text}), settings.model_copy(update=changes)
        texts = file_bytes(files)
        laid_out = with_layout(make_units(files), texts, changed)
        return {row["name"]: row for row in completion_candidates(laid_out, changed, texts=texts).to_dicts()}

    return make


def test_a_prompt_shows_the_path_and_the_code_before_the_body(candidates: Candidates) -> None:
    examples = candidates("shop/prices.py", PYTHON)
    method = examples["total_price"]
    assert method["prompt"] == "# shop/prices.py\n" + PYTHON.partition("            import math\n")[0]
    assert method["completion"].startswith("            import math\n")
    assert method["completion"].endswith("return self.total_price(amount)")
    assert examples["one_line"]["completion"] == "return [decimal.Decimal(1), decimal.Decimal(2), 3]"
    assert examples["only_a_docstring"]["completion"] is None
    assert examples["Shop"]["completion"] is None


@pytest.mark.parametrize(("path", "code", "prompts"), CASES["of_a_long_file_what_is_nearest_is_shown"])
def test_of_a_long_file_what_is_nearest_is_shown(
    path: str, code: str, prompts: dict[int, str], candidates: Candidates
) -> None:
    """Below imports and the headers around the unit."""
    for room, prompt in prompts.items():
        assert candidates(path, code, max_prompt_bytes=room)["total"]["prompt"] == prompt


def test_what_is_held_out_before_a_unit_is_not_shown(
    make_files: MakeFrame, make_units: MakeFrame, settings: DatasetSettings
) -> None:
    files = make_files({"shop/prices.py": PYTHON})
    texts = file_bytes(files)
    units = with_layout(make_units(files), texts, settings)
    hidden_until = PYTHON.index("            import math\n")
    last = units.filter(pl.col("name") == "one_line").with_columns(visible_from=pl.lit(hidden_until))
    (prompt,) = completion_candidates(last, settings, texts=texts)["prompt"]
    imports, after = PYTHON.partition("\n\n\n")[0], PYTHON[hidden_until : PYTHON.index("return [")]
    assert prompt == f"# shop/prices.py\n{imports}\n\n{after}"
    beginning = PYTHON.index("def one_line")
    hidden = last.with_columns(visible_from=pl.lit(beginning))
    expected = f"# shop/prices.py\n{imports}\n\n{PYTHON[beginning : PYTHON.index('return [')]}"
    room = settings.model_copy(update={"max_prompt_bytes": len(expected) + 2})
    assert completion_candidates(hidden, room, texts=texts)["prompt"].to_list() == [expected]


def test_a_doc_comment_stands_before_the_header(candidates: Candidates) -> None:
    total = candidates("shop/shop.go", GO)["Total"]
    assert "// Total adds the prices.\n// It prints them too.\nfunc (s *Shop) Total(" in total["prompt"]
    assert total["prompt"].endswith("int {\n")
    assert total["completion"].startswith("\tsum := 0\n")
    assert total["completion"].endswith("return sum\n}")


def test_a_body_that_stands_in_its_own_prompt_makes_no_example(candidates: Candidates) -> None:
    body = "return first_value + second_value + third_value"
    assert candidates("a.py", f'def f(a):\n    """Does: {body}"""\n    {body}\n')["f"]["completion"] is None


@pytest.mark.parametrize("bound", [{"min_body_bytes": 1000}, {"min_body_bytes": 1, "max_body_bytes": 9}])
def test_bodies_out_of_bounds_make_no_example(candidates: Candidates, bound: dict[str, int]) -> None:
    assert all(row["completion"] is None for row in candidates("shop/prices.py", PYTHON, **bound).values())


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("def f():\n    return 1\n", None),
        ("x = '" + "a" * 2000 + "'", "longest_line"),
        ("\n".join(["y" * 150] * 3), "mean_line"),
        ("({[<>]})!!??..,,;;", "alphanumeric"),
        ("# one\n# two\n# three\n# four\n# five\nsix = 6", "comments"),
    ],
)
def test_quality_is_measured_as_the_field_does(code: str, reason: str | None, settings: DatasetSettings) -> None:
    flags = ("generated", "has_error", "deprecated")
    frame = pl.DataFrame({"code": [code], "trainable": [True]} | {flag: [False] for flag in flags})
    assert frame.select(left_out(settings).alias("reason"))["reason"].to_list() == [reason]
    for flag, value, expected in (
        ("generated", True, "generated"),
        ("has_error", True, "syntax"),
        ("trainable", False, "licence"),
        ("deprecated", True, "deprecated"),
    ):
        marked = frame.with_columns(pl.lit(value).alias(flag))
        assert marked.select(left_out(settings).alias("reason"))["reason"][0] == expected


OLD = "import static a.b;\n\n/** Old. */\n@Deprecated\nclass Old {\n    int f() {\n        return 1;\n    }\n}\n\n"


@pytest.mark.parametrize(
    ("path", "text", "names"),
    [
        (
            "A.java",
            OLD + "class New {\n    @Deprecated\n    int g() {\n        return 1;\n    }\n}\n",
            {"Old", "f", "g"},
        ),
        ("a.py", "def f():\n    warnings.warn('f()', DeprecationWarning)\n\ndef g():\n    h()\n", {"f"}),
        ("a.py", "@typing_extensions.deprecated('no')\ndef f():\n    h()\n", {"f"}),
        ("a.py", "@pytest.mark.slow\n" * 20 + "@deprecated('no')\ndef f():\n    h()\n", {"f"}),
        ("a.py", "@pytest.mark.slow\n" * 20 + "def f():\n    h()\n", set()),  # each once doubled the time and more
        ("a.go", "package a\n\n// F is old.\n//\n// Deprecated: use G.\nfunc F() {}\n\nfunc G() {}\n", {"F"}),
        ("a.js", "/** @deprecated */\nfunction f() { h() }\nfunction g() { h() }\n", {"f"}),
        (
            "a.ts",
            "export function useOld() {\n  console.warn('[DEPRECATED] useOld is deprecated')\n}\n"
            "function on() {\n  console.warn('[DEPRECATED] delay option is deprecated')\n}\n",
            {"useOld"},
        ),
        ("a.rs", '#[deprecated(note = "no")]\nfn f() {}\nfn g() {}\n', {"f"}),
    ],
)
def test_what_is_marked_as_deprecated(path: str, text: str, names: set[str], make_files: Any, make_units: Any) -> None:
    units = make_units(make_files({path: text}))
    assert set(units.filter(deprecated(units))["name"]) == names


def unit(**changes: Any) -> dict[str, Any]:
    """A method of Python with everything that a naming prompt needs."""
    code = (
        "def total_price(self, item):\n"
        "        # the total_price of all\n        amount = self.amount\n"
        "        return self.total_price(amount, 'amount', subtotal_price)"
    )
    plain = {
        "unit_id": "u", "kind": "method", "name": "total_price", "language": "python",
        "path": "shop.py", "context": "class Shop:", "indent": "    ", "code": code,
    }  # fmt: skip
    return plain | changes


def test_a_name_is_masked_wherever_it_stands(settings: DatasetSettings) -> None:
    prompt = naming_example(unit(), "method", "total_price", settings)
    assert prompt is not None
    assert prompt.count(settings.mask) == 3 + 1  # and in the question
    assert "subtotal_price" in prompt
    assert prompt.startswith("class Shop:\n    def <NAME>(self")
    variable = naming_example(unit(), "variable", "amount", settings)
    assert variable is not None
    assert "amount" not in variable
    name = "method", "total_price"
    assert naming_example(unit(code="x" * 5000 + " total_price"), *name, settings) is None
    assert naming_example(unit(code=f"total_price = '{settings.mask}'"), *name, settings) is None
    assert naming_example(unit(code="nothing = 1"), *name, settings) is None
    assert naming_example(unit(), "method", "method", settings) is None
    for code in ("def url(self):\n    return url.quote(self.a)", "def quote(self):\n    return url.quote(self.a)"):
        assert naming_example(unit(code=code), "method", code[4 : code.index("(")], settings) is None
    assert naming_example(unit(code="def url(self):\n    return self.url()"), "method", "url", settings)
    code = 'fn format(&self) -> String { format!("{}", self.total) }'
    assert naming_example(unit(code=code, language="rust"), "method", "format", settings) is None
    assert naming_example(unit(code=code.replace("!", "")), "method", "format", settings)


def test_a_question_has_the_article_of_its_kind(settings: DatasetSettings) -> None:
    for kind, asked in (("enum", "an enum"), ("interface", "an interface"), ("class", "a class")):
        prompt = naming_example(unit(code="class Price {}", language="java"), kind, "Price", settings)
        assert prompt is not None
        assert f"is {asked}. Its name" in prompt


@pytest.mark.parametrize(("changes", "is_asked"), CASES["only_telling_names_are_asked_for"])
def test_only_telling_names_are_asked_for(changes: dict[str, Any], is_asked: bool, settings: DatasetSettings) -> None:
    assert (unit_name(unit(**changes), settings) is not None) == is_asked


def test_variables_are_drawn_by_hash_and_capped(settings: DatasetSettings) -> None:
    local = [*(f"variable_{n}" for n in range(9)), "i", "__all__"]
    many = unit()
    names = variable_names(many, local, settings)
    assert len(set(names)) == settings.variables_per_unit == 2
    assert "i" not in names
    assert names == variable_names(many, reversed(local), settings)
    other = settings.model_copy(update={"seed": settings.seed + 1, "variables_per_unit": 3})
    assert names != variable_names(many, local, other)[:2]
    assert variable_names(unit(kind="class"), local, settings) == []
    assert variable_names(unit(code="x" * 5000), local, settings) == []


def test_a_name_is_asked_for_so_often_and_which_examples_stay_is_drawn(settings: DatasetSettings) -> None:
    settings = settings.model_copy(update={"examples_per_name": 2})
    rows = pl.DataFrame(
        {
            "unit_id": [f"u{n}" for n in range(8)],
            "kind": ["method"] * 7 + ["function"],
            "completion": ["run"] * 6 + ["stop", "run"],
            "not_made": ["licence", *[None] * 7],
        }
    ).with_columns(origin=pl.lit("original"), language=pl.lit("go"))
    left_out = is_repeated_name(rows, settings)
    assert left_out.to_list().count(True) == 3
    assert not any(left_out[n] for n in (0, 6, 7))
    assert is_repeated_name(rows.reverse(), settings).reverse().equals(left_out)
    other = settings.model_copy(update={"seed": settings.seed + 1})
    assert not is_repeated_name(rows, other).equals(left_out)


WORDS = st.text(alphabet="ab_$ .(é", max_size=30)


@given(WORDS, st.text(alphabet="ab_é", min_size=1, max_size=3))
def test_masking_is_what_a_regular_expression_would_do(text: str, name: str) -> None:
    expected = re.sub(rf"(?<![\w$]){re.escape(name)}(?![\w$])", "#", text)
    assert masked(text, name, "#") == expected


def test_no_answer_is_in_its_prompt(files: pl.DataFrame, units: pl.DataFrame, settings: DatasetSettings) -> None:
    texts = file_bytes(files)
    laid_out = with_layout(units, texts, settings)
    local = laid_out.select("unit_id", local_names=pl.lit(["collected", "rendered"]))
    questions = naming_candidates(laid_out, local, texts, settings)
    assert questions.height > 50
    assert set(questions["name_kind"]) >= {"function", "method", "class", "variable"}
    for row in questions.to_dicts():
        assert settings.mask in row["prompt"]
        assert row["completion"] not in re.findall(r"\w+", row["prompt"])


def test_a_constant_is_shown_with_its_uses_in_code(
    make_files: MakeFrame, make_units: MakeFrame, settings: DatasetSettings
) -> None:
    text = (
        "MOST_ITEMS = 12\n\n\n# MOST_ITEMS of a basket\ndef basket(items):\n"
        '    """A basket\n    of MOST_ITEMS."""\n    return items[:MOST_ITEMS]\n\n\n'
        "def is_full(items):\n    return len(items) >= MOST_ITEMS  # MOST_ITEMS is a bound\n"
    )
    files = make_files({"shop/basket.py": text})
    texts = file_bytes(files)
    laid_out = with_layout(make_units(files), texts, settings)
    questions = naming_candidates(laid_out, LOCAL_NAMES.to_frame(), texts, settings)
    (prompt,) = questions.filter(pl.col("name_kind") == "constant")["prompt"]
    assert prompt == (
        "<NAME> = 12\n\n# Used in:\nreturn items[:<NAME>]\n"
        "return len(items) >= <NAME>  # <NAME> is a bound\n\n"
        "# <NAME> is a constant. Its name:\n"
    )


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("a.ts", "import { Status } from '../domain/status';\n\nlet status = Status.on;\nstart(status);\n"),
        ("a.js", "import '../domain/status';\n\nlet status = 1;\nstart(status);\n"),
        ("a.js", "const on = await import('./status');\n\nlet status = on.value;\nstart(status);\n"),
        ("a.js", "const { on } = require('../domain/status');\n\nlet status = on;\nstart(status);\n"),
        ("a.ts", "export { on } from './status';\n\nlet status = 1;\nstart(status);\n"),
        ("a.rs", "mod status;\n\nstatic status: u8 = 1;\n\nfn b() {\n    start(status);\n}\n"),
        ("a.py", "from domain.status import ON\n\nstatus = ON\nstart(status)\n"),
        ("a.go", 'package a\n\nimport "domain/status"\n\nvar status = 1\n\nfunc b() {\n\tstart(status)\n}\n'),
    ],
)
def test_an_import_path_is_no_use_of_a_variable(
    path: str, text: str, make_files: MakeFrame, make_units: MakeFrame, settings: DatasetSettings
) -> None:
    files = make_files({path: text})
    texts = file_bytes(files)
    questions = naming_candidates(
        with_layout(make_units(files), texts, settings), LOCAL_NAMES.to_frame(), texts, settings
    )
    (prompt,) = questions.filter(pl.col("completion") == "status")["prompt"]
    assert prompt.partition("Used in:\n")[2].partition("\n\n")[0].rstrip(";") == "start(<NAME>)"


def test_bounds_that_contradict_each_other_are_refused(settings: DatasetSettings) -> None:
    values = settings.model_dump() | {"min_body_bytes": 10, "max_body_bytes": 5}
    with pytest.raises(ValueError, match="must not be above max_body_bytes"):
        DatasetSettings(**values)


_LINES = st.lists(st.sampled_from(["limit", " limit = 1", "limits", "x.limit()", "$limit", "", "é"]))


@given(_LINES, st.sampled_from(["\n", "\r\n", "\r"]), st.integers(0, 60), st.integers(0, 60))
def test_uses_are_the_first_lines_with_the_name(lines: list[str], ending: str, first: int, second: int) -> None:
    text, start, end = ending.join(lines).encode(), min(first, second), max(first, second)
    expected: list[str] = []
    offset = 0
    for line in text.splitlines(keepends=True):
        stripped = line.decode().strip()
        outside = offset + len(line) <= start or offset >= end
        if outside and stripped in ("limit", "limit = 1", "x.limit()") and stripped not in expected:
            expected.append(stripped)
        offset += len(line)
    assert uses_of("limit", text, start, end) == expected[:5]
