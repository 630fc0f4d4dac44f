"""``cortex index``, ``search``, ``context`` and ``graph``."""

import json
import os
import re
import shlex
import subprocess  # nosec B404: to open an editor
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cortex_pipelines.atomic import is_same_file
from cortex_pipelines.cli.console import (
    AS_JSON,
    AS_JSON_LIST,
    INPUT,
    NAMED,
    PATH,
    current_project,
    first_few,
    print_json,
    say,
)
from cortex_pipelines.versioning.root import find_root

if TYPE_CHECKING:
    from cortex_pipelines.retrieval.context import ReadText
    from cortex_pipelines.retrieval.graph.questions import AnswerStep, GraphAnswer
    from cortex_pipelines.retrieval.search import Searcher, SearchHit

_INDEX = click.option("--index", "index_folder", type=PATH, help="Folder of `cortex index`.")
_WIDTH = 110
_PROJECT = click.option("--project", help="This project only; by default all projects.")


def _require_one(index_folder: Path | None, project: str | None) -> None:
    if index_folder is not None and project is not None:
        raise click.UsageError("give --index for a folder or --project, not both")
    if index_folder is None:
        find_root()  # before seconds of imports


@click.command(epilog="Example: cortex index src --out /tmp/index")
@click.argument("path", required=False, type=NAMED)
@click.option("--out", type=PATH, help="Folder of the index.")
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
        find_root()  # before seconds of imports
        from cortex_pipelines.retrieval.project_index import rebuild as rebuilt

        collection = rebuilt(current_project(), project).collection
        note = "with vectors" if collection.vectors is not None else "by words alone"
        say(f"{collection.documents.height:,} places in {collection.files.height:,} files, {note}")
        return
    if path is None or out is None:
        raise click.UsageError("give PATH and --out FOLDER, or --rebuild in a project")
    from cortex_pipelines.api import load_parameters
    from cortex_pipelines.retrieval.open_index import index_folder

    built = index_folder(path, out, load_parameters(), encoder)
    say(f"{built.documents:,} places in {built.files:,} files: {out}")
    if built.note:
        say(built.note)
    for reason, count in built.left_out.items():
        say(f"left out ({reason}): {count:,}")


