"""``cortex summary``."""

import click


@click.command(epilog="Example: cortex summary")
def summary() -> None:
    """Show what was built for each project, how each model did, and where the reports are."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from cortex_pipelines.catalog import open_project
    from cortex_pipelines.projects.summary import model_scores, project_data
    from cortex_pipelines.versioning.root import find_root

    project = open_project(find_root())
    console = Console()
    data = Table(box=box.SIMPLE_HEAD, padding=(0, 2, 0, 0))
    data.add_column("project", no_wrap=True)
    for name in ("files", "units of code", "training examples"):
        data.add_column(name, justify="right")
    data.add_column("report and map", overflow="fold")
    for row in project_data(project):
        numbers = (f"{number:,}" for number in (row.files, row.units, row.examples))
        pages = [page for page in (row.report, row.map) if page]
        data.add_row(row.name, *numbers, "\n".join(pages) or "not made yet")
    console.print(data)
    evaluated = list(model_scores(project))
    for model in evaluated:
        console.print(f"[bold]{model.name}[/bold]: {model.verdict or 'no verdict yet'}")
        if model.reason:
            click.echo(f"  {model.reason}")
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 2, 0, 0))
        for name in ("on held-out items", "model", "compared with", "improvement", "items"):
            table.add_column(name)
        for score in model.scores:
            compared = f"{score.against} {score.reference}"
            table.add_row(score.what, score.model, compared, score.difference, f"{score.items:,}")
        console.print(table)
        click.echo(f"  {model.report}\n")
    if evaluated:
        click.echo("In brackets: 95 % intervals. An interval that includes 0 shows no difference.")
    else:
        click.echo("No model is evaluated yet: `cortex run` makes what is missing.")
