"""Gaps and statements to write: whole statements, the code of the file around them, no answer in it."""

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_pipelines.datasets.assemble.build import ProjectUnits
from cortex_pipelines.datasets.settings import DatasetSettings
from cortex_pipelines.datasets.tasks.completion import code_after, code_before, statement_candidates
from cortex_pipelines.datasets.tasks.fill_in_the_middle import draw_for_infilling, infilling_candidates, statement_span
from cortex_pipelines.datasets.tasks.variants import gap_variants, variant_codes
from cortex_pipelines.datasets.unit_text import file_bytes, fold_whitespace, visible_spans, with_layout
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)

MakeFrame = Callable[[Any], pl.DataFrame]

SHOP = CASES["SHOP"]
PRICES = CASES["PRICES"]
GO = CASES["GO"]


@pytest.fixture
def laid_out(
    make_files: MakeFrame, make_units: MakeFrame, settings: DatasetSettings
) -> tuple[pl.DataFrame, dict[tuple[str, str], bytes]]:
    files = make_files({"shop/till.py": SHOP, "shop/prices.py": PRICES, "shop/total.go": GO})
    texts = file_bytes(files)
    units = with_layout(make_units(files), texts, settings)
    return units.with_columns(pl.lit("train").alias("split")), texts


def unit_named(units: pl.DataFrame, name: str) -> dict[str, Any]:
    return units.filter(pl.col("name") == name).row(0, named=True)


def test_a_gap_with_its_context_is_the_file(laid_out: tuple[pl.DataFrame, Any], settings: DatasetSettings) -> None:
    units, texts = laid_out
    functions = units.filter(pl.col("kind").is_in(["function", "method"]))
    candidates = infilling_candidates(functions, texts, settings)
    gaps = candidates.filter(pl.col("not_made").is_null())
    assert gaps.height >= 3
    for row in gaps.iter_rows(named=True):
        text = texts[row["source"], row["path"]].decode()
        assert row["completion"] + row["suffix"] in text
        body_line = row["prompt"].rstrip("\n").splitlines()[-1]
        assert f"{body_line}\n{row['completion']}" in text


def test_what_is_to_be_written_stands_nowhere_in_the_prompt(example_project: Any, settings: DatasetSettings) -> None:
    project: ProjectUnits = example_project.inputs
    functions = project.units.filter(pl.col("kind").is_in(["function", "method"]))
    gaps = infilling_candidates(functions, project.texts, settings)
    statements = statement_candidates(
        project.units.filter(pl.col("kind").is_in(["import", "variable", "constant"])), project.texts, settings
    )
    complete = statements.filter(pl.col("completion").is_not_null())
    more = infilling_candidates(complete, project.texts, settings)
    usable = gaps.filter(pl.col("not_made").is_null())
    assert usable.height > 10
    for row in [*usable.iter_rows(named=True), *more.iter_rows(named=True)]:
        if row["completion"] is not None:
            assert fold_whitespace(row["completion"]) not in fold_whitespace(row["prompt"])
            assert fold_whitespace(row["completion"]) not in fold_whitespace(row["suffix"])
            assert len(row["prompt"].encode()) <= settings.max_prompt_bytes
            assert len(row["suffix"].encode()) <= settings.max_suffix_bytes
    assert set(gaps["not_made"].drop_nulls()) <= {"no_gap", "prompt_size", "answer_in_prompt"}


BODY = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from(["a = call(b)", "if x:", "f(", ")", "", "}"])), max_size=25
)


@given(BODY)
def test_a_gap_is_whole_statements_and_not_all(settings: DatasetSettings, parts: list[tuple[int, str]]) -> None:
    lines = [" " * 4 * level + text for level, text in parts]
    small = settings.model_copy(update={"min_body_bytes": 4})
    span = statement_span(lines, small, "unit")
    assert span == statement_span(lines, small, "unit")
    if span is None:
        return
    first, last = span
    gap = lines[first:last]
    assert gap
    assert (first, last) != (0, len(lines))
    level = len(gap[0]) - len(gap[0].lstrip())
    assert all(len(line) - len(line.lstrip()) >= level for line in gap if line.strip())
    assert sum(line.count("(") - line.count(")") for line in gap) == 0
    after = next((line for line in lines[last:] if line.strip()), None)
    assert after is None or len(after) - len(after.lstrip()) <= level


