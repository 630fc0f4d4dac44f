"""Run the stages of a study, project by project, each beside the adapter of another."""

from collections.abc import Callable, Sequence
from pathlib import Path

from cortex_pipelines.operations.study import compare_with, partners, studied_projects
from cortex_pipelines.orchestration.location import open_location
from cortex_pipelines.orchestration.runs import Outcome, run_stale
from cortex_pipelines.versioning.dagster.instance import open_instance


def run_study(root: Path, report: Callable[[str], None]) -> Outcome:
    """Train and evaluate the adapter of each project; what is made already is not made again.

    A project is evaluated as soon as its adapter and the one that it is compared with are trained,
    so that a study that is stopped leaves whole results.

    Args:
        root: Folder of the study, begun by ``begin_study``.
        report: Told what runs.

    Returns:
        What was made, and what failed; a project that fails keeps none of the others.
    """
    project, _ = open_location(root)
    names = studied_projects(project)
    outcome = _made(root, "repository_files", names, report)
    outcome += _made(root, "general_code", [None], report)
    others = partners(project)
    for name in names:
        other = others.get(name)
        outcome += _made(root, "code_adapter", [name, other] if other else [name], report)
        if other:
            compare_with(project, name, other)
        outcome += _made(root, "code_adapter_evaluation", [name], report)
    return outcome


def _made(
    root: Path, asset: str, names: Sequence[str | None], report: Callable[[str], None]
) -> Outcome:
    project, definitions = open_location(root)
    instance, wanted = open_instance(root), project.graph.upstream([asset])
    outcome = Outcome()
    for name in names:
        outcome += run_stale(project, definitions, instance, name, report, wanted)
    return outcome
