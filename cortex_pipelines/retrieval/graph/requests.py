"""Requests that the code of a test makes over HTTP, and the routes that answer them."""

import re
from collections.abc import Iterable
from itertools import chain
from os.path import commonpath
from typing import NamedTuple

from cortex_pipelines.extraction.architecture.facts import METHODS

_VERB = "|".join(sorted(METHODS))
_PATH = (  # a literal, alone or added to a base address
    r"(?P<base>[\w.()]+[ ]?\+[ ]?)?[a-z]{0,2}(?P<quote>[\"'`])(?P<path>(?:(?!(?P=quote))[^\n\\])*)(?P=quote)"
    r"(?P<more>[ ]?\+)?"
)
_REQUESTS = (
    # client.get("/users"), get("/users", 1) of MockMvc, http.Get(url + "/users")
    re.compile(rf"(?<![\w$])(?P<verb>{_VERB})(?:<[^<>()]*>)?\(\s*(?:\w+\s*=\s*)?{_PATH}", re.IGNORECASE),
    # NewRequest("GET", "/users", nil), request(HttpMethod.GET, "/users")
    re.compile(rf"(?:[\"']|\b(?:http\.Method|HttpMethod\.))(?P<verb>{_VERB})[\"']?\s*,\s*{_PATH}", re.IGNORECASE),
    # Request::builder().method("POST").uri("/users"), fetch("/users", { method: "POST" })
    re.compile(rf"\b(?:uri|fetch|request)\(\s*{_PATH}"),
)
_METHOD = re.compile(rf"\bmethod(?:\(|:\s)\W*(?:\w+::)*[\"']?({_VERB})\b")
_STATEMENT_END = re.compile(r";[ ]*$|^[ ]*$", re.MULTILINE)
_HOST = re.compile(r"^https?://(?:localhost|127\.0\.0\.1|test(?:server)?|example\.com)(?::\d+)?(?=/)")
_BASE = re.compile(r"^\$?\{[^{}]*\}(?=/)")
_DECLARED = re.compile(r"/:\w")  # by the test itself, of a router or a server of its own
_OPEN = re.compile(r"[{<]|%[sd]|^[:*]")  # in a part of a path that is not the same for all requests


class HttpRequest(NamedTuple):
    """A request; an open part of its path, which the code does not fix, is empty.

    ``is_based``: the path follows a base address that the code of the test does not show.
    """

    method: str
    parts: tuple[str, ...]
    is_based: bool
    line: int


class HttpRoute(NamedTuple):
    """A route, and the unit that answers it (-1 for none that is known); an open part of its path is empty."""

    method: str
    parts: tuple[str, ...]
    path: str
    handler: int


def path_parts(path: str) -> tuple[str, ...]:
    """The parts of a route's or a request's path, empty where they are open."""
    parts = path.partition("?")[0].strip("/").split("/")
    return tuple("" if _OPEN.search(part) else part for part in parts if part)


def requests_in(code: str, first_line: int) -> list[HttpRequest]:
    """The requests in the code of a test, which begins on a line; none if it declares routes itself."""
    requests = []
    for match in chain.from_iterable(pattern.finditer(code) for pattern in _REQUESTS):
        literal = _HOST.sub("", match["path"]) + ("{}" if match["more"] and match["path"].endswith("/") else "")
        path = _BASE.sub("", literal)
        if _DECLARED.search(path):
            return []
        if path.startswith("/"):
            method = match.groupdict().get("verb") or _method_beside(code, match)
            is_based, line = path != literal or bool(match["base"]), first_line + code.count("\n", 0, match.start())
            requests.append(HttpRequest(method.upper(), path_parts(path), is_based, line))
    return requests


def _method_beside(code: str, match: re.Match[str]) -> str:
    """The method that the statement of a request names; GET if it names none."""
    start = max((end.end() for end in _STATEMENT_END.finditer(code, 0, match.start())), default=0)
    end = _STATEMENT_END.search(code, match.end())
    method = _METHOD.search(code, start, end.start() if end else len(code))
    return method[1] if method else "GET"


def answering(request: HttpRequest, path: str, routes: Iterable[HttpRoute]) -> int:
    """The unit that answers a request of a file's test; -1 if it is not known.

    As in routers, the route that fixes most parts of the path answers; of several applications the one whose file is
    nearest. What a request leaves open must be open in the route: ``/users/{name}`` does not match ``/users/me``.
    """
    ranked = {}
    for route in routes:
        if route.method in (request.method, "ANY") and (common := _common_parts(request, route)) is not None:
            ranked[route] = (common, -sum(map(bool, route.parts)), len(commonpath([route.path, path])))
    best = max(ranked.values(), default=None)
    handlers = {route.handler for route, rank in ranked.items() if rank == best}
    return handlers.pop() if len(handlers) == 1 else -1


def _common_parts(request: HttpRequest, route: HttpRoute) -> int | None:
    """The fixed parts of the path that a request and a route have in common; None if the route does not answer it.

    Before these, one of the two may have a prefix that the code of the other leaves out.
    """
    size = min(len(request.parts), len(route.parts))
    prefix, fixed = route.parts[: len(route.parts) - size], route.parts[len(route.parts) - size :]
    if any(prefix) and not request.is_based:
        return None
    if (any(prefix) or len(request.parts) > size) and not any(fixed):
        return None  # a prefix alone tells no route from another
    pairs = zip(request.parts[len(request.parts) - size :], fixed, strict=True)
    return sum(map(bool, fixed)) if all(part == required or not required for part, required in pairs) else None
