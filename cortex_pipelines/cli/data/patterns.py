"""``cortex patterns``: what a team writes and what it does not."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from cortex_pipelines.extraction.patterns.pattern_files import PatternFile

_PATH = click.Path(path_type=Path)
_FOLDER = click.option("--folder", type=_PATH, default=Path("patterns"), show_default=True, help="Folder of patterns.")


@click.group(epilog="Example: cortex patterns check src --project shop")
def patterns() -> None:
    """Check code against patterns, propose new ones, and accept them."""


@patterns.command(epilog="Example: cortex patterns check src tests/test_prices.py")
@click.argument("paths", nargs=-1, required=True, type=_PATH)
@click.option("--project", help="The patterns in this project's sources, instead of --folder.")
@_FOLDER
def check(paths: tuple[Path, ...], project: str | None, folder: Path) -> None:
    """List the places in PATHS, files or folders, that break a pattern; fail if there is any."""
    from cortex_pipelines.datasets.team_patterns import check_paths
    from cortex_pipelines.extraction.patterns.pattern_files import valid_patterns
    from cortex_pipelines.extraction.patterns.pattern_matcher import PatternChecks

    pattern_files = _load_patterns(project, folder)
    invalid = [file for file in pattern_files if file.pattern is None]
    for file in invalid:
        click.echo(f"no pattern: {file.sentence}", err=True)
    usable_patterns = valid_patterns(pattern_files)
    violations = 0
    for violation in check_paths(paths, PatternChecks(usable_patterns)):
        violations += 1
        click.echo(violation.line)
    checked = sum(file.counter_example is not None for file in usable_patterns)
    click.echo(f"{checked} patterns checked, {violations} places break one", err=True)
    if violations or invalid:
        sys.exit(1)


@patterns.command(epilog="Example: cortex patterns learn --project shop")
@click.option("--project", required=True, help="What this project has made.")
@click.option("--out", type=_PATH, default=Path("patterns/proposed"), show_default=True, help="Where to.")
@click.option(
    "--least",
    type=click.IntRange(min=2),
    default=3,
    show_default=True,
    help="Fewest commits or files that a pattern is seen in.",
)
@click.option("--most", type=click.IntRange(min=1), default=20, show_default=True, help="Most patterns of either kind.")
def learn(project: str, out: Path, least: int, most: int) -> None:
    """Propose patterns from shapes that recur in a project's history and code.

    Each is a file that a person corrects and accepts, or deletes; until then nothing reads it.
    Files that are there are left as they are.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from cortex_pipelines.api import load_parameters
    from cortex_pipelines.catalog import open_project
    from cortex_pipelines.datasets.team_patterns import proposed_patterns, write_proposals
    from cortex_pipelines.versioning.root import find_root

    settings = load_parameters().datasets
    proposals = proposed_patterns(open_project(find_root()), project, settings, least)
    selected = [candidate for kind in ("history", "code")
           for candidate in [each for each in proposals if each.origin == kind][:most]]  # fmt: skip
    new_proposals = write_proposals(selected, out)
    table = Table("name", "seen", "from", "instead of", "example", box=box.SIMPLE_HEAD)
    for proposal, _ in new_proposals:
        pattern = proposal.pattern
        codes = (pattern.counter_example or "", pattern.example)
        table.add_row(pattern.name, str(len(proposal.occurrences)), proposal.origin, *codes)
    if table.row_count:
        Console(markup=False, emoji=False).print(table)
    existing = len(selected) - len(new_proposals)
    click.echo(
        f"{len(new_proposals)} proposed in {out}; {existing} were there already; "
        f"{len(proposals) - len(selected)} more with a higher --most",
        err=True,
    )


@patterns.command(epilog="Example: cortex patterns accept use_client")
@click.argument("names", nargs=-1, required=True)
@_FOLDER
def accept(names: tuple[str, ...], folder: Path) -> None:
    """Move the proposed patterns NAMES into the folder of those that count."""
    from cortex_pipelines.datasets.team_patterns import accept as accepted

    for path in accepted(names, folder):
        click.echo(f"{path}")


def _load_patterns(project: str | None, folder: Path) -> "list[PatternFile]":
    from cortex_pipelines.extraction.patterns.pattern_files import folder_patterns

    if project is None:
        return folder_patterns(folder)
    from cortex_pipelines.catalog import open_project
    from cortex_pipelines.datasets.team_patterns import project_patterns
    from cortex_pipelines.versioning.root import find_root

    return project_patterns(open_project(find_root()), project)
