"""Run the stages of a study: every adapter first, then the evaluations that compare them."""

from collections.abc import Callable
from pathlib import Path

from cortex_pipelines.operations.study import pair_adapters, studied_projects
from cortex_pipelines.orchestration.location import open_location
from cortex_pipelines.orchestration.runs import Outcome, run_stale
from cortex_pipelines.versioning.dagster.instance import open_instance


def run_study(root: Path, report: Callable[[str], None]) -> Outcome:
    """Train and evaluate the adapter of each project; what is made already is not made again.

    Args:
        root: Folder of the study, begun by ``begin_study``.
        report: Told what runs.

    Returns:
        What was made, and what failed; a project that fails keeps none of the others.
    """
    outcome = _made(root, "code_adapter", report)
    project, _ = open_location(root)
    pair_adapters(project)
    return outcome + _made(root, "code_adapter_evaluation", report)


def _made(root: Path, asset: str, report: Callable[[str], None]) -> Outcome:
    project, definitions = open_location(root)
    instance = open_instance(root)
    wanted = project.graph.upstream([asset])
    general = project.graph.upstream(["general_code"])
    outcome = run_stale(project, definitions, instance, None, report, general)
    for name in studied_projects(project):
        outcome += run_stale(project, definitions, instance, name, report, wanted)
    return outcome
