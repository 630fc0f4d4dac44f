"""Findings from what the data stages know of a project."""

from pathlib import Path

import polars as pl
import pytest

from cortex_pipelines.check.check import check_text
from cortex_pipelines.check.project_facts import ProjectFacts, facts_for, rules_for
from cortex_pipelines.check.rules import RULES
from cortex_pipelines.extraction.folder import extract_path
from cortex_pipelines.versioning.root import ProjectError
from cortex_pipelines_tests.parameters import EXTRACTION

SOURCE = "directory:shop"
LONG = "\n".join(f"    total_{n} = price_{n} * amount_{n} - discount_{n}" for n in range(9)) + "\n    return total_8\n"
TAXES = 'def get_rate(key):\n    """Get the rate."""\n    return key\n\n\ndef add_taxes():\n    """Add the taxes."""\n'
TAXES += LONG.replace("price_0", "get_rate(0)").replace("total", "tax")
PATTERN = "name: keep_ids\nwhen: Ids are kept.\nlanguages: python\ncounter_example: drop_id($A)\nexample: keep_id($A)\n"
DRIVER = "".join(f'def read_order_{n}(key):\n    """Read order {n} of it."""\n    return key\n\n\n' for n in range(4))
DRIVER += f'def read_orders():\n    """Read the orders."""\n{LONG.replace("price", "order")}'
OTHER_DRIVER = DRIVER.replace("return key", "return str(key)")
FILES = {
    "shop/api/names.py": "".join(
        f'def read_item_{n}(key):\n    """Read item {n} of the store."""\n    return key\n\n\n' for n in range(25)
    ),
    "shop/mysql/orders.py": DRIVER,
    "shop/sqlite/orders.py": OTHER_DRIVER,
    "shop/store/__init__.py": "",
    "shop/store/prices.py": f'def total_price():\n    """Give the price of all."""\n{LONG}',
    "shop/store/taxes.py": TAXES,
    "shop/patterns/ids.yaml": PATTERN,
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ProjectFacts:
    for name, text in FILES.items():
        path = tmp_path / "shop" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "params.yaml").write_text("projects:\n  shop:\n    sources:\n    - directory: shop\n")
    units = extract_path(tmp_path / "shop", EXTRACTION).units.with_columns(source=pl.lit(SOURCE))
    languages = {".py": "python", ".yaml": "yaml"}
    files = [(SOURCE, path, languages[Path(path).suffix], text) for path, text in FILES.items()]
    rule = {"source": SOURCE, "folder": "shop", "upper": "api", "lower": "store", "edges": 9, "against": 0}
    tables = {
        "code_units/shop/units": units,
        "repository_files/shop/files": pl.DataFrame(files, ["source", "path", "language", "text"], orient="row"),
        "architecture_dataset/shop/dependency_rules": pl.DataFrame([rule | {"learnt": "counted"}]),
    }
    for name, table in tables.items():
        path = tmp_path / "data" / f"{name}.parquet"
        path.parent.mkdir(parents=True)
        table.write_parquet(path)
    monkeypatch.chdir(tmp_path)
    facts = facts_for(tmp_path / "shop/shop/api")
    assert facts is not None
    return facts


def findings_in(project: ProjectFacts, path: str, text: str) -> list[tuple[int, str, str]]:
    rules = frozenset(RULES)
    return [(each.line, each.rule, each.message) for each in check_text(f"shop/{path}", text, project, rules)]


def test_a_path_is_that_of_the_source_however_it_is_written(
    project: ProjectFacts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "shop")
    monkeypatch.chdir(tmp_path / "elsewhere")
    for path in ("../shop/a.py", "../link/a.py", "../elsewhere/../shop/a.py", str(tmp_path / "shop" / "a.py")):
        assert project.relative(path) == "a.py"
    assert project.relative("../b.py") == "../b.py"
    assert facts_for(Path("../shop/shop/api")) == project


