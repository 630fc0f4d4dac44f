"""Interfaces of services that need a project."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from cortex_pipelines.prompts.templates import Templates, package_templates
from cortex_pipelines.retrieval.notes.note import Kind
from cortex_pipelines.routing.serving.router import Decision
from cortex_pipelines.serving.embeddings import CodeEncoder

Expect = Callable[[str, str | None], Mapping[str, Any]]
"""(task, master or None for all) to predicted outcomes and ``version``."""

Search = Callable[[str, str | None, int], Mapping[str, Any]]
"""(query, project or None for all, result limit) to ``results``, ``notice`` and ``versions``."""

Contexts = Callable[[str, str | None, int], Mapping[str, Any]]
"""(task, project or None for all, token limit) to the packed context and ``versions``."""

Relations = Callable[[str, str, str | None, str | None, int], Mapping[str, Any]]
"""(question, name, other end of a path, project or None for all, step limit) to the code graph's
answer and ``versions``."""

Lineage = Callable[[str | None, str], Mapping[str, Any]]
"""(project or None for the router, version of its model) to its lineage tree."""

Score = Callable[[str, Sequence[Mapping[str, Any]]], Mapping[str, Any]]
"""(monitored log, its new records) to ``log``, ``windows``, ``alerts`` and ``version``."""

Redact = Callable[[str], tuple[str, int]]
"""Text to redacted text and number of private values."""


class Memory(Protocol):
    """Notes of a project.

    ``identity`` is the name of the caller's key, stored as a pseudonym; empty for the user who
    started the process.
    """

    def add(
        self, identity: str, text: str, kind: Kind, origin: str, answer: str = "", supersedes: str | None = None
    ) -> Mapping[str, Any]:
        """Add a note without its private values; returns ``id``, ``redacted`` and its fields."""

    def search(
        self, identity: str, query: str, k: int, kind: str | None = None, history: bool = False
    ) -> Mapping[str, Any]:
        """Search; returns ``entries``, ``attempts`` and ``relations``."""

    def show(self, identity: str) -> Mapping[str, Any]:
        """``history``, ``notes``, ``versions``, and changes since the author's last visit."""

    def forget(self, identity: str | None, ids: Sequence[str]) -> Mapping[str, Any]:
        """Delete notes by id, of one author or, for None, of any; returns ``forgotten``."""


OpenMemory = Callable[[str | None], Memory]
"""Project, or None for the only one, to its notes."""


class ServiceError(LookupError):
    """A requested service or output does not exist. The message says what to do."""


@dataclass(frozen=True)
class ProjectServices:
    """Services of a project besides its models; each None if not available.

    Args:
        expect: Outcome predictors.
        score: Detectors of anomalies.
        search: Code search.
        context: Code relevant to a task, packed into a token budget.
        relations: Questions about the code graph.
        encoder: Embeds texts.
        lineage: Lineage of a served model.
        templates: Prompt templates.
        redact: Replaces private values in people's texts; without it no text is stored.
        memory: Project notes.
        review: Queues routed tasks that a person should decide.
    """

    expect: Expect | None = None
    score: Score | None = None
    search: Search | None = None
    context: Contexts | None = None
    relations: Relations | None = None
    encoder: CodeEncoder | None = None
    lineage: Lineage | None = None
    templates: Callable[[], Templates] = package_templates
    redact: Redact | None = None
    memory: OpenMemory | None = None
    review: Callable[[Sequence[str], Sequence[Decision]], None] | None = None


NOTHING = ProjectServices()
"""Services of a gateway without a project."""
