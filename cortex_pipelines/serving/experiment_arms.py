"""Start an experiment between two releases or conditions of what a gateway serves."""

import getpass
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Unpack

from cortex_pipelines.prompts.templates import PromptFileError
from cortex_pipelines.release.answering import Condition
from cortex_pipelines.release.experiments.plan import ExperimentError, ExperimentOptions, ExperimentSpec
from cortex_pipelines.release.experiments.running import experiment_log, experiments_lock
from cortex_pipelines.serving.catalogue import ServedModel

_UNTRAINED = ("base", "context")


def start(
    root: Path, models: Mapping[str, ServedModel], project: str, a: str, b: str, **terms: Unpack[ExperimentOptions]
) -> ExperimentSpec:
    """Start an experiment; the gateway assigns requests to arms from the next one on.

    Args:
        root: Project root.
        models: Served models by name.
        project: The project whose requests are divided.
        a: Control arm: ``champion`` or the number of a release, with ``:WAY`` for another condition
            than the released one, or ``base`` or ``context`` without adapter; ``+VARIANT`` uses the
            templates in ``prompts/VARIANT``.
        b: Treatment arm, in the same form; equal to ``a`` for an A/A test.
        terms: See ``Plan``.

    Raises:
        ExperimentError: unknown project or release, a canary or another experiment is already
            running, or a setting is invalid.
    """
    started_at = datetime.now(UTC)
    with experiments_lock(root):
        log = experiment_log(root)
        served = _served(models, project)
        if served.split is not None:
            raise ExperimentError(
                f"{project} has a canary ({served.split.version}); end it by `cortex promote` or "
                "`cortex rollback` first, as its requests are divided once only"
            )
        if (running := log.running(project)) is not None:
            raise ExperimentError(
                f"{project} is under the experiment {running.id} already; `cortex experiment stop {project}` ends it"
            )
        names = [_pinned(models, project, reference) for reference in (a, b)]
        plan = ExperimentSpec(
            id=f"{project}-{started_at:%Y%m%dT%H%M%S.%f}",
            project=project,
            a=names[0],
            b=names[1],
            begun=started_at.isoformat(timespec="seconds"),
            by=getpass.getuser(),
            **terms,
        )
        log.write(plan)
    return plan


def arm_of(models: Mapping[str, ServedModel], project: str, reference: str) -> ServedModel:
    """The model that a reference names.

    Raises:
        ExperimentError: unknown release or condition.
    """
    plain, _, variant = reference.partition("+")
    if variant:
        return _with_variant(arm_of(models, project, plain), variant, reference)
    name, _, way = reference.partition(":")
    if name in _UNTRAINED and not way:
        return _served_way(_served(models, project), name, reference)
    if (served := models.get(f"{project}@{name}")) is None or "number" not in served.details:
        raise ExperimentError(_unknown(models, project, reference))
    if served.details["number"] is None:
        raise ExperimentError(f"{project}@{name} is not released; `cortex promote` releases it")
    return _served_way(served, way, reference) if way else served


def _served_way(served: ServedModel, way: str, reference: str) -> ServedModel:
    ways: Mapping[Condition, ServedModel] = served.by_way or {served.release.way: served}
    for way_name, model in ways.items():
        if way_name == way:
            return model
    raise ExperimentError(f"{reference}: no way {way}; ways: {', '.join(ways)}")


def _with_variant(served: ServedModel, variant: str, reference: str) -> ServedModel:
    """The model with the templates of a variant; ``@VERSION`` requires that version of them."""
    name, _, version = variant.partition("@")
    try:
        templates = served.templates.variant(name)
    except PromptFileError as error:
        raise ExperimentError(f"{reference}: {error}") from error
    if version not in ("", templates.version):
        raise ExperimentError(f"{reference}: its templates are of version {templates.version} now")
    return served.with_templates(templates)


def _pinned(models: Mapping[str, ServedModel], project: str, reference: str) -> str:
    """The reference with a release number instead of a role, so a promotion does not move it."""
    served = arm_of(models, project, reference)
    plain, plus, variant = reference.partition("+")
    variant_suffix = f"{plus}{variant}@{served.templates.version}" if plus else ""
    name, colon, way = plain.partition(":")
    number = name if name in _UNTRAINED else served.details["number"]
    return f"{number}{colon}{way}{variant_suffix}"


def _served(models: Mapping[str, ServedModel], project: str) -> ServedModel:
    if project not in models or "project" not in models[project].details:
        project_names = sorted(name for name, model in models.items() if model.details.get("project") == name)
        raise ExperimentError(f"no project {project}; projects: {', '.join(project_names) or 'none yet'}")
    return models[project]


def _unknown(models: Mapping[str, ServedModel], project: str, reference: str) -> str:
    versions = [name.partition("@")[2] for name in sorted(models) if name.startswith(f"{project}@")]
    released = [name for name in versions if name[:1].isdigit() or name == "champion"]
    available = ", ".join((*released, *_UNTRAINED))
    return f"{project} has no release {reference}; there is: {available}"
