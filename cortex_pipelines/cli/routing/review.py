"""``cortex review``: tasks that the router left to a person."""

import click


@click.command(epilog="Example: cortex review 3fa2b81c09 security --by anna")
@click.argument("task", required=False)
@click.argument("master", required=False)
@click.option("--by", help="Who decides; a pseudonym is kept. By default whoever is logged in.")
@click.option("--drop", is_flag=True, help="Delete TASK without an answer.")
@click.option("--json", "as_json", is_flag=True, help="A JSON list instead of a table.")
def review(task: str | None, master: str | None, by: str | None, drop: bool, as_json: bool) -> None:
    """List the tasks that the router left to a person, or decide that TASK belongs to MASTER.

    The most informative come first: those between two masters, and those whose guess the similar
    past tasks speak against. The gateway keeps them where `serving.review` of params.yaml is true.
    An answer is a record of the logs: `cortex update` pins it, and the next router learns from it.
    """
    import getpass

    from cortex_pipelines.serving import review_decisions
    from cortex_pipelines.versioning.root import find_root

    if task and bool(master) == drop:
        raise click.UsageError("give TASK and MASTER, or TASK and --drop")
    if drop and not task:
        raise click.UsageError("--drop goes with TASK")
    root = find_root()
    if task and drop:
        review_decisions.drop(root, task)
        click.echo(f"{task} is deleted", err=True)
    elif task and master:
        path = review_decisions.decide(root, task, master, by or getpass.getuser())
        click.echo(f"{task} belongs to {master}, says {path.name}; now `cortex update`", err=True)
    else:
        _list(as_json)


def _list(as_json: bool) -> None:
    import json
    from dataclasses import asdict

    from rich import box
    from rich.console import Console
    from rich.table import Table

    from cortex_pipelines.serving.review_decisions import WAITING, review_queue, waiting_rows
    from cortex_pipelines.versioning.root import find_root

    root = find_root()
    if as_json:
        waiting = review_queue(root).open()
        click.echo(json.dumps([asdict(task) for task in waiting], indent=1))
        return
    rows = waiting_rows(root)
    if not rows:
        click.echo("no task waits for a person")
        return
    table = Table(*WAITING, box=box.SIMPLE_HEAD)
    for row in rows:
        table.add_row(*row)
    Console(markup=False, emoji=False).print(table)  # people wrote the texts
