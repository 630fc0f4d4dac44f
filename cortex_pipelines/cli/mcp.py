"""``cortex mcp``."""

import click

from cortex_pipelines.cli.serve import require_packages


@click.command(epilog="Example: cortex mcp --model shop@champion")
@click.option(
    "--model", help="Model of requests that name none; else the only project with a champion."
)
def mcp(model: str | None) -> None:
    """Serve tools to an agent by the Model Context Protocol, over standard input and output.

    `cortex serve` serves the same tools at /mcp.
    """
    require_packages()
    from concurrent.futures import ThreadPoolExecutor

    from cortex_pipelines.operations.inference.gateway import open_gateway
    from cortex_pipelines.operations.inference.project_services import project_services
    from cortex_pipelines.serving.agents import agents_server
    from cortex_pipelines.versioning.root import find_root

    root = find_root()
    services = project_services(root)
    # clients wait some seconds for the first answer, less than a base may take to load
    with ThreadPoolExecutor(1) as loading:
        opened = loading.submit(open_gateway, root, model)
        try:
            agents_server(opened.result, services).run("stdio")
        finally:
            if not opened.cancel() and opened.exception() is None:
                opened.result().close()
