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
@click.option("--model", help="Model for requests that name none; default: the only project with a champion.")
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
    # clients wait seconds for the first answer, less than a base model may take to load
    gateway = _start_in_thread(lambda: open_gateway(root, model))
    try:
        agents_server(gateway.result, services).run("stdio")
    finally:
        if gateway.done() and gateway.exception() is None:
            gateway.result().close()
    if not gateway.done():
        # a thread inside a library's native code may abort the process at exit
        atexit.register(os._exit, 0)


def _start_in_thread(call: Callable[[], "Gateway"]) -> "Future[Gateway]":
    """Future of a call that runs in a daemon thread."""
    future: Future[Gateway] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except Exception as error:  # noqa: BLE001 - passed to the caller
            future.set_exception(error)

    Thread(target=run, daemon=True).start()
    return future
