import importlib

import dagster as dg
import pytest

from cortex_pipelines.config import PER_PROJECT
from cortex_pipelines_tests.integration.miniproject import REPOSITORY, MiniProject, run_in
from cortex_pipelines_tests.parameters import load_cases

pytestmark = pytest.mark.slow
GRAPH = load_cases(__file__)
REPORTS = {"compliance", "drift_report", "router_drift_report"}


def names(keys: object) -> set[str]:
    assert isinstance(keys, set | frozenset)
    return {key.to_user_string() for key in keys}


def test_the_graph_is_the_path(shared_begun: MiniProject) -> None:
    graph = shared_begun.open()[1].resolve_asset_graph()
    by_check: dict[str, dict[str, set[str]]] = {}
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        by_check.setdefault(str(node.group_name), {})[key.to_user_string()] = {
            name for name in names(node.parent_keys) if not name.endswith("_parameters")
        }
    settings = by_check.pop("yaml_parameters")
    assert set(settings) == {f"{name}_parameters" for name in PER_PROJECT}
    assert by_check == {group: {name: set(read) for name, read in assets.items()} for group, assets in GRAPH.items()}


def test_every_asset_says_what_it_is(shared_begun: MiniProject) -> None:
    project, definitions = shared_begun.open()
    graph = definitions.resolve_asset_graph()
    for asset in project.graph.order:
        node = graph.get(dg.AssetKey(asset.name))
        assert node.description
        assert node.owners == ["team:cortex"]
        assert ({"dvc", "polars", "parquet"} if asset.tables else {"dvc", "mlflow"}) <= node.kinds
        assert node.tags["determinism"] == asset.determinism
        assert (node.code_version, node.is_partitioned) == (project.code_versions[asset.name], asset.partitioned)
        checks = {check.name for check in node.check_keys}
        assert {f"{table.name}_contract" for table in asset.tables} <= checks
        assert ("verdict" in checks) == (asset.registers is not None)
        assert (asset.alarm in checks) == (asset.alarm is not None)


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        ('group:"coordination"', {"coordination_events", "coordination_tables"}),
        ('key:"task_router_evaluation"+', {"task_router_evaluation", "task_router_release", "routing_audit"}),
        (
            '+key:"code_units" or (kind:"json" and not key:"code_*")',
            {"repository_files", "code_units", "task_router_release"} | REPORTS,
        ),
    ],
)
def test_a_selection_can_be_written_as_in_the_ui(shared_begun: MiniProject, selection: str, expected: set[str]) -> None:
    """The parser of selections and DVC need one version of ANTLR's runtime between them."""
    graph = shared_begun.open()[1].resolve_asset_graph()
    selected = dg.AssetSelection.from_string(selection).resolve(graph)
    assert names(selected) - {"project_source"} == expected


def test_dagster_loads_jobs_schedules_and_sensors_and_dvc_yaml_follows(shared_begun: MiniProject) -> None:
    repository = shared_begun.open()[1].get_repository_def()
    assert {"nightly", "project_path"} <= set(repository.job_names)
    assert [schedule.name for schedule in repository.schedule_defs] == ["nightly", "weekly"]
    assert [sensor.name for sensor in repository.sensor_defs] == ["sync"]
    run_in(shared_begun.root, "dagster", "definitions", "validate", "-m", "cortex_pipelines.definitions")
    run_in(REPOSITORY, "cortex", "dvc-yaml", "--check")


def test_dagster_loads_the_project_at_hand(shared_begun: MiniProject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORTEX_ROOT", str(shared_begun.root))
    definitions = importlib.import_module("cortex_pipelines.definitions")
    loaded = importlib.reload(definitions).defs
    assert loaded.resolve_asset_graph().get_all_asset_keys() == (
        shared_begun.open()[1].resolve_asset_graph().get_all_asset_keys()
    )
