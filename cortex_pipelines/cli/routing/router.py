"""``cortex router``: train a task router outside the asset graph."""

from pathlib import Path

import click

_CHANCES = ("p_value", "p_loss", "p_corrected")


@click.group(epilog="Example: cortex router train coordination --out my-router")
def router() -> None:
    """Train a task router outside the asset graph, for an experiment or a notebook."""


@router.command(epilog="Example: cortex router train coordination --out my-router")
@click.argument("logs", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for the router.")
def train(logs: Path, out: Path) -> None:
    """Train on all logs under LOGS and write a folder for `cortex route --model`."""
    from cortex_pipelines.api import load_parameters
    from cortex_pipelines.routing.router_from_logs import train_on_logs

    trained = train_on_logs(logs, out, load_parameters())
    click.echo(
        f"{'model':<10} {'accuracy':>8} {'loss':>7} {'ECE':>6}  {'against':<10} gained lost "
        "  p        p(loss)  p(Holm)  adopted"
    )
    for step in trained.steps:
        chance = ["" if step[p] is None else f"{step[p]:.2g}" for p in _CHANCES]
        click.echo(
            f"{step['model']:<10} {step['accuracy']:>8.4f} {step['loss']:>7.4f} {step['ece']:>6.4f}"
            f"  {step['against'] or '':<10} {step['gained']:>6} {step['lost']:>4}   "
            f"{chance[0]:<8} {chance[1]:<8} {chance[2]:<8} {'yes' if step['adopted'] else 'no'}"
        )
    click.echo(
        f"{trained.tasks} tasks, {trained.masters} masters, out of fold; {trained.seconds:.0f} s. "
        f'Try: cortex route --model {out} "a task"',
        err=True,
    )
