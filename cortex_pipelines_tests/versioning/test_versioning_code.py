import shutil
import sys
from pathlib import Path

import pytest

from cortex_pipelines.catalog import ASSETS, open_project
from cortex_pipelines.versioning import code, packages, project
from cortex_pipelines.versioning.code import FOLDER, code_dependencies, data_files, imported_modules, modules_of, recall
from cortex_pipelines.versioning.content import content_md5
from cortex_pipelines.versioning.declared import declared
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("root")
    shutil.copytree(FOLDER, root / FOLDER.name, ignore=shutil.ignore_patterns("__pycache__"), symlinks=True)
    return root


def stale_after_edit(root: Path, file: str) -> set[str]:
    """Assets whose code version changes when a line is added to one file."""
    path = root / "cortex_pipelines" / file
    versions = {asset.name: [content_md5(root / part) for part in asset.code] for asset in ASSETS}
    before = path.read_bytes()
    path.write_bytes(before + b"\n# edited\n")
    try:
        return {
            asset.name for asset in ASSETS if [content_md5(root / part) for part in asset.code] != versions[asset.name]
        }
    finally:
        path.write_bytes(before)


@pytest.mark.parametrize(("file", "stale"), CASES["an_edit_makes_stale_exactly_what_runs_the_file"])
def test_an_edit_makes_stale_exactly_what_runs_the_file(package: Path, file: str, stale: set[str]) -> None:
    assert stale_after_edit(package, file) == set(stale)


def test_a_column_makes_stale_only_what_reads_or_writes_tables_of_its_room(package: Path) -> None:
    assert stale_after_edit(package, "schemas/monitoring.py") == {"worker_anomalies"}


def test_all_modules_that_a_listed_folder_holds_count() -> None:
    readers = {p.stem for p in (FOLDER / "extraction/architecture/readers").glob("[!_]*.py")}
    runs = modules_of("cortex_pipelines.extraction.assets", "architecture_facts")
    folder = "cortex_pipelines.extraction.architecture.readers."
    assert {name.removeprefix(folder) for name in runs if name.startswith(folder)} == readers


def test_every_data_file_of_the_package_is_read_by_a_module() -> None:
    modules = [".".join(file.relative_to(FOLDER.parent).with_suffix("").parts) for file in FOLDER.rglob("*.py")]
    referenced = {path for module in modules for path in data_files(module)}
    idle = {
        path.relative_to(FOLDER).as_posix()
        for path in FOLDER.rglob("*")
        if path.is_file()
        and path.suffix not in {".py", ".pyc"}
        and path.parent.name != "profiles"  # assets are given the values, and depend on those
        and not any(path == other or other in path.parents for other in referenced)
    }
    assert idle == set()


@pytest.mark.parametrize("asset", ASSETS, ids=lambda asset: asset.name)
def test_what_an_asset_runs_is_there(asset: object) -> None:
    assert asset.code, "an asset runs at least its own file"  # type: ignore[attr-defined]
    missing = [path for path in asset.code if not (FOLDER.parent / path).exists()]  # type: ignore[attr-defined]
    assert missing == []


def test_each_imported_package_is_counted_or_named_as_unrelated() -> None:
    imported = {name for asset in ASSETS for name in imported_modules(asset.compute.__module__, asset.name)}
    assert imported - sys.stdlib_module_names - packages.DISTRIBUTIONS.keys() - packages.UNRELATED == set()


@pytest.mark.parametrize(
    ("package", "stale", "fresh"), CASES["another_version_of_a_package_makes_stale_what_imports_it"]
)
def test_another_version_of_a_package_makes_stale_what_imports_it(package, stale, fresh, monkeypatch) -> None:
    before = open_project(FOLDER.parent).code_versions
    monkeypatch.setattr(project, "installed", lambda: packages.installed() | {package: "99"})
    after = open_project(FOLDER.parent).code_versions
    changed = {name for name in before if before[name] != after[name]}
    assert set(stale) <= changed
    assert changed.isdisjoint(fresh)


def test_code_outside_the_package_has_to_be_named() -> None:
    with pytest.raises(ValueError, match="only code of cortex_pipelines"):
        code_dependencies(stale_after_edit)


def test_the_catalogue_names_an_asset_after_what_it_is_made_from() -> None:
    names = [asset.name for asset in ASSETS]
    for number, asset in enumerate(ASSETS):
        assert not {*asset.parameters} & {*names[number:]}, asset.name


def test_code_is_derived_once_for_the_same_bytes_of_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / ".cortex" / "cache" / "code.json"
    file.parent.mkdir(parents=True)

    def recalled() -> tuple[tuple[str, ...], tuple[str, ...]]:
        (asset,) = declared("privacy.assets", "compliance")
        recall([asset], file)
        return asset.code, asset.packages

    (compliance,) = declared("privacy.assets", "compliance")
    assert recalled() == (compliance.code, compliance.packages)
    file.write_text(file.read_text().replace(compliance.code[0], "kept"))
    assert recalled()[0][0] == "kept", "not derived again"
    file.write_text(file.read_text()[:-9])
    assert recalled() == (compliance.code, compliance.packages), "of a file that is cut off nothing is taken"
    monkeypatch.setattr(code, "content_md5", lambda folder: "of other bytes")
    assert recalled() == (compliance.code, compliance.packages)
