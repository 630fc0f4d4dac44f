"""An editor for the tests: pygls's own client, connected to a server in the same process."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from lsprotocol import types
from pygls.io_ import run_async
from pygls.lsp.client import LanguageClient

from cortex_pipelines.language_server.gateway import Options
from cortex_pipelines.language_server.server import CortexServer, create_server

CAPABILITIES = types.ClientCapabilities(
    workspace=types.WorkspaceClientCapabilities(
        configuration=True, workspace_edit=types.WorkspaceEditClientCapabilities(document_changes=True)
    )
)


class Editor(LanguageClient):
    """Keeps what it is told, and answers what it is asked."""

    def __init__(self) -> None:
        super().__init__("editor", "1")
        self.messages: list[str] = []
        self.settings: Any = None
        self._diagnostics: dict[tuple[str, int | None], list[types.Diagnostic]] = {}
        self._published = asyncio.Condition()

        @self.feature(types.WINDOW_SHOW_MESSAGE)
        def show_message(params: types.ShowMessageParams) -> None:
            self.messages.append(params.message)

        @self.feature(types.WORKSPACE_CONFIGURATION)
        def configuration(params: types.ConfigurationParams) -> list[Any]:
            return [self.settings for _ in params.items]

        @self.feature(types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
        async def published(params: types.PublishDiagnosticsParams) -> None:
            async with self._published:
                self._diagnostics[params.uri, params.version] = list(params.diagnostics)
                self._published.notify_all()

    async def diagnostics(self, uri: str, version: int | None = 1) -> list[types.Diagnostic]:
        """The diagnostics of that version, once they are there."""
        async with self._published:
            await asyncio.wait_for(self._published.wait_for(lambda: (uri, version) in self._diagnostics), 30)
        return self._diagnostics.pop((uri, version))

    def open(self, uri: str, text: str, language: str = "python") -> None:
        self.text_document_did_open(types.DidOpenTextDocumentParams(types.TextDocumentItem(uri, language, 1, text)))

    def change(self, uri: str, version: int, *edits: types.TextDocumentContentChangeEvent) -> None:
        identifier = types.VersionedTextDocumentIdentifier(version, uri)
        self.text_document_did_change(types.DidChangeTextDocumentParams(identifier, edits))

    async def actions(
        self, uri: str, selection: types.Range, only: list[str] | None = None
    ) -> dict[str, types.CodeAction]:
        context = types.CodeActionContext([], only)
        params = types.CodeActionParams(types.TextDocumentIdentifier(uri), selection, context)
        return {action.title: action for action in await self.text_document_code_action_async(params) or []}

    async def completions(self, uri: str, line: int, character: int) -> list[types.CompletionItem]:
        position = types.Position(line, character)
        params = types.CompletionParams(types.TextDocumentIdentifier(uri), position)
        return list((await self.text_document_completion_async(params)).items)


@asynccontextmanager
async def editing(options: Options, initialization_options: Any = None) -> AsyncIterator[tuple[Editor, CortexServer]]:
    editor, server = Editor(), create_server(options)
    ends = []
    for end, pair in zip((editor, server), socket.socketpair(), strict=True):
        reader, writer = await asyncio.open_connection(sock=pair)
        end.protocol.set_writer(writer)
        stopped = editor._stop_event if end is editor else server.ended
        ends.append((asyncio.create_task(run_async(stopped, reader, end.protocol)), writer))
    params = types.InitializeParams(CAPABILITIES, initialization_options=initialization_options)
    await editor.initialize_async(params)
    editor.initialized(types.InitializedParams())
    yield editor, server
    await editor.shutdown_async(None)
    for task, writer in ends:
        writer.close()
        task.cancel()
