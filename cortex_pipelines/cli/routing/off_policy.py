"""``cortex off-policy``: what a new policy would be worth, from another policy's log."""

import json
from dataclasses import asdict
from pathlib import Path

import click


@click.command("off-policy", epilog="Example: cortex off-policy decisions.jsonl --json")
@click.argument("log", type=click.Path(path_type=Path))
@click.option("--low", type=float, help="Smallest possible reward, with --high.")
@click.option("--high", type=float, help="Largest possible reward, with --low.")
@click.option("--json", "as_json", is_flag=True, help="JSON instead of text.")
def off_policy(log: Path, low: float | None, high: float | None, as_json: bool) -> None:
    """Estimate a new policy's mean reward from the decisions of another in LOG.

    LOG holds one decision a line: its reward, the propensity (the probability with which it was
    taken) and the target (the probability with which the new policy would take it). Estimates are
    self-normalised (snips) and plain (ips) inverse propensity scores with 95 % intervals. Where the
    log does not support them, the reason is printed too. Rewards are taken to lie in the range that
    the log shows, or between --low and --high.
    """
    from cortex_pipelines.routing.evaluation.logged_policies import value_from_log

    worth = value_from_log(log, low, high)
    if as_json:
        click.echo(json.dumps(asdict(worth)))
        return
    for name, figures in (("snips", worth.snips), ("ips", worth.ips)):
        if figures.value is not None:
            click.echo(f"{name:<6} {figures.value:.4g} ({figures.low:.4g} to {figures.high:.4g})")
    click.echo(f"effective sample size {worth.effective:.1f}")
    if worth.refused:
        click.echo(f"refused: {worth.refused}")
