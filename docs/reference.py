"""Writes the reference pages from the code: commands, parameters, assets, columns, fields of requests, Python.

Nothing here is a second copy: help texts, docstrings, bounds and contracts are read from where they
are declared, so a page cannot say something else than the program does.
"""

import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from cortex_pipelines.projects.parameter_file import docstrings as docstrings

ROOT = Path(__file__).parents[1]
PAGES = ("index", "commands", "parameters", "assets", "columns", "requests", "python")

DETERMINISM = {"exact": "the same bytes on every machine", "machine": "the same bytes on one type of processor"}

PYTHON = {
    "Functions": {
        "cortex_pipelines": (
            "extract_units",
            "scan_private",
            "open_project",
            "read_table",
            "load_parameters",
            "load_router",
            "load_adapter",
            "lineage",
        )
    },
    "What they return": {
        "cortex_pipelines.routing.serving.router": ("Router", "Decision"),
        "cortex_pipelines.release.open_model": ("LoadedModel",),
    },
    "Training a router": {"cortex_pipelines.routing.router_from_logs": ("train_on_logs", "TrainedRouter")},
    "Assets and tables": {
        "cortex_pipelines.versioning.asset": ("versioned_asset",),
        "cortex_pipelines.schemas.table": ("Table", "Column", "ContractError"),
    },
}
"""What is meant to be called from a notebook or a program, by topic."""


def write(folder: Path) -> None:
    """Write all pages; one that has not changed keeps its time, so that Sphinx skips it."""
    folder.mkdir(exist_ok=True)
    for name in PAGES:
        path, text = folder / f"{name}.md", "\n".join(globals()[f"{name}_page"]()) + "\n"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def index_page() -> Iterator[str]:
    """The list of the pages."""
    yield "# Reference\n\nGenerated from the code at each build.\n\n```{toctree}"
    yield from PAGES[1:]
    yield "```"


def commands_page() -> Iterator[str]:
    """Every command of ``cortex``, as its ``--help`` prints it."""
    from cortex_pipelines.cli.main import main

    yield (
        "# Commands\n\n`CORTEX_ROOT` names a project other than the one of the current folder. "
        "`CORTEX_DEBUG=1` prints the traceback of an error.\n"
    )
    for name, command in walk_commands(main):
        yield f"## cortex {name}\n\n```text"
        context = click.Context(command, info_name=f"cortex {name}", max_content_width=88)
        yield command.get_help(context).rstrip()
        yield "```\n"


def walk_commands(group: click.Group, prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    """Each command below a group with its full name, in alphabetical order."""
    for name, command in sorted(group.commands.items()):
        yield prefix + name, command
        if isinstance(command, click.Group):
            yield from walk_commands(command, f"{prefix}{name} ")


def parameters_page() -> Iterator[str]:
    """Every key of ``params.yaml``: type, bounds, meaning."""
    from cortex_pipelines.config import Parameters

    yield (
        "# Parameters\n\nThe keys of `params.yaml`. The values of those that are not written "
        "there, and as comments where they come from, are in the profiles: "
        "[`standard`](../../cortex_pipelines/profiles/standard.yaml), "
        "[`demo`](../../cortex_pipelines/profiles/demo.yaml), "
        "[`thorough`](../../cortex_pipelines/profiles/thorough.yaml). An unknown key is an "
        "error.\n"
    )
    meanings = docstrings(Parameters)
    shown: set[type] = set()
    for name, field in Parameters.model_fields.items():
        yield f"## {name}\n\n{meanings.get(name, '')}\n"
        for model in models_in(field.annotation):
            yield from _section(model, shown)


def _section(model: type[BaseModel], shown: set[type]) -> Iterator[str]:
    if model in shown:
        yield f"Keys as in `{model.__name__}` above.\n"
        return
    shown.add(model)
    yield f"`{model.__name__}`: {_one_line(inspect.getdoc(model) or '')}\n"
    yield "| key | type | meaning |\n| --- | --- | --- |"
    meanings = docstrings(model)
    for key, field in model.model_fields.items():
        yield f"| `{key}` | {_cell(_type_of(field))} | {_cell(meanings.get(key, ''))} |"
    yield ""
    for field in model.model_fields.values():
        for inner in models_in(field.annotation):
            if inner not in shown:
                yield from _section(inner, shown)


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The settings classes that a type is made of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from models_in(part)


def _type_of(field: FieldInfo) -> str:
    bounds = ", ".join(filter(None, (_bound(item) for item in field.metadata)))
    return type_name(field.annotation) + (f"; {bounds}" if bounds else "")


_SIGNS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<", "min_length": "length >=", "max_length": "length <="}


def _bound(item: Any) -> str:
    bounds = [f"{sign} {value}" for name, sign in _SIGNS.items() if (value := getattr(item, name, None)) is not None]
    return ", ".join(bounds)


def type_name(annotation: Any) -> str:
    """A type in the words of YAML."""
    origin, args = get_origin(annotation), get_args(annotation)
    if annotation is type(None):
        return "null"
    if origin is Annotated:
        bounds = ", ".join(filter(None, map(_bound, args[1:])))
        return type_name(args[0]) + (f" ({bounds})" if bounds else "")
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in args)
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(type_name(arg) for arg in args))
    if origin in (list, tuple, set, frozenset):
        return "list of " + type_name(args[0]) if args else "list"
    if origin is dict:
        return f"map of {type_name(args[0])} to {type_name(args[1])}"
    names = {str: "text", int: "integer", float: "number", bool: "true or false"}
    return names.get(annotation, f"`{getattr(annotation, '__name__', annotation)}`")


