"""The language server: an editor's notifications and requests, on standard input and output or a port."""

import asyncio
import logging
import os
import re
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from threading import Event
from typing import Any

from lsprotocol import types
from pygls.exceptions import JsonRpcException, JsonRpcMethodNotFound
from pygls.io_ import run_async
from pygls.lsp.server import LanguageServer
from pygls.uris import to_fs_path

from cortex_pipelines.check.findings import Finding
from cortex_pipelines.language_server.documents import Documents, OpenDocument
from cortex_pipelines.language_server.findings import FIX_ALL, QUICK_FIX, code_actions, diagnostic
from cortex_pipelines.language_server.gateway import BusyGatewayError, CompletionClient, GatewayError, Options

_TYPING_PAUSE = 0.3
"""Seconds without a change after which a file is checked."""

_COMPLETION_PAUSE = 0.1
"""Seconds in which a completion may be cancelled or replaced before the gateway is asked."""

_LABEL = 80
"""Characters of a completion that a list shows."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _CheckResult:
    version: int | None
    findings: Sequence[Finding]


class CortexServer(LanguageServer):
    """The server of one editor; ``create_server`` registers its features."""

    def __init__(self, defaults: Options) -> None:
        super().__init__("cortex", version("cortex-pipelines"))
        self.defaults = self.options = defaults
        self.client = CompletionClient(defaults)
        self.ended = Event()
        self._worker = ThreadPoolExecutor(1, "check")  # one at a time: editors open many files at once
        self._checks: dict[str, asyncio.Task[None]] = {}
        self._checked: dict[str, _CheckResult] = {}
        self._completions: dict[tuple[str, str], asyncio.Task[str]] = {}
        self._shown: set[str] = set()
        self._outage = ""
        self._ending: set[asyncio.Task[None]] = set()

    @property
    def status(self) -> int:
        """Exit status: 1 if the editor disconnected without `shutdown`."""
        return 0 if self.protocol._shutdown else 1

    def shutdown(self) -> None:
        """Stop; pygls's own waits for the next line of standard input."""
        self.ended.set()

    @property
    def documents(self) -> Documents:
        return self.workspace  # type: ignore[return-value] # since `initialize`

    def start(self, params: types.InitializeParams) -> None:
        """Adopt the editor's folders, and its initialization options as defaults."""
        folders, encoding = list(self.workspace.folders.values()), self.workspace.position_encoding
        documents = Documents(self.workspace.root_uri, workspace_folders=folders, position_encoding=encoding)
        self.protocol._workspace = documents
        self.configure(params.initialization_options)
        self.defaults = self.options

    def configure(self, settings: Any) -> None:
        """Apply settings; invalid ones are reported and change nothing."""
        try:
            options = self.defaults.with_settings(settings)
        except ValueError as error:
            self.show_once(str(error))
            return
        if options == self.options:
            return
        self.options, before = options, self.client
        self.client = CompletionClient(options)
        self._shown.clear()
        closing = asyncio.get_running_loop().create_task(before.close())
        self._ending.add(closing)
        closing.add_done_callback(self._ending.discard)
        for document in self.workspace.text_documents.values():
            self.check_soon(document.uri, 0)

    async def pull_settings(self, pushed: Any = None) -> None:
        """Request the editor's section ``cortex``, or apply what it pushed if it cannot be requested."""
        workspace = self.client_capabilities.workspace
        if workspace is not None and workspace.configuration:
            sections = types.ConfigurationParams([types.ConfigurationItem(section="cortex")])
            (pushed, *_) = await self.workspace_configuration_async(sections) or [None]
        self.configure(pushed)

    def show_once(self, sentence: str, kind: types.MessageType = types.MessageType.Warning) -> None:
        """Show a message, unless it has been shown since the settings changed."""
        if sentence not in self._shown:
            self._shown.add(sentence)
            self.window_show_message(types.ShowMessageParams(kind, f"cortex: {sentence}"))

    def report_server_error(self, error: Exception, source: Any) -> None:
        if isinstance(error, JsonRpcMethodNotFound):
            return  # the answer says so; editors ask for more than a server announces
        self.show_once(f"a message of the editor was not understood: {error}", types.MessageType.Error)

    def check_soon(self, uri: str, pause: float) -> None:
        """Check a file after a pause; a further call restarts the pause."""
        self.forget(uri)
        self._checks[uri] = asyncio.get_running_loop().create_task(self._check(uri, pause))

    def forget(self, uri: str) -> None:
        self._checked.pop(uri, None)
        if (task := self._checks.pop(uri, None)) is not None:
            task.cancel()

    async def findings(self, uri: str) -> tuple[OpenDocument, Sequence[Finding]] | None:
        """An open file with its findings, up to date; None if it is closed."""
        while (document := self.documents.open_document(uri)) is not None:
            checked = self._checked.get(uri)
            if checked is not None and checked.version == document.version:
                return document, checked.findings
            if uri not in self._checks or self._checks[uri].done():
                self.check_soon(uri, 0)
            await asyncio.wait([self._checks[uri]])
        return None

    async def _check(self, uri: str, pause: float) -> None:
        await asyncio.sleep(pause)
        self._drop_futures()
        document = self.documents.open_document(uri)
        if document is None:
            return
        checked_version = document.version
        findings: Sequence[Finding] = ()
        if self.options.check and (path := _path_of(document)):
            work = partial(_check_text, path, document.source, self._folder_of(path), self.options.project or None)
            try:
                findings = await asyncio.get_running_loop().run_in_executor(self._worker, work)
            except Exception as error:  # noqa: BLE001 - a rule's fault on one file must not end the server
                _log.exception("%s could not be checked", path)
                self.show_once(f"{path} could not be checked: {error}")
        if self.documents.open_document(uri) is document and document.version == checked_version:
            self._checked[uri] = _CheckResult(checked_version, findings)
            diagnostics = [diagnostic(document, finding) for finding in findings]
            self.text_document_publish_diagnostics(types.PublishDiagnosticsParams(uri, diagnostics, checked_version))

    def _folder_of(self, path: str) -> Path:
        """The editor's folder around a file if a project is set, else the file's folder."""
        file = Path(path).absolute()
        folders = [Path(root) for root in map(to_fs_path, self.workspace.folders) if root]
        enclosing = [folder for folder in folders if self.options.project and file.is_relative_to(folder)]
        return max(enclosing, key=lambda folder: len(folder.parts), default=file.parent)

    def _drop_futures(self) -> None:
        """Forget answered messages: pygls keeps a future of every notification, and an editor sends one per key."""
        futures = self.protocol._request_futures
        for key in [key for key, future in futures.items() if future.done()]:
            futures.pop(key, None)

    async def completion(self, uri: str, position: types.Position, method: str) -> tuple[OpenDocument, int, str] | None:
        """An open file, an offset in it and the completion there; None if empty or outdated."""
        document = self.documents.open_document(uri)
        if document is None or not self.options.gateway:
            return None
        self.drop_completions(uri, method)
        offset, asked_version = document.offset_at_position(position), document.version
        task = asyncio.get_running_loop().create_task(self._complete(document.source, offset))
        self._completions[uri, method] = task
        try:
            text = await task
        except asyncio.CancelledError:
            if self._completions.get((uri, method)) is task:
                raise  # the editor's own
            return None
        finally:
            if self._completions.get((uri, method)) is task:
                del self._completions[uri, method]
        return (document, offset, text) if text.strip() and document.version == asked_version else None

    def drop_completions(self, uri: str, *methods: str) -> None:
        """Cancel outdated completions of a file; not every editor cancels them."""
        for method in methods or (types.TEXT_DOCUMENT_COMPLETION, types.TEXT_DOCUMENT_INLINE_COMPLETION):
            if (task := self._completions.pop((uri, method), None)) is not None:
                task.cancel()

    async def _complete(self, text: str, offset: int) -> str:
        await asyncio.sleep(_COMPLETION_PAUSE)
        try:
            completed = await self.client.complete(text, offset)
        except BusyGatewayError as error:
            _log.info("no completion: %s", error)
            return ""
        except GatewayError as error:
            self._outage = str(error)
            self.show_once(self._outage)
            return ""
        self._shown.discard(self._outage)  # the next outage is news again
        return completed

    async def end(self) -> None:
        for uri in list(self._checks):
            self.forget(uri)
        self._worker.shutdown(wait=False, cancel_futures=True)
        await self.client.close()


