"""``/``: the web page, three files without external resources."""

from collections.abc import Callable
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse, Response

_FOLDER = Path(__file__).parent / "page"
_TYPES = {"page.css": "text/css", "page.js": "text/javascript"}

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    # revalidated each time; 304 while unchanged
    "cache-control": "no-cache",
}
"""The page shows model output, and no script in it may run."""


def page_router() -> APIRouter:
    """The page, its script and its style."""
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    def index() -> Response:
        return FileResponse(_FOLDER / "index.html", headers=HEADERS)

    for name, kind in _TYPES.items():
        router.add_api_route(f"/page/{name}", _file(name, kind), methods=["GET"])
    return router


def _file(name: str, kind: str) -> Callable[[], Response]:
    def answer() -> Response:
        return FileResponse(_FOLDER / name, media_type=kind, headers=HEADERS)

    return answer