@click.command(epilog='Example: cortex search "where is the retry limit read" --project flask')
@click.argument("query", required=False)
@_INDEX
@_PROJECT
@click.option("--file", "file", type=INPUT, help="JSON lines: id and query.")
@click.option("--out", type=PATH, help="File for the results of --file.")
@click.option("-k", type=click.IntRange(1, 10_000), default=10, help="Most results of a query.")
@click.option("--language", help="Only files in this language.")
@click.option("--kind", help="Only this kind: function, method, class, section, file and others.")
@click.option("--path", help="Only these paths, as in .gitignore: 'src/**/*.py'.")
@click.option("--category", help="Only units of this category, as annotated_units has it.")
@click.option("--technology", help="Only units that use this library or framework.")
@click.option("--intent", help="Only units that read, write, compute, convert, check or wire, or do these words.")
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
@click.option("--open", "opened", is_flag=True, help="Open the best result in $EDITOR.")
@AS_JSON_LIST
def search(
    query: str | None,
    index_folder: Path | None,
    project: str | None,
    file: Path | None,
    out: Path | None,
    k: int,
    by: str | None,
    history: bool,
    opened: bool,
    as_json: bool,
    **conditions: Any,
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
    _require_one(index_folder, project)
    from cortex_pipelines.retrieval.filters import Filters
    from cortex_pipelines.retrieval.open_index import read_queries
    from cortex_pipelines.retrieval.queries import QueryError

    if conditions["since"] is not None:
        conditions["since"] = conditions["since"].date()
    filters = Filters(**conditions)
    if history:
        if query is None or index_folder is not None or by is not None or filters != Filters():
            raise click.UsageError("--history takes QUERY, --project, -k and --json only")
        _show_history(query, project, k, as_json)
        return
    if file is None or out is None:
        searcher = _open(index_folder, project)
        results = searcher.search(str(query), k, filters, by)
        _show(results, as_json, None if as_json else _text_of(index_folder, project), str(query))
        if opened and results:
            _edit(results[0], Path(searcher.index.manifest.root) if index_folder else None, project)
        return
    queries = read_queries(file)
    searcher = _open(index_folder, project)
    lines = []
    for number, (name, text) in enumerate(queries, start=1):
        hits: list[SearchHit] = []
        try:
            hits = searcher.search(text, k, filters, by)
        except QueryError as error:
            say(f"{file}, query {number}: {error}; it has no results")
        lines.append(json.dumps({"id": name, "results": [r.as_json() for r in hits]}))
    from cortex_pipelines.atomic import write_whole

    write_whole(out, "".join(f"{line}\n" for line in lines))
    say(f"results of {len(lines):,} queries in {out}")


def _show_history(query: str, project: str | None, k: int, as_json: bool) -> None:
    from cortex_pipelines.api import load_parameters
    from cortex_pipelines.retrieval.project_index import open_history

    history = open_history(current_project(), project, load_parameters())
    if history.searcher.note:
        say(history.searcher.note)
    changes = history.search(query, k)
    if as_json:
        print_json([change.as_json() for change in changes])
        return
    for change in changes:
        click.echo(f"{change.score:7.3f}  {change.commit[:60]}  {change.date:%Y-%m-%d}")
        click.echo(f"         {change.subject}")
        click.echo(f"         {first_few(change.paths, 3)}")


def _open(index_folder: Path | None, project: str | None) -> "Searcher":
    from cortex_pipelines.api import load_parameters
    from cortex_pipelines.retrieval.open_index import open_searcher
    from cortex_pipelines.retrieval.project_index import open_project_searcher

    if index_folder is not None:
        searcher = open_searcher(index_folder, load_parameters())
    else:
        searcher = open_project_searcher(current_project(), project, load_parameters())
    say(*filter(None, (searcher.note, searcher.refresh())))
    return searcher


def _text_of(index_folder: Path | None, project: str | None) -> "ReadText":
    """Reads the text of a file in an answer: of a folder's index from the folder, else from the project's data."""
    if index_folder is not None:
        from cortex_pipelines.retrieval.index import open_index

        return _folder_text(Path(open_index(index_folder).manifest.root))
    from cortex_pipelines.retrieval.project_index import project_text

    return project_text(current_project(), project)


def _folder_text(root: Path) -> "ReadText":
    from cortex_pipelines.api import load_parameters
    from cortex_pipelines.retrieval.documents import read_text
    from cortex_pipelines.retrieval.open_index import reading_limits

    limits = reading_limits(load_parameters())
    return lambda path: read_text(root, path, limits)


def _show(results: "list[SearchHit]", as_json: bool, read: "ReadText | None", query: str) -> None:
    if as_json or read is None:
        print_json([result.as_json() for result in results])
        return
    from cortex_pipelines.retrieval.search import shown_lines
    from cortex_pipelines.words import folded_words

    if not results:
        say("nothing is like that")
    words = set(folded_words(query))
    best = max((result.score for result in results), default=1.0)
    for result in results:
        mark = " (stale)" if result.stale else ""
        location = f"{result.path}:{result.start_line}"
        name = result.name if result.name and result.name != result.path else ""
        click.echo(f"{click.style(location, bold=True)}-{result.end_line}{mark}  {result.kind} {name}".rstrip())
        for number, line in shown_lines(result, read(result.path), words):
            click.echo(f"  {number:>5}  {_marked(line, words)}")
        click.echo(f"         {result.why}  ({result.score / best:.0%})")
    if results:
        say("in brackets: of the best score, the sum of what words, names and likeness in meaning count for")


def _marked(line: str, words: set[str]) -> str:
    """A line with the words of the query marked, where there are colours."""
    from cortex_pipelines.words import folded_words

    parts = re.split(r"(\w+)", line)
    return "".join(click.style(part, fg="yellow") if words & set(folded_words(part)) else part for part in parts)


def _edit(result: "SearchHit", folder: Path | None, project: str | None) -> None:
    """Open a result's file at its line; ClickException: it is in no folder of this machine."""
    path = result.path
    if folder is None:
        opened = current_project()
        name, _, path = (project, "", path) if project else path.partition("/")
        sources = opened.effective.parameters.projects[name].sources
        declared_paths = [str(value) for source in sources for value in source.declaration.values()]
        folder = next(
            (opened.root / path_value for path_value in declared_paths if (opened.root / path_value / path).is_file()),
            None,
        )
    if folder is None or not (folder / path).is_file():
        raise click.ClickException(f"{result.path} is in no folder here; its text is in the project's data")
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    location = f"{folder / path}:{result.start_line}"
    name = Path(shlex.split(editor)[0]).name
    arguments = ["--goto", location] if name in ("code", "codium", "cursor") else [location]
    if name in ("vi", "vim", "nvim", "nano", "emacs", "emacsclient", "micro", "kak"):
        arguments = [f"+{result.start_line}", str(folder / path)]
    subprocess.run([*shlex.split(editor), *arguments], check=False)  # nosec B603: the person's own editor


@click.command(epilog='Example: cortex context "retries ignore the limit" --project flask')
@click.argument("task")
@_INDEX
@_PROJECT
@click.option("--tokens", default=4000, show_default=True, help="Most tokens, 200 or more.")
@click.option("--prompt", is_flag=True, help="Print a worker's whole prompt, by the template `worker`.")
@click.option("--json", "as_json", is_flag=True, help="JSON with citations instead of text.")
def context(
    task: str, index_folder: Path | None, project: str | None, tokens: int, prompt: bool, as_json: bool
) -> None:
    """Show the code that TASK is about, packed into a budget of tokens for a prompt.

    TASK is a sentence, an error message, or the text of an issue; - reads it from standard input.
    """
    _require_one(index_folder, project)
    if prompt and as_json:
        raise click.UsageError("give --prompt or --json, not both")
    from cortex_pipelines.api import load_parameters
    from cortex_pipelines.serving.project_context import index_context, project_context

    if task == "-":
        task = sys.stdin.read()
    if index_folder is not None:
        source = index_context(index_folder, load_parameters())
    else:
        source = project_context(current_project(), project, load_parameters())
    packed = source.context(task, tokens)
    if prompt:
        from cortex_pipelines.prompts.templates import package_templates, project_templates
        from cortex_pipelines.serving.requests import worker

        templates = package_templates() if index_folder is not None else project_templates(find_root())
        text = worker(templates, task, packed.as_json())
        say(str(text.made_by[0]))
        click.echo(text.text)
        return
    if as_json:
        print_json(packed.as_json())
        return
    say(*filter(None, (packed.notice, f"{packed.tokens:,} tokens: {packed.counted_by}")))
    click.echo(packed.as_text(), nl=False)


@click.command(epilog="Example: cortex graph callers parse_duration --project shop")
@click.argument("question", type=click.Choice(["callers", "breaks", "tests", "path"]))
@click.argument("name")
@click.argument("to", required=False)
@_INDEX
@_PROJECT
@click.option("--depth", type=click.IntRange(1, 20), default=3, show_default=True, help="Most steps (breaks, tests).")
@AS_JSON
def graph(
    question: str, name: str, to: str | None, index_folder: Path | None, project: str | None, depth: int, as_json: bool
) -> None:
    """Show who calls NAME, what breaks if it changes, its tests, or the path from NAME to TO.

    NAME is a path, path:qualified.name, or the name of a function or type.
    """
    _require_one(index_folder, project)
    if (to is None) == (question == "path"):
        raise click.UsageError("path needs two names; callers, breaks and tests need one")
    from cortex_pipelines.retrieval.graph.open_graph import index_graph, project_graph

    if index_folder is not None:
        from cortex_pipelines.api import load_parameters

        opened = index_graph(index_folder, load_parameters())
    else:
        opened = project_graph(current_project(), project)
    answer = opened.ask(question, name, to, depth)
    if as_json:
        print_json(answer.as_json())
        return
    click.echo(answer.summary)
    read = cache(_text_of(index_folder, project))
    for step in answer.steps:
        click.echo(_line(step, answer))
        lines = (read(step.path) or "").split("\n")
        for number in (step.lines or (step.start_line,))[:1]:
            if 0 < number <= len(lines):
                click.echo(f"  {number:>5}  {lines[number - 1].strip()[:_WIDTH]}")
    if answer.notice:
        say(answer.notice)


def _line(step: "AnswerStep", answer: "GraphAnswer") -> str:
    span = f":{step.start_line}-{step.end_line}" if step.name else ""
    symbol = f"  {step.name}" if step.name else ""
    if step.relation == "changes_with":
        return f"{step.path}{span}  changes with {step.of} ({step.weight} commits)"
    distance = f" ({step.distance} steps away)" if step.distance > 1 and answer.question != "path" else ""
    line_numbers = ", ".join(map(str, step.lines[:5])) + (", …" if len(step.lines) > 5 else "")
    lines = f", line{'s' * (len(step.lines) > 1)} {line_numbers}" if line_numbers else ""
    return f"{step.path}{span}{symbol}  {step.relation} {step.of}{lines} [{step.resolution}]{distance}"
