"""``cortex promote`` and ``cortex rollback``: change the champion."""

from functools import cached_property
from typing import get_args

import click


class _Declared(click.Choice[str]):
    """Values of an enumeration in ``release.settings``, imported only when needed."""

    def __init__(self, name: str) -> None:
        self.case_sensitive = True
        self._name = name

    @cached_property
    def choices(self) -> tuple[str, ...]:  # type: ignore[override]
        from cortex_pipelines.release import settings

        return get_args(getattr(settings, self._name))


@click.command(epilog='Example: cortex promote task_router --strategy canary --why "agreed"')
@click.argument("model", required=False)
@click.option("--why", default="by hand", help="Reason, for the ledger.")
@click.option("--strategy", type=_Declared("Strategy"), help="Deployment strategy.")
@click.option("--target", type=_Declared("Target"), help="Deployment target.")
@click.option(
    "--share", type=click.FloatRange(0, 1, min_open=True, max_open=True), help="Share of requests routed to the canary."
)
def promote(model: str | None, why: str, strategy: str | None, target: str | None, share: float | None) -> None:
    """Promote the challenger of MODEL to champion; without MODEL, all that passed their gates.

    The deployment is planned in releases.lock; options that are not given are taken from
    `deployment` in params.yaml. With --strategy canary or shadow the champion stays until the
    canary is promoted too, by this command or by the gateway. Repeating the command changes
    nothing.
    """
    from cortex_pipelines.catalog import open_project
    from cortex_pipelines.release import promote
    from cortex_pipelines.versioning.root import find_root

    if share is not None and strategy not in (None, "canary"):
        raise click.UsageError("--share goes with --strategy canary")
    project = open_project(find_root())
    overrides = {"strategy": strategy, "target": target, "share": share}
    deployment = promote.deployment(project, {k: v for k, v in overrides.items() if v is not None})
    if model is None:
        entries = promote.promote_passed(project, why, deployment, _say)
    else:
        released_model = promote.find_model(project, model)
        entry = promote.promote(project, released_model, why, deployment, _say)
        entries = (entry,) if entry else ()
    _say("\n".join(entry.describe() for entry in entries) or "nothing to promote")


@click.command(epilog='Example: cortex rollback task_router --why "slow in production"')
@click.argument("model")
@click.option("--why", default="by hand", help="Reason, for the ledger.")
@click.option("--to", help="Version that was champion once, such as 1.0.0, or `baseline`.")
def rollback(model: str, why: str, to: str | None) -> None:
    """End the canary of MODEL, or restore the previous champion.

    Repeating the command changes nothing; --to goes further back.
    """
    from cortex_pipelines.catalog import open_project
    from cortex_pipelines.release import promote
    from cortex_pipelines.versioning.root import find_root

    project = open_project(find_root())
    entry = promote.rollback(project, promote.find_model(project, model), why, to)
    unchanged_note = "rolled back already; `--to VERSION` goes further" if to is None else "champion already"
    _say(entry.describe() if entry else f"{model}: {unchanged_note}")


def _say(text: str) -> None:
    click.echo(text, err=True)
