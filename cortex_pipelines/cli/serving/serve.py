"""``cortex serve``."""

from pathlib import Path
from typing import get_args

import click

from cortex_pipelines.serving.settings import EngineName


@click.command(epilog="Example: cortex serve --port 8008")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8008, show_default=True, type=click.IntRange(1, 65535), help="Port to listen on.")
@click.option(
    "--from",
    "folder",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Serve what `cortex export` wrote there (peft or merged), without a project.",
)
@click.option(
    "--trust",
    "key",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="With --from: public key of whoever exported it.",
)
@click.option("--model", help="Model for requests that name none; default: the only project with a champion.")
@click.option(
    "--engine", type=click.Choice(get_args(EngineName)), help="What writes text; else `serving.engine` of params.yaml."
)
@click.option("--open", "everybody", is_flag=True, help="Listen on other addresses without any API key.")
@click.option(
    "--tls-cert",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Certificate in PEM, for HTTPS; with --tls-key.",
)
@click.option("--tls-key", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Its private key in PEM.")
@click.option("--log-requests", is_flag=True, help="Write one line of JSON per request, without its text.")
def serve(
    host: str,
    port: int,
    folder: Path | None,
    key: Path | None,
    model: str | None,
    engine: EngineName | None,
    everybody: bool,
    tls_cert: Path | None,
    tls_key: Path | None,
    log_requests: bool,
) -> None:
    """Serve promoted models to OpenAI clients, editors and agents, and on a web page."""
    if key is not None and folder is None:
        raise click.UsageError("--trust goes with --from")
    if (tls_cert is None) != (tls_key is None):
        raise click.UsageError("--tls-cert and --tls-key go together")
    require_packages()
    from cortex_pipelines.api import load_parameters
    from cortex_pipelines.serving.exported_gateway import open_exported, served_root
    from cortex_pipelines.serving.http.server import require_free, require_keys, run
    from cortex_pipelines.serving.project_gateway import open_gateway
    from cortex_pipelines.serving.project_services import project_services
    from cortex_pipelines.serving.security.keys import KeyRing
    from cortex_pipelines.serving.services import NOTHING
    from cortex_pipelines.signing.keys import keys_folder
    from cortex_pipelines.versioning.root import find_root

    keys = KeyRing(keys_folder(find_root() if folder is None else served_root()))
    if not everybody:
        require_keys(keys, host, load_parameters().serving.oidc is not None)
    require_free(host, port)
    if folder is not None:
        gateway, services = open_exported(folder, key, engine), NOTHING
    else:
        root = find_root()
        gateway, services = open_gateway(root, model, engine), project_services(root)
    for name, served in sorted(gateway.source.current.models.items()):
        if "@" not in name:
            click.echo(f"{name}: {served.release.way}, {served.version}", err=True)
    tls = (tls_cert, tls_key) if tls_cert is not None and tls_key is not None else None
    click.echo(f"http{'s' if tls else ''}://{host}:{port} (Ctrl-C ends it)", err=True)
    run(gateway, host, port, services, tls, log_requests)


def require_packages() -> None:
    """Say what is missing before anything is loaded; the extra is not installed everywhere."""
    from cortex_pipelines.projects.doctor import gateway_packages

    if not (packages := gateway_packages()).good:
        raise click.ClickException(f"the gateway cannot be started, {packages.detail}: {packages.remedy}")
