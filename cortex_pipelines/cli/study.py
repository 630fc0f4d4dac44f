"""``cortex study``."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from cortex_pipelines.cli.console import EXISTING_FILE, say

if TYPE_CHECKING:
    from cortex_pipelines.orchestration.adapter_study.results import ProjectResult

_SIZES = {"items": "items", "choices": "questions", "retrieved_choices": "shown"}
"""Parameter of the evaluation, to its option."""


@click.group(epilog="Example: cortex study adapters ../study")
def study() -> None:
    """Measure on real projects what a model is worth."""


@study.command(epilog="Example: cortex study adapters ../study --project express --project eslint")
@click.argument("folder", type=click.Path(file_okay=False, resolve_path=True, path_type=Path))
@click.option("--project", "projects", multiple=True, help="Only this project; repeatable.")
@click.option("--repo", "repositories", multiple=True, metavar="NAME=PATH", help="A clone as well.")
@click.option("--tokens", type=click.IntRange(min=1), multiple=True, help="Training tokens of each; repeatable.")
@click.option("--items", type=click.IntRange(min=1), default=200, help="Held-out items of a task.")
@click.option("--questions", type=click.IntRange(min=0), default=100, help="Of each of three kinds.")
@click.option(
    "--shown",
    "context_questions",
    type=click.IntRange(min=0),
    default=40,
    help="Of each kind also with similar code; one costs as much as six without.",
)
@click.option("--precision", type=click.Choice(["fp32", "bf16"]), help="Of training and evaluation.")
def adapters(
    folder: Path,
    projects: tuple[str, ...],
    repositories: tuple[str, ...],
    tokens: tuple[int, ...],
    items: int,
    questions: int,
    context_questions: int,
    precision: str | None,
) -> None:
    """Train and evaluate an adapter for each of several public projects in FOLDER.

    Compared are the base, similar code in the prompt, the adapter, both, and another project's
    adapter. What is made already is kept: the same command goes on where it was stopped, and a
    project's results are whole before the next one begins. FOLDER/study.json holds them. Options on
    sizes, but for --tokens, count when the study begins; later, other values are refused. With
    --project the others in FOLDER wait, and a listed project that it lacks is added; --repo counts
    as chosen.
    """
    from cortex_pipelines.orchestration.adapter_study.results import read_recorded_results
    from cortex_pipelines.orchestration.adapter_study.study_project import create_study, run_study

    sizes = {"items": items, "choices": questions, "retrieved_choices": context_questions}
    if (folder / "params.yaml").exists():  # the defaults are those of a study that begins
        source = click.get_current_context().get_parameter_source
        sizes = {key: sizes[key] for key, option in _SIZES.items() if source(option) is ParameterSource.COMMANDLINE}
    chosen_precision = {"precision": precision} if precision else {}
    limits: dict[str, dict[str, object]] = {
        "adapters": {**chosen_precision},
        "evaluation": {**sizes, **chosen_precision},
    }
    paths_by_name = {name: path for name, _, path in (text.partition("=") for text in repositories)}
    clones = {name: Path(path) for name, path in paths_by_name.items()}
    if len(paths_by_name) < len(repositories):
        raise click.BadParameter("give each NAME once", param_hint="--repo")
    if "" in paths_by_name or "" in paths_by_name.values():
        raise click.BadParameter("give NAME=PATH", param_hint="--repo")
    for sentence in create_study(folder, projects, clones, limits):
        say(sentence)
    only = {*projects, *clones} if projects else set()
    outcome = run_study(folder, sorted(tokens), say, only)
    _print_tables(read_recorded_results(folder))
    for address, error in outcome.failed.items():
        say(f"FAILED {address}: {error}")
    if outcome.failed:
        sys.exit(1)


@study.command(epilog="Example: cortex study table ../study/study.json --pictures docs")
@click.argument("files", nargs=-1, required=True, type=EXISTING_FILE)
@click.option(
    "--pictures",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder for study-saved.svg and study-answered.svg.",
)
def table(files: tuple[Path, ...], pictures: Path | None) -> None:
    """Show the results of one study, or of a study that several machines shared.

    FILES are the study.json of each. Gains are corrected for the number of all their projects.
    """
    from cortex_pipelines.orchestration.adapter_study.results import answered_picture, read_results, saved_picture

    results = read_results(files)
    _print_tables(results)
    if pictures:
        (pictures / "study-saved.svg").write_bytes(saved_picture(results))
        (pictures / "study-answered.svg").write_bytes(answered_picture(results))


def _print_tables(results: "list[ProjectResult]") -> None:
    if not results:
        say("no project has results yet")
        return
    from cortex_pipelines.orchestration.adapter_study.results import TABLES

    click.echo("\n\n".join(text for table in TABLES if (text := table(results))))
