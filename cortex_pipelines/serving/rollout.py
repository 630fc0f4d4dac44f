"""Canaries and experiments: users of requests, counts of answers, the arms of an experiment."""

import getpass
import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from contextvars import ContextVar
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Unpack

from cortex_pipelines.atomic import write_whole
from cortex_pipelines.prompts.templates import PromptFileError
from cortex_pipelines.release.experiments.plan import ExperimentError, ExperimentOptions, ExperimentSpec
from cortex_pipelines.release.experiments.running import experiment_log, experiments_lock
from cortex_pipelines.release.gates import Analysis, Count, analyse, look_of
from cortex_pipelines.serving.catalogue import ServedModel, Split, Variant, ways_of
from cortex_pipelines.serving.security.access import context_value, current_principal

_LOG = logging.getLogger("cortex_pipelines")
ROLLOUTS = "rollouts.json"
_EVERY = 1.0
"""Seconds between writes of the counts; a crash loses those since the last."""

_USER: ContextVar[str] = ContextVar("user", default="")


def answering_user(name: str) -> AbstractContextManager[None]:
    """Set the user or session of a request, which stays with one variant."""
    return context_value(_USER, name)


def request_user(explicit_user: str | None = None) -> str:
    """User of a request: from its body, else its header, else the name of its key."""
    return explicit_user or _USER.get() or current_principal().name


class Rollouts:
    """Counts the variants' answers in a file; ``conclude`` writes a canary's end to the ledger."""

    def __init__(self, path: Path, conclude: Callable[[str, str, Analysis], None]) -> None:
        self._path, self._conclude = path, conclude
        self._lock = threading.Lock()
        self._counts: dict[str, dict[str, Any]] = {}
        with suppress(OSError, ValueError):
            counts = json.loads(path.read_text(encoding="utf-8"))
            self._counts = counts if isinstance(counts, dict) else {}
        self._ending: dict[str, threading.Thread] = {}
        self._written = 0.0

    def add(self, split: Split, variant: Variant, failed: bool) -> None:
        """Count an answer; a conclusion is written in the background."""
        with self._lock:
            split_counts = self._counts.setdefault(split.identity, {"looks": 0})
            count = Count(**split_counts.get(variant, {}))
            count = Count(count.answered + 1, count.failed + failed)
            split_counts[variant] = asdict(count)
            analysis = self._analyse(split, split_counts)
            if analysis is not None or time.monotonic() - self._written > _EVERY:
                self._write()
            if analysis is not None and split.identity not in self._ending:
                end = threading.Thread(target=self._end, args=(split, analysis), name="rollout")
                self._ending[split.identity] = end
                end.start()

    def vote_down(self, split: Split, version: str) -> None:
        variant: Variant = "canary" if version == split.version else "champion"
        with self._lock:
            split_counts = self._counts.setdefault(split.identity, {"looks": 0})
            count = Count(**split_counts.get(variant, {}))
            split_counts[variant] = asdict(Count(count.answered, min(count.failed + 1, count.answered)))
            self._write()

    def counts(self, split: Split) -> dict[str, Any]:
        with self._lock:
            split_counts = self._counts.get(split.identity, {})
            return {name: dict(split_counts[name]) for name in ("canary", "champion") if name in split_counts}

    def close(self) -> None:
        for end in list(self._ending.values()):
            end.join()
        with self._lock:
            if self._counts:
                self._write()

    def _analyse(self, split: Split, split_counts: dict[str, Any]) -> Analysis | None:
        rules = split.plan.get("analysis")
        if rules is None or split.shadow or split_counts.get("ended"):
            return None
        canary, champion = (Count(**split_counts.get(name, {})) for name in ("canary", "champion"))
        look = look_of(min(canary.answered, champion.answered), int(rules["least_answers"]))
        if look <= split_counts["looks"] and canary.answered < int(rules["most_answers"]):
            return None
        analysis = analyse(canary, champion, rules)
        if analysis is None:
            split_counts["looks"] = look  # a conclusion is recorded once the ledger has it: a crash must not lose it
        return analysis

    def _end(self, split: Split, analysis: Analysis) -> None:
        _LOG.warning("canary of %s: %s, %s", split.project, analysis.conclusion, analysis.reason)
        try:
            self._conclude(split.project, split.version, analysis)
        except Exception as error:  # noqa: BLE001 - must not affect answers
            _LOG.error("releases.lock could not follow (%s); the next answer tries again", error)
        else:
            with self._lock:
                self._counts[split.identity]["ended"] = True
                self._write()
        finally:
            self._ending.pop(split.identity, None)

    def _write(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self._path, json.dumps(self._counts, sort_keys=True) + "\n")
        self._written = time.monotonic()


_UNTRAINED = ("base", "context")


def start_experiment(
    root: Path, models: Mapping[str, ServedModel], project: str, a: str, b: str, **terms: Unpack[ExperimentOptions]
) -> ExperimentSpec:
    """Start an experiment; the gateway assigns requests to arms from the next one on.

    Args:
        models: Served models by name.
        a: Control arm: ``champion`` or the number of a release, with ``:WAY`` for another condition than the released
            one, or ``base`` or ``context`` without adapter; ``+VARIANT`` uses the templates in ``prompts/VARIANT``.
        b: Treatment arm, in the same form; equal to ``a`` for an A/A test.

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
    """The model of an arm; ``+VARIANT@VERSION`` requires that version of the variant's templates."""
    release, _, variant = reference.partition("+")
    name, _, way = release.partition(":")
    if name in _UNTRAINED and not way:
        served, way = _served(models, project), name
    elif f"{project}@{name}" in models and "number" in models[f"{project}@{name}"].details:
        served = models[f"{project}@{name}"]
        if served.details["number"] is None:
            raise ExperimentError(f"{project}@{name} is not released; `cortex promote` releases it")
    else:
        versions = [key.partition("@")[2] for key in sorted(models) if key.startswith(f"{project}@")]
        released = [version for version in versions if version[:1].isdigit() or version == "champion"]
        available = ", ".join((*released, *_UNTRAINED))
        raise ExperimentError(f"{project} has no release {release}; there is: {available}")
    if way:
        ways: dict[str, ServedModel] = dict(ways_of(served).items())
        if way not in ways:
            raise ExperimentError(f"{release}: no way {way}; ways: {', '.join(ways)}")
        served = ways[way]
    if not variant:
        return served
    variant_name, _, version = variant.partition("@")
    try:
        templates = served.templates.variant(variant_name)
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
