"""Catalogue of served models: the base, each project's releases under their names, the router."""

import difflib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cortex_pipelines.extraction.patterns.pattern_matcher import PatternChecks
from cortex_pipelines.project_names import ENCODER, ROUTER
from cortex_pipelines.prompts.templates import Templates, package_templates
from cortex_pipelines.release.answering import Condition, Release
from cortex_pipelines.release.experiments.plan import Arm, ExperimentSpec
from cortex_pipelines.serving.engines.engine import AdapterFiles
from cortex_pipelines.serving.rollout import Split
from cortex_pipelines.serving.security.access import Principal, current_principal

_LOG = logging.getLogger("cortex_pipelines")


class UnknownModelError(LookupError):
    """Unknown model name. The message suggests the closest one."""


class ForbiddenModelError(RuntimeError):
    """The caller may not use this model."""


@dataclass(frozen=True)
class Experiment:
    """A running experiment on a project.

    Args:
        plan: Its specification.
        arms: The model of each arm.
    """

    plan: ExperimentSpec
    arms: "Mapping[Arm, ServedModel]" = field(compare=False, repr=False)


@dataclass(frozen=True)
class ServedModel:
    """A model served under one name.

    Args:
        name: Name in requests.
        release: The release that answers.
        adapter: Its adapter's files for a task; None if the base answers.
        examples: Folder of examples for retrieved context; None without context.
        created: Time of promotion in seconds since 1970; 0 if not promoted.
        details: Further fields of ``GET /v1/models/NAME``.
        notice: Why another release answers than the requested one; empty otherwise.
        by_way: The model under each condition, for comparison; empty for none.
        split: Its running canary; None without one.
        experiment: The experiment that its requests are part of; None without one.
        templates: Prompt templates.
        patterns: Reads the patterns of its project (cached); None without patterns.
    """

    name: str
    release: Release
    adapter: Callable[[str], AdapterFiles] | None = field(default=None, compare=False)
    examples: Path | None = None
    created: int = 0
    details: Mapping[str, Any] = field(default_factory=dict, compare=False)
    notice: str = ""
    by_way: "Mapping[Condition, ServedModel]" = field(default_factory=dict, compare=False, repr=False)
    split: Split | None = None
    experiment: Experiment | None = None
    templates: Templates = field(default_factory=package_templates, compare=False, repr=False)
    patterns: Callable[[], PatternChecks] | None = field(default=None, compare=False, repr=False)

    def with_templates(self, templates: Templates) -> "ServedModel":
        """A copy with other prompt templates, under every condition."""
        variants = {way: replace(other, templates=templates) for way, other in self.by_way.items()}
        return replace(self, templates=templates, by_way=variants)

    @property
    def version(self) -> str:
        """Version in Dagster, DVC and MLflow: the adapter's, else the base's digest."""
        return self.release.adapter or self.release.base


@dataclass(frozen=True)
class Catalogue:
    """Everything that is served at one time.

    Args:
        models: Name to model, including ``base``.
        default: Model of requests that name none.
        router: ``version``, ``number``, ``masters`` etc. of the router; None without one.
        base: Machine-independent name of the base.
        hidden: Names that the caller may not use.
    """

    models: Mapping[str, ServedModel]
    default: str
    base: str
    router: Mapping[str, Any] | None = None
    hidden: frozenset[str] = frozenset()

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
        """The model of a name; the default without one.

        Raises:
            UnknownModelError: no such model.
            ForbiddenModelError: the caller may not use it.
        """
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
        closest = difflib.get_close_matches(requested_name, self.models, n=1, cutoff=0.0)
        raise UnknownModelError(
            f"no model {requested_name[:100]}; the nearest is "
            f"{closest[0] if closest else self.default}, and GET /v1/models lists all"
        )


class CatalogueSource:
    """Reads the catalogue, and rereads it when the releases change.

    Args:
        read: Builds the catalogue.
        stamp: Cheap value that changes when the catalogue has to be rebuilt.
    """

    def __init__(self, read: Callable[[], Catalogue], stamp: Callable[[], Any]) -> None:
        self._read = read
        self._stamp = stamp
        self._last_stamp = stamp()
        self._current = read()

    @property
    def current(self) -> Catalogue:
        """The current catalogue, restricted to the caller.

        The previous one stays in use while the new one cannot be read.
        """
        stamp = self._stamp()
        if stamp != self._last_stamp:
            try:
                self._current = self._read()
            except Exception as error:  # noqa: BLE001 - a half-written file must not stop the gateway
                _LOG.warning("what is released now cannot be read (%s); served as before", error)
            self._last_stamp = stamp
        return self._current.visible_to(current_principal())
