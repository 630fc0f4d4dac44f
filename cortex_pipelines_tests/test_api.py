import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

import cortex_pipelines
from cortex_pipelines import api
from cortex_pipelines.catalog import open_project
from cortex_pipelines.routing.serving.bundle import RouterError
from cortex_pipelines.schemas.extraction import CODE_UNITS
from cortex_pipelines_tests.messages import refusal

REPOSITORY = Path(__file__).parents[1]
PACKAGE = REPOSITORY / "cortex_pipelines"
HEAVY = {"torch", "dagster", "dvc", "mlflow", "polars", "pydantic", "numpy", "transformers"}


def loaded_after(statement: str) -> set[str]:
    code = f"import json, sys; {statement}; print(json.dumps(list(sys.modules)))"
    process = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True, capture_output=True, text=True)
    return set(json.loads(process.stdout))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    shutil.copy(REPOSITORY / "params.yaml", tmp_path)
    return tmp_path


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert not HEAVY & loaded_after("import cortex_pipelines")
    # a name loads the function, and only a call what it needs
    loaded = loaded_after("from cortex_pipelines import load_adapter, load_router, extract_units")
    assert not HEAVY & loaded


def test_all_that_is_offered_is_there_and_nothing_else() -> None:
    public = {
        name
        for name, value in vars(api).items()
        if getattr(value, "__module__", "") == api.__name__ and not name.startswith("_")
    }
    assert set(cortex_pipelines.__all__) == public
    assert public <= set(dir(cortex_pipelines))
    assert cortex_pipelines.load_router is api.load_router
    with pytest.raises(AttributeError, match="no attribute 'load_rooter'"):
        cortex_pipelines.load_rooter  # noqa: B018


def test_no_module_hides_what_it_depends_on_behind_the_package() -> None:
    public_names = set(cortex_pipelines.__all__)
    hidden = [
        (path.name, alias.name)
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module == "cortex_pipelines"
        for alias in node.names
        if alias.name in public_names
    ]
    assert hidden == []
    codes = [asset.code for asset in open_project(REPOSITORY).graph.order]
    assert not [code for code in codes if "cortex_pipelines/__init__.py" in code]


def test_units_and_private_values_of_a_folder_by_place(project: Path, tmp_path: Path) -> None:
    source = tmp_path / "src"
    source.mkdir()
    (source / "shop.py").write_text("def price(n):\n    return 2 * n\n")
    units = cortex_pipelines.extract_units(source, folder=project)
    assert set(units.columns) == set(CODE_UNITS.schema)
    (row,) = units.filter(kind="function").iter_rows(named=True)
    assert (row["path"], row["qualified_name"], row["start_byte"]) == ("shop.py", "price", 0)
    with pytest.raises(FileNotFoundError, match="no such file or folder"):
        cortex_pipelines.extract_units(tmp_path / "nowhere", folder=project)
    file = tmp_path / "mail.txt"
    file.write_text("\nwrite to jane.roe@corp-mail.net\n")
    (row,) = cortex_pipelines.scan_private(file, folder=project).iter_rows(named=True)
    assert (row["path"], row["line"], row["category"]) == ("mail.txt", 2, "personal")
    empty = cortex_pipelines.scan_private(project / "params.yaml", folder=project).clear()
    assert set(empty.columns) == set(row)


def test_a_table_of_all_projects_and_of_one(project: Path) -> None:
    first, second, *_ = open_project(project).partitions
    for name, number in ((first, 1), (second, 2)):
        folder = project / "data" / "annotated_units" / name
        folder.mkdir(parents=True)
        pl.DataFrame({"n": [number]}).write_parquet(folder / "units.parquet")
    read = cortex_pipelines.read_table
    both = read("annotated_units", "units", folder=project)
    assert (both.rows(), both.columns) == ([(1, first), (2, second)], ["n", "project"])
    assert read("annotated_units", "units", second, folder=project).rows() == [(2, second)]
    with pytest.raises(LookupError, match=r"no asset anotated_units; assets: .*code_units"):
        read("anotated_units", "units", folder=project)
    assert "has no project shop" in refusal(LookupError, read, "annotated_units", "units", "shop", folder=project)
    message = refusal(LookupError, read, "code_units", "units", folder=project)
    assert "run `cortex run code_units --upstream` first" in message


def test_a_router_is_never_that_of_another_folder(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    assert "no folder my-rooter" in refusal(RouterError, cortex_pipelines.load_router, "my-rooter")
    logs = Path("data/samples/coordination")
    shutil.copytree(REPOSITORY / logs, project / logs)
    (decision,) = cortex_pipelines.load_router().route(["Rotate the leaked API key"])
    assert decision.model_version == "rules"
    assert decision.master


def test_parameters_outside_of_projects_are_standard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CORTEX_ROOT", raising=False)
    parameters = cortex_pipelines.load_parameters()
    assert not parameters.projects
    assert parameters.datasets.max_train is None  # no cap but in the demo
    (tmp_path / "shop.py").write_text("def sell():\n    return 1\n")
    assert cortex_pipelines.extract_units("shop.py")["name"].to_list() == ["sell"]
    assert "no params.yaml" in refusal(RuntimeError, cortex_pipelines.open_project)