def _path_of(document: OpenDocument) -> str:
    """The file of a document, or a name for one that is not saved yet; empty for views, such as of a former version."""
    scheme = document.uri.partition(":")[0]
    if scheme == "file":
        return document.path
    return (
        f"untitled.{_ENDINGS[document.language_id]}"
        if scheme == "untitled" and document.language_id in _ENDINGS
        else ""
    )


_ENDINGS: dict[str | None, str] = {
    "go": "go",
    "java": "java",
    "javascript": "js",
    "javascriptreact": "jsx",
    "python": "py",
    "rust": "rs",
    "typescript": "ts",
    "typescriptreact": "tsx",
}
"""Ending of file names by the protocol's language identifiers."""


def _check_text(path: str, text: str, folder: Path, project: str | None) -> Sequence[Finding]:
    # loaded by the first check, so that the editor's first question is answered before that
    from cortex_pipelines.check.check import NotCheckedError, check_text
    from cortex_pipelines.check.check_paths import require_handwritten
    from cortex_pipelines.check.project_facts import facts_for, rules_for

    try:
        require_handwritten(path, text)
        return check_text(path, text, facts_for(folder, project), rules_for(folder))
    except NotCheckedError:
        return ()  # of another language, or too large: nothing to say at each change


def create_server(defaults: Options) -> CortexServer:
    """A server with all features registered; ``start_io`` or ``serve_tcp`` starts it."""
    server = CortexServer(defaults)

    @server.feature(types.INITIALIZE)
    def initialize(params: types.InitializeParams) -> None:
        server.start(params)

    @server.feature(types.INITIALIZED)
    async def initialized(_: types.InitializedParams) -> None:
        workspace = server.client_capabilities.workspace
        changes = workspace.did_change_configuration if workspace is not None else None
        if changes is not None and changes.dynamic_registration:
            options = types.DidChangeConfigurationRegistrationOptions(section="cortex")
            change = types.Registration("settings", types.WORKSPACE_DID_CHANGE_CONFIGURATION, options)
            with suppress(JsonRpcException):  # then it tells of changes by itself, or not at all
                await server.client_register_capability_async(types.RegistrationParams([change]))
        await server.pull_settings()

    @server.feature(types.WORKSPACE_DID_CHANGE_CONFIGURATION)
    async def settings_changed(params: types.DidChangeConfigurationParams) -> None:
        await server.pull_settings(params.settings)

    @server.feature(types.TEXT_DOCUMENT_DID_OPEN)
    def opened(params: types.DidOpenTextDocumentParams) -> None:
        server.check_soon(params.text_document.uri, 0)

    @server.feature(types.TEXT_DOCUMENT_DID_CHANGE)
    def changed(params: types.DidChangeTextDocumentParams) -> None:
        server.drop_completions(params.text_document.uri)
        server.check_soon(params.text_document.uri, _TYPING_PAUSE)

    @server.feature(types.TEXT_DOCUMENT_DID_SAVE)
    def saved(params: types.DidSaveTextDocumentParams) -> None:
        server.check_soon(params.text_document.uri, 0)  # the project's data may have changed

    @server.feature(types.TEXT_DOCUMENT_DID_CLOSE)
    def closed(params: types.DidCloseTextDocumentParams) -> None:
        server.drop_completions(params.text_document.uri)
        server.forget(params.text_document.uri)
        server.text_document_publish_diagnostics(types.PublishDiagnosticsParams(params.text_document.uri, []))

    @server.feature(types.TEXT_DOCUMENT_CODE_ACTION, types.CodeActionOptions([QUICK_FIX, FIX_ALL]))
    async def actions(params: types.CodeActionParams) -> list[types.CodeAction]:
        current = await server.findings(params.text_document.uri)
        if current is None:
            return []
        workspace = server.client_capabilities.workspace
        edits = workspace.workspace_edit if workspace is not None else None
        available = code_actions(*current, params.range, bool(edits and edits.document_changes))
        if params.context.only is None:
            return list(available)
        kinds = (kind.value if isinstance(kind, types.CodeActionKind) else kind for kind in params.context.only)
        prefixes = tuple(f"{kind}." for kind in kinds)
        return [each for each in available if f"{each.kind}.".startswith(prefixes)]

    @server.feature(types.TEXT_DOCUMENT_COMPLETION, types.CompletionOptions())
    async def completion(params: types.CompletionParams) -> types.CompletionList:
        uri = params.text_document.uri
        completed = await server.completion(uri, params.position, types.TEXT_DOCUMENT_COMPLETION)
        return types.CompletionList(True, [] if completed is None else [_list_item(*completed)])

    @server.feature(types.TEXT_DOCUMENT_INLINE_COMPLETION, types.InlineCompletionOptions())
    async def inline_completion(params: types.InlineCompletionParams) -> types.InlineCompletionList:
        uri = params.text_document.uri
        completed = await server.completion(uri, params.position, types.TEXT_DOCUMENT_INLINE_COMPLETION)
        if completed is None:
            return types.InlineCompletionList([])
        document, _, text = completed
        cursor = types.Range(params.position, params.position)
        return types.InlineCompletionList([types.InlineCompletionItem(document.with_own_line_ends(text), range=cursor)])

    @server.feature(types.SHUTDOWN)
    async def shutdown(_: None) -> None:
        await server.end()

    return server


