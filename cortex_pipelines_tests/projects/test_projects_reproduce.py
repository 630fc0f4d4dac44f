from pathlib import Path
from types import SimpleNamespace
from typing import Any

from cortex_pipelines.projects.reproduce import _compare
from cortex_pipelines.versioning.parameters import CODE, PACKAGES


def stage(md5: str, code: str, **packages: str) -> dict[str, Any]:
    made_by = {CODE: {"code_units": code}, PACKAGES: packages}
    return {"outs": [{"path": "data/code_units/shop", "md5": md5}], "params": made_by}


def test_a_difference_names_what_an_upgrade_changed(tmp_path: Path) -> None:
    """Where the package is installed, not part of the project, no checkout brings its former code back."""
    address, before = "code_units@shop", stage("1.dir", "a", polars="1.33.0", tree_sitter="0.25.0")
    entry: Any = SimpleNamespace(registered_stages={address: before}, asset="code_adapter", evaluation="")

    def detail(found: dict[str, Any] | None) -> str:
        return _compare(entry, tmp_path, address, "exact", {address: found} if found else {}).detail

    assert detail(stage("1.dir", "b", polars="1.34.0", tree_sitter="0.25.0")) == ""  # the same bytes
    assert detail(stage("2.dir", "a", polars="1.33.0", tree_sitter="0.25.0")) == ""  # of the same code
    assert detail(stage("2.dir", "b", polars="1.34.0", tree_sitter="0.25.0")) == (
        "made by another version of this package: install that one and reproduce it again; polars 1.34.0, was 1.33.0"
    )
    assert detail(None) == ""  # not made