def test_a_body_of_one_statement_has_no_gap(settings: DatasetSettings) -> None:
    assert statement_span(["    return one_statement_only(of, some, length)"], settings) is None
    assert statement_span([], settings) is None


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_share_of_train_is_drawn_and_all_that_is_held_out(settings: DatasetSettings, share: float) -> None:
    units = pl.DataFrame({"unit_id": [f"u{n}" for n in range(3000)], "split": ["train"] * 2000 + ["test"] * 1000})
    drawn = draw_for_infilling(units, settings.model_copy(update={"fim_share": share}))
    assert abs(drawn.filter(split="train").height / 2000 - share) < 0.05
    assert drawn.filter(split="test").height == 1000


def test_a_statement_is_cut_behind_its_keyword(laid_out: tuple[pl.DataFrame, Any], settings: DatasetSettings) -> None:
    units, texts = laid_out
    statements = units.filter(pl.col("kind").is_in(["import", "variable", "constant"]))
    by_code = {row["code"]: row for row in statement_candidates(statements, texts, settings).iter_rows(named=True)}
    imported = by_code["from decimal import Decimal"]
    assert imported["prompt"] == '# shop/till.py\n"""A shop."""\n\nimport json\nfrom '
    assert imported["completion"] == "decimal import Decimal"
    constant = next(row for code, row in by_code.items() if code.startswith("RATE"))
    assert constant["prompt"].endswith("rounded\n\nRATE")
    assert constant["completion"] == ' = Decimal("0.19")'
    go = next(row for code, row in by_code.items() if "strings" in code)
    assert go["prompt"].startswith("// shop/total.go\npackage shop\n")
    assert go["completion"].endswith('"strings"')


@pytest.mark.parametrize(("code", "shown", "asked"), CASES["a_declaration_is_not_cut_inside_of_brackets"])
def test_a_declaration_is_not_cut_inside_of_brackets(
    code: str, shown: str, asked: str, settings: DatasetSettings, make_files: MakeFrame, make_units: MakeFrame
) -> None:
    files = make_files({"a.js": code})
    texts = file_bytes(files)
    candidates = statement_candidates(with_layout(make_units(files), texts, settings), texts, settings)
    assert set(candidates.select("prompt", "completion").rows()) == {(f"// a.js\n{shown}", asked)}


@pytest.mark.parametrize(
    ("bound", "reason"), [({"max_body_bytes": 41}, "body_size"), ({"max_prompt_bytes": 10}, "prompt_size")]
)
def test_statements_out_of_bounds_say_why(
    bound: dict[str, int], reason: str, settings: DatasetSettings, make_files: MakeFrame, make_units: MakeFrame
) -> None:
    files = make_files({"shop/long.py": f"TABLE = [{', '.join('12345' for _ in range(20))}]\n"})
    texts = file_bytes(files)
    changed = settings.model_copy(update=bound)
    units = with_layout(make_units(files), texts, changed)
    assert statement_candidates(units, texts, changed)["not_made"].to_list() == [reason]


def test_nothing_tells_what_is_declared_without_a_name(
    settings: DatasetSettings, make_files: MakeFrame, make_units: MakeFrame
) -> None:
    files = make_files({"a.go": "package a\n\nvar (\n\t_ io.Closer = (*Store)(nil)\n\tstore = newStore(4711)\n)\n"})
    texts = file_bytes(files)
    units = with_layout(make_units(files), texts, settings).filter(pl.col("kind") != "import").sort("start_byte")
    reasons = dict(statement_candidates(units, texts, settings).select("name", "not_made").iter_rows())
    assert reasons == {"_": "unanswerable_name", "store": None}


