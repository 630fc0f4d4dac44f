import importlib

import dagster as dg
import pytest

from cortex_pipelines.config import PER_PROJECT
from cortex_pipelines_tests.integration.miniproject import REPOSITORY, MiniProject, run_in

pytestmark = pytest.mark.slow

GRAPH = {
    "sources": {
        "project_source": set(),
        "coordination_source": set(),
        "feedback_source": set(),
        "base_model": set(),
        "sentence_encoder": set(),
        "code_adapter_champion": set(),
        "task_router_champion": set(),
    },
    "ingestion": {"repository_files": {"project_source"}, "repository_commits": {"project_source"}},
    "coordination": {"coordination_events": {"coordination_source"}, "coordination_tables": {"coordination_events"}},
    "monitoring": {
        "drift_report": {
            "code_adapter_champion",
            "completion_dataset",
            "feedback_dataset",
            "interactions",
            "repository_commits",
            "sentence_encoder",
        },
        "router_drift_report": {"routing_dataset", "sentence_encoder", "task_router_champion"},
        "worker_anomalies": {"coordination_tables"},
    },
    "feedback": {"interactions": {"feedback_source"}},
    "privacy": {"compliance": {"repository_commits", "repository_files"}},
    "extraction": {
        "code_units": {"repository_files"},
        "refactoring_pairs": {"project_source", "repository_commits"},
        "architecture_facts": {"code_units", "repository_files"},
    },
    "retrieval": {
        "code_graph": {"architecture_facts", "code_units", "repository_commits", "repository_files"},
        "search_documents": {"annotated_units", "repository_commits", "repository_files"},
        "code_embeddings": {"repository_commits", "search_documents", "sentence_encoder"},
    },
    "annotation": {"annotated_units": {"code_units", "repository_files"}},
    "augmentation": {"augmented_units": {"annotated_units"}},
    "datasets": {
        "unit_splits": {"annotated_units", "repository_commits", "repository_files"},
        "completion_dataset": {"annotated_units", "augmented_units", "repository_files", "unit_splits"},
        "refactoring_dataset": {
            "annotated_units",
            "augmented_units",
            "refactoring_pairs",
            "repository_files",
            "unit_splits",
        },
        "naming_dataset": {"annotated_units", "augmented_units", "repository_files", "unit_splits"},
        "architecture_dataset": {"architecture_facts", "repository_files", "unit_splits"},
        "documentation_dataset": {"annotated_units", "repository_files", "unit_splits"},
        "tests_dataset": {"annotated_units", "code_units", "repository_files", "unit_splits"},
        "feedback_dataset": {"interactions", "repository_files", "unit_splits"},
        "general_code": {"completion_dataset"},
    },
    "routing": {
        "routing_dataset": {"coordination_events", "repository_commits"},
        "task_router": {"routing_dataset", "sentence_encoder"},
        "outcome_predictors": {"coordination_tables"},
        "task_router_evaluation": {"routing_dataset", "sentence_encoder", "task_router", "task_router_champion"},
        "outcome_evaluation": {"outcome_predictors"},
        "routing_audit": {"coordination_tables", "routing_dataset", "task_router_evaluation"},
    },
    "adapters": {
        "code_adapter": {
            "architecture_dataset",
            "base_model",
            "completion_dataset",
            "documentation_dataset",
            "feedback_dataset",
            "general_code",
            "naming_dataset",
            "refactoring_dataset",
            "tests_dataset",
        }
    },
    "evaluation": {
        "code_adapter_evaluation": {
            "architecture_dataset",
            "base_model",
            "code_adapter",
            "code_adapter_champion",
            "code_units",
            "completion_dataset",
            "documentation_dataset",
            "feedback_dataset",
            "general_code",
            "naming_dataset",
            "refactoring_dataset",
            "tests_dataset",
            "repository_files",
        }
    },
    "release": {
        "code_adapter_release": {
            "architecture_dataset",
            "code_adapter",
            "code_adapter_evaluation",
            "completion_dataset",
            "documentation_dataset",
            "feedback_dataset",
            "general_code",
            "naming_dataset",
            "refactoring_dataset",
            "tests_dataset",
        },
        "task_router_release": {"routing_audit", "task_router", "task_router_evaluation"},
    },
}


def names(keys: object) -> set[str]:
    assert isinstance(keys, set | frozenset)
    return {key.to_user_string() for key in keys}


def test_the_graph_is_the_path(begun: MiniProject) -> None:
    graph = begun.open()[1].resolve_asset_graph()
    by_check: dict[str, dict[str, set[str]]] = {}
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        by_check.setdefault(str(node.group_name), {})[key.to_user_string()] = {
            name for name in names(node.parent_keys) if not name.endswith("_parameters")
        }
    settings = by_check.pop("parameters")
    assert set(settings) == {f"{name}_parameters" for name in PER_PROJECT}
    assert by_check == GRAPH


def test_every_asset_says_what_it_is(begun: MiniProject) -> None:
    project, definitions = begun.open()
    graph = definitions.resolve_asset_graph()
    for asset in project.graph.order:
        node = graph.get(dg.AssetKey(asset.name))
        assert node.description
        assert node.owners == ["team:cortex"]
        assert {"dvc", "mlflow"} <= node.kinds
        assert node.code_version == project.code_versions[asset.name]
        assert node.is_partitioned == asset.partitioned
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
            {"repository_files", "code_units", "task_router_release"},
        ),
    ],
)
def test_a_selection_can_be_written_as_in_the_ui(begun: MiniProject, selection: str, expected: set[str]) -> None:
    """The parser of selections and DVC need one version of ANTLR's runtime between them."""
    graph = begun.open()[1].resolve_asset_graph()
    selected = dg.AssetSelection.from_string(selection).resolve(graph)
    assert names(selected) - {"project_source"} == expected


def test_jobs_schedules_and_sensors_are_there(begun: MiniProject) -> None:
    repository = begun.open()[1].get_repository_def()
    assert {"nightly", "project_path"} <= set(repository.job_names)
    assert [schedule.name for schedule in repository.schedule_defs] == ["nightly", "weekly"]
    assert [sensor.name for sensor in repository.sensor_defs] == ["sync"]


def test_the_module_that_dagster_loads_is_the_project_at_hand(
    begun: MiniProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CORTEX_ROOT", str(begun.root))
    definitions = importlib.import_module("cortex_pipelines.definitions")
    loaded = importlib.reload(definitions).defs
    assert loaded.resolve_asset_graph().get_all_asset_keys() == (
        begun.open()[1].resolve_asset_graph().get_all_asset_keys()
    )


def test_the_code_location_loads_as_dagster_loads_it(begun: MiniProject) -> None:
    run_in(begun.root, "dagster", "definitions", "validate", "-m", "cortex_pipelines.definitions")


def test_the_stage_list_of_this_repository_is_up_to_date() -> None:
    run_in(REPOSITORY, "cortex", "dvc-yaml", "--check")
