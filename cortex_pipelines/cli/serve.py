"""``cortex serve``."""

import click


@click.command(epilog="Example: cortex serve --port 8008")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8008, show_default=True, type=click.IntRange(1, 65535))
@click.option(
    "--model", help="Model of requests that name none; else the only project with a champion."
)
def serve(host: str, port: int, model: str | None) -> None:
    """Answer requests with what was promoted: OpenAI's form, editors, and the task router."""
    from cortex_pipelines.operations.gateway import open_gateway
    from cortex_pipelines.serving.http.server import require_free, run
    from cortex_pipelines.versioning.root import find_root

    require_free(host, port)
    gateway = open_gateway(find_root(), model)
    for name, one in sorted(gateway.source.current.models.items()):
        if "@" not in name:
            click.echo(f"{name}: {one.release.way}, {one.version}", err=True)
    click.echo(f"http://{host}:{port} (Ctrl-C ends it)", err=True)
    run(gateway, host, port)
