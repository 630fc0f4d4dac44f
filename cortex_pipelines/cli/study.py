"""``cortex study``."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from cortex_pipelines.operations.study import Studied


@click.group(epilog="Example: cortex study adapters ../study")
def study() -> None:
    """Measure on real projects what a model is worth."""


@study.command(epilog="Example: cortex study adapters ../study --project express --project eslint")
@click.argument("folder", type=click.Path(file_okay=False, resolve_path=True, path_type=Path))
@click.option("--project", "chosen", multiple=True, help="Only this listed project; repeatable.")
@click.option("--repo", "repositories", multiple=True, metavar="NAME=PATH", help="A clone as well.")
@click.option("--tokens", type=click.IntRange(min=1), help="Training tokens of each adapter.")
@click.option("--items", type=click.IntRange(min=1), default=200, help="Held-out items of a task.")
@click.option(
    "--questions", type=click.IntRange(min=0), default=100, help="Of each of three kinds."
)
@click.option("--precision", type=click.Choice(["fp32", "bf16"]), help="Of training.")
def adapters(
    folder: Path,
    chosen: tuple[str, ...],
    repositories: tuple[str, ...],
    tokens: int | None,
    items: int,
    questions: int,
    precision: str | None,
) -> None:
    """Train and evaluate an adapter for each of several public projects in FOLDER.

    Compared are the base, similar code in the prompt, the adapter, both, another project's adapter,
    n-grams, and mixtures. What is made already is kept: the same command goes on where it was
    stopped. Options on sizes count when the study begins.
    """
    from cortex_pipelines.catalog import open_project
    from cortex_pipelines.operations.study import begin_study, means, results, write_results
    from cortex_pipelines.orchestration.study import run_study

    training = {"max_tokens": tokens, "precision": precision}
    limits: dict[str, dict[str, object]] = {
        "adapters": {name: value for name, value in training.items() if value is not None},
        "evaluation": {"items": items, "choices": questions, "retrieved_choices": questions},
    }
    clones = {name: Path(path) for name, _, path in (text.partition("=") for text in repositories)}
    if "" in clones or Path() in clones.values():
        raise click.BadParameter("give NAME=PATH", param_hint="--repo")
    for sentence in begin_study(folder, chosen, clones, limits):
        click.echo(sentence, err=True)
    outcome = run_study(folder, lambda text: click.echo(text, err=True))
    studied = results(open_project(folder))
    click.echo(_table(studied))
    click.echo()
    for name, mean in means(studied).items():
        ends = "" if mean.low is None else f" ({mean.low:+.1%} to {mean.high:+.1%})"
        click.echo(f"{name}: {mean.estimate:+.1%}{ends}")
    click.echo(f"{write_results(folder, studied)}", err=True)
    for address, words in outcome.failed.items():
        click.echo(f"FAILED {address}: {words}", err=True)
    if outcome.failed:
        sys.exit(1)


def _table(studied: "list[Studied]") -> str:
    """A table in Markdown: bits per byte of completions, and questions answered correctly."""
    ways = list(dict.fromkeys(way for one in studied for way in one.bits))
    asked = list(dict.fromkeys(way for one in studied for way in one.correct))
    head = ["project", "language", "lines", "completions", *ways]
    head += ["adapter saves over the base", "over similar code", "questions"]
    head += [f"correct: {way}" for way in asked] + ["forgetting", "best"]
    rows = [head, ["---"] * len(head)]
    for one in studied:
        row = [one.name, one.language, f"{one.lines:,}", str(one.items)]
        row += [f"{one.bits[way]:.3f}" if way in one.bits else "" for way in ways]
        row += [_gain(one, "base"), _gain(one, "context"), str(one.questions)]
        row += [f"{one.correct[way]:.0%}" if way in one.correct else "" for way in asked]
        row += ["" if one.forgetting is None else f"{one.forgetting:+.1%}", one.best]
        rows.append(row)
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _gain(one: "Studied", over: str) -> str:
    gain = one.gains.get(over)
    if gain is None:
        return ""
    mark = "" if gain.p < 0.05 else ", not shown"
    return f"{gain.estimate:+.3f} ({gain.low:+.3f} to {gain.high:+.3f}{mark})"
