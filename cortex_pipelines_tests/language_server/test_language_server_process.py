"""The command itself, as editors start it."""

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from lsprotocol import types

from cortex_pipelines_tests.command import cortex, run_python
from cortex_pipelines_tests.language_server.editor import Editor

PROGRAM = str(Path(sys.executable).with_name("cortex"))
INITIALIZE = types.InitializeParams(types.ClientCapabilities())
SMELLY = (
    "def total(values, s='😀', seen=[]):\n    if values == 1:\n        return True\n    else:\n        return False\n"
)


@pytest.mark.parametrize(("ending", "status"), [("exit", 0), ("gone", 1), ("Ctrl-C", 1)])
def test_it_ends_with_its_editor(ending: str, status: int) -> None:
    async def test() -> int:
        editor = Editor()
        await editor.start_io(PROGRAM, "lsp", "--stdio")
        process = editor._server
        assert process is not None
        assert process.stdin is not None
        answer = await editor.initialize_async(INITIALIZE)
        assert answer.capabilities.inline_completion_provider is not None
        if ending == "exit":
            await editor.shutdown_async(None)
            editor.exit(None)
        elif ending == "gone":
            process.stdin.write(b"Content-Length: 99\r\n\r\n{")  # in the middle of a message
            process.stdin.close()
        else:
            process.send_signal(signal.SIGINT)
        return await asyncio.wait_for(process.wait(), 30)

    assert asyncio.run(test()) == status


def test_it_serves_one_editor_on_a_port() -> None:
    async def test() -> None:
        process = await asyncio.create_subprocess_exec(PROGRAM, "lsp", "--tcp", "0", stderr=asyncio.subprocess.PIPE)
        assert process.stderr is not None
        line = (await asyncio.wait_for(process.stderr.readline(), 30)).decode()
        port = int(line.rpartition(":")[2])
        editor = Editor()
        await editor.start_tcp("127.0.0.1", port)
        assert (await editor.initialize_async(INITIALIZE)).server_info is not None
        with pytest.raises(ConnectionError):
            await asyncio.open_connection("127.0.0.1", port)
        await editor.shutdown_async(None)
        editor.exit(None)
        assert await asyncio.wait_for(process.wait(), 30) == 0

    asyncio.run(test())


def test_it_is_ready_before_anything_heavy_is_loaded() -> None:
    modules = "import cortex_pipelines.cli.main, cortex_pipelines.language_server.server, sys"
    heavy = "{'torch', 'dagster', 'mlflow', 'dvc', 'pandas', 'polars', 'numpy', 'tree_sitter'}"
    assert run_python("-c", f"{modules}; print(sorted({heavy} & set(sys.modules)))").stdout == "[]\n"


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (["--gateway", "localhost:8008"], 1, "the gateway's address is not 'localhost:8008', but such as http://127"),
        (["--gateway", "http://me:pw@h"], 1, "the gateway's address holds no password; a key is cortex.key or the"),
        (["--tcp", "TAKEN"], 1, "of this machine cannot be used (Address already in use); give --tcp another one"),
        (["--tcp", "70000"], 2, "70000 is not in the range 0<=x<=65535"),
        (["--stdio", "--tcp", "0"], 2, "--stdio and --tcp exclude each other"),
        (["--port", "1"], 2, "No such option"),
    ],
)
def test_what_cannot_be_started_is_said(words: list[str], status: int, sentence: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        output = cortex("lsp", *(port if word == "TAKEN" else word for word in words), status=status).output
    assert sentence in output


@pytest.mark.skipif(shutil.which("nvim") is None, reason="needs Neovim")
def test_neovim_shows_mends_and_completes(tmp_path: Path) -> None:
    class Gateway(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            data = json.dumps({"choices": [{"text": "t(1)"}]}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    file, report = tmp_path / "smelly.py", tmp_path / "seen.json"
    file.write_text(SMELLY)
    with HTTPServer(("127.0.0.1", 0), Gateway) as gateway:
        threading.Thread(target=gateway.handle_request, daemon=True).start()
        address = f"http://127.0.0.1:{gateway.server_port}"
        path = f"{Path(PROGRAM).parent}{os.pathsep}{os.environ['PATH']}"
        environment = os.environ | {
            "GATEWAY": address,
            "SEEN": str(report),
            "PATH": path,
            "XDG_STATE_HOME": str(tmp_path),
        }
        script = Path(__file__).with_name("neovim.lua")
        command = ["nvim", "--headless", "--clean", "-c", f"luafile {script}", str(file)]
        process = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    observed = json.loads(report.read_text()) if report.exists() else process.stderr
    assert observed == {
        "before": ["mutable-default", "redundant-boolean"],
        "actions": [
            "mutable-default: Each call gets a default of its own.",
            "Ignore mutable-default here",
            "Fix all that keeps behaviour",
        ],
        "after": ["redundant-boolean"],
        "messages": [],
    }
    mended = "def total(values, s='😀', seen=None):\n    if seen is None:\n        seen = []\n"
    assert file.read_text() == f"{mended}{SMELLY.partition(chr(10))[2]}'😀'; print(1)\n"
