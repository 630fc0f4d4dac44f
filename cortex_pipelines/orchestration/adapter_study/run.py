"""Run a study project by project, comparing each adapter with that of another project."""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from cortex_pipelines.orchestration.adapter_study.results import read_recorded_results
from cortex_pipelines.orchestration.adapter_study.study_project import (
    assign_controls,
    record_result,
    set_budget,
    set_control_adapter,
    studied_projects,
)
from cortex_pipelines.orchestration.location import open_location
from cortex_pipelines.orchestration.runs import RunOutcome, run_stale
from cortex_pipelines.versioning.dagster.instance import open_instance


def run_study(
    root: Path, budgets: Sequence[int], report: Callable[[str], None], only: Collection[str] = ()
) -> RunOutcome:
    """Train and evaluate the adapter of each project; finished outputs are not made again.

    A project is evaluated and recorded in ``study.json`` as soon as its adapter and its control adapter are trained, so
    an interrupted study leaves complete results.

    Args:
        root: Folder of the study, created by ``create_study``.
        budgets: Maximum numbers of training tokens, run one after the other; empty for the value in params.yaml.
        report: Receives progress messages.
        only: Names of the projects to evaluate; empty for all.

    Returns:
        Stages that ran and that failed; a failed project does not stop the others.
    """
    project, _ = open_location(root)
    all_projects = studied_projects(project)
    names = [name for name in all_projects if not only or name in only]
    outcome = _run_asset(root, "repository_files", all_projects, report)  # each may be another one's control
    outcome += _run_asset(root, "general_code", [None], report)
    control_projects = assign_controls(project)
    for tokens in budgets or (None,):
        remaining = names
        if tokens is not None:
            if tokens != budgets[-1]:  # the workspace holds only the largest budget's adapter
                finished = {result.name for result in read_recorded_results(root) if result.budget == tokens}
                remaining = [name for name in names if name not in finished]
            if remaining:
                set_budget(root, tokens)
        for name in remaining:
            outcome += _study_project(root, name, control_projects.get(name), report)
    return outcome


def _study_project(root: Path, name: str, other: str | None, report: Callable[[str], None]) -> RunOutcome:
    outcome = _run_asset(root, "code_adapter", [name, other] if other else [name], report)
    if other:
        set_control_adapter(open_location(root)[0], name, other)
    evaluated = _run_asset(root, "code_adapter_evaluation", [name], report)
    if not evaluated.failed:  # valid even if the other project's adapter failed
        record_result(open_location(root)[0], name)
    return outcome + evaluated


def _run_asset(root: Path, asset: str, names: Sequence[str | None], report: Callable[[str], None]) -> RunOutcome:
    project, definitions = open_location(root)
    instance, upstream = open_instance(root), project.graph.upstream([asset])
    outcome = RunOutcome()
    for name in names:
        outcome += run_stale(project, definitions, instance, name, report, upstream)
    return outcome
