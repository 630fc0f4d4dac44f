"""A tracker in SQLite and one behind a paged REST interface, and the examples of the guide."""

import json
import re
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "connectors.md"


def examples(language: str) -> list[str]:
    """The blocks of the guide in a language, as they are written there."""
    return re.findall(rf"^```{language}\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def declared(number: int) -> dict[str, Any]:
    """The dlt source in an example of the guide."""
    values = yaml.safe_load(examples("yaml")[number])
    room = values["projects"]["shop"] if "projects" in values else values["coordination"]
    return next(source for source in room["sources"] if "dlt" in source)


def database(path: Path, *statements: str) -> str:
    """Run SQL on a database in a file; gives its URL."""
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.executescript(statement)
        connection.commit()
    return f"sqlite:///{path}"


class Forge:
    """A REST interface whose answers come in pages that a header links.

    Args:
        pages: Items of each path.
        size: Items of a page.
        url: Where it is.
    """

    def __init__(self, pages: dict[str, list[dict[str, Any]]], size: int = 2) -> None:
        self.pages, self.size, self.url = pages, size, ""
        self.answers: dict[str, Any] = {}  # of a path, instead of pages
        self.asked: list[tuple[str, str | None]] = []

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answer a request with one page."""
        url = urlsplit(request.path)
        self.asked.append((request.path, request.headers.get("Authorization")))
        items = self.pages.get(url.path.lstrip("/"))
        if items is None:
            request.send_error(404)
            return
        number = int(parse_qs(url.query).get("page", ["1"])[0])
        request.send_response(200)
        request.send_header("Content-Type", "application/json")
        if number * self.size < len(items):
            following = f"{self.url}{url.path.lstrip('/')}?page={number + 1}"
            request.send_header("Link", f'<{following}>; rel="next"')
        request.end_headers()
        page = items[(number - 1) * self.size : number * self.size]
        request.wfile.write(json.dumps(self.answers.get(url.path.lstrip("/"), page)).encode())


@contextmanager
def serving(forge: Forge) -> Iterator[Forge]:
    """Serve it on a port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            forge.answer(self)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    forge.url = f"http://127.0.0.1:{server.server_port}/"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield forge
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
