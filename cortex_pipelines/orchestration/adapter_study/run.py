"""Run the stages of a study, project by project, each beside the adapter of another."""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from cortex_pipelines.orchestration.adapter_study.results import recorded
from cortex_pipelines.orchestration.adapter_study.study_project import (
    compare_with,
    partners,
    record,
    set_budget,
    studied_projects,
)
from cortex_pipelines.orchestration.location import open_location
from cortex_pipelines.orchestration.runs import Outcome, run_stale
from cortex_pipelines.versioning.dagster.instance import open_instance


def run_study(
    root: Path,
    budgets: Sequence[int],
    report: Callable[[str], None],
    only: Collection[str] = (),
) -> Outcome:
    """Train and evaluate the adapter of each project; what is made already is not made again.

    A project is evaluated and taken up in ``study.json`` as soon as its adapter and the one that
    it is compared with are trained, so that a study that is stopped leaves whole results.

    Args:
        root: Folder of the study, begun by ``begin_study``.
        budgets: Most training tokens of an adapter, one after the other; none for what
            params.yaml says.
        report: Told what runs.
        only: Names of the projects to evaluate; none for all.

    Returns:
        What was made, and what failed; a project that fails keeps none of the others.
    """
    project, _ = open_location(root)
    every = studied_projects(project)
    names = [name for name in every if not only or name in only]
    outcome = _made(root, "repository_files", every, report)  # any may be another one's control
    outcome += _made(root, "general_code", [None], report)
    others = partners(project)
    for tokens in budgets or (None,):
        left = names
        if tokens is not None:
            if tokens != budgets[-1]:  # a smaller budget's adapter is no output any more
                known = {one.name for one in recorded(root) if one.budget == tokens}
                left = [name for name in names if name not in known]
            if left:
                set_budget(root, tokens)
        for name in left:
            outcome += _studied(root, name, others.get(name), report)
    return outcome


def _studied(root: Path, name: str, other: str | None, report: Callable[[str], None]) -> Outcome:
    outcome = _made(root, "code_adapter", [name, other] if other else [name], report)
    if other:
        compare_with(open_location(root)[0], name, other)
    evaluated = _made(root, "code_adapter_evaluation", [name], report)
    if not evaluated.failed:  # it is whole where only the other project's adapter failed
        record(open_location(root)[0], name)
    return outcome + evaluated


def _made(
    root: Path, asset: str, names: Sequence[str | None], report: Callable[[str], None]
) -> Outcome:
    project, definitions = open_location(root)
    instance, wanted = open_instance(root), project.graph.upstream([asset])
    outcome = Outcome()
    for name in names:
        outcome += run_stale(project, definitions, instance, name, report, wanted)
    return outcome
