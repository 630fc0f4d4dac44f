import json
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortex_pipelines.annotation.annotate import MissingFileError, annotate
from cortex_pipelines.annotation.assets import annotated_units
from cortex_pipelines.annotation.labels.vocabulary import LABELS
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.annotation import ANNOTATED_UNITS, UNIT_FINDINGS
from cortex_pipelines.schemas.extraction import ARCHITECTURE_FACTS, CODE_UNITS
from cortex_pipelines_tests.annotation.conftest import read_texts
from cortex_pipelines_tests.parameters import EXTRACTION, load_cases

SOURCES = load_cases(__file__)["SOURCES"]


def test_the_tables_do_not_depend_on_the_order_of_rows(settings) -> None:
    units, files = read_texts(SOURCES)
    expected = annotate(units, files, settings, EXTRACTION)
    assert (expected.units.schema, expected.findings.schema) == (ANNOTATED_UNITS.schema, UNIT_FINDINGS.schema)
    assert expected.units.height == units.height
    for seed in range(3):
        shuffled = units.sample(fraction=1, shuffle=True, seed=seed)
        annotations = annotate(shuffled, files.reverse(), settings, EXTRACTION)
        assert annotations.units.equals(expected.units)
        assert annotations.findings.equals(expected.findings)


def test_evidence_is_exact_with_text_beyond_ascii(settings) -> None:
    units, files = read_texts(SOURCES)
    findings = annotate(units, files, settings, EXTRACTION).findings
    texts = {path: text.encode() for path, text in SOURCES.items()}
    code_by_finding = {
        (row["path"], row["label"]): texts[row["path"]][row["start_byte"] : row["end_byte"]].decode()
        for row in findings.iter_rows(named=True)
    }
    assert code_by_finding["a.py", "mutable-default"] == "x=[]"
    assert code_by_finding["a.py", "todo-comment"] == "# TODO: größer"
    assert code_by_finding["a.py", "dynamic-code"] == "eval(x)"
    assert code_by_finding["d.java", "string-identity"] == 'a == "b"'
    assert code_by_finding["e.js", "swallowed-exception"] == "catch (e) {}"
    lines = {(row["label"], row["start_line"], row["end_line"]) for row in findings.to_dicts()}
    assert {("mutable-default", 3, 3), ("todo-comment", 4, 4), ("dynamic-code", 5, 5)} <= lines
    for row in annotate(units, files, settings, EXTRACTION).findings.iter_rows(named=True):
        label = LABELS[row["label"]]
        assert (row["kind"], row["purpose"]) == (label.kind, label.purpose)
        assert (row["purpose"] is None) == (row["kind"] == "pattern")
        assert 0 < row["confidence"] <= 1


def test_a_finding_belongs_to_the_innermost_unit_and_counts_for_all_around(settings) -> None:
    units, files = read_texts({"a.py": "class A:\n  def f(self):\n    eval(x)\n"})
    annotations = annotate(units, files, settings, EXTRACTION)
    names = dict(annotations.units.select("unit_id", "qualified_name").iter_rows())
    assert [(names[row[0]], row[4]) for row in annotations.findings.rows()] == [("A.f", "dynamic-code")]
    assert annotations.units["patterns"].to_list() == [["dynamic-code"]] * 2
    code = "def f():\n    # a = 1\n    # b(a)\n\n    # c = 2\n    pass  # d = 3\n    # e = 4\n"
    units, files = read_texts({"a.py": code + "    return 1\n"})
    findings = annotate(units, files, settings, EXTRACTION).findings.sort("start_byte")
    assert findings["label"].unique().to_list() == ["commented-out-code"]
    assert list(findings.select("start_line", "end_line").iter_rows()) == [(2, 3), (5, 5), (6, 6), (7, 7)]


def test_no_units_are_no_rows_and_a_unit_without_its_file_is_named(settings) -> None:
    units, files = read_texts(SOURCES)
    with pytest.raises(MissingFileError, match=r"a\.py of directory:x.*cortex run"):
        annotate(units, files.filter(pl.col("path") != "a.py"), settings, EXTRACTION)
    annotations = annotate(CODE_UNITS.empty(), files, settings, EXTRACTION)
    assert annotations.units.equals(ANNOTATED_UNITS.empty())
    assert annotations.findings.equals(UNIT_FINDINGS.empty())


