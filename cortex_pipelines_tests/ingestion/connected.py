"""A tracker in SQLite and one behind a paged REST interface, and the examples of the guide."""

import io
import json
import re
import sqlite3
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "connectors.md"


def examples(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def declared(number: int) -> dict[str, Any]:
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
    """A REST interface whose answers come in pages of some items of a path, which a header links."""

    def __init__(self, pages: dict[str, list[dict[str, Any]]], size: int = 2) -> None:
        self.pages, self.size, self.url = pages, size, ""
        self.answers: dict[str, Any] = {}  # of a path, instead of pages
        self.asked: list[tuple[str, str | None]] = []

    def answer(self, request: BaseHTTPRequestHandler) -> None:
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


class Quiet:
    """A handler that says nothing of the requests."""

    def log_message(self, *words: Any) -> None: ...


@contextmanager
def served(handler: Callable[..., BaseHTTPRequestHandler]) -> Iterator[str]:
    """Answer requests on a port of this machine; gives its URL."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def serving(forge: Forge) -> Iterator[Forge]:
    class Handler(Quiet, BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            forge.answer(self)

    with served(Handler) as address:
        forge.url = f"{address}/"
        yield forge


def tar(*members: tuple[str, bytes] | tarfile.TarInfo, form: int = tarfile.PAX_FORMAT) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=form, errors="surrogateescape") as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member, io.BytesIO(b"\0" * member.size))
                continue
            info = tarfile.TarInfo(member[0])
            info.size = len(member[1])
            archive.addfile(info, io.BytesIO(member[1]))
    return packed.getvalue()
