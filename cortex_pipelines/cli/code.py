"""Commands on code outside of any project: units, mutants, patterns, refactorings, secrets."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cortex_pipelines.cli.console import (
    AS_JSON_LIST,
    INPUT,
    NAMED,
    PATH,
    current_project,
    in_project,
    print_json,
    print_table,
    say,
)

if TYPE_CHECKING:
    from cortex_pipelines.extraction.patterns.pattern_files import PatternFile


@click.command(epilog="Example: cortex extract src --out units.parquet")
@click.argument("path", type=NAMED)
@click.option("--out", required=True, type=PATH, help="Parquet file to write.")
def extract(path: Path, out: Path) -> None:
    """Extract the units of code in PATH, a file or folder, to a Parquet table."""
    from cortex_pipelines.api import load_parameters
    from cortex_pipelines.extraction.folder import extract_path

    extracted = extract_path(path, load_parameters().extraction)
    out.parent.mkdir(parents=True, exist_ok=True)
    extracted.units.write_parquet(out)
    say(f"{extracted.units.height:,} units of {extracted.units['path'].n_unique():,} files: {out}")
    for name, reason, detail in extracted.unparsed_files.select("path", "reason", "detail").iter_rows():
        say(f"not parsed ({reason}): {name}: {detail}")


@click.command(epilog="Example: cortex mutate src/app.py --json --limit 20")
@click.argument("file", type=NAMED)
@AS_JSON_LIST
@click.option("--limit", type=click.IntRange(min=0), help="Sample this many, weighted by how common such bugs are.")
def mutate(file: Path, as_json: bool, limit: int | None) -> None:
    """Inject bugs into FILE, one at a time, and explain each with its fix."""
    from cortex_pipelines.api import load_parameters
    from cortex_pipelines.augmentation.mutation.file_mutation import mutate_code
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
        raise ValueError(f"{file}: language {language or 'unknown'}; supported: {', '.join(sorted(PARSED))}")
    parameters = load_parameters()
    max_bytes = parameters.extraction.max_file_bytes
    if len(data) > max_bytes:
        raise ValueError(f"{file}: {len(data):,} bytes; extraction.max_file_bytes is {max_bytes:,}")
    mutants = mutate_code(data, language, file.name, parameters.extraction, parameters.augmentation, limit)
    if as_json:
        rows = [asdict(mutant) for mutant in mutants]
        for row, mutant in zip(rows, mutants, strict=True):
            row["verification"] = [*mutant.verification, *(["compiles"] if row.pop("compiles") else [])]
        print_json(rows)
    else:
        print_table(
            ("operator", "family", "bytes", "what is wrong"),
            [(m.operator, m.error_type, f"{m.start_byte}-{m.end_byte}", m.explanation) for m in mutants],
        )
    say(f"{len(mutants):,} mutants of {file}")


@click.command(epilog="Example: cortex refactorings before after --json, or cortex refactorings . --commit HEAD")
@click.argument("before", type=NAMED, metavar="BEFORE_DIR|REPO")
@click.argument("after", type=NAMED, required=False, metavar="[AFTER_DIR]")
@click.option("--commit", metavar="SHA", help="Compare this commit of REPO with its first parent.")
@AS_JSON_LIST
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
        print_json([refactoring.contract() for refactoring in detected])
    else:
        print_table(
            ("place", "refactoring", "", "purity"),
            [(f"{r.path_after}:{r.line_after}", r.type, r.description, r.purity) for r in detected],
        )
    say(f"{len(detected):,} refactorings")


@click.command(epilog="Example: cortex scan src --json")
@click.argument("path", type=INPUT)
@AS_JSON_LIST
def scan(path: Path, as_json: bool) -> None:
    """Locate secrets and personal data in PATH, a file or folder, without showing them."""
    from cortex_pipelines.api import load_parameters
    from cortex_pipelines.privacy.detect.scanning import scan_path

    scans = list(scan_path(path, load_parameters().privacy))
    findings = [(file.path, finding) for file in scans for finding in file.findings]
    if as_json:
        print_json([{"path": name, **asdict(finding)} for name, finding in findings])
    else:
        print_table(
            ("place", "category", "rule", "severity"),
            [(f"{name}:{f.line}:{f.start + 1}", f.category, f.rule, f.severity) for name, f in findings],
        )
    binary = sum(file.skipped == "binary" for file in scans)
    unread = [file for file in scans if file.skipped not in ("", "binary")]
    note = f", {binary} of them not read (binary)" if binary else ""
    say(f"{len(findings):,} findings in {len(scans) - len(unread):,} files{note}")
    if unread:
        say(*(f"{file.path} {file.skipped}" for file in unread))
        sys.exit(1)


_FOLDER = click.option("--folder", type=PATH, default=Path("patterns"), show_default=True, help="Folder of patterns.")


@click.group(epilog="Example: cortex patterns check src --project shop")
def patterns() -> None:
    """Check code against patterns, propose new ones, and accept them."""


@patterns.command(epilog="Example: cortex patterns check src tests/test_prices.py")
@click.argument("paths", nargs=-1, required=True, type=NAMED)
@click.option("--project", help="The patterns in this project's sources, instead of --folder.")
@_FOLDER
def check(paths: tuple[Path, ...], project: str | None, folder: Path) -> None:
    """List the places in PATHS, files or folders, that break a pattern; fail if there is any."""
    from cortex_pipelines.datasets.team_patterns import check_paths, project_patterns
    from cortex_pipelines.extraction.patterns.pattern_files import folder_patterns, valid_patterns
    from cortex_pipelines.extraction.patterns.pattern_matcher import PatternChecks

    files: list[PatternFile] = (
        folder_patterns(folder) if project is None else project_patterns(current_project(), project)
    )
    invalid = [file for file in files if file.pattern is None]
    say(*(f"no pattern: {file.sentence}" for file in invalid))
    usable_patterns = valid_patterns(files)
    violations = 0
    for violation in check_paths(paths, PatternChecks(usable_patterns)):
        violations += 1
        click.echo(violation)
    checked = sum(file.counter_example is not None for file in usable_patterns)
    say(f"{checked} patterns checked, {violations} places break one")
    if violations or invalid:
        sys.exit(1)


@patterns.command(epilog="Example: cortex patterns learn --project shop")
@click.option("--project", required=True, help="What this project has made.")
@click.option("--out", type=PATH, default=Path("patterns/proposed"), show_default=True, help="Where to.")
@click.option(
    "--least", "fewest", type=click.IntRange(min=2), default=3, show_default=True, help="Fewest commits or files."
)
@click.option("--most", type=click.IntRange(min=1), default=20, show_default=True, help="Most patterns of either kind.")
@in_project
def learn(project: str, out: Path, fewest: int, most: int) -> None:
    """Propose patterns from shapes that recur in a project's history and code.

    Each is a file that a person corrects and accepts, or deletes; until then nothing reads it.
    Files that are there are left as they are.
    """
    from cortex_pipelines.api import load_parameters
    from cortex_pipelines.datasets.team_patterns import proposed_patterns, write_proposals

    proposals = proposed_patterns(current_project(), project, load_parameters().datasets, fewest)
    selected = []
    for kind in ("history", "code"):
        selected += [candidate for candidate in proposals if candidate.origin == kind][:most]
    new_proposals = [proposal for proposal, _ in write_proposals(selected, out)]
    print_table(
        ("name", "seen", "from", "instead of", "example"),
        [
            (p.pattern.name, str(len(p.occurrences)), p.origin, p.pattern.counter_example or "", p.pattern.example)
            for p in new_proposals
        ],
    )
    say(
        f"{len(new_proposals)} proposed in {out}; {len(selected) - len(new_proposals)} were there already; "
        f"{len(proposals) - len(selected)} more with a higher --most"
    )


@patterns.command(epilog="Example: cortex patterns accept use_client")
@click.argument("names", nargs=-1, required=True)
@_FOLDER
def accept(names: tuple[str, ...], folder: Path) -> None:
    """Move the proposed patterns NAMES into the folder of those that count."""
    from cortex_pipelines.datasets.team_patterns import accept as accepted

    for path in accepted(names, folder):
        click.echo(f"{path}")
