"""``cortex export`` and ``cortex verify``: signed exports of models."""

from pathlib import Path

import click


@click.command(epilog="Example: cortex export code_adapter-shop --format ollama --out shop-ollama")
@click.argument("model")
@click.option(
    "--format",
    "form",
    type=click.Choice(["peft", "merged", "gguf", "ollama"]),
    default="peft",
    show_default=True,
    help="A folder for peft, one merged model, a GGUF adapter, or what `ollama create` takes.",
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Empty folder.")
@click.option("--task", help="Task, for a model with one adapter per task.")
@click.option(
    "--base",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="GGUF file of the base, for ollama; defaults to the pinned base.",
)
@click.option("--sign", type=click.Choice(["openssf"]), help="Also sign in this format, to verify without cortex.")
def export(model: str, form: str, out: Path, task: str | None, base: Path | None, sign: str | None) -> None:
    """Export MODEL, MODEL@ALIAS or MODEL/VERSION in a format that other programs load.

    The files are verified first; the export is loaded again, compared with them, and gets a signed
    manifest, which `cortex verify` checks.
    """
    from typing import cast

    from cortex_pipelines.catalog import open_project
    from cortex_pipelines.release.export import Format
    from cortex_pipelines.release.export import export as write
    from cortex_pipelines.signing.keys import keys_folder, public_key
    from cortex_pipelines.signing.openssf import OPENSSF_PUBLIC_KEY, OPENSSF_SIGNATURE
    from cortex_pipelines.versioning.root import find_root

    if base is not None and form != "ollama":
        raise click.UsageError("--base goes with --format ollama")
    project = open_project(find_root())
    exported = write(project, model, cast(Format, form), out, task, base, sign is not None)
    for line in (*exported.checks.passed, *exported.checks.skipped):
        click.echo(line, err=True)
    mark, _ = public_key(project.root)
    click.echo(f"{exported.model} {exported.version} is in {out}, signed by {mark}", err=True)
    if sign is not None:
        key = keys_folder(project.root) / OPENSSF_PUBLIC_KEY
        line = f"model_signing verify key {out} --signature {out / OPENSSF_SIGNATURE}"
        click.echo(f"anybody who has {key} can check it: {line} --public_key KEY", err=True)


@click.command(epilog="Example: cortex verify shop-ollama")
@click.argument("folder", type=click.Path(path_type=Path, exists=True))
@click.option(
    "--trust",
    "key",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Public key to trust from now on, such as a colleague's .cortex/keys/signing.pub.",
)
def verify(folder: Path, key: Path | None) -> None:
    """Verify that an exported FOLDER is unchanged and signed by a trusted key.

    FOLDER may also be a certificate of `cortex forget`, with its signature beside it.
    """
    import json

    from cortex_pipelines.signing.keys import trust
    from cortex_pipelines.signing.signatures import verify as check
    from cortex_pipelines.signing.signatures import verify_file
    from cortex_pipelines.versioning.root import find_root

    root = find_root()
    if key is not None:
        click.echo(f"{trust(root, key)} is trusted now", err=True)
    if folder.is_file():
        certificate = json.loads(verify_file(root, folder))
        outstanding = len(certificate["outstanding"])
        name = certificate["id"]
        click.echo(f"deletion {name}: as it was signed, {outstanding} things outstanding", err=True)
        return
    exported = check(root, folder, folder)
    click.echo(f"{exported.model} {exported.version}: {len(exported.files)} files match the export", err=True)