def assets_page() -> Iterator[str]:
    """Every asset: what it is, what it depends on, its tables, and how far it is reproducible."""
    from cortex_pipelines.catalog import open_project

    graph = open_project(ROOT).graph
    yield "# Assets\n\nIn the order of the graph. Columns: [](columns.md).\n"
    for asset in graph.order:
        wiring = graph.wiring(asset.name)
        yield f"## {asset.name}\n\n{_one_line(asset.description.split(chr(10) * 2)[0])}\n"
        scope = "one output per project" if asset.partitioned else "one output for all projects"
        yield f"- Room: `{asset.room}`; {scope}."
        yield f"- Determinism: *{asset.determinism}*, {DETERMINISM[asset.determinism]}."
        yield f"- Assets it reads: {_names(node.name for node in wiring.assets)}."
        yield f"- Pins: {_names(node.name for node in wiring.pins)}."
        yield f"- Parameters: {_names(wiring.sections)}."
        yield f"- Tables: {_names(table.name for table in asset.tables)}.\n"
    yield "## Pins\n\nWhat was last taken of something outside.\n\n| pin | file | meaning |"
    yield "| --- | --- | --- |"
    for pin in graph.pins.values():
        yield f"| `{pin.name}` | `{pin.lock}` | {_cell(pin.description)} |"


def columns_page() -> Iterator[str]:
    """Every column of every table: the data dictionary."""
    from cortex_pipelines.catalog import open_project
    from cortex_pipelines.cli.data_tables import render

    body = render(open_project(ROOT)).split("\n## ", 1)[1]
    yield (
        "# Columns\n\nEvery table is a Parquet file, `data/<asset>/<project>/<table>.parquet` "
        "(without the project where an asset has one output for all), sorted by its key.\n\n## "
    ) + body


def requests_page() -> Iterator[str]:
    """Every field of OpenAI's requests, and what the gateway does with it."""
    from cortex_pipelines.serving.http.openai_fields import FIELDS

    yield "# Fields of requests\n\nWhat the words mean: [](../guides/openai-api.md).\n"
    for title, table in (
        ("`/v1/completions`", "completions"),
        ("`/v1/chat/completions`", "chats"),
        ("`messages`", "messages"),
        ("`stream_options`", "stream_options"),
        ("`/v1/embeddings`", "embeddings"),
        ("`/completion`, `/infill` (llama.cpp)", "llama_cpp"),
    ):
        yield f"## {title}\n\n| field | | |\n| --- | --- | --- |"
        for field in FIELDS[table]:
            values = " or ".join(f"`{json.dumps(value)}`" for value in field.neutral)
            handling = f"{field.handling} unless {values}" if values else field.handling
            yield f"| `{field.name}` | {handling} | {field.note} |"
        yield ""


def python_page() -> Iterator[str]:
    """The functions and classes for notebooks and programs."""
    yield (
        "# Python interface\n\nThe package offers what a notebook needs: "
        "`from cortex_pipelines import extract_units`. Each function loads what it uses "
        "when it is called. The libraries behind them import no Dagster, DVC or MLflow: they "
        "take and return polars frames, paths and frozen dataclasses.\n"
    )
    for topic, modules in PYTHON.items():
        yield f"## {topic}\n"
        for module, names in modules.items():
            for name in names:
                value = getattr(__import__(module, fromlist=[name]), name)
                kind = "autoclass" if isinstance(value, type) else "autofunction"
                if isinstance(value, type) and issubclass(value, Exception):
                    kind = "autoexception"
                members = "\n   :members:" if kind == "autoclass" else ""
                yield f"```{{eval-rst}}\n.. {kind}:: {module}.{name}{members}\n```\n"


def _names(names: Any) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"


def _one_line(text: str) -> str:
    return " ".join(text.replace("``", "`").split())


def _cell(text: str) -> str:
    return _one_line(text).replace("|", "\\|")
