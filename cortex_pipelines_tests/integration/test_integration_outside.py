import json
from pathlib import Path
from unittest import mock

from cortex_pipelines.catalog import open_project
from cortex_pipelines.versioning.dvc.reconcile import dvc_views
from cortex_pipelines.versioning.dvc.yaml_files import read_values
from cortex_pipelines.versioning.parameters import CODE
from cortex_pipelines.versioning.project import Project, read_yaml
from cortex_pipelines_tests.integration.miniproject import MiniProject, commit, without_root_variable, write_beta


def test_a_project_is_begun_made_and_stale_when_the_package_is_another_one(tmp_path: Path) -> None:
    source, root = MiniProject(tmp_path), tmp_path / "models"
    source.cortex("init", str(root))
    assert "is already a project" in source.cortex("init", str(root), status=1).stderr
    mini = MiniProject(root)
    mini.cortex("dvc-yaml", "--check")
    write_beta(root / "code")
    assert "is the control for other code" in mini.cortex("add", "--no-control", "shop", "code").stderr
    assert mini.pinned_models() == ["base", "encoder"]
    commit(root, "begin")
    planned = mini.cortex("run", "--plan", "--project", "shop", "code_units").stdout
    assert planned.startswith("code_units@shop")
    assert "\nstale or missing before these: 1; `--upstream` makes them first\n" in planned
    planned = mini.cortex("run", "--plan", "--upstream", "--project", "shop", "code_units").stdout
    assert planned.split()[0] == "repository_files@shop"
    assert "\ncode_units@shop" in planned
    planned = mini.cortex("run", "--plan", "--json", "--upstream", "--project", "shop", "code_units").stdout
    assert all(stage["seconds"]["expected"] > 0 for stage in json.loads(planned)["stages"])
    plan = mini.cortex("run", "--plan")
    assert "code_adapter_release@shop" in plan.stdout
    assert "task_router" not in plan.stdout
    assert plan.stderr.startswith("no router is trained: coordination.logs has no logs")
    mini.cortex("run", "code_units", "--upstream", "--project", "shop")
    stages = read_yaml(root / "dvc.lock")["stages"]
    assert stages.keys() == {"parameters", "repository_files@shop", "code_units@shop"}
    assert "deps" not in stages["repository_files@shop"], "no path of this machine"
    assert str(tmp_path) not in (root / "dvc.lock").read_text()
    built = {"repository_files", "code_units"}
    assert not stale(root) & built
    assert mini.dvc_status().keys().isdisjoint({f"{name}@shop" for name in built})
    digests = read_values(root / CODE)
    other = {**digests, "code_units": "0" * 32}
    with mock.patch.object(Project, "_installed_code", other):
        assert stale(root) & built == {"code_units"}


def stale(root: Path) -> set[str]:
    with without_root_variable():
        return {view.asset.name for view in dvc_views(open_project(root)) if view.changed}
