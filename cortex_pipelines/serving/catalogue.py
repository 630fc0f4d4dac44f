"""What is served: the base, each project's release under its names, and the router."""

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
from cortex_pipelines.serving.security.access import Caller, caller

_LOG = logging.getLogger("cortex_pipelines")


class UnknownModelError(LookupError):
    """No model has this name; the message names the nearest."""


class ForbiddenModelError(RuntimeError):
    """Whoever asks may not use this model."""


@dataclass(frozen=True)
class Experiment:
    """An experiment that is under way on a project.

    Args:
        plan: What is compared.
        arms: What answers; a release each.
    """

    plan: ExperimentSpec
    arms: "Mapping[Arm, Served]" = field(compare=False, repr=False)


@dataclass(frozen=True)
class Served:
    """A model as it is served under one name.

    Args:
        name: What clients call it.
        release: What answers.
        adapter: Its adapter's files for a task; None where the base answers.
        examples: Folder of the examples that context is taken from; None without context.
        created: When it was promoted, in seconds since 1970; 0 if it was not.
        about: What ``GET /v1/models/NAME`` says beyond that.
        notice: Why it is not answered by what was asked for; empty otherwise.
        others: Every way in which it could be answered, to be compared; see ``beside``.
        split: The canary that is tried beside it; None where none is.
        experiment: The experiment that divides its requests; None where none does.
        templates: What its prompts are made by.
        patterns: Reads the patterns of its project, once; None where it has none.
    """

    name: str
    release: Release
    adapter: Callable[[str], AdapterFiles] | None = field(default=None, compare=False)
    examples: Path | None = None
    created: int = 0
    about: Mapping[str, Any] = field(default_factory=dict, compare=False)
    notice: str = ""
    others: "Mapping[Condition, Served]" = field(default_factory=dict, compare=False, repr=False)
    split: Split | None = None
    experiment: Experiment | None = None
    templates: Templates = field(default_factory=package_templates, compare=False, repr=False)
    patterns: Callable[[], PatternChecks] | None = field(default=None, compare=False, repr=False)

    def with_templates(self, templates: Templates) -> "Served":
        """The same, with prompts made by other templates in whatever way it is answered."""
        others = {way: replace(other, templates=templates) for way, other in self.others.items()}
        return replace(self, templates=templates, others=others)

    @property
    def version(self) -> str:
        """The string that Dagster, DVC and MLflow know: the adapter's, else the base's digest."""
        return self.release.adapter or self.release.base


@dataclass(frozen=True)
class Catalogue:
    """Everything that is served at one time.

    Args:
        models: Name to model, ``base`` among them.
        default: Name that stands for a request without one.
        router: ``version``, ``number``, ``masters`` and so on of the router; None without one.
        base: Name of the base that is the same on every machine.
        hidden: Names that whoever asks may not use.
    """

    models: Mapping[str, Served]
    default: str
    base: str
    router: Mapping[str, Any] | None = None
    hidden: frozenset[str] = frozenset()

    def of(self, who: Caller) -> "Catalogue":
        """What somebody may use of it; their model is the default where they have one."""
        if not who.limited:
            return self
        models = {name: served for name, served in self.models.items() if who.may_use(name)}
        own = [name for name in (*who.projects, *who.models) if name in models]
        default = own[0] if self.default not in models and len(own) == 1 else self.default
        hidden = frozenset(self.models) - frozenset(models)
        return replace(self, models=models, default=default, hidden=hidden)

    def find(self, name: str | None) -> Served:
        """The model of a name; the default without one.

        Raises:
            UnknownModelError: there is none.
            ForbiddenModelError: there is one, for others.
        """
        wanted = name or self.default
        if wanted in self.models:
            return self.models[wanted]
        if wanted == ROUTER:
            raise UnknownModelError(
                f'{ROUTER} routes tasks and writes no text: POST /route with {{"task": "…"}}'
            )
        if wanted in self.hidden:
            raise ForbiddenModelError(
                f"you may not use {wanted[:100]}; GET /v1/models lists what you may use, and "
                "`cortex keys create NAME --project PROJECT` makes a key for more"
            )
        if wanted == ENCODER:
            raise UnknownModelError(f"{ENCODER} embeds texts and writes none: POST /v1/embeddings")
        near = difflib.get_close_matches(wanted, self.models, n=1, cutoff=0.0)
        raise UnknownModelError(
            f"no model {wanted[:100]}; the nearest is {near[0] if near else self.default}, "
            "and GET /v1/models lists all"
        )


class CatalogueSource:
    """Reads the catalogue, and reads it again when the releases have changed.

    Args:
        read: Makes the catalogue.
        stamp: A value that is another one when it has to be made anew; cheap.
    """

    def __init__(self, read: Callable[[], Catalogue], stamp: Callable[[], Any]) -> None:
        self._read = read
        self._stamp = stamp
        self._seen = stamp()
        self._current = read()

    @property
    def current(self) -> Catalogue:
        """The catalogue of now, as far as whoever asks may use it.

        It is the one before as long as the new one cannot be read.
        """
        now = self._stamp()
        if now != self._seen:
            try:
                self._current = self._read()
            except Exception as error:  # noqa: BLE001 - a file half written is no reason to stop
                _LOG.warning("what is released now cannot be read (%s); served as before", error)
            self._seen = now
        return self._current.of(caller())
