import polars as pl
import pytest

from cortex_pipelines.annotation.annotate import annotate
from cortex_pipelines.extraction.architecture.build import architecture_facts
from cortex_pipelines.extraction.settings import ArchitectureSettings
from cortex_pipelines_tests.annotation.conftest import read_texts
from cortex_pipelines_tests.parameters import EXTRACTION, load_cases, sections

CASES = load_cases(__file__)


def annotated_units(texts: dict[str, str], settings) -> pl.DataFrame:
    units, files = read_texts(texts)
    facts = architecture_facts(files, units, ArchitectureSettings(**sections()["architecture"]), EXTRACTION)
    return annotate(units, files, settings, EXTRACTION, architecture=facts).units


@pytest.mark.parametrize("case", CASES["projects"], ids=lambda case: case["about"])
def test_technologies(settings, case) -> None:
    rows = annotated_units(case["files"], settings)
    found = dict(rows.filter(pl.col("kind") != "import").select("qualified_name", "technologies").iter_rows())
    expected = {name: (names or "").split() for name, names in case["technologies"].items()}
    assert {name: found[name] for name in expected} == expected


def test_imports_have_their_own(settings) -> None:
    rows = annotated_units(
        {"a.py": "import os, yaml\nimport sqlite3\nfrom . import b\n", "b.py": "import yaml\n"}, settings
    )
    assert rows.select("path", "name", "technologies").sort("path", "name").rows() == [
        ("a.py", ".", []),
        ("a.py", "os, yaml", ["yaml"]),
        ("a.py", "sqlite3", ["sqlite3"]),
        ("b.py", "yaml", ["yaml"]),
    ]
    assert set(rows["intent_kind"]) == {"wire"}


def test_without_facts_there_are_none_and_the_order_of_rows_does_not_count(settings) -> None:
    texts = {"a.py": "from b import app\ndef f():\n    app.run()\n", "b.py": "from flask import Flask\napp = Flask()\n"}
    units, files = read_texts(texts)
    assert annotate(units, files, settings, EXTRACTION).units["technologies"].list.len().sum() == 0
    facts = architecture_facts(files, units, ArchitectureSettings(**sections()["architecture"]), EXTRACTION)
    first = annotate(units, files, settings, EXTRACTION, architecture=facts).units
    assert first.filter(pl.col("name") == "f")["technologies"].to_list() == [["flask"]]
    again = annotate(units.reverse(), files.reverse(), settings, EXTRACTION, architecture=facts.reverse()).units
    assert again.equals(first)


@pytest.mark.parametrize(("path", "code"), CASES["damaged"])
def test_damaged_code_is_annotated(settings, path: str, code: str) -> None:
    rows = annotated_units({path: code, "ok.py": "x = 1\n"}, settings)
    assert rows["technologies"].null_count() == 0


@pytest.mark.parametrize(("path", "code", "name", "intent", "kind"), CASES["intents"])
def test_intents(annotated, path: str, code: str, name: str, intent: str | None, kind: str | None) -> None:
    row = annotated(path, code)[name]
    assert (row["intent"], row["intent_kind"]) == (intent, kind)
