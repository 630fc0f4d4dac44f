from pathlib import Path

import pytest

from cortex_pipelines.catalog import ASSETS, PINS, open_project, project_name_refusal
from cortex_pipelines.config import load_parameters
from cortex_pipelines.project_names import BASE, ENCODER, ROLES, ROUTER, case_clash
from cortex_pipelines.versioning.root import ProjectError

RESERVED = [
    *(BASE, ROUTER, ENCODER, "baseline", "all", "general", *ROLES),
    *("code_adapter-shop", "code-adapter-x", "Base", "TASK-ROUTER", "code-encoder", "Code_Units"),
    *(asset.name for asset in ASSETS),
    *(pin.name for pin in PINS),
]


@pytest.mark.parametrize("name", RESERVED)
def test_a_reserved_name_is_refused_with_a_free_one(name: str) -> None:
    refusal = project_name_refusal(name)
    free = refusal.rpartition("such as ")[2]
    assert project_name_refusal(free) is None


@pytest.mark.parametrize("name", ["shop", "database", "base2", "cortex", "flask", "my-app", "demo"])
def test_other_names_are_free(name: str) -> None:
    assert project_name_refusal(name) is None


def write_parameters(root: Path, *names: str) -> Path:
    entries = "".join(f"  {name}:\n    sources:\n      - directory: src\n" for name in names)
    (root / "params.yaml").write_text(f"profile: standard\nprojects:\n{entries}")
    return root


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("base",), "line 3: projects.base: a project must not be called base, which means the"),
        (("shop", "Champion"), "line 6: projects.Champion: a project must not be called"),
        (("shop", "Shop"), "projects shop and Shop differ by case alone"),
    ],
)
def test_params_with_such_a_name_are_refused(tmp_path: Path, names: tuple[str, ...], words: str) -> None:
    with pytest.raises(ProjectError, match=words):
        load_parameters(write_parameters(tmp_path, *names))


def test_params_with_the_name_of_an_asset_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match=r"projects.code_units: .* an asset, as in `cortex run"):
        open_project(write_parameters(tmp_path, "code_units")).resolve()


def test_names_that_differ_by_more_than_case_may_stand_together() -> None:
    assert case_clash(["my-app", "my_app", "shop", "shop2"]) is None