def test_the_cache_gives_what_a_computation_from_nothing_does(settings, tmp_path: Path) -> None:
    cache = RowCache(tmp_path, "1")
    units, files = read_texts(SOURCES)
    annotate(units, files, settings, EXTRACTION, "p", cache)
    for changed in (
        {**SOURCES, "a.py": SOURCES["a.py"] + "def g(): pass\n"},
        {**SOURCES, "package.json": '{"dependencies": {"vue": "3"}}'},
        {"b.go": SOURCES["b.go"]},
    ):
        units, files = read_texts(changed)
        cached = annotate(units, files, settings, EXTRACTION, "p", cache)
        fresh = annotate(units, files, settings, EXTRACTION)
        assert cached.units.equals(fresh.units)
        assert cached.findings.equals(fresh.findings)


def test_only_changed_files_are_read(settings, tmp_path, monkeypatch) -> None:
    from cortex_pipelines.annotation import annotate as module

    annotated_paths: list[list[str]] = []
    real = module.label_units

    def spy(units, material, limits):
        annotated_paths.append(sorted(units["path"].unique().to_list()))
        return real(units, material, limits)

    monkeypatch.setattr(module, "label_units", spy)
    cache = RowCache(tmp_path, "1")
    for text in ("def f(): pass\n", "def f(): return 1\n"):
        units, files = read_texts({**SOURCES, "a.py": text})
        annotate(units, files, settings, EXTRACTION, "p", cache)
    assert annotated_paths[-1] == ["a.py"]


@given(
    st.sampled_from(("a.py", "a.js", "a.ts", "a.tsx", "A.java", "a.go", "a.rs")),
    st.text(max_size=300) | st.sampled_from(sorted(SOURCES.values())),
    st.sampled_from(("", "{" * 500, "(" * 500, "if a {" * 200, "\x00", "😀", "# x = 1\n" * 50)),
    st.integers(0, 200),
)
@settings(max_examples=25)
def test_hostile_files_get_rows_that_keep_the_contract(settings, path, text, more, cut) -> None:
    units, files = read_texts({path: text[:cut] + more + text[cut:]})
    annotations = annotate(units, files, settings, EXTRACTION)
    assert annotations.units.height == units.height
    data = (text[:cut] + more + text[cut:]).encode()
    spans = dict(units.select("unit_id", pl.struct("start_byte", "end_byte")).iter_rows())
    for row in annotations.findings.iter_rows(named=True):
        span = spans[row["unit_id"]]
        assert span["start_byte"] <= row["start_byte"] < row["end_byte"] <= span["end_byte"]
        assert row["start_line"] == data[: row["start_byte"]].count(b"\n") + 1


def test_the_asset_writes_tables_metrics_and_the_same_report(settings, tmp_path: Path) -> None:
    units, files = read_texts(SOURCES)
    units.write_parquet(tmp_path / "units.parquet")
    files.write_parquet(tmp_path / "files.parquet")
    ARCHITECTURE_FACTS.empty().write_parquet(tmp_path / "architecture_facts.parquet")
    pages = []
    for name in ("one", "two"):
        out = tmp_path / name
        out.mkdir()
        cache = RowCache(out / "cache", "1")
        tables = annotated_units(tmp_path, tmp_path, tmp_path, settings, EXTRACTION, "<shop>", cache, out)
        pages.append((out / "report.html").read_bytes() + (out / "metrics.json").read_bytes())
    assert pages[0] == pages[1]
    fresh = annotate(units, files, settings, EXTRACTION)
    assert tables["units"].equals(fresh.units)
    assert tables["findings"].equals(fresh.findings)
    page = (tmp_path / "one" / "report.html").read_text()
    assert "&lt;shop&gt;" in page
    assert "<script" not in page
    assert "http" not in page
    for label in tables["findings"]["label"].unique().to_list():
        assert f"<summary>{label} (" in page
    assert "# TODO: größer" in page
    metrics = json.loads((tmp_path / "one" / "metrics.json").read_text())
    assert metrics["findings"] == tables["findings"].height
    assert metrics["sample_category_accuracy"] > 0.8


def test_a_tree_deeper_than_a_query_can_count_has_figures_only(settings) -> None:
    units, files = read_texts({"a.js": "function* g() {}\nvar f = " + "()=>" * 40_000 + "1;\n"})
    annotations = annotate(units, files, settings, EXTRACTION)
    assert annotations.units.height == units.height
    assert "generator" not in annotations.findings["label"].to_list()
