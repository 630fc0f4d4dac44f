"""Begin, look at and end experiments in a project; see ``serving.experiments``."""

import getpass
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Unpack

from filelock import FileLock

from cortex_pipelines.release.answering import Way
from cortex_pipelines.serving.catalogue import Served
from cortex_pipelines.serving.experiments.analysis import Result
from cortex_pipelines.serving.experiments.plan import (
    Book,
    End,
    Entry,
    ExperimentError,
    Plan,
    Terms,
)
from cortex_pipelines.serving.experiments.running import Log
from cortex_pipelines.serving.prompts.templates import PromptFileError

_LOG = logging.getLogger("cortex_pipelines")
_STATE = Path(".cortex") / "serving"
_UNTRAINED = ("base", "context")


def book_of(root: Path) -> Book:
    """The experiments of a project folder."""
    return Book(root / _STATE)


def start(
    root: Path,
    models: Mapping[str, Served],
    project: str,
    a: str,
    b: str,
    **terms: Unpack[Terms],
) -> Plan:
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
    with _alone(root):
        book = book_of(root)
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
        plan = Plan(
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


def stop(root: Path, project: str, why: str) -> Entry:
    """End the experiment of a project, and give what it showed.

    Raises:
        ExperimentError: there is none.
    """
    plan = book_of(root).running(project)
    if plan is None:
        raise ExperimentError(f"no experiment is under way on {project}; nothing to stop")
    end = finish(root, plan, Result("stopped", why), getpass.getuser())
    return Entry(plan, end)


def finish(root: Path, plan: Plan, result: Result, by: str = "gateway") -> End:
    """Write down how an experiment ended; the first end counts, a second changes nothing."""
    with _alone(root):
        book = book_of(root)
        for entry in book.entries():
            if entry.plan.id == plan.id and entry.end is not None:
                return entry.end
        at = datetime.now(UTC).isoformat(timespec="seconds")
        end = End(plan.id, result.outcome, result.reason, at, by, _figures(book, plan))
        book.write(end)
    return end


def stop_for_release(root: Path, project: str | None, words: str) -> None:
    """End the experiment of a project whose releases have moved."""
    plan = book_of(root).running(project) if project else None
    if plan is not None:
        finish(root, plan, Result("stopped", words), getpass.getuser())
        _LOG.info("experiment %s is stopped: %s", plan.id, words)


def shown(root: Path, entry: Entry) -> dict[str, Any]:
    """An experiment as plain values: ``plan``, ``state``, ``reason``, and its figures."""
    if entry.end is not None:
        ended = {"state": entry.end.outcome, "reason": entry.end.reason, "at": entry.end.at}
        return {"plan": asdict(entry.plan), **ended, "by": entry.end.by, **entry.end.figures}
    running = {"state": "running", "reason": None, "at": None, "by": None}
    return {"plan": asdict(entry.plan), **running, **_figures(book_of(root), entry.plan)}


def _figures(book: Book, plan: Plan) -> dict[str, Any]:
    return Log(plan, book.answers(plan)).read().figures()


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
    ways: Mapping[Way, Served] = served.others or {served.release.way: served}
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


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    (root / _STATE).mkdir(parents=True, exist_ok=True)
    with FileLock(root / _STATE / "experiments.lock"):
        yield