def _list_item(document: OpenDocument, offset: int, text: str) -> types.CompletionItem:
    """A completion for a list: it replaces the word before the cursor, by which editors sort out what does not fit."""
    word = re.search(r"\w*\Z", document.source[max(0, offset - 200) : offset])
    start = offset - len(word[0]) if word else offset
    full_text = document.source[start:offset] + text
    word_range = types.Range(document.position_at(start), document.position_at(offset))
    return types.CompletionItem(
        full_text.strip().splitlines()[0][:_LABEL],
        kind=types.CompletionItemKind.Text,
        detail="cortex",
        documentation=full_text,
        insert_text_mode=types.InsertTextMode.AsIs,
        text_edit=types.TextEdit(word_range, document.with_own_line_ends(full_text)),
    )


def serve_stdio(server: CortexServer) -> int:
    """Serve until the editor ends it or is gone; the status to exit with."""
    incoming, outgoing = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    # nothing else may read the editor's messages, or print between the answers
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    if incoming.isatty():
        print("cortex lsp waits for an editor on standard input (Ctrl-C ends it)", file=sys.stderr)
    server.start_io(incoming, outgoing)
    return server.status


def serve_tcp(server: CortexServer, port: int, say: Callable[[str], None]) -> int:
    """Serve one editor on a port of this machine (0: any that is free); the status to exit with."""
    with suppress(SystemExit, KeyboardInterrupt):
        asyncio.run(_serve_one(server, port, say))
    return server.status


async def _serve_one(server: CortexServer, port: int, say: Callable[[str], None]) -> None:
    disconnected = asyncio.Event()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        listener.close()
        server.protocol.set_writer(writer)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await run_async(server.ended, reader, server.protocol, error_handler=server.report_server_error)
        disconnected.set()

    try:
        listener = await asyncio.start_server(connected, "127.0.0.1", port)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise ValueError(f"port {port} of this machine cannot be used ({reason}); give --tcp another one") from error
    host, port = listener.sockets[0].getsockname()
    say(f"cortex lsp waits for an editor on {host}:{port}")
    await disconnected.wait()
