"""``cortex mutate``: inject bugs into a file."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from cortex_pipelines.augmentation.mutation.inject import Mutant


@click.command(epilog="Example: cortex mutate src/app.py --json --limit 20")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="A JSON list instead of a table.")
@click.option("--limit", type=click.IntRange(min=0), help="Sample this many, weighted by how common such bugs are.")
def mutate(file: Path, as_json: bool, limit: int | None) -> None:
    """Inject bugs into FILE, one at a time, and explain each with its fix."""
    from cortex_pipelines.api import load_parameters
    from cortex_pipelines.augmentation.mutation.file_mutation import mutate_code

    data, language = _code(file)
    parameters = load_parameters()
    max_bytes = parameters.extraction.max_file_bytes
    if len(data) > max_bytes:
        raise ValueError(f"{file}: {len(data):,} bytes; extraction.max_file_bytes is {max_bytes:,}")
    settings = parameters.augmentation
    mutants = mutate_code(data, language, file.name, parameters.extraction, settings, limit)
    if as_json:
        click.echo(json.dumps([_row(mutant) for mutant in mutants], indent=1))
    else:
        _show(mutants)
    click.echo(f"{len(mutants):,} mutants of {file}", err=True)


def _code(file: Path) -> tuple[bytes, str]:
    """Text and language of a file.

    Raises:
        ValueError: not a file of code in a language with mutation operators.
    """
    from cortex_pipelines.ingestion.files.languages import language_of
    from cortex_pipelines.syntax.grammars import PARSED

    if not file.is_file():
        raise ValueError(f"{file}: {'is a folder' if file.is_dir() else 'no such file'}; give a file")
    data = file.read_bytes()
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: is not UTF-8 (byte {error.start}); save it as UTF-8") from error
    language = language_of(file.name, text)
    if language not in PARSED:
        supported = ", ".join(sorted(PARSED))
        raise ValueError(f"{file}: language {language or 'unknown'}; supported: {supported}")
    return data, str(language)


def _row(mutant: "Mutant") -> dict[str, Any]:
    row = asdict(mutant)
    compiles = row.pop("compiles")
    return row | {"verification": [*mutant.verification, *(["compiles"] if compiles else [])]}


def _show(mutants: "list[Mutant]") -> None:
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("operator", "family", "bytes", "what is wrong", box=box.SIMPLE_HEAD)
    for mutant in mutants:
        span = f"{mutant.start_byte}-{mutant.end_byte}"
        table.add_row(mutant.operator, mutant.error_type, span, escape(mutant.explanation))
    Console().print(table)
