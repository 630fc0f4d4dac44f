"""``cortex check``."""

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cortex_pipelines.cli.console import FILE, NAMED, print_table, say

if TYPE_CHECKING:
    from cortex_pipelines.check.check_paths import Report


@click.command(epilog="Example: cortex check src --diff main --format sarif > check.sarif")
@click.argument("paths", nargs=-1, type=NAMED, metavar="[PATH]...")
@click.option("--diff", "since", metavar="REF", help="Only lines that are new since the history left this commit.")
@click.option("--fix", is_flag=True, help="Mend what can be mended with behaviour kept.")
@click.option("--unsafe-fixes", is_flag=True, help="With --fix: also by fixes that change behaviour.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "sarif", "github"]),
    default="text",
    help="Form of the report.",
)
@click.option("--select", multiple=True, metavar="RULE", help="Also this rule; all: every rule.")
@click.option("--ignore", multiple=True, metavar="RULE", help="Not this rule.")
@click.option("--baseline", type=FILE, help="File of findings that are accepted.")
@click.option("--write-baseline", is_flag=True, help="Accept all there is: write it to --baseline.")
@click.option("--project", metavar="NAME", help="The project of the files; by default the one whose source they are.")
@click.option("--rules", "show_rules", is_flag=True, help="List the rules.")
def check(
    paths: tuple[Path, ...],
    since: str | None,
    fix: bool,
    unsafe_fixes: bool,
    form: str,
    select: tuple[str, ...],
    ignore: tuple[str, ...],
    baseline: Path | None,
    write_baseline: bool,
    project: str | None,
    show_rules: bool,
) -> None:
    """Report what the platform knows of code: smells, broken rules and conventions of its project, repetition.

    PATH is a file or folder (default: the working folder). Exit codes: 0 nothing found, 1 findings, 2 a wrong call.
    """
    from cortex_pipelines.check.rules import RULES

    if show_rules:
        print_table(
            ("rule", "default", "meaning"),
            [(rule.name, "on" if rule.default else "", rule.explanation) for rule in RULES.values()],
        )
        return
    if write_baseline and (baseline is None or fix):
        raise click.UsageError("--write-baseline requires --baseline FILE and excludes --fix")
    if unsafe_fixes and not fix:
        raise click.UsageError("--unsafe-fixes requires --fix")
    try:
        from cortex_pipelines.check import check_paths as checks
        from cortex_pipelines.check.project_facts import rules_for

        report = checks.check_paths(
            paths or (Path(),),
            checks.CheckOptions(
                rules=rules_for(paths[0] if paths else Path(), select, ignore),
                project=project,
                since=since,
                fix=fix,
                unsafe_fixes=unsafe_fixes,
                accepted=Counter() if baseline is None or write_baseline else checks.read_baseline(baseline),
                folder=baseline.absolute().parent if baseline else Path(),
            ),
        )
        if write_baseline and baseline is not None:
            checks.write_baseline(baseline, report.findings)
            say(f"{len(report.findings):,} findings accepted in {baseline}")
            return
    except (ValueError, RuntimeError, OSError) as error:  # 1 would say that there are findings
        from cortex_pipelines.cli.failures import error_sentence

        raise click.UsageError(error_sentence(error)) from error
    _show(report, form)
    sys.exit(1 if report.findings else 0)


def _show(report: "Report", form: str) -> None:
    from cortex_pipelines.check.formats import FORMATS

    click.echo(FORMATS[form](report), nl=False)
    for path, reason in report.not_checked:
        say(f"{path}: not checked: {reason}")
    fixable = sum(each.finding.fix is not None and each.finding.fix.keeps_behaviour for each in report.findings)
    notes = [
        f"{len(report.findings):,} findings in {report.files:,} files",
        f"{len(report.fixed):,} fixed" if report.fixed else "",
        f"--fix mends {fixable:,}" if fixable else "",
    ]
    say("; ".join(filter(None, notes)))
