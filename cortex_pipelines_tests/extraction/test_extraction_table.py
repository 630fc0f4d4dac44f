import os
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner

from cortex_pipelines.cli.code import extract as command
from cortex_pipelines.extraction.assets import code_units
from cortex_pipelines.extraction.folder import extract_path
from cortex_pipelines.extraction.units import extract, read_code
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.extraction import CODE_UNITS
from cortex_pipelines.schemas.ingestion import REPOSITORY_FILES
from cortex_pipelines_tests.extraction.tables import repository_files


def files(*rows: tuple[str, str | None, str]) -> pl.DataFrame:
    return pl.concat(
        repository_files({path: (language, text)}, generated=path.endswith("_gen.py")) for path, language, text in rows
    )


FILES = files(
    ("b.py", "python", "import os\n\ndef f():\n    return 'ü'\n"),
    ("a_gen.py", "python", "class A:\n    X = 1\n"),
    ("a.go", "go", "package a\nfunc F() {}\n"),
    ("a.md", "markdown", "# def f(): pass\n"),
    ("none", None, "def f(): pass\n"),
)


def test_the_table_keeps_its_contract_and_the_facts_of_the_file(settings) -> None:
    units = extract(FILES, settings).units
    assert units.schema == CODE_UNITS.schema
    assert units.sort("path", "start_byte").select("path", "kind", "name", "generated").rows() == [
        *(("a.go", "function", "F", False), ("a_gen.py", "class", "A", True), ("a_gen.py", "constant", "X", True)),
        *(("b.py", "import", "os", False), ("b.py", "function", "f", False)),
    ]
    # the order of files does not matter
    for seed in range(5):
        assert extract(FILES.sample(fraction=1, shuffle=True, seed=seed), settings).units.equals(units)
    # an identifier is of one unit, and changes with its file
    assert units["unit_id"].n_unique() == units.height
    other = extract(FILES.with_columns(pl.lit("f" * 40).alias("blob")), settings).units
    assert not set(units["unit_id"]) & set(other["unit_id"])
    assert extract(REPOSITORY_FILES.empty(), settings).units.equals(CODE_UNITS.empty())


def test_the_asset_reads_what_ingestion_wrote(settings, tmp_path: Path) -> None:
    FILES.write_parquet(tmp_path / "files.parquet")
    outputs = code_units(tmp_path, settings, "p", RowCache(tmp_path / "cache", "1"))
    assert set(outputs) == {"units", "tests", "unparsed_files"}
    assert outputs["units"].equals(extract(FILES, settings, "p").units)
    assert (set(outputs["units"]["project"]), set(outputs["units"]["commit"])) == ({"p"}, {"1.0"})
    assert set(outputs["units"]["licence"]) == {"MIT"}


def test_only_changed_files_are_read_again_and_the_tables_are_the_same(settings, tmp_path, monkeypatch) -> None:
    read: list[str] = []

    def spy(text, language, path, settings):
        read.append(path)
        return read_code(text, language, path, settings)

    monkeypatch.setattr("cortex_pipelines.extraction.units.read_code", spy)
    large = "def large():\n" + "    work(1)\n" * 400
    before = pl.concat([FILES, files(("c.py", "python", large), ("d.py", "python", "x = 1\n"))])
    cache = RowCache(tmp_path / "cache", "1")
    extract(before, settings, "p", cache)
    assert sorted(read) == ["a.go", "a_gen.py", "b.py", "c.py", "d.py"]
    read.clear()
    changed = pl.concat([before.filter(pl.col("path") != "d.py"), files(("d.py", "python", "y = 1\n"))])
    changed = changed.with_columns(revision=pl.lit("2.0"), licence=pl.lit(None, pl.String))
    again = extract(changed, settings, "p", cache)
    assert read == ["d.py"]
    expected = extract(changed, settings, "p")
    for name in ("units", "tests", "unparsed_files"):
        table, other = getattr(again, name), getattr(expected, name)
        assert table.equals(other)
        assert table.schema == other.schema


def test_a_file_that_is_not_parsed_is_named(settings) -> None:
    extraction = extract(files(("big.py", "python", "x = 1\n" * 400_000), ("b.py", "python", "y = 1\n")), settings)
    assert extraction.unparsed_files.select("path", "reason").rows() == [("big.py", "too_large")]
    assert extraction.units["name"].to_list() == ["y"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    inner = tmp_path / "package"
    (inner / "sub").mkdir(parents=True)
    (inner / ".git").mkdir()
    (inner / "sub" / "a.py").write_text("def f():\n    class B: pass\n", encoding="utf-8")
    (inner / "tool").write_text("#!/usr/bin/env python3\ndef main(): pass\n", encoding="utf-8")
    (inner / "z.ts").write_text("export function g() {}\n", encoding="utf-8")
    (inner / "latin.py").write_bytes(b"# \xe4\ndef lost(): pass\n")
    (inner / "notes.txt").write_text("def f(): pass\n", encoding="utf-8")
    (inner / "README").write_text("no code\n", encoding="utf-8")
    (inner / ".git" / "hook.py").write_text("def hook(): pass\n", encoding="utf-8")
    (inner / "link.py").symlink_to(inner / "sub" / "a.py")
    return inner


def test_a_folder_with_paths_relative_to_it_or_a_file(folder: Path, settings) -> None:
    assert extract_path(folder, settings).units.select("path", "qualified_name", "language").rows() == [
        *(("latin.py", "lost", "python"), ("sub/a.py", "f", "python"), ("sub/a.py", "f.B", "python")),
        *(("tool", "main", "python"), ("z.ts", "g", "typescript")),
    ]
    assert extract_path(folder / "sub" / "a.py", settings).units["path"].unique().to_list() == ["a.py"]
    with pytest.raises(FileNotFoundError, match="missing: no such file or folder"):
        extract_path(folder / "missing", settings)


@pytest.mark.parametrize(
    "data",
    [
        "# ä\ndef größe(): pass\n".encode("latin-1"),
        "# -*- coding: cp1252 -*-\ndef größe(): pass\n".encode("cp1252"),
        "# ä\ndef größe(): pass\n".encode("utf-16"),
        "# coding: punycode\ndef größe(): pass\n".encode("latin-1"),
        "# coding: utf-16-le\ndef größe(): pass\n#".encode("latin-1"),
    ],
)
def test_a_file_in_another_encoding(tmp_path: Path, settings, data: bytes) -> None:
    (tmp_path / "a.py").write_bytes(data)
    (unit,) = extract_path(tmp_path, settings).units.iter_rows(named=True)
    assert (unit["name"], unit["name_line"], unit["kind"]) == ("größe", 2, "function")


def test_a_path_that_is_not_unicode(tmp_path: Path, settings) -> None:
    (tmp_path / os.fsdecode(b"\xff.py")).write_text("x = 1\n", encoding="utf-8")
    assert extract_path(tmp_path, settings).units["path"].to_list() == ["?.py"]


def test_the_command_writes_the_table_and_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("def f(): pass\n", encoding="utf-8")
    (tmp_path / "A.java").write_text("a<" * 20_000, encoding="utf-8")
    out = tmp_path / "made" / "units.parquet"
    result = CliRunner().invoke(command, [str(tmp_path), "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert result.stdout == ""
    assert "1 units of 1 files" in result.stderr
    assert "not parsed (too_deep): A.java" in result.stderr
    assert pl.read_parquet(out).select("path", "kind", "name").rows() == [("a.py", "function", "f")]