def test_a_project_is_known_by_its_sources_and_asks_for_its_own_rules(project: ProjectFacts, tmp_path: Path) -> None:
    assert (project.name, project.source, project.folder) == ("shop", SOURCE, tmp_path / "shop")
    assert facts_for(tmp_path) is None
    assert facts_for(tmp_path, "shop") is not None
    with pytest.raises(ProjectError, match="there is: shop"):
        facts_for(tmp_path, "shoe")
    assert "naming" not in rules_for(tmp_path)
    (tmp_path / "params.yaml").write_text("projects: {}\ncheck: {select: [naming], ignore: [dead-code]}\n")
    assert "naming" in rules_for(tmp_path)
    assert "dead-code" not in rules_for(tmp_path)
    (tmp_path / "params.yaml").write_text("projects: {}\ncheck: {select: naming}\n")
    with pytest.raises(ProjectError, match="check: has the keys"):
        rules_for(tmp_path)


def test_what_nearly_all_do_is_asked_of_what_is_new(project: ProjectFacts) -> None:
    new = (
        'def readAll(key):\n    """Read all."""\n\n\ndef read_one(key):\n    return key\n\n\n'
        'def read_two(key):\n    """Read the second one"""\n\n\ndef _own(key): ...\n\n\n'
        'def read_it(key):\n    """Read it."""\n'
    )
    assert findings_in(project, "shop/api/new.py", new) == [
        (1, "naming", "readAll: functions here are snake_case (33 of 33 do)."),
        (5, "missing-documentation", "read_one: public functions here are documented (38 of 38 do)."),
        (
            9,
            "documentation-style",
            "read_two: documentation here ends its first paragraph with a full stop (38 of 38 do).",
        ),
    ]
    # the team lives with what is there; tests have conventions of their own
    assert findings_in(project, "shop/api/names.py", FILES["shop/api/names.py"]) == []
    assert findings_in(project, "tests/test_new.py", "def readAll(key):\n    pass\n") == []


def test_a_body_that_is_there_is_pointed_at(project: ProjectFacts) -> None:
    message = "sum_up does what total_price does (shop/store/prices.py:1)."
    assert findings_in(project, "shop/api/sums.py", f'def sum_up():\n    """Sum."""\n{LONG}') == [
        (1, "existing-function", message)
    ]
    assert findings_in(project, "shop/store/prices.py", FILES["shop/store/prices.py"]) == []
    assert findings_in(project, "shop/sqlite/orders.py", OTHER_DRIVER) == [], "two drivers have the same functions"
    copied = findings_in(project, "shop/postgres/orders.py", DRIVER)
    assert [rule for _, rule, _ in copied] == ["existing-function"], "a driver that is copied"
    taxes = findings_in(project, "shop/api/taxes.py", TAXES)
    assert [line for line, _, _ in taxes] == [6]
    body = LONG.replace("\n", ";\n")
    overloads = "class Sums {\n" + "".join(f"int sum({kind} price) {{\n{body}}}\n" for kind in ("int", "long")) + "}\n"
    assert findings_in(project, "shop/Sums.java", overloads) == [], "one that takes another type"
    assert [line for line, _, _ in findings_in(project, "shop/Sums.java", overloads.replace("sum(l", "all(l"))] == [14]
    assert findings_in(project, "shop/api/taxes.py", TAXES.replace("return key", "return str(key)")) == []
    (project.folder / "shop/store/prices.py").unlink()
    assert findings_in(project, "shop/api/sums.py", f'def sum_up():\n    """Sum up."""\n{LONG}') == []


def test_an_import_and_a_call_that_the_project_forbids(project: ProjectFacts) -> None:
    code = "import os\nfrom shop.api import names\nfrom shop.store import prices\n\nnames.drop_id(drop_id(1))\n"
    assert findings_in(project, "shop/store/stock.py", code) == [
        (2, "forbidden-import", "shop: store must not import api: 9 imports go the other way and none this one."),
        (5, "pattern/keep_ids", "Ids are kept."),
    ]
    assert findings_in(project, "shop/api/stock.py", code.replace("drop_id(", "keep_id(")) == []
