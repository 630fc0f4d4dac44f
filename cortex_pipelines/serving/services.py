"""What a gateway is asked for that only a project can answer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from cortex_pipelines.prompts.templates import Templates, package_templates
from cortex_pipelines.retrieval.notes.note import Kind
from cortex_pipelines.routing.serving.router import Decision
from cortex_pipelines.serving.embeddings import CodeEncoder

Expect = Callable[[str, str | None], Mapping[str, Any]]
"""Task and master (None for each known one) to what is expected, and ``version``."""

Search = Callable[[str, str | None, int], Mapping[str, Any]]
"""Query, project (None for all) and most results to ``results``, ``notice`` and ``versions``."""

Contexts = Callable[[str, str | None, int], Mapping[str, Any]]
"""Task, project (None for all) and most tokens to the packed context, and ``versions``."""

Relations = Callable[[str, str, str | None, str | None, int], Mapping[str, Any]]
"""Question, name, its other end (of a path), project (None for all) and most steps to the answer of
the code graph, and ``versions``."""

Lineage = Callable[[str | None, str], Mapping[str, Any]]
"""Project (None for the router) and version of its model to the tree of what it was made from."""

Score = Callable[[str, Sequence[Mapping[str, Any]]], Mapping[str, Any]]
"""Watched log and new records of it to ``log``, ``windows``, ``alerts``, and ``version``."""

Redact = Callable[[str], tuple[str, int]]
"""A text to the text without private values, and how many of them it held."""


class Memory(Protocol):
    """What is kept of a project.

    ``identity`` is the name of the caller's key, stored as a pseudonym; empty for the owner of
    the process.
    """

    def add(
        self,
        identity: str,
        text: str,
        kind: Kind,
        origin: str,
        answer: str = "",
        supersedes: str | None = None,
    ) -> Mapping[str, Any]:
        """Keep an entry without the private values in it; ``id``, ``redacted`` and its fields."""

    def search(
        self, identity: str, query: str, k: int, kind: str | None = None, history: bool = False
    ) -> Mapping[str, Any]:
        """``entries``, ``attempts`` and ``relations`` for a query."""

    def show(self, identity: str) -> Mapping[str, Any]:
        """``history``, ``notes``, ``versions``, and what is new since they were here."""

    def forget(self, identity: str | None, ids: Sequence[str]) -> Mapping[str, Any]:
        """``forgotten``: entries by identity, of one author unless that is None."""


OpenMemory = Callable[[str | None], Memory]
"""Project (None for the only one) to what is kept of it."""


class ServiceError(LookupError):
    """What was asked for is not made yet or not known; the message says which, and what to do."""


@dataclass(frozen=True)
class ProjectServices:
    """What surrounds the models of a project; each None where there is nothing to ask.

    Args:
        expect: Outcome predictors.
        score: Detectors of anomalies.
        search: Code search.
        context: Code that a task is about, packed into a budget of tokens.
        relations: Questions over the graph of the code.
        encoder: Embeds texts.
        lineage: What a served model was made from.
        templates: What prompts are made by.
        redact: Takes private values out of what people type; without it no text is kept.
        memory: What is kept of projects.
        review: Keeps routed tasks that a person should decide; without it none is kept.
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
"""Of a gateway without a project."""
