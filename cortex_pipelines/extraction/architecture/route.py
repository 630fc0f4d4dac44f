"""Routes and mounts, in one form for all frameworks."""

from tree_sitter import Node

from cortex_pipelines.extraction.architecture.facts import MOUNT, Fact, detail
from cortex_pipelines.extraction.architecture.syntax import first_line, last_line


def route(
    node: Node,
    method: str,
    path: str,
    handler: str,
    technology: str | None,
    *,
    router: str = "",
    start_line: int | None = None,
    end_line: int | None = None,
    description: str | None = None,
    description_source: str = "comment",
) -> Fact:
    return Fact(
        start_line or first_line(node),
        end_line or last_line(node),
        "route",
        f"{method} {normalise_path(path)}",
        "handled-by",
        handler,
        technology,
        description or None,
        description_source if description else None,
        detail(method=method, path=path, router=router),
    )


def mount(
    node: Node, router: str, prefix: str, target: str, *, replaces: bool = False, technology: str | None = None
) -> Fact:
    """A fact for a mount: ``target``'s routes answer below ``router``'s prefix.

    Args:
        node: Evidence.
        router: Name of the outer router; empty for a prefix of ``target`` itself.
        prefix: Path that comes before.
        target: Name of a router of this file, or of what an import names; after ``module`` the
            module that holds it, after ``returned`` or ``parameter`` a function that makes it or
            fills the one it is given.
        technology: Framework, if the file shows it.
        replaces: The prefix replaces the target's own (Flask).
    """
    return Fact(first_line(node), last_line(node), MOUNT, prefix, "mounts", target, technology,
                detail=detail(router=router, replaces=replaces))  # fmt: skip


def normalise_path(path: str) -> str:
    """Normalise a path: one leading slash, no doubled slashes."""
    plain = "/" + path.strip()
    while "//" in plain:
        plain = plain.replace("//", "/")
    return plain


METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE"})
"""Methods of HTTP (RFC 9110) that routes name."""
