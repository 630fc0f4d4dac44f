"""``cortex lsp``."""

import logging
import os

import click

from cortex_pipelines.cli.console import say


@click.command(epilog="Example: cortex lsp --model shop (an editor runs it)")
@click.option("--stdio", is_flag=True, help="Speak over standard input and output; the default.")
@click.option(
    "--tcp", "port", type=click.IntRange(0, 65535), help="Instead: listen on this port of 127.0.0.1 for one editor."
)
@click.option("--gateway", help="Address of a running gateway, else http://127.0.0.1:8008; empty for no completions.")
@click.option("--model", help="Project, project@champion or project@1.2.0 that completes; else the gateway's default.")
def lsp(stdio: bool, port: int | None, gateway: str | None, model: str | None) -> None:
    """Serve findings, fixes and completions to an editor, by the Language Server Protocol.

    A gateway's key is the variable CORTEX_API_KEY, or the editor's setting `cortex.key`.
    """
    if stdio and port is not None:
        raise click.UsageError("--stdio and --tcp exclude each other")
    from cortex_pipelines.language_server.options import Options
    from cortex_pipelines.language_server.server import create_server
    from cortex_pipelines.language_server.transport import serve_stdio, serve_tcp

    options = {"gateway": gateway, "model": model, "key": os.environ.get("CORTEX_API_KEY")}
    defaults = Options().with_settings({name: value for name, value in options.items() if value is not None})
    # it warns of each request that was answered before its cancellation came
    logging.getLogger("pygls").setLevel(logging.ERROR)
    server = create_server(defaults)
    status = serve_stdio(server) if port is None else serve_tcp(server, port, say)
    # a check that is still at work must not outlive the editor
    os._exit(status)
