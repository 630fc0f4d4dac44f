"""``cortex suggest``."""

import json
import re
from pathlib import Path

import click

_TASKS = ("completion", "refactoring", "naming", "architecture", "documentation", "tests")


@click.command(epilog="Example: cortex suggest naming --file example.py --model shop --name tmp")
@click.argument("task", type=click.Choice(_TASKS))
@click.argument("text", required=False)
@click.option("--file", "file", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Instead of TEXT.")
@click.option("--model", help="Project, project@champion or project@1.2.0; else the default.")
@click.option("--path", help="File that the text is from, where --file is not it.")
@click.option("--name", default="", help="Of a naming: the name to replace; else mark it <NAME>.")
@click.option("--kind", default="function", show_default=True, help="Of a naming: what is named.")
@click.option("--request", default="", help="Of a refactoring: what to do, as Extract Method.")
@click.option("--smell", default="", help="Of a refactoring: what to improve.")
@click.option("--test-path", default="", help="Of tests: the file that the test goes into.")
@click.option(
    "--alternatives", default=2, show_default=True, type=click.IntRange(0, 4), help="How many other answers to give."
)
def suggest(
    task: str,
    text: str | None,
    file: Path | None,
    model: str | None,
    path: str | None,
    name: str,
    kind: str,
    request: str,
    smell: str,
    test_path: str,
    alternatives: int,
) -> None:
    """Answer one TASK with what was promoted, as JSON: what the gateway answers at /predict."""
    if (text is None) == (file is None):
        raise click.UsageError("give the text in quotes, or --file FILE")
    from cortex_pipelines.serving.project_gateway import open_gateway
    from cortex_pipelines.serving.tasks import TaskContext, TaskError
    from cortex_pipelines.serving.tasks import suggest as answered
    from cortex_pipelines.versioning.root import find_root

    content = file.read_text(encoding="utf-8-sig") if file is not None else str(text)
    context_path = path or (file.as_posix() if file is not None else "")
    context = TaskContext(path=context_path, name=name, kind=kind, request=request, smell=smell, test_path=test_path)
    gateway = open_gateway(find_root(), model)
    try:
        suggestion = answered(gateway, None, task, content, context, gateway.datasets, alternatives)
    except TaskError as error:
        raise click.ClickException(_with_option_names(str(error))) from error
    finally:
        gateway.close()
    click.echo(json.dumps(suggestion.as_json(), ensure_ascii=False))


def _with_option_names(words: str) -> str:
    """An error about a task's context, with the names of the command's options."""
    with_path = words.replace("context.language", "context.path")  # the language follows from its extension
    return re.sub(r"context\.(\w+)", lambda field: f"--{field[1].replace('_', '-')}", with_path)