@pytest.mark.parametrize(
    "code",
    [
        "import json\ntry:\n    import json\nexcept ImportError:\n    pass\n",
        "MOST_DRINKS = 4711\nEARL_GREY = drinks.EARL_GREY\n",
    ],
)
def test_what_its_prompt_tells_is_no_question(
    code: str, settings: DatasetSettings, make_files: MakeFrame, make_units: MakeFrame
) -> None:
    files = make_files({"a.py": code})
    texts = file_bytes(files)
    units = with_layout(make_units(files), texts, settings).sort("start_byte")
    candidates = statement_candidates(units, texts, settings)
    assert candidates["not_made"].to_list() == [None, "answer_in_prompt"]


def test_code_around_a_place_is_cut_at_lines() -> None:
    text = b"one\ntwo\nthree\nfour\n"
    assert code_before(text, 14, 100) == "one\ntwo\nthree\n"
    assert code_before(text, 14, 8) == "three\n"
    assert code_before(text, 14, 10) == "two\nthree\n"
    assert code_before(text, 14, 3) == ""
    assert code_before(text, 10, 2) == "th"
    assert code_after(text, 8, 100) == "three\nfour\n"
    assert code_after(text, 8, 7) == "three\n"
    assert code_after(text, 8, 3) == ""


def test_code_that_is_held_out_is_hidden_before_behind_and_around() -> None:
    rows = [(0, 9, "test"), (10, 90, "test"), (20, 30, "train"), (91, 95, "train"), (96, 99, "validation")]
    units = pl.DataFrame(rows, schema=["start_byte", "end_byte", "split"], orient="row")
    spans = visible_spans(units.with_columns(kind=pl.lit("function"), source=pl.lit("s"), path=pl.lit("a.js")))
    assert spans.rows() == [(0, None), (0, None), (20, 30), (90, 96), (90, None)]


@given(st.integers(0, 19), st.integers(0, 25))
def test_room_is_kept(offset: int, room: int) -> None:
    text = b"one\ntwo\nthree\nfour\n"
    assert len(code_before(text, offset, room)) <= max(room, 0)
    assert len(code_after(text, offset, room)) <= max(room, 0)
    assert text[:offset].decode().endswith(code_before(text, offset, room))
    assert text[offset:].decode().startswith(code_after(text, offset, room))


def test_a_variant_changes_what_stands_around_an_answer_alone() -> None:
    code = "def f(ab):\n    c = ab  # now\n    return 1\n    # end\n"
    gaps = pl.DataFrame(
        {
            "unit_id": ["a", "b"], "split": ["train", "test"], "code": [code, code], "not_made": [None, None],
            "prompt": ["# a.py\n\ndef f(ab):\n    c = ab  # now\n"] * 2,
            "completion": ["    return 1"] * 2, "suffix": ["\n    # end\nnext()"] * 2,
        },
        schema_overrides={"not_made": pl.String},
    )  # fmt: skip
    renamed = pl.DataFrame(
        {
            "unit_id": ["a", "a", "b"],
            "renamed_code": [code.replace("ab", "part"), code.replace("1", "one"), code.replace("ab", "part")],
        }
    )
    comments = ("a", "comments_removed", code.replace("  # now", "").replace("    # end\n", ""))
    rewritten = pl.DataFrame([comments], schema=["unit_id", "rewrite", "rewritten_code"], orient="row")
    variants = gap_variants(gaps, variant_codes(renamed, rewritten))
    assert variants.select("origin", "prompt", "completion", "suffix").rows() == [
        ("renamed", "# a.py\n\ndef f(part):\n    c = part  # now\n", "    return 1", "\n    # end\nnext()"),
        ("rewritten:comments_removed", "# a.py\n\ndef f(ab):\n    c = ab\n", "    return 1", "\nnext()"),
    ]
