"""``cortex index``, ``search``, ``context`` and ``graph``."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cortex_pipelines.atomic import is_same_file

if TYPE_CHECKING:
    from datetime import datetime

    from cortex_pipelines.retrieval.graph.questions import AnswerStep, CodeGraph, GraphAnswer
    from cortex_pipelines.retrieval.open_index import Filters, SearchHit
    from cortex_pipelines.retrieval.search import Searcher


@click.command(epilog="Example: cortex index src --out /tmp/index")
@click.argument("path", required=False, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the index.")
@click.option("--rebuild", is_flag=True, help="Instead: make the project's own index again.")
@click.option("--project", help="With --rebuild: only this project's index, not those of all projects.")
@click.option(
    "--encoder",
    type=click.Choice(["auto", "sentence", "none"]),
    default="auto",
    help="Meaning beside words: the sentence encoder, or none (faster). auto: up to 40,000 places.",
)
def index(path: Path | None, out: Path | None, rebuild: bool, project: str | None, encoder: str) -> None:
    """Make an index of PATH, any folder, for `cortex search --index`.

    `cortex search --project` makes its index by itself; --rebuild deletes it and makes it again
    from the same assets, with the same answers.
    """
    if rebuild:
        if path or out:
            raise click.UsageError("--rebuild takes no PATH and no --out; --project NAME chooses")
        _rebuild(project)
        return
    if path is None or out is None:
        raise click.UsageError("give PATH and --out FOLDER, or --rebuild in a project")
    from cortex_pipelines.api import load_parameters
    from cortex_pipelines.retrieval.open_index import index_folder

    built = index_folder(path, out, load_parameters(), encoder)
    click.echo(f"{built.documents:,} places in {built.files:,} files: {out}", err=True)
    if built.note:
        click.echo(built.note, err=True)
    for reason, count in built.left_out.items():
        click.echo(f"left out ({reason}): {count:,}", err=True)


def _rebuild(name: str | None) -> None:
    from cortex_pipelines.catalog import open_project
    from cortex_pipelines.retrieval.project_index import rebuild
    from cortex_pipelines.versioning.root import find_root

    collection = rebuild(open_project(find_root()), name).collection
    vector_note = "with vectors" if collection.vectors is not None else "by words alone"
    click.echo(f"{collection.documents.height:,} places in {collection.files.height:,} files, {vector_note}", err=True)


@click.command(epilog='Example: cortex search "where is the retry limit read" --project flask')
@click.argument("query", required=False)
@click.option("--index", "index_folder", type=click.Path(path_type=Path), help="Folder of `cortex index`.")
@click.option("--project", help="Search this project only; by default all projects.")
@click.option("--file", "file", type=click.Path(path_type=Path), help="JSON lines: id and query.")
@click.option("--out", type=click.Path(path_type=Path), help="File for the results of --file.")
@click.option("-k", type=click.IntRange(1, 10_000), default=10, help="Most results of a query.")
@click.option("--language", help="Only files in this language.")
@click.option("--kind", help="Only this kind: function, method, class, section, file and others.")
@click.option("--path", "glob", help="Only these paths, as in .gitignore: 'src/**/*.py'.")
@click.option("--category", help="Only units of this category, as annotated_units has it.")
@click.option("--licence", help="Only files under this SPDX licence.")
@click.option("--author", help="Only files that this pseudonym changed last.")
@click.option("--tests/--no-tests", default=None, help="Only tests, or none.")
@click.option("--min-complexity", type=int, help="Only units of this cyclomatic complexity or more.")
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="Only files changed since this day.")
@click.option(
    "--by",
    type=click.Choice(["unit", "file", "folder"]),
    help="Rank places, files or folders; default: files for an issue's text, else places.",
)
@click.option("--history", is_flag=True, help="Search commits instead of code.")
@click.option("--json", "as_json", is_flag=True, help="A JSON list instead of a table.")
def search(
    query: str | None,
    index_folder: Path | None,
    project: str | None,
    file: Path | None,
    out: Path | None,
    k: int,
    language: str | None,
    kind: str | None,
    glob: str | None,
    category: str | None,
    licence: str | None,
    author: str | None,
    tests: bool | None,
    min_complexity: int | None,
    since: "datetime | None",
    by: str | None,
    history: bool,
    as_json: bool,
) -> None:
    """Find the places in code and documentation that QUERY is about.

    QUERY is words, an identifier, a line of code, an error message, or the text of an issue.
    """
    if (query is None) == (file is None):
        raise click.UsageError("give one query in quotes, or --file queries.jsonl")
    if (out is None) != (file is None):
        raise click.UsageError("--file and --out go together")
    if file is not None and out is not None and is_same_file(out, file):
        raise click.UsageError("--out would overwrite the queries of --file; name another file")
    if index_folder is not None and project is not None:
        raise click.UsageError("give --index for a folder or --project, not both")
    from cortex_pipelines.retrieval.open_index import Filters, read_queries

    day = since.date() if since else None
    facts = (category, licence, author, tests, min_complexity, day)
    filters = Filters(language, kind, glob, *facts)
    if history:
        if query is None or index_folder is not None or by is not None or filters != Filters():
            raise click.UsageError("--history takes QUERY, --project, -k and --json only")
        _show_history(query, project, k, as_json)
        return
    if file is None or out is None:
        results = _open(index_folder, project).search(str(query), k, filters, by)
        _show(results, as_json)
        return
    questions = read_queries(file)
    searcher = _open(index_folder, project)
    lines = []
    for number, question in enumerate(questions, start=1):
        hits = _answer(searcher, question.query, k, filters, by, f"{file}, query {number}")
        lines.append(json.dumps({"id": question.id, "results": [r.as_json() for r in hits]}))
    from cortex_pipelines.atomic import write_whole

    write_whole(out, "".join(f"{line}\n" for line in lines))
    click.echo(f"results of {len(lines):,} queries in {out}", err=True)


def _show_history(query: str, project: str | None, k: int, as_json: bool) -> None:
    from cortex_pipelines.api import load_parameters
    from cortex_pipelines.catalog import open_project
    from cortex_pipelines.retrieval.project_index import open_history
    from cortex_pipelines.versioning.root import find_root

    history = open_history(open_project(find_root()), project, load_parameters())
    if history.searcher.note:
        click.echo(history.searcher.note, err=True)
    changes = history.search(query, k)
    if as_json:
        click.echo(json.dumps([change.as_json() for change in changes], indent=1))
        return
    for change in changes:
        more = f" and {len(change.paths) - 3:,} more" if len(change.paths) > 3 else ""
        click.echo(f"{change.score:7.3f}  {change.commit[:60]}  {change.date:%Y-%m-%d}")
        click.echo(f"         {change.subject}")
        click.echo(f"         {', '.join(change.paths[:3])}{more}")


def _answer(
    searcher: "Searcher", query: str, k: int, filters: "Filters", by: str | None, location: str
) -> "list[SearchHit]":
    from cortex_pipelines.retrieval.queries import QueryError

    try:
        return searcher.search(query, k, filters, by)
    except QueryError as error:
        click.echo(f"{location}: {error}; it has no results", err=True)
        return []


def _open(index_folder: Path | None, project: str | None) -> "Searcher":
    from cortex_pipelines.api import load_parameters
    from cortex_pipelines.retrieval.open_index import open_searcher
    from cortex_pipelines.retrieval.project_index import open_project_searcher

    if index_folder is not None:
        searcher = open_searcher(index_folder, load_parameters())
    else:
        from cortex_pipelines.catalog import open_project
        from cortex_pipelines.versioning.root import find_root

        searcher = open_project_searcher(open_project(find_root()), project, load_parameters())
    for sentence in filter(None, (searcher.note, searcher.refresh())):
        click.echo(sentence, err=True)
    return searcher


def _show(results: "list[SearchHit]", as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([result.as_json() for result in results], indent=1))
        return
    if not results:
        click.echo("nothing is like that", err=True)
    for result in results:
        mark = " (stale)" if result.stale else ""
        location = f"{result.path}:{result.start_line}-{result.end_line}"
        click.echo(f"{result.score:7.3f}  {location}{mark}  {result.kind} {result.name}")
        click.echo(f"         {result.why}")


@click.command(epilog='Example: cortex context "retries ignore the limit" --project flask')
@click.argument("task")
@click.option("--index", "index_folder", type=click.Path(path_type=Path), help="Folder of `cortex index`.")
@click.option("--project", help="Use this project only; by default all projects.")
@click.option("--tokens", default=4000, show_default=True, help="Most tokens, 200 or more.")
@click.option("--prompt", is_flag=True, help="Print a worker's whole prompt, by the template `worker`.")
@click.option("--json", "as_json", is_flag=True, help="JSON with citations instead of text.")
def context(
    task: str, index_folder: Path | None, project: str | None, tokens: int, prompt: bool, as_json: bool
) -> None:
    """Show the code that TASK is about, packed into a budget of tokens for a prompt.

    TASK is a sentence, an error message, or the text of an issue; - reads it from standard input.
    """
    if index_folder is not None and project is not None:
        raise click.UsageError("give --index for a folder or --project, not both")
    if prompt and as_json:
        raise click.UsageError("give --prompt or --json, not both")
    from cortex_pipelines.api import load_parameters
    from cortex_pipelines.serving.project_services import index_context, project_context
    from cortex_pipelines.versioning.root import find_root

    if task == "-":
        task = sys.stdin.read()
    if index_folder is not None:
        source = index_context(index_folder, load_parameters())
    else:
        from cortex_pipelines.catalog import open_project

        source = project_context(open_project(find_root()), project, load_parameters())
    packed = source.context(task, tokens)
    if prompt:
        from cortex_pipelines.prompts.templates import package_templates, project_templates
        from cortex_pipelines.serving.requests import worker

        templates = package_templates() if index_folder is not None else project_templates(find_root())
        text = worker(templates, task, packed.as_json())
        click.echo(text.made_by[0], err=True)
        click.echo(text.text)
        return
    if as_json:
        click.echo(json.dumps(packed.as_json(), indent=1))
        return
    for sentence in filter(None, (packed.notice, f"{packed.tokens:,} tokens: {packed.counted_by}")):
        click.echo(sentence, err=True)
    click.echo(packed.as_text(), nl=False)


@click.command(epilog="Example: cortex graph callers parse_duration --project shop")
@click.argument("question", type=click.Choice(["callers", "breaks", "tests", "path"]))
@click.argument("name")
@click.argument("to", required=False)
@click.option("--index", "index_folder", type=click.Path(path_type=Path), help="Folder of `cortex index`.")
@click.option("--project", help="Use this project only; by default all projects.")
@click.option(
    "--depth", type=click.IntRange(1, 20), default=3, show_default=True,
    help="Most steps of breaks and tests.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="JSON instead of a line a place.")
def graph(
    question: str, name: str, to: str | None, index_folder: Path | None, project: str | None, depth: int, as_json: bool
) -> None:
    """Show who calls NAME, what breaks if it changes, its tests, or the path from NAME to TO.

    NAME is a path, path:qualified.name, or the name of a function or type.
    """
    if index_folder is not None and project is not None:
        raise click.UsageError("give --index for a folder or --project, not both")
    if (to is None) == (question == "path"):
        raise click.UsageError("path needs two names; callers, breaks and tests need one")
    answer = _open_graph(index_folder, project).ask(question, name, to, depth)
    if as_json:
        click.echo(json.dumps(answer.as_json(), indent=1))
        return
    for step in answer.steps:
        click.echo(_line(step, answer))
    if answer.notice:
        click.echo(answer.notice, err=True)


def _open_graph(index_folder: Path | None, project: str | None) -> "CodeGraph":
    from cortex_pipelines.retrieval.graph.open_graph import index_graph, project_graph

    if index_folder is not None:
        from cortex_pipelines.api import load_parameters

        return index_graph(index_folder, load_parameters())
    from cortex_pipelines.catalog import open_project
    from cortex_pipelines.versioning.root import find_root

    return project_graph(open_project(find_root()), project)


def _line(step: "AnswerStep", answer: "GraphAnswer") -> str:
    span = f":{step.start_line}-{step.end_line}" if step.name else ""
    symbol = f"  {step.name}" if step.name else ""
    if step.relation == "changes_with":
        return f"{step.path}{span}  changes with {step.of} ({step.weight} commits)"
    distance = f" ({step.distance} steps away)" if step.distance > 1 and answer.question != "path" else ""
    line_numbers = ", ".join(map(str, step.lines[:5])) + (", …" if len(step.lines) > 5 else "")
    lines = f", line{'s' * (len(step.lines) > 1)} {line_numbers}" if line_numbers else ""
    return f"{step.path}{span}{symbol}  {step.relation} {step.of}{lines} [{step.resolution}]{distance}"
