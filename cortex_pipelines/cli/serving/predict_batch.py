"""``cortex predict-batch``."""

import json
import sys
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from cortex_pipelines.cli.serving.serve import require_packages


@click.command("predict-batch", epilog="Example: cortex predict-batch asked.jsonl --out made.jsonl")
@click.argument("file", type=click.File("rb"))
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Instead of printing.")
@click.option("--model", help="Model of lines that name none; else the only project with a champion.")
def predict_batch(file: Iterable[bytes], out: Path | None, model: str | None) -> None:
    """Answer each line of FILE, a body of POST /predict, by a line; - reads standard input.

    A line that cannot be answered gets an `error`, and the command ends with status 1. OUT is
    written when all lines are answered; after an interruption it is what it was.
    """
    if out is not None and _is_input_file(out, file):
        raise click.UsageError(f"{out} is the file of questions; name another one with --out")
    require_packages()
    from cortex_pipelines.atomic import atomic_file
    from cortex_pipelines.serving.http.batch import answer_lines
    from cortex_pipelines.serving.project_gateway import open_gateway
    from cortex_pipelines.versioning.root import find_root

    gateway = open_gateway(find_root(), model)
    total = failed = 0
    with ExitStack() as ending:
        ending.callback(gateway.close)
        write: Callable[[str], Any] = click.echo
        if out is not None:
            target = ending.enter_context(atomic_file(out)).open("w", encoding="utf-8")
            output = ending.enter_context(target)
            write = lambda line: output.write(line + "\n")  # noqa: E731
        for answer in answer_lines(gateway, file):
            total += 1
            failed += "error" in answer
            write(json.dumps(answer))
    if failed:
        click.echo(f"{failed} of {total} lines could not be answered; see their error", err=True)
        sys.exit(1)


def _is_input_file(out: Path, file: Iterable[bytes]) -> bool:
    from cortex_pipelines.atomic import is_same_file

    name = getattr(file, "name", None)  # a number where it is standard input
    return isinstance(name, str) and is_same_file(out, Path(name))
