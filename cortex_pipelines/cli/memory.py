"""``cortex memory``: what people and agents want kept of a project."""

from typing import TYPE_CHECKING, Any

import click

from cortex_pipelines.cli.console import AS_JSON, in_project, print_json, say
from cortex_pipelines.retrieval.notes.note import KINDS, SUMMARY, Kind
from cortex_pipelines.versioning.root import find_root

if TYPE_CHECKING:
    from cortex_pipelines.retrieval.notes.project_notes import ProjectNotes

_PROJECT = click.option("--project", help="The project; without it the only one.")
_AUTHOR = click.option("--author", help="Mail address or name of an agent; without it yours, as git has it.")


@click.group(epilog='Example: cortex memory search "rounding of prices" --project shop')
def memory() -> None:
    """Keep, find and forget notes, decisions, outcomes and exchanges of a project."""


@memory.command(epilog='Example: cortex memory add "prices are rounded half up" --kind decision --project shop')
@click.argument("text")
@_PROJECT
@click.option("--kind", type=click.Choice(tuple(KINDS)), default="note", show_default=True, help="What it is.")
@click.option("--answer", default="", help="The answer, if TEXT is the question of an exchange.")
@click.option("--supersedes", help="Identity of the entry in whose place it is.")
@click.option("--origin", default="cortex memory", show_default=True, help="Where it comes from.")
@_AUTHOR
@in_project
def add(
    text: str, project: str | None, kind: Kind, answer: str, supersedes: str | None, origin: str, author: str | None
) -> None:
    """Keep TEXT, without the secrets and personal data in it, and print its identity."""
    if kind == "exchange" and not answer:
        raise click.UsageError("an exchange is a question with its --answer")
    added = _open(project).add(author or "", text, kind, origin, answer, supersedes)
    if added["redacted"]:
        say(f"kept without {added['redacted']} secrets or personal data")
    click.echo(added["id"])


@memory.command(epilog='Example: cortex memory search "rounding of prices" --project shop')
@click.argument("query")
@_PROJECT
@click.option("-k", type=click.IntRange(1, 100), default=10, help="Most entries.")
@click.option("--kind", type=click.Choice((*KINDS, SUMMARY)), help="Only this kind.")
@click.option("--history", is_flag=True, help="Also what was superseded.")
@_AUTHOR
@AS_JSON
@in_project
def search(
    query: str, project: str | None, k: int, kind: str | None, history: bool, author: str | None, as_json: bool
) -> None:
    """Find what is kept about QUERY, what was tried on tasks like it, and relations of its names.

    Of exchanges only those of --author are shown.
    """
    answer = _open(project).search(author or "", query, k, kind, history)
    if as_json:
        print_json(answer)
        return
    if answer["notice"]:
        say(answer["notice"])
    for entry in answer["entries"]:
        _show(entry)
    for task in answer["attempts"]:
        for attempt in task["tried"]:
            decided = attempt["succeeded"] + attempt["failed"]
            result = f"{attempt['succeeded']} of {decided} succeeded" if decided else attempt["outcome"] or "unknown"
            click.echo(f"tried: {task['task']}  {attempt['worker']} ({attempt['attempts']} times, {result})")
    for edge in answer["relations"]:
        click.echo(f"{edge['source']} {edge['kind']} {edge['target']}  ({edge['origin']})")
    if not (answer["entries"] or answer["attempts"] or answer["relations"]):
        say("nothing is kept about that")


@memory.command(epilog="Example: cortex memory show --project shop")
@_PROJECT
@_AUTHOR
@AS_JSON
@in_project
def show(project: str | None, author: str | None, as_json: bool) -> None:
    """Show a project as you left it: exchanges, notes, and what is new since you were here."""
    overview = _open(project).show(author or "")
    if as_json:
        print_json(overview)
        return
    languages = overview["metadata"].get("languages", {})
    files = ", ".join(f"{count:,} {name}" for name, count in languages.items()) or "not made yet"
    say(f"{overview['project']}: files: {files}; {overview['answers']} cached answers")
    if overview["since"] is not None:
        changed = ", ".join(overview["changed"]) or "no asset"
        say(f"since {overview['since']}: {changed} changed, {overview['added']} entries of others")
    for entry in (*overview["history"], *overview["notes"]):
        _show(entry)


@memory.command(epilog="Example: cortex memory forget 3f9a0c11d2e4 --project shop")
@click.argument("ids", nargs=-1)
@_PROJECT
@click.option("--author", help="All entries of this mail address, key or agent.")
@click.option("--before", help="Only what was added before this day, such as 2026-01-31.")
@in_project
def forget(ids: tuple[str, ...], project: str | None, author: str | None, before: str | None) -> None:
    """Delete the entries IDS, or all of an author or before a day, from the files.

    What is named together has to hold together. `cortex forget` reaches the memories, too.
    """
    if not (ids or author or before):
        raise click.UsageError("say what to forget: identities, --author or --before")
    from datetime import date

    if before is not None:
        try:
            before = date.fromisoformat(before).isoformat()
        except ValueError as error:
            raise click.BadParameter(f"{before} is not a day such as 2026-01-31") from error
    deletion = _open(project).forget(author, ids, before)
    say(f"{len(deletion['forgotten'])} entries deleted, and all cached answers")


def _open(project: str | None) -> "ProjectNotes":
    from cortex_pipelines.serving.project_services import open_notes

    return open_notes(find_root(), project)


def _show(entry: dict[str, Any]) -> None:
    mark = f", superseded by {entry['superseded_by']}" if "superseded_by" in entry else ""
    click.echo(f"{entry['id']}  {entry['at'][:10]}  {entry['kind']}{mark}: {entry['text']}")
    if "answer" in entry:
        click.echo(f"              {entry['answer']}")
