"""``cortex context``."""

import json
import sys
from pathlib import Path

import click


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
    from cortex_pipelines.serving.task_context import index_context, project_context
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
        from cortex_pipelines.serving.request_prompts import worker

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
