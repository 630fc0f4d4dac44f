"""Commands on code outside of any project: units, mutants, patterns, refactorings, secrets."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from cortex_pipelines.augmentation.mutation.inject import Mutant
    from cortex_pipelines.extraction.patterns.pattern_files import PatternFile
    from cortex_pipelines.extraction.refactoring.refactoring import Refactoring
    from cortex_pipelines.privacy.folder import FileScan


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


@click.command(epilog="Example: cortex mutate src/app.py --json --limit 20")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="A JSON list instead of a table.")
@click.option("--limit", type=click.IntRange(min=0), help="Sample this many, weighted by how common such bugs are.")
def mutate(file: Path, as_json: bool, limit: int | None) -> None:
    """Inject bugs into FILE, one at a time, and explain each with its fix."""
    from cortex_pipelines.api import load_parameters
    from cortex_pipelines.augmentation.mutation.file_mutation import mutate_code

    data, language = _code(file)
    parameters = load_parameters()
    max_bytes = parameters.extraction.max_file_bytes
    if len(data) > max_bytes:
        raise ValueError(f"{file}: {len(data):,} bytes; extraction.max_file_bytes is {max_bytes:,}")
    settings = parameters.augmentation
    mutants = mutate_code(data, language, file.name, parameters.extraction, settings, limit)
    if as_json:
        click.echo(json.dumps([_row(mutant) for mutant in mutants], indent=1))
    else:
        _show_mutants(mutants)
    click.echo(f"{len(mutants):,} mutants of {file}", err=True)


def _code(file: Path) -> tuple[bytes, str]:
    """Text and language of a file.

    Raises:
        ValueError: not a file of code in a language with mutation operators.
    """
    from cortex_pipelines.ingestion.files.languages import language_of
    from cortex_pipelines.syntax.grammars import PARSED

    if not file.is_file():
        raise ValueError(f"{file}: {'is a folder' if file.is_dir() else 'no such file'}; give a file")
    data = file.read_bytes()
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: is not UTF-8 (byte {error.start}); save it as UTF-8") from error
    language = language_of(file.name, text)
    if language not in PARSED:
        supported = ", ".join(sorted(PARSED))
        raise ValueError(f"{file}: language {language or 'unknown'}; supported: {supported}")
    return data, str(language)


def _row(mutant: "Mutant") -> dict[str, Any]:
    row = asdict(mutant)
    compiles = row.pop("compiles")
    return row | {"verification": [*mutant.verification, *(["compiles"] if compiles else [])]}


def _show_mutants(mutants: "list[Mutant]") -> None:
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("operator", "family", "bytes", "what is wrong", box=box.SIMPLE_HEAD)
    for mutant in mutants:
        span = f"{mutant.start_byte}-{mutant.end_byte}"
        table.add_row(mutant.operator, mutant.error_type, span, escape(mutant.explanation))
    Console().print(table)


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
        _show_refactorings(detected)
    click.echo(f"{len(detected):,} refactorings", err=True)


def _show_refactorings(detected: "list[Refactoring]") -> None:
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
        _show_findings(scans)
    skipped = [s for s in scans if s.skipped]
    note = f", {len(skipped)} of them not read (binary)" if skipped else ""
    click.echo(f"{len(rows):,} findings in {len(scans):,} files{note}", err=True)


def _show_findings(scans: "list[FileScan]") -> None:
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
