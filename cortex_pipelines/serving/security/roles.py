"""Scopes, and the roles that are names for sets of them: the one place where either is declared."""

from collections.abc import Iterable, Mapping
from typing import Final, Literal, TypeAlias

SCOPES: Final[Mapping[str, str]] = {
    "complete": "completions, chats, gaps, embeddings, tokens, `/predict`, the playground",
    "route": "`/route`, `/outcomes/predict`, `/anomalies/score`",
    "feedback": "`/feedback`, `/v1/events`",
    "read": "models, overview, load, metrics, documentation, `/graphql`",
    "lineage": "what a model was made from: data sets, their versions, runs and commits",
    "data": "code of the projects: `/search`, `/context`, `context` of chats, agents' tools",
    "memory": "the projects' memories: `/memory` and everything below it, `remember`, `recall`",
    "audit": "`/audit`",
    "admin": "all of these, and every route that has no scope yet",
}
"""Scope to what it opens."""

Role: TypeAlias = Literal["user", "maintainer", "auditor", "admin"]

_USER = ("complete", "route", "feedback", "read")
ROLES: Final[Mapping[str, frozenset[str]]] = {
    "user": frozenset(_USER),
    "maintainer": frozenset({*_USER, "lineage", "data", "memory"}),
    "auditor": frozenset({"read", "lineage", "audit"}),
    "admin": frozenset({"admin"}),
}
"""Role to its scopes; the first is that of a key for which none is named."""

USUAL: Final = next(iter(ROLES))


def scopes_of(roles: Iterable[str], more: Iterable[str] = ()) -> frozenset[str]:
    """Every scope that roles and single scopes give.

    Raises:
        KeyError: there is no such role.
    """
    return frozenset(more).union(*(ROLES[role] for role in roles))


def opens(has: frozenset[str], scope: str) -> bool:
    """Whether a set of scopes holds one; ``admin`` includes the others."""
    return scope in has or "admin" in has


def remedy(missing: Iterable[str]) -> str:
    """Which roles have some scopes, for whoever was refused."""
    wanted = sorted(missing)
    roles = [role for role, has in ROLES.items() if all(opens(has, scope) for scope in wanted)]
    word = "scope" if len(wanted) == 1 else "scopes"
    return f"the {word} {', '.join(wanted)}, which the role {' or '.join(roles)} has"
