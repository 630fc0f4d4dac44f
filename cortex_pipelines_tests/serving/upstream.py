"""Upstream servers for the tests: llama.cpp's own, one a model, and one that fails as asked."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import SHUT_RDWR, socket
from threading import Thread
from typing import Any

from cortex_pipelines.serving.engines.llama_files import LlamaFiles, LlamaProcess, _Connection
from cortex_pipelines_tests.adapters import tinymodel
from cortex_pipelines_tests.serving import tinygateway

Answer = Callable[["Handler", dict[str, Any]], None]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "Server"

    def do_GET(self) -> None:
        self.send_json(200, {"object": "list", "data": [{"id": name} for name in self.server.models]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.asked.append((self.path, body, self.headers.get("authorization")))
        self.server.answer(self, body)

    def send_json(self, status: int, value: Any, **headers: str) -> None:
        content = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        for name, text in {"content-length": str(len(content)), **headers}.items():
            self.send_header(name.replace("_", "-"), text)
        self.end_headers()
        self.wfile.write(content)

    def stream(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        self.close_connection = True

    def event(self, value: Any) -> None:
        text = value if isinstance(value, str) else json.dumps(value)
        self.wfile.write(f"data: {text}\n\n".encode())
        self.wfile.flush()

    def log_message(self, *_: Any) -> None: ...


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, answer: Answer, models: Sequence[str], port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.answer, self.models = answer, models
        self.asked: list[tuple[str, dict[str, Any], str | None]] = []
        self._connections: list[socket] = []
        Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def get_request(self) -> tuple[socket, Any]:
        connection, address = super().get_request()
        self._connections.append(connection)
        return connection, address

    def end(self) -> None:
        self.shutdown()
        self.server_close()
        for connection in self._connections:
            with suppress(OSError):  # closed before
                connection.shutdown(SHUT_RDWR)

    def handle_error(self, *_: Any) -> None: ...


def speaking(*texts: str) -> Answer:
    """Writes texts, without probabilities, as Ollama does."""

    def answer(handler: Handler, _body: dict[str, Any]) -> None:
        handler.stream()
        for text in texts:
            handler.event({"choices": [{"text": text, "finish_reason": None}]})
        handler.event({"choices": [{"text": "", "finish_reason": "stop"}]})
        handler.event("[DONE]")

    return answer


@contextmanager
def llama_cpp(home: Path) -> Iterator[Server]:
    """llama.cpp's server for the base and for each adapter, told apart by the model's name."""
    files = LlamaFiles(tinygateway.base_in(home), "fp32", home / "llama")
    paths: Mapping[str, Path | None] = {
        "base": None,
        **{f"{name}-{name}.dir": files.adapter(home / name).path for name in tinygateway.ADAPTERS},
    }
    limits = {"window": 256, "slots": 1, "threads": 1, "exact": True}
    processes = {name: LlamaProcess(files.base().path, path, **limits) for name, path in paths.items()}
    tokenizer = tinymodel.byte_tokenizer()

    def forward(handler: Handler, body: dict[str, Any]) -> None:
        if isinstance(body["prompt"], str):  # the file has no rules by which text is divided
            body["prompt"] = tokenizer(body["prompt"])["input_ids"]
        connection = _Connection(processes[body["model"]]._socket)
        try:
            connection.request("POST", "/v1/completions", json.dumps(body), {"content-type": "application/json"})
            answer = connection.getresponse()
            if answer.status != 200:
                handler.send_json(answer.status, answer.read())
                return
            handler.stream()
            with suppress(OSError):  # the client has gone
                for line in answer:
                    handler.wfile.write(line)
                    handler.wfile.flush()
        finally:
            connection.close()

    server = Server(forward, list(processes))
    yield server
    server.end()
    for process in processes.values():
        process.close()
