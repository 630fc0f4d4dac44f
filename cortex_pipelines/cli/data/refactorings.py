"""``cortex refactorings``: refactorings between two versions of code."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from cortex_pipelines.extraction.refactoring.refactoring import Refactoring

_EXAMPLE = "Example: cortex refactorings before after --json, or cortex refactorings . --commit HEAD"


@click.command(epilog=_EXAMPLE)
@click.argument("before", type=click.Path(path_type=Path), metavar="BEFORE_DIR|REPO")
@click.argument("after", type=click.Path(path_type=Path), required=False, metavar="[AFTER_DIR]")
@click.option("--commit", metavar="SHA", help="Compare this commit of REPO with its first parent.")
@click.option("--json", "as_json", is_flag=True, help="A JSON list instead of a table.")
def refactorings(before: Path, after: Path | None, commit: str | None, as_json: bool) -> None:
    """Detect refactorings between two folders, or in a commit of a git repository."""
    from cortex_pipelines.api import load_parameters
    from cortex_pipelines.extraction.refactoring.detection import detect
    from cortex_pipelines.extraction.refactoring.versions import commit_versions, folder_version

    settings = load_parameters().refactoring
    if commit is not None and after is None:
        versions = commit_versions(before, commit, settings)
    elif after is not None and commit is None:
        versions = folder_version(before, settings), folder_version(after, settings)
    else:
        raise click.UsageError("give two folders, or a repository and --commit")
    detected = detect(*versions, settings)
    if as_json:
        click.echo(json.dumps([refactoring.contract() for refactoring in detected], indent=1))
    else:
        _show(detected)
    click.echo(f"{len(detected):,} refactorings", err=True)


def _show(detected: "list[Refactoring]") -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table("place", "refactoring", "", "purity", box=box.SIMPLE_HEAD)
    for refactoring in detected:
        table.add_row(
            f"{refactoring.path_after}:{refactoring.line_after}",
            refactoring.type,
            refactoring.description,
            refactoring.purity,
        )
    if table.row_count:
        Console(markup=False, emoji=False).print(table)
