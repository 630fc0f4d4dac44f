"""Commands on learned models: what was compared, and which candidate is used."""

import click

from cortex_pipelines.cli.console import AS_JSON_LIST, current_project, print_json, print_table, say


@click.command(epilog="Example: cortex leaderboard --json")
@AS_JSON_LIST
def leaderboard(as_json: bool) -> None:
    """Compare the candidates of each learned task with its simplest one, and show which is adopted.

    A candidate is adopted if the interval of its difference to the simplest lies above zero; a
    positive difference is better. The intervals of a task's differences hold together. Seconds and
    megabytes (peak of the process) are those of the last training on this machine.
    """
    from cortex_pipelines.tracking.leaderboard import HEAD, rendered
    from cortex_pipelines.tracking.leaderboard import leaderboard as read

    rows = read(current_project())
    if as_json:
        print_json(rows)
        return
    if not rows:
        say("nothing was compared yet; `cortex run outcome_evaluation --upstream` compares predictors of outcomes")
    print_table(HEAD, rendered(rows))
