"""What the commands share: types of arguments, the project they run in, messages and tables."""

import json
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, wraps
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, get_args

import click

from cortex_pipelines.atomic import temporary_folder
from cortex_pipelines.versioning.root import find_root

if TYPE_CHECKING:
    import dagster as dg
    from rich.console import Console

    from cortex_pipelines.versioning.project import Project


def _is_stream(value: Any) -> bool:
    path = Path(value)
    return value == "-" or (path.exists() and not path.is_file() and not path.is_dir())


class NamedPath(click.Path):
    """A file or folder that is read by its name, which standard input (``-``) or a pipe (``<(...)``) does not have."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if _is_stream(value):
            self.fail(f"{value} has no name that says how to read it; save it as a file first", param, ctx)
        return super().convert(value, param, ctx)


class InputPath(click.Path):
    """A file or folder to read; of standard input (``-``) or a pipe (``<(...)``), the file into which it was copied."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if ctx is None or not _is_stream(value):
            return super().convert(value, param, ctx)
        copy = ctx.with_resource(temporary_folder("input")) / "standard-input"
        with click.open_file(value, "rb") as stream, copy.open("wb") as file:
            shutil.copyfileobj(stream, file)
        return copy


class TaskText(click.ParamType[str]):
    """A task in words, of which there is at least one."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not value.strip():
            self.fail("it is empty; say in a sentence what is to be done", param, ctx)
        return value


PATH = click.Path(path_type=Path)
NAMED = NamedPath(path_type=Path)
TASK = TaskText()
INPUT = InputPath(path_type=Path)
EXISTING_INPUT = InputPath(path_type=Path, dir_okay=False, exists=True)
FILE = click.Path(path_type=Path, dir_okay=False)
EXISTING_FILE = click.Path(path_type=Path, dir_okay=False, exists=True)

_PIPE_WIDTH = 400
_P = ParamSpec("_P")
_R = TypeVar("_R")

AS_JSON = click.option("--json", "as_json", is_flag=True, help="JSON instead of text.")
AS_JSON_LIST = click.option("--json", "as_json", is_flag=True, help="A JSON list instead of a table.")


class Declared(click.Choice[str]):
    """Values of a ``Literal`` of a module, which is imported only when needed."""

    def __init__(self, module: str, name: str) -> None:
        self.case_sensitive = True
        self._place = module, name

    @cached_property
    def choices(self) -> tuple[str, ...]:  # type: ignore[override]
        module, name = self._place
        return get_args(getattr(import_module(module), name))


def in_project(command: Callable[_P, _R]) -> Callable[_P, _R]:
    """Outside of a project, refuse before the command imports anything."""

    @wraps(command)
    def checked(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        find_root()
        return command(*args, **kwargs)

    return checked


def current_project() -> "Project":
    root = find_root()
    from cortex_pipelines.catalog import open_project

    return open_project(root)


def current_instance() -> "dg.DagsterInstance":
    root = find_root()
    from cortex_pipelines.versioning.dagster.instance import close_databases, open_instance

    click.get_current_context().call_on_close(close_databases)
    return open_instance(root)


def open_workspace() -> "tuple[Project, dg.Definitions, dg.DagsterInstance]":
    """The project with its Dagster definitions and instance."""
    from cortex_pipelines.orchestration.location import open_location

    return *open_location(find_root()), current_instance()


def say(*sentences: str) -> None:
    """Write messages to standard error, one a line; standard output is for results."""
    for sentence in sentences:
        click.echo(sentence, err=True)


def first_few(names: Sequence[str], most: int) -> str:
    """The first ``most`` names, and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most:,} more" if len(names) > most else "")


def at_terminal() -> bool:
    """Whether a person can be asked."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=1))


def text_console() -> "Console":
    """A console for people's texts; off a terminal so wide that no path or reason is broken over lines."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH, markup=False, emoji=False)


def print_table(head: Sequence[Any], rows: Iterable[Sequence[str]]) -> None:
    """Print rows under their columns (names, or columns of rich); nothing without rows."""
    from rich import box
    from rich.table import Table

    table = Table(*head, box=box.SIMPLE_HEAD)
    for row in rows:
        table.add_row(*row)
    if table.row_count:
        text_console().print(table)
