"""Commands on tables and logs: data dictionary, summaries, anomalies, drift."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cortex_pipelines.atomic import write_whole
from cortex_pipelines.cli.console import (
    AS_JSON,
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
from cortex_pipelines.cli.own_logs import (
    KEEP_RARE,
    MAP,
    file_json,
    keep_mapping,
    mapping_of,
    other_files,
    print_account,
    print_files,
    print_mapping,
    print_rows,
    unused_lines,
)
from cortex_pipelines.versioning.root import ProjectError, find_root, require_project

if TYPE_CHECKING:
    from cortex_pipelines.schemas.table import Column, Table
    from cortex_pipelines.versioning.project import Project

FILE = Path("data") / "README.md"

_INTRODUCTION = """# Data dictionary

Generated from `cortex_pipelines/schemas/` by `cortex dictionary`; a test fails when it is out of
date. Every table is a Parquet file, `data/<asset>/<project>/<table>.parquet` (without the project
where an asset is made from all of them), sorted by its key.
"""


@click.command(epilog="Example: cortex dictionary --check")
@click.option("--check", is_flag=True, help="Only fail if the file is out of date.")
@in_project
def dictionary(check: bool) -> None:
    """Write data/README.md: every table and column, with its meaning."""
    project = current_project()
    path, text = project.root / FILE, render(project)
    if not check:
        write_whole(path, text)
    elif not path.exists() or path.read_text(encoding="utf-8") != text:
        raise ProjectError(f"{FILE} is out of date; run `cortex dictionary`")


def render(project: "Project") -> str:
    """Render the dictionary as Markdown, assets in pipeline order."""
    parts = [_INTRODUCTION]
    for asset in project.graph.order:
        if asset.tables:
            parts.append(f"## {asset.name}\n\n{asset.description.splitlines()[0]}\n")
        table_by_columns: dict[tuple[Column, ...], str] = {}
        for table in asset.tables:
            parts += _table(table, table_by_columns.setdefault(table.columns, table.name))
    return "\n".join(parts)


def _table(table: "Table", described: str) -> Iterator[str]:
    yield f"### {table.name}.parquet\n\n{table.meaning} Key: {', '.join(table.key) or 'none'}.\n"
    if described != table.name:
        yield f"Columns as in {described}.parquet.\n"
        return
    yield "| column | type | missing | meaning |\n| --- | --- | --- | --- |"
    for column in table.columns:
        meaning = column.meaning
        if column.one_of is not None:
            meaning += f". One of: {', '.join(column.one_of)}"
        if column.between is not None:
            meaning += f". From {column.between[0]:g} to {column.between[1]:g}"
        meaning = meaning.replace("|", "\\|").replace("\n", " ")
        yield f"| `{column.name}` | {column.dtype} | {'yes' if column.nullable else ''} | {meaning} |"
    yield ""


@click.command(epilog="Example: cortex card flask --json")
@click.argument("project")
@AS_JSON_LIST
@in_project
def card(project: str, as_json: bool) -> None:
    """Show what a model can learn from PROJECT's data sets, and what is wrong with them."""
    from cortex_pipelines.config import load_parameters
    from cortex_pipelines.datasets.publish.project_card import project_card, summary
    from cortex_pipelines.orchestration.planning import unused_code
    from cortex_pipelines.versioning.lock_file import stage_address

    root = find_root()
    parameters = load_parameters(root)
    require_project(project, parameters.projects)
    rows = project_card(root / "data", project, parameters.datasets)
    if not rows:
        raise ProjectError(f"{project} has no data set yet; run `cortex run --project {project}`")
    if as_json:
        print_json(rows)
        return
    click.echo(summary(project, rows))
    head = ("task", "split", "rows", "tokens", "tests", "distance", "languages")
    shares = (", ".join(f"{name} {share:.0%}" for name, share in row["languages"].items()) for row in rows)
    formats = ("{}", "{}", "{:,}", "{:,}", "{:.0%}", "{:.3f}")
    figures = ([text.format(row[name]) for name, text in zip(head, formats, strict=False)] for row in rows)
    print_table(head, [[*row, languages] for row, languages in zip(figures, shares, strict=True)])
    for row in rows:
        for warning in row["warnings"]:
            click.echo(f"{row['task']}, {row['split']}: {warning}")
    for sentence in unused_code(current_project(), [stage_address("unit_splits", project)]):
        click.echo(sentence)


