"""How an editor reaches the server: standard input and output, or a port of this machine."""

import asyncio
import os
import sys
from collections.abc import Callable
from contextlib import suppress

from pygls.io_ import run_async

from cortex_pipelines.language_server.server import CortexServer


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
