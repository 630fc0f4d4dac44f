"""Catalogue of served models: the base, each project's releases, the router; conditions and canaries."""

import difflib
import hashlib
import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from cortex_pipelines.answers.team import Team
from cortex_pipelines.extraction.patterns.pattern_matcher import PatternChecks
from cortex_pipelines.models.known import demonstration_note
from cortex_pipelines.project_names import ENCODER, ROUTER
from cortex_pipelines.prompts.templates import Templates, package_templates
from cortex_pipelines.release.answering import Condition, Release, shows_context
from cortex_pipelines.release.experiments.plan import Arm, ExperimentSpec
from cortex_pipelines.serving.engines.engine import AdapterFiles
from cortex_pipelines.serving.security.access import Principal, current_principal

_CHANCE = random.SystemRandom()
_LOG = logging.getLogger("cortex_pipelines")
_LISTED = 20
"""Models that the error of an unknown name lists: agents cannot ask for the others."""


class UnknownModelError(LookupError):
    pass


class ForbiddenModelError(RuntimeError):
    pass


Variant = Literal["canary", "champion"]


@dataclass(frozen=True)
class Split:
    """A running canary (served as ``PROJECT@canary``) and its plan as in the ledger."""

    project: str
    version: str
    plan: Mapping[str, Any] = field(compare=False)
    started_at: str

    @property
    def identity(self) -> str:
        """Stable across restarts; differs for each new plan."""
        return f"{self.project} {self.version} {self.started_at}"

    @property
    def shadow(self) -> bool:
        return self.plan.get("strategy") == "shadow"

    def variant(self, user: str) -> Variant:
        """Variant for a user, always the same; random without a user."""
        if user:
            digest = hashlib.sha256(f"{self.identity}\0{user}".encode(errors="replace")).digest()
            position = int.from_bytes(digest[:8], "big") / 2**64
        else:
            position = _CHANCE.random()
        return "canary" if position < float(self.plan.get("share", 0)) else "champion"


@dataclass(frozen=True)
class Experiment:
    """A running experiment, and the model of each arm."""

    plan: ExperimentSpec
    arms: "Mapping[Arm, ServedModel]" = field(compare=False, repr=False)


@dataclass(frozen=True)
class ServedModel:
    """A model served under one name.

    Args:
        adapter: Its adapter's files for a task; None if the base answers.
        examples: Folder of examples for retrieved context; None without context.
        created: Time of promotion in seconds since 1970; 0 if not promoted.
        details: Further fields of ``GET /v1/models/NAME``.
        notice: What a reader of its answers must know, such as why another release answers; empty otherwise.
        despite_gate: The decision to serve its adapter although the gate held it back; empty if it passed.
        by_way: The model under each condition, for comparison; empty for none.
        patterns: Reads the patterns of its project (cached).
        team: Reads what its project's own code says (cached); None without a project.
    """

    name: str
    release: Release
    adapter: Callable[[str], AdapterFiles] | None = field(default=None, compare=False)
    examples: Path | None = None
    created: int = 0
    details: Mapping[str, Any] = field(default_factory=dict, compare=False)
    notice: str = ""
    despite_gate: str = ""
    by_way: "Mapping[Condition, ServedModel]" = field(default_factory=dict, compare=False, repr=False)
    split: Split | None = None
    experiment: Experiment | None = None
    templates: Templates = field(default_factory=package_templates, compare=False, repr=False)
    patterns: Callable[[], PatternChecks] | None = field(default=None, compare=False, repr=False)
    team: Callable[[], Team] | None = field(default=None, compare=False, repr=False)

    def with_templates(self, templates: Templates) -> "ServedModel":
        variants = {way: replace(other, templates=templates) for way, other in self.by_way.items()}
        return replace(self, templates=templates, by_way=variants)

    @property
    def version(self) -> str:
        """Version in Dagster, DVC and MLflow: the adapter's, else the base's digest."""
        return self.release.adapter or self.release.base


_WAYS: Mapping[Condition, str] = {
    "base": "base",
    "context": "base with context",
    "adapter": "its adapter",
    "both": "its adapter with context",
}