@click.command(epilog="Example: cortex logs exports --map task=summary,master=agent,outcome=status")
@click.argument("folder", type=NAMED)
@MAP
@click.option("--accept", is_flag=True, help="Write the mapping and the folder to params.yaml.")
@KEEP_RARE
@AS_JSON_LIST
def logs(folder: Path, facts: str | None, accept: bool, keep_rare: bool, as_json: bool) -> None:
    """Say how the logs in FOLDER are read, file by file, and what a router would learn from.

    Read are JSON lines, JSON, CSV, TSV and Parquet, also .gz or .zst. Where records do not have the
    agent system's own names, the keys of the facts about a task are guessed by name, type and
    values: correct them with --map.
    """
    from cortex_pipelines.api import load_parameters
    from cortex_pipelines.coordination.summary import open_logs
    from cortex_pipelines.routing.dataset.accounting import account

    parameters, mapping = load_parameters(), mapping_of(facts)
    opened = open_logs(folder, parameters.coordination, parameters.privacy, mapping)
    if accept:
        keep_mapping(folder, opened)
    accounting = account(opened.events, opened.unread, keep_rare)
    if as_json:
        unused = unused_lines(opened, accounting)
        print_json([file_json(file, opened, unused) for file in opened.files])
        return
    print_files(opened.files)
    if opened.other_files:
        click.echo(other_files(opened.other_files))
    if not opened.files:
        say(f"no log in {folder}; put your logs there, or name their folder")
        return
    print_mapping(opened, mapping)
    if not opened.events.is_empty():
        print_rows(opened)
        print_account(opened, accounting, keep_rare)
    if questions := opened.questions():
        click.echo("\n".join(questions))
    elif not accept and opened.guess and len(accounting.masters) > 1:
        say(
            f"Right? `cortex logs {folder} --accept` keeps it in params.yaml; `cortex router train {folder} --out "
            "my-router` trains a router on it"
        )


class _Anomalies(click.Group):
    """A group whose first argument may be a file, for ``anomalies records FILE``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        asks = not args or args[0] in self.commands or args[0] in ("-h", "--help")
        return super().parse_args(ctx, args if asks else ["records", *args])


@click.group(cls=_Anomalies, epilog="Example: cortex anomalies score pump.csv --out scores.csv")
def anomalies() -> None:
    """Score records of a watched log, or of any table of measurements.

    Without a command, FILE is taken as that of `cortex anomalies records`.
    """


@anomalies.command(epilog="Example: cortex anomalies records new/heartbeat-history.jsonl")
@click.argument("file", type=NAMED)
@click.option("--log", help="Watched log that FILE continues; defaults to the log of the same name.")
@in_project
def records(file: Path, log: str | None) -> None:
    """Score the records in FILE by the fitted detectors; print a summary and each alert as JSON.

    FILE holds new records of a log that `worker_anomalies` watches. A window of records is an alert
    when its score exceeds a threshold that normal windows rarely reach.
    """
    from cortex_pipelines.config import load_parameters
    from cortex_pipelines.monitoring.anomalies.detector_store import score_file
    from cortex_pipelines.signing.manifest import open_verified_output

    project = current_project()
    folder, version = open_verified_output(project, "worker_anomalies")
    values = score_file(file, log, folder, load_parameters(project.root))
    alerts = values.pop("alerts")
    for row in ({**values, "alerts": len(alerts), "model_version": version}, *alerts):
        click.echo(json.dumps(row, ensure_ascii=False))


@anomalies.command(epilog="Example: cortex anomalies score pump.csv --out scores.csv")
@click.argument("file", type=INPUT)
@click.option(
    "--fit-share",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.15,
    show_default=True,
    help="Share of the records, the earliest, that are usual and learnt from.",
)
@click.option("--out", type=PATH, required=True, help="File for timestamp, score and alarm of each record.")
def score(file: Path, fit_share: float, out: Path) -> None:
    """Score the records of the table FILE (CSV) and raise alarms on about 1 % of usual ones.

    FILE has a column timestamp and one or more of numbers; other columns are ignored. A later
    record is judged by its past only. No project is needed.
    """
    from cortex_pipelines.monitoring.anomalies.table_scores import score_table

    scored = score_table(file, fit_share, out)
    say(
        f"{scored.records:,} records, {scored.learnt:,} learnt from, {scored.alarms:,} alarms; "
        f"columns: {', '.join(scored.columns)}"
    )
    if scored.ignored:
        say(f"ignored, as they hold no numbers: {', '.join(scored.ignored)}")


@click.command(epilog="Example: cortex drift january.jsonl february.jsonl --json")
@click.argument("reference", type=INPUT)
@click.argument("current", type=INPUT)
@AS_JSON
def drift(reference: Path, current: Path, as_json: bool) -> None:
    """Test which columns of CURRENT are no longer distributed as in REFERENCE.

    Both are JSON lines or Parquet. Columns of numbers, categories and texts are recognised and
    compared by a test of their kind; at most one comparison in a hundred of unchanged data raises a
    false alarm, however many columns there are. The exit status is 0 either way.
    """
    from cortex_pipelines.monitoring.drift.files import drift_between

    result = drift_between(reference, current)
    if as_json:
        click.echo(json.dumps(asdict(result)))
        return
    print_table(
        ("column", "kind", "test", "p", "drift"),
        [
            (
                *(feature.name, feature.kind, feature.test or "not compared"),
                *("" if feature.p_value is None else f"{feature.p_value:.2g}", "yes" if feature.drift else ""),
            )
            for feature in result.features
        ],
    )
    click.echo(f"{result.share:.0%} of the compared columns drift")
