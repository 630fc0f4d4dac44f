"""``cortex scan``: secrets and personal data in files."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from cortex_pipelines.privacy.folder import FileScan


@click.command(epilog="Example: cortex scan src --json")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="A JSON list instead of a table.")
def scan(path: Path, as_json: bool) -> None:
    """Locate secrets and personal data in PATH, a file or folder, without showing them."""
    from cortex_pipelines.api import load_parameters
    from cortex_pipelines.privacy.folder import scan_path

    scans = list(scan_path(path, load_parameters().privacy))
    rows = [{"path": s.path, **asdict(finding)} for s in scans for finding in s.findings]
    if as_json:
        click.echo(json.dumps(rows, indent=1))
    else:
        _show(scans)
    skipped = [s for s in scans if s.skipped]
    note = f", {len(skipped)} of them not read (binary)" if skipped else ""
    click.echo(f"{len(rows):,} findings in {len(scans):,} files{note}", err=True)


def _show(scans: "list[FileScan]") -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table("place", "category", "rule", "severity", box=box.SIMPLE_HEAD)
    for file in scans:
        for finding in file.findings:
            location = f"{file.path}:{finding.line}:{finding.start + 1}"
            table.add_row(location, finding.category, finding.rule, finding.severity)
    if table.row_count:
        Console(markup=False, emoji=False).print(table)