def answering(served: ServedModel) -> str:
    """What answers under a model's name, in words."""
    details, way = served.details, _WAYS[served.release.way]
    if served.release.adapter is not None:
        decision = f", {served.despite_gate}" if served.despite_gate else ""
        return f"{way} ({details.get('number') or served.release.adapter}){decision}"
    if "verdict" not in details:
        return f"{way} ({details.get('base', {}).get('name', served.version)})"
    reasons = {None: "it has no adapter yet", "promoted": "its adapter waits for `cortex promote`"}
    return f"{way}; {reasons.get(details['verdict'], 'its adapter was held back')}"


@dataclass(frozen=True)
class Catalogue:
    """Everything that is served at one time; ``hidden`` are names that the caller may not use."""

    models: Mapping[str, ServedModel]
    default: str
    base: str
    router: Mapping[str, Any] | None = None
    hidden: frozenset[str] = frozenset()

    @property
    def base_note(self) -> str:
        """What a reader of any answer must know of the base; empty for one that is for work."""
        names = {str(served.details.get("base", {}).get("name", "")) for served in self.models.values()}
        return "; ".join(filter(None, map(demonstration_note, sorted(names))))

    def visible_to(self, principal: Principal) -> "Catalogue":
        """The part that a principal may use; their only model becomes the default."""
        if not principal.limited:
            return self
        models = {name: served for name, served in self.models.items() if principal.may_use(name)}
        named_models = [name for name in (*principal.projects, *principal.models) if name in models]
        default = named_models[0] if self.default not in models and len(named_models) == 1 else self.default
        hidden = frozenset(self.models) - frozenset(models)
        return replace(self, models=models, default=default, hidden=hidden)

    def find(self, name: str | None) -> ServedModel:
        """The model of a name, or the default; raises UnknownModelError or ForbiddenModelError."""
        requested_name = name or self.default
        if requested_name in self.models:
            return self.models[requested_name]
        if requested_name == ROUTER:
            raise UnknownModelError(f'{ROUTER} routes tasks and writes no text: POST /route with {{"task": "…"}}')
        if requested_name in self.hidden:
            raise ForbiddenModelError(
                f"you may not use {requested_name[:100]}; GET /v1/models lists what you may use, "
                "and `cortex keys create NAME --project PROJECT` makes a key for more"
            )
        if requested_name == ENCODER:
            raise UnknownModelError(f"{ENCODER} embeds texts and writes none: POST /v1/embeddings")
        closest = difflib.get_close_matches(requested_name, self.models, n=1)
        hint = f"the nearest is {closest[0]}; " if closest else ""
        names, more = sorted(self.models), ", …" if len(self.models) > _LISTED else ""
        raise UnknownModelError(f"no model {requested_name[:100]}; {hint}there is {', '.join(names[:_LISTED])}{more}")


class CatalogueSource:
    """Rereads the catalogue when ``stamp``, a cheap value, changes."""

    def __init__(self, read: Callable[[], Catalogue], stamp: Callable[[], Any]) -> None:
        self._read = read
        self._stamp = stamp
        self._last_stamp = stamp()
        self._current = read()

    @property
    def current(self) -> Catalogue:
        """The current catalogue, restricted to the caller; the previous one while the new one cannot be read."""
        stamp = self._stamp()
        if stamp != self._last_stamp:
            try:
                self._current = self._read()
            except Exception as error:  # noqa: BLE001 - a half-written file must not stop the gateway
                _LOG.warning("what is released now cannot be read (%s); served as before", error)
            self._last_stamp = stamp
        return self._current.visible_to(current_principal())


def with_ways(served: ServedModel, index: str | None, examples: Path | None) -> ServedModel:
    """A served model with its variants under every condition; ``index`` is DVC's hash of the examples."""
    by_way: dict[Condition, ServedModel] = {}
    conditions: tuple[Condition, ...] = ("base", "context", "adapter", "both")
    for way in conditions:
        adapter = served.release.adapter if way in ("adapter", "both") else None
        context = (index, examples) if shows_context(way) else (None, None)
        if (way in ("adapter", "both") and adapter is None) or (shows_context(way) and None in context):
            continue
        release = replace(served.release, way=way, adapter=adapter, index=context[0])
        files = served.adapter if adapter else None
        notice = served.despite_gate if adapter else ""
        by_way[way] = replace(served, release=release, adapter=files, examples=context[1], notice=notice)
    return replace(served, by_way=by_way)


def ways_of(served: ServedModel) -> Mapping[Condition, ServedModel]:
    return served.by_way or {served.release.way: served}
