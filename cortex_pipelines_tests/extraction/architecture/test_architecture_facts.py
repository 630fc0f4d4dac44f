from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
import yaml

from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)

Triples = Callable[..., set[tuple[str | int | None, ...]]]
FactExtractor = Callable[..., pl.DataFrame]
FACTS = yaml.safe_load((Path(__file__).parent / "facts.yaml").read_text(encoding="utf-8"))
COLUMNS = {
    "route": ("subject", "object", "technology"),
    "module-dependency": ("subject", "object", "scope"),
    "service": ("subject", "object", "technology", "description"),
    "module": ("subject", "object", "description", "description_source"),
    **dict.fromkeys(("schema", "api", "deployment"), ("subject", "relation", "object")),
}


def _files(*kinds: str) -> dict[str, str]:
    return {path: text for kind in kinds for case in FACTS[kind].values() for path, text in case["files"].items()}


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in FACTS for name in FACTS[kind]])
def test_a_project_has_exactly_these_facts(triples: Triples, kind: str, name: str) -> None:
    case = FACTS[kind][name]
    rows = triples(case["files"], kind, *COLUMNS[kind])
    assert sorted(" ~ ".join(map(str, row)) for row in rows) == sorted(case["facts"])
    if kind == "schema":
        assert triples(case["files"], kind, "technology") == {(name,)}


def test_a_route_names_its_declaration_and_what_it_is_for(extract_facts: FactExtractor) -> None:
    texts = CASES["a_route_names_its_declaration_and_what_it_is_for"]
    columns = ("subject", "start_line", "end_line", "description", "description_source")
    frame = extract_facts(texts).filter(pl.col("fact") == "route")
    assert set(frame.select(columns).iter_rows()) == {
        ("GET /x", 5, 10, "Find an x for everyone.", "docstring"),
        ("PUT /y", 5, 5, "Puts a thing away.", "comment"),
        ("GET /z", 9, 9, "Shows the newest z.", "docstring"),
        ("GET /p", 4, 4, None, None),
        ("GET /q", 5, 6, None, None),
    }
    assert dict(frame.select("subject", "evidence").iter_rows())["GET /x"].endswith("    y: int,\n) -> int:")


def test_routers_that_mount_each_other_end(triples: Triples) -> None:
    text = (
        "const { Router } = require('express');\nconst a = Router();\nconst b = Router();\n"
        "a.use('/b', b);\nb.use('/a', a);\na.get('/x', x);\n"
    )
    assert len(triples({"a.js": text}, "route", "subject", "object")) >= 1


def test_tested_code_states_no_route(extract_facts: FactExtractor) -> None:
    texts = {"x.test.ts": "import request from 'supertest'\nrequest(app).post('/x', go)\n"}
    assert extract_facts(texts).filter(pl.col("fact") == "route").is_empty()


def test_a_table_and_its_columns_name_their_exact_lines(extract_facts: FactExtractor) -> None:
    (text,) = FACTS["schema"]["sql"]["files"].values()
    frame = extract_facts({"a.sql": text}).filter(pl.col("subject") == "public.seat")
    lines = {
        (relation, other): (start, end)
        for relation, other, start, end in frame.select("relation", "object", "start_line", "end_line").iter_rows()
    }
    assert (lines["table", "public.seat"], lines["column", "price NUMERIC(10, 2)"]) == ((2, 12), (4, 4))
    table = frame.filter(pl.col("relation") == "table")
    assert table["description"].to_list() == ["Seats of a hall; (not a table)"]
    assert table["evidence"][0] == "\n".join(text.split("\n")[1:12])


@pytest.mark.parametrize(("text", "documented"), CASES["a_model_is_documented_under_its_own_name"])
def test_a_model_is_documented_under_its_own_name(triples: Triples, text: str, documented: list[str]) -> None:
    columns = ("subject", "object", "description", "description_source")
    assert triples({"m.py": text}, "schema", *columns, relation="model") == {tuple(documented)}


def test_an_import_names_its_exact_lines(triples: Triples) -> None:
    texts = {"a.py": "import os\nfrom b import (\n    one,\n    two,\n)\n", "b.py": ""}
    lines = triples(texts, "module-dependency", "object", "start_line", "end_line", "evidence")
    assert lines == {("os", 1, 1, "import os"), ("b.py", 2, 5, "from b import (\n    one,\n    two,\n)")}


def test_values_of_an_environment_are_in_no_object(extract_facts: FactExtractor) -> None:
    facts = extract_facts(FACTS["deployment"]["compose"]["files"])
    assert facts.filter(pl.col("object").str.contains("secret|hidden")).is_empty()


def test_summaries_and_comments_say_what_things_are_for(triples: Triples) -> None:
    texts = _files("api", "deployment")
    documented = triples(texts, "api", "subject", "description")
    documented |= triples(texts, "deployment", "subject", "description")
    assert {
        ("Seats", "Sells the seats of halls."),
        ("GET /seats/{id}", "Find one seat"),
        ("Desk", "Sells seats."),
        ("Desk.Sell", "Sells one seat."),
        ("desk", "Sells seats."),
        ("Chart/desk", "Sells seats of halls"),
        ("desk/Dockerfile#build", "Builds it."),
    } <= documented


def test_evidence_is_the_exact_lines(extract_facts: FactExtractor) -> None:
    texts = _files("api", "deployment")
    columns = ("path", "start_line", "end_line", "evidence")
    for path, start, end, evidence in extract_facts(texts).select(columns).iter_rows():
        assert evidence == "\n".join(texts[path].split("\n")[start - 1 : end])
        assert start <= end


def test_services_depend_on_each_other_and_on_packages(triples: Triples) -> None:
    case = FACTS["service"]["manifests"]
    rows = triples(case["files"], "service-dependency", "subject", "relation", "object", "scope")
    assert sorted(" ~ ".join(map(str, row)) for row in rows) == sorted(case["dependencies"])


def test_a_file_belongs_to_the_innermost_package(triples: Triples) -> None:
    texts = _files("service") | {"package.json": '{"name": "all"}', "a.js": ""}
    boundaries = dict(triples(texts, "module", "path", "boundary"))  # type: ignore[arg-type]
    assert (boundaries["a.js"], boundaries["desk/desk/main.py"]) == ("all", "desk")
