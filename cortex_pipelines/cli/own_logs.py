"""What the commands on logs say: how they are read, what is used of them, and what must be said first."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cortex_pipelines.cli.console import first_few, say
from cortex_pipelines.versioning.root import find_root

if TYPE_CHECKING:
    from cortex_pipelines.coordination.settings import Fact
    from cortex_pipelines.coordination.summary import FileSummary, OwnLogs
    from cortex_pipelines.routing.dataset.accounting import Accounting

MAP = click.option(
    "--map",
    "facts",
    metavar="FACT=KEY,…",
    help="Keys of the facts task, master, outcome, time, duration, tokens and id; those not given are guessed.",
)
KEEP_RARE = click.option("--keep-rare", is_flag=True, help="Keep masters of one or two tasks.")
_EXAMPLES = 3
"""Lines quoted for each reason."""
_MASTERS = 12
_FILES = 20
_ROWS = 5
_WIDTH = 48


def mapping_of(facts: str | None) -> "dict[Fact, str]":
    from cortex_pipelines.coordination.guessing import parse_map

    try:
        return parse_map(facts or "")
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def print_mapping(logs: "OwnLogs", explicit: "Mapping[Fact, str]") -> None:
    if logs.guess is None:
        return
    for fact, key in logs.guess.mapping.items():
        column = logs.guess.columns.get(key)
        filled = "no record has it"
        if column:
            filled = f"{len(column.filled):,} of {len(column.values):,} filled, {column.different:,} different"
        click.echo(f"{fact:<8} = {key:<24} {filled}{'' if fact in explicit else '; guessed'}")


def print_rows(logs: "OwnLogs") -> None:
    """The first records as they are read; an empty cell is a fact that is not known."""
    import json

    import polars as pl

    tasks = logs.events.filter(pl.col("kind").is_in(["decision", "outcome", "event"]))
    labelled_tasks = tasks.filter(pl.col("text").is_not_null() & pl.col("master").is_not_null())
    rows = []
    for row in (labelled_tasks if labelled_tasks.height else tasks).head(_ROWS).iter_rows(named=True):
        seconds, tokens = row["duration_seconds"], json.loads(row["payload"]).get("tokens_used")
        rows.append(
            (
                " ".join((row["text"] or "").split())[:_WIDTH],
                row["master"] or "",
                {True: "succeeded", False: "failed", None: row["outcome"] or ""}[row["success"]],
                f"{row['occurred_at']:%Y-%m-%d %H:%M}" if row["occurred_at"] else "",
                "" if seconds is None else f"{seconds:,.0f} s",
                "" if tokens is None else f"{tokens:,.0f}",
                row["task_id"] or "",
            )
        )
    table = [("task", "master", "outcome", "time", "duration", "tokens", "id"), *rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for cells in table:  # not by rich: it breaks the lines of a narrow terminal
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())


def print_account(logs: "OwnLogs", account: "Accounting", keep_rare: bool) -> None:
    """Tasks by master, and the records that give none, by reason with their lines."""
    masters = first_few([f"{master} {count:,}" for master, count in account.masters], _MASTERS)
    records = sum(file.records for file in logs.files)
    click.echo(
        f"{records:,} records give {len(account.tasks):,} tasks to learn from, over {len(account.masters)} masters"
        f"{': ' + masters if masters else ''}"
    )
    if account.unconfirmed:
        click.echo(f"  {account.unconfirmed:,} of them without a known outcome count less (routing.decision_weight)")
    if account.tasks and not logs.events["success"].is_not_null().any():
        click.echo(f"  {_without_outcome(logs)}, so tasks that failed are learnt as if they were where they belong")
    if account.joined:
        click.echo(f"  {account.joined:,} records more tell of the same tasks")
    for reason, locations in unused_lines(logs, account).items():
        examples = first_few([f"{file}:{line}" for file, line in locations], _EXAMPLES)
        click.echo(f"  {len(locations):,} not used: {reason} ({examples})")
    for spellings in account.spellings:
        click.echo(f"Is this one master? {' and '.join(spellings)}: coordination.aliases in params.yaml joins them")
    if account.rare:
        names = first_few([f"{master} ({count})" for master, count in account.rare.items()], _MASTERS)
        treatment = "kept" if keep_rare else "left out; `--keep-rare` keeps them"
        click.echo(f"Are these masters? They have one or two tasks: {names}: {treatment}")


def _without_outcome(logs: "OwnLogs") -> str:
    if logs.guess is None:
        return "no record says whether a task succeeded (outcome, success, status or exit_code)"
    if "outcome" in logs.guess.mapping:
        key = logs.guess.mapping["outcome"]
        if key in logs.guess.columns and logs.guess.columns[key].decided:
            return (
                f"the outcomes in {key!r} stand in records without a task (--map id=KEY names the id that joins them)"
            )
        return f"nothing in {key!r} says whether a task succeeded (--map outcome=KEY names another key)"
    keys = ", ".join(sorted(set(logs.guess.columns) - set(logs.guess.mapping.values()))[:40])
    return f"no key looks like the outcome (--map outcome=KEY names it{f'; the others are {keys}' if keys else ''})"


def unused_lines(logs: "OwnLogs", account: "Accounting") -> dict[str, list[tuple[str, int]]]:
    """File and line of each record that gave no task, by reason, the most frequent first."""
    locations: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for reason, positions in account.unused.items():
        locations[reason] += [(file, logs.lines[file, offset]) for file, offset in positions]
    for file in logs.files:
        locations["the same record again"] += [(file.file, line) for line in file.repeated]
        for part in file.rejected:
            locations[str(part["reason"])].append((file.file, int(part["line"])))
    return dict(sorted(((k, v) for k, v in locations.items() if v), key=lambda item: (-len(item[1]), item[0])))


def other_files(names: Sequence[str]) -> str:
    kinds = Counter(Path(name).suffix or name for name in names)
    counts = ", ".join(f"{count} {ending}" for ending, count in kinds.most_common())
    return f"not read: {counts} (read are JSON lines, JSON, CSV, TSV and Parquet, also with .gz or .zst)"


def keep_mapping(folder: Path, opened: "OwnLogs") -> None:
    """Keep the mapping, and the folder, in ``params.yaml``."""
    from cortex_pipelines.config import load_parameters
    from cortex_pipelines.projects.parameter_file import read_values, write_values

    if questions := opened.questions():
        raise click.ClickException("\n".join(questions))
    root = find_root()
    path, values = folder.resolve(), read_values(root)
    section = values.setdefault("coordination", {})
    section["logs"] = path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
    section["sample"] = False
    section["map"] = dict(opened.guess.mapping) if opened.guess else {}
    write_values(root, values)
    load_parameters(root)
    say(f"coordination.logs and coordination.map are in {root / 'params.yaml'}; now `cortex update && cortex run`")


def file_json(file: "FileSummary", opened: "OwnLogs", unused: dict[str, list[tuple[str, int]]]) -> dict[str, Any]:
    of_file = {reason: [line for name, line in locations if name == file.file] for reason, locations in unused.items()}
    mapping = dict(opened.guess.mapping) if opened.guess else {}
    return asdict(file) | {"map": mapping, "unused": {reason: lines for reason, lines in of_file.items() if lines}}


def print_files(files: "Sequence[FileSummary]") -> None:
    """Of many files, those with most that was not read."""
    ranked = sorted(files, key=lambda file: -len(file.rejected) - len(file.unread))
    hidden = {file.file for file in ranked[_FILES:]}
    for file in files:
        if file.file not in hidden:
            _print_file(file)
    if hidden:
        records = sum(file.records for file in ranked[_FILES:])
        rejected = sum(len(file.rejected) for file in ranked[_FILES:])
        click.echo(f"and {len(hidden):,} files more: {records:,} records, {rejected:,} rejected (--json lists all)")


def _print_file(file: "FileSummary") -> None:
    click.echo(
        f"{file.file}: {file.kind}, {file.records} records, {file.duplicates} duplicates, {file.test_rows} from "
        f"tests, {len(file.rejected)} rejected, {len(file.unread)} fields not understood"
    )
    for note in file.notes:
        click.echo(f"  {note}")
    for part in file.rejected[:_EXAMPLES]:
        click.echo(f"  {file.file}:{part['line']}: {part['reason']}")
    if len(file.rejected) > _EXAMPLES:
        click.echo(f"  and {len(file.rejected) - _EXAMPLES:,} more rejected")
    for reason, count in file.unread_by_reason.items():
        examples = [field for field in file.unread if field["reason"] == reason]
        for field in examples[:_EXAMPLES]:
            click.echo(f"  {file.file}:{field['line']}: {field['field']} {field['value']!r}: {reason}")
        if count > _EXAMPLES:
            click.echo(f"  and {count - _EXAMPLES:,} more: {reason}")
    for assumption, count in file.assumed.items():
        click.echo(f"  {count:,} times with {assumption}")
