"""``cortex extract``: units of code in a file or folder."""

from pathlib import Path

import click


@click.command(epilog="Example: cortex extract src --out units.parquet")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Parquet file to write.")
def extract(path: Path, out: Path) -> None:
    """Extract the units of code in PATH, a file or folder, to a Parquet table."""
    from cortex_pipelines.api import load_parameters
    from cortex_pipelines.extraction.folder import extract_path

    extracted = extract_path(path, load_parameters().extraction)
    out.parent.mkdir(parents=True, exist_ok=True)
    extracted.units.write_parquet(out)
    files = extracted.units["path"].n_unique()
    click.echo(f"{extracted.units.height:,} units of {files:,} files: {out}", err=True)
    for name, reason, detail in extracted.unparsed.select("path", "reason", "detail").iter_rows():
        click.echo(f"not parsed ({reason}): {name}: {detail}", err=True)
