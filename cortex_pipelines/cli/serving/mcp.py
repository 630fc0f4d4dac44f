"""``cortex mcp``."""

import atexit
import os
from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TYPE_CHECKING

import click

from cortex_pipelines.cli.serving.serve import require_packages

if TYPE_CHECKING:
    from cortex_pipelines.serving.gateway import Gateway


@click.command(epilog="Example: cortex mcp --model shop@champion")
@click.option(
    "--model", help="Model for requests that name none; default: the only project with a champion."
)
def mcp(model: str | None) -> None:
    """Serve tools to an agent by the Model Context Protocol, over standard input and output.

    `cortex serve` serves the same tools at /mcp.
    """
    require_packages()
    from cortex_pipelines.serving.agents import agents_server
    from cortex_pipelines.serving.project_gateway import open_gateway
    from cortex_pipelines.serving.project_services import project_services
    from cortex_pipelines.versioning.root import find_root

    root = find_root()
    services = project_services(root)
    # clients wait some seconds for the first answer, less than a base may take to load
    opened = _begun(lambda: open_gateway(root, model))
    try:
        agents_server(opened.result, services).run("stdio")
    finally:
        if opened.done() and opened.exception() is None:
            opened.result().close()
    if not opened.done():
        # a thread that a library's own code is in may abort the process as Python ends it
        atexit.register(os._exit, 0)


def _begun(call: Callable[[], "Gateway"]) -> "Future[Gateway]":
    """What a call gives, in a thread that the process does not wait for when it ends."""
    opened: Future[Gateway] = Future()

    def run() -> None:
        try:
            opened.set_result(call())
        except Exception as error:  # noqa: BLE001 - it belongs to whoever asked
            opened.set_exception(error)

    Thread(target=run, daemon=True).start()
    return opened
