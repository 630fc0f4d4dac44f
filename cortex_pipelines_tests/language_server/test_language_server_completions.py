"""Completions in an editor, from a gateway that this test plays."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from lsprotocol import types
from pygls.exceptions import JsonRpcException

from cortex_pipelines.language_server import server
from cortex_pipelines.language_server.gateway import Options
from cortex_pipelines_tests.language_server.editor import Editor, editing

URI = "file:///nowhere/a.py"
TEXT = "s = '😀'\ndef add(a, b):\n    retur\n\n\nprint(add(1, 2))\n"


@dataclass
class Gateway:
    """Answers each request with ``status`` and ``body``; with none it waits until its client is gone."""

    status: int = 200
    body: Any = None
    url: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list)
    headers: str = ""
    left: asyncio.Event = field(default_factory=asyncio.Event)

    def answers(self, text: str) -> None:
        self.status, self.body = 200, {"choices": [{"text": text}]}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.headers = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(self.headers.partition("content-length: ")[2].partition("\r\n")[0])
        self.asked.append(json.loads(await reader.readexactly(length)))
        if self.body is None:
            await reader.read()
            self.left.set()
        else:
            data = json.dumps(self.body).encode()
            writer.write(
                f"HTTP/1.1 {self.status} _\r\ncontent-length: {len(data)}\r\nconnection: close\r\n\r\n".encode() + data
            )
        writer.close()


@asynccontextmanager
async def completing(**options: Any) -> AsyncIterator[tuple[Editor, Gateway]]:
    gateway = Gateway()
    listener = await asyncio.start_server(gateway.serve, "127.0.0.1", 0)
    gateway.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    async with listener, editing(Options(gateway=gateway.url, check=False, **options)) as (editor, _):
        editor.open(URI, TEXT)
        yield editor, gateway


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_COMPLETION_PAUSE", 0.01)


def test_a_completion_replaces_the_word_that_it_continues() -> None:
    async def test() -> None:
        async with completing(model="shop", key="k1") as (editor, gateway):
            gateway.answers("n a + b")
            (item,) = await editor.completions(URI, 2, 9)
            assert item.label == "return a + b"
            replaced = types.Range(types.Position(2, 4), types.Position(2, 9))
            assert item.text_edit == types.TextEdit(replaced, "return a + b")
            assert gateway.asked == [{"model": "shop", "prompt": TEXT[:32], "suffix": TEXT[32:], "max_tokens": 64}]
            assert "authorization: bearer k1\r\n" in gateway.headers
            params = types.InlineCompletionParams(
                types.InlineCompletionContext(types.InlineCompletionTriggerKind.Automatic),
                types.TextDocumentIdentifier(URI),
                types.Position(2, 9),
            )
            inline = await editor.text_document_inline_completion_async(params)
            assert isinstance(inline, types.InlineCompletionList)
            assert [each.insert_text for each in inline.items] == ["n a + b"]
            gateway.answers(" \n")
            assert await editor.completions(URI, 2, 9) == []
            editor.open(f"{URI}2", "\n")
            assert await editor.completions(f"{URI}2", 0, 0) == []
            assert len(gateway.asked) == 3  # an empty file is not asked about

    asyncio.run(test())


@pytest.mark.parametrize("by", ["the editor", "another request", "a change", "closing"])
def test_what_nobody_waits_for_is_not_generated(by: str) -> None:
    async def test() -> None:
        async with completing() as (editor, gateway):
            position, file = types.Position(2, 9), types.TextDocumentIdentifier(URI)
            params = types.CompletionParams(file, position)
            waiting = editor.protocol.send_request("textDocument/completion", params, msg_id="first")
            while not gateway.asked:
                await asyncio.sleep(0.01)
            if by == "the editor":
                editor.cancel_request(types.CancelParams("first"))
            elif by == "another request":
                gateway.answers("n b")
                assert [item.label for item in await editor.completions(URI, 2, 9)] == ["return b"]
            elif by == "a change":
                cursor = types.Range(position, position)
                editor.change(URI, 2, types.TextDocumentContentChangePartial(cursor, "n"))
            else:
                editor.text_document_did_close(types.DidCloseTextDocumentParams(file))
            await asyncio.wait_for(gateway.left.wait(), 10)
            if by == "the editor":
                with pytest.raises(JsonRpcException, match="canceled"):
                    await asyncio.wrap_future(waiting)
            else:
                assert (await asyncio.wrap_future(waiting)).items == ()

    asyncio.run(asyncio.wait_for(test(), 30))


@pytest.mark.parametrize(
    ("status", "body", "sentence"),
    [
        (
            401,
            {"error": {"message": "no such key"}},
            "refuses: no such key; put a key that may complete into cortex.key",
        ),
        (404, {"error": {"message": "no model shop"}}, "refuses: no model shop"),
        (302, "", "refuses: status 302"),
        (200, {"hello": 1}, "does not answer as a gateway; correct cortex.gateway"),
        (200, [], "does not answer as a gateway"),
        (429, {"error": {"message": "too many"}}, None),
        (503, {"error": {"message": "ending"}}, None),
    ],
)
def test_a_refusal_is_said_once(status: int, body: Any, sentence: str | None) -> None:
    async def test() -> None:
        async with completing() as (editor, gateway):
            gateway.status, gateway.body = status, body
            for _ in range(2):
                assert await editor.completions(URI, 2, 9) == []
            assert len(gateway.asked) == 2
            assert len(editor.messages) == (sentence is not None)
            assert sentence is None or sentence in editor.messages[0]
            gateway.answers("n b")
            assert await editor.completions(URI, 2, 9)
            gateway.status, gateway.body = status, body
            await editor.completions(URI, 2, 9)
            assert len(editor.messages) == 2 * (sentence is not None)  # after it has answered, that is news

    asyncio.run(asyncio.wait_for(test(), 30))


def test_without_a_gateway_it_is_said_once_and_findings_go_on() -> None:
    text = "def f(a=[]):\n    return a\n"

    async def test() -> None:
        async with editing(Options(gateway="http://127.0.0.1:1")) as (editor, _):
            editor.open(URI, text)
            for _ in range(3):
                assert await editor.completions(URI, 1, 4) == []
            (message,) = editor.messages
            assert "no gateway answers at http://127.0.0.1:1" in message
            assert "`cortex serve`" in message
            assert [each.code for each in await editor.diagnostics(URI)] == ["mutable-default"]

    asyncio.run(asyncio.wait_for(test(), 30))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"gatway": "x"}, "cortex.gatway is not a setting; there are gateway, key, model, project, check, max_tokens"),
        (
            {"gateway": "localhost:8008"},
            "the gateway's address is not 'localhost:8008', but such as http://127.0.0.1:8008",
        ),
        ({"gateway": "http://u:secret@h"}, "the gateway's address holds no password"),
        ({"gateway": "http://h:port"}, "is not 'http://h:port'"),
        ({"check": "no"}, "cortex.check has to be true or false, not 'no'"),
        ({"max_tokens": 0}, "cortex.max_tokens is 0; give 1 to 4096"),
        ({"key": 12345}, "cortex.key has to be text, not what is there"),
        ({"key": "k\n"}, "cortex.key holds a character that no key has"),
        (["x"], "the settings of cortex are a table of gateway"),
    ],
)
def test_a_wrong_setting_is_said_and_changes_nothing(settings: Any, sentence: str) -> None:
    async def test() -> None:
        async with editing(Options(gateway=""), {"model": "shop"}) as (editor, language_server):
            editor.settings = settings
            editor.workspace_did_change_configuration(types.DidChangeConfigurationParams(None))
            while not editor.messages:
                await asyncio.sleep(0.01)
            assert sentence in editor.messages[0]
            assert language_server.options == Options(gateway="", model="shop")

    asyncio.run(asyncio.wait_for(test(), 30))


def test_settings_take_effect_at_once() -> None:
    async def test() -> None:
        async with completing() as (editor, gateway):
            gateway.answers("n b")
            assert await editor.diagnostics(URI) == []
            editor.settings = {"model": "docs", "check": True, "max_tokens": 8}
            editor.workspace_did_change_configuration(types.DidChangeConfigurationParams({}))
            await editor.diagnostics(URI)  # checked again
            await editor.completions(URI, 2, 9)
            assert (gateway.asked[-1]["model"], gateway.asked[-1]["max_tokens"]) == ("docs", 8)
            editor.settings = {"cortex": {"gateway": ""}}
            editor.workspace_did_change_configuration(types.DidChangeConfigurationParams({}))
            await editor.diagnostics(URI)
            assert await editor.completions(URI, 2, 9) == []
            assert len(gateway.asked) == 1

    asyncio.run(asyncio.wait_for(test(), 30))
