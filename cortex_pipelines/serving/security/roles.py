"""Scopes, and roles as named sets of scopes."""

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
"""Scope to its description."""

Role: TypeAlias = Literal["user", "maintainer", "auditor", "admin"]

_USER = ("complete", "route", "feedback", "read")
ROLES: Final[Mapping[str, frozenset[str]]] = {
    "user": frozenset(_USER),
    "maintainer": frozenset({*_USER, "lineage", "data", "memory"}),
    "auditor": frozenset({"read", "lineage", "audit"}),
    "admin": frozenset({"admin"}),
}
"""Role to its scopes; the first is the default of new keys."""

DEFAULT_ROLE: Final = next(iter(ROLES))


def scopes_of(roles: Iterable[str], more: Iterable[str] = ()) -> frozenset[str]:
    """All scopes granted by roles and single scopes.

    Raises:
        KeyError: unknown role.
    """
    return frozenset(more).union(*(ROLES[role] for role in roles))


def opens(has: frozenset[str], scope: str) -> bool:
    """Whether a set of scopes includes one; ``admin`` includes all."""
    return scope in has or "admin" in has


def remedy(missing: Iterable[str]) -> str:
    """Missing scopes and the roles that grant them, for an error message."""
    scopes = sorted(missing)
    roles = [role for role, has in ROLES.items() if all(opens(has, scope) for scope in scopes)]
    word = "scope" if len(scopes) == 1 else "scopes"
    return f"the {word} {', '.join(scopes)}, which the role {' or '.join(roles)} has"
