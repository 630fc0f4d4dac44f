"""Start an experiment between two releases or conditions of what a gateway serves."""

import getpass
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Unpack

from cortex_pipelines.prompts.templates import PromptFileError
from cortex_pipelines.release.answering import Condition
from cortex_pipelines.release.experiments.plan import (
    ExperimentError,
    ExperimentOptions,
    ExperimentSpec,
)
from cortex_pipelines.release.experiments.project_experiments import (
    experiment_log,
    experiments_lock,
)
from cortex_pipelines.serving.catalogue import Served

_UNTRAINED = ("base", "context")


def start(
    root: Path,
    models: Mapping[str, Served],
    project: str,
    a: str,
    b: str,
    **terms: Unpack[ExperimentOptions],
) -> ExperimentSpec:
    """Begin an experiment; the gateway divides requests from the next one on.

    Args:
        root: Project root.
        models: What is served, by name.
        project: Whose requests are divided.
        a: How one part is answered: ``champion`` or the number of a release, with ``:WAY`` for
            another way than the released one, or ``base`` or ``context`` for no adapter; with
            ``+VARIANT`` by the templates in ``prompts/VARIANT``.
        b: How the other part is; the same for A/A.
        terms: See ``Plan``.

    Raises:
        ExperimentError: there is no such project or release, or it is under a canary or another
            experiment already, or a setting makes no sense.
    """
    now = datetime.now(UTC)
    with experiments_lock(root):
        book = experiment_log(root)
        served = _served(models, project)
        if served.split is not None:
            raise ExperimentError(
                f"{project} has a canary ({served.split.version}); end it by `cortex promote` or "
                "`cortex rollback` first, as its requests are divided once only"
            )
        if (running := book.running(project)) is not None:
            raise ExperimentError(
                f"{project} is under the experiment {running.id} already; "
                f"`cortex experiment stop {project}` ends it"
            )
        names = [_pinned(models, project, reference) for reference in (a, b)]
        plan = ExperimentSpec(
            id=f"{project}-{now:%Y%m%dT%H%M%S.%f}",
            project=project,
            a=names[0],
            b=names[1],
            begun=now.isoformat(timespec="seconds"),
            by=getpass.getuser(),
            **terms,
        )
        book.write(plan)
    return plan


def arm_of(models: Mapping[str, Served], project: str, reference: str) -> Served:
    """What answers under a reference.

    Raises:
        ExperimentError: there is no such release or way.
    """
    plain, _, variant = reference.partition("+")
    if variant:
        return _written(arm_of(models, project, plain), variant, reference)
    name, _, way = reference.partition(":")
    if name in _UNTRAINED and not way:
        return _way(_served(models, project), name, reference)
    if (served := models.get(f"{project}@{name}")) is None or "number" not in served.about:
        raise ExperimentError(_unknown(models, project, reference))
    if served.about["number"] is None:
        raise ExperimentError(f"{project}@{name} is not released; `cortex promote` releases it")
    return _way(served, way, reference) if way else served


def _way(served: Served, way: str, reference: str) -> Served:
    ways: Mapping[Condition, Served] = served.others or {served.release.way: served}
    for known, one in ways.items():
        if known == way:
            return one
    raise ExperimentError(f"{reference}: there is no way {way}; ways: {', '.join(ways)}")


def _written(served: Served, variant: str, reference: str) -> Served:
    """The same by the templates of a variant, with ``@`` of that version alone."""
    name, _, version = variant.partition("@")
    try:
        templates = served.templates.variant(name)
    except PromptFileError as error:
        raise ExperimentError(f"{reference}: {error}") from error
    if version not in ("", templates.version):
        raise ExperimentError(f"{reference}: its templates are of version {templates.version} now")
    return served.with_templates(templates)


def _pinned(models: Mapping[str, Served], project: str, reference: str) -> str:
    """The reference with a release's number, which a promotion does not move."""
    served = arm_of(models, project, reference)
    plain, plus, variant = reference.partition("+")
    written = f"{plus}{variant}@{served.templates.version}" if plus else ""
    name, colon, way = plain.partition(":")
    number = name if name in _UNTRAINED else served.about["number"]
    return f"{number}{colon}{way}{written}"


def _served(models: Mapping[str, Served], project: str) -> Served:
    if project not in models or "project" not in models[project].about:
        known = sorted(name for name, one in models.items() if one.about.get("project") == name)
        raise ExperimentError(f"no project {project}; projects: {', '.join(known) or 'none yet'}")
    return models[project]


def _unknown(models: Mapping[str, Served], project: str, reference: str) -> str:
    own = [name.partition("@")[2] for name in sorted(models) if name.startswith(f"{project}@")]
    released = [name for name in own if name[:1].isdigit() or name == "champion"]
    known = ", ".join((*released, *_UNTRAINED))
    return f"{project} has no release {reference}; there is: {known}"
