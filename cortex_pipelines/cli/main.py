"""Command line interface, for people and for ``dvc.yaml``."""

import errno
import gc
import logging
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import click

from cortex_pipelines.atomic import temporary_files
from cortex_pipelines.cli.bases import models
from cortex_pipelines.cli.check import check
from cortex_pipelines.cli.code import extract, mutate, patterns, refactorings, scan
from cortex_pipelines.cli.console import AS_JSON, current_project, in_project, print_json, say
from cortex_pipelines.cli.data_tables import anomalies, card, dictionary, drift, logs
from cortex_pipelines.cli.failures import failure_message
from cortex_pipelines.cli.feedback import feedback
from cortex_pipelines.cli.gateway import audit, experiment, keys, prompts
from cortex_pipelines.cli.groups import GROUPS, alias, suggestion
from cortex_pipelines.cli.learned import defects, explain, forecast, leaderboard
from cortex_pipelines.cli.memory import memory
from cortex_pipelines.cli.models import export, latency, promote, releases, reproduce, rollback, tune_machine, verify
from cortex_pipelines.cli.project import (
    backup,
    forget,
    init,
    merge_driver,
    params,
    remove,
    resolve,
    restore,
    test_environment,
)
from cortex_pipelines.cli.routing import off_policy, predict, review, route, router
from cortex_pipelines.cli.run import retrain, run, sync
from cortex_pipelines.cli.search import context, graph, index, search
from cortex_pipelines.cli.serving import lsp, mcp, predict_batch, serve, suggest
from cortex_pipelines.cli.status import report, status, summary
from cortex_pipelines.cli.study import study
from cortex_pipelines.versioning.root import ProjectError, find_root

_SENTENCES = frozenset({"query", "task", "text"})
"""Arguments of commands that are texts of several words."""


class _Cortex(click.Group):
    """Command group that turns every error into one sentence; see ``cli.failures``."""

    def main(self, *args: Any, **extra: Any) -> Any:
        if sys.getfilesystemencoding() != "utf-8":  # paths are written to files, which are UTF-8
            os.environ["PYTHONUTF8"] = "1"  # for dvc, too
            os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])  # nosec B606
        return super().main(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            names = {each.name for each in error.ctx.command.params} if error.ctx else set()
            if "unexpected extra argument" in error.message and names & _SENTENCES:
                raise click.UsageError(f"{error.message}; put a text of several words in quotes", error.ctx) from error
            raise
        except (click.ClickException, click.exceptions.Exit, click.Abort, SystemExit):
            raise  # click's own exits
        except KeyboardInterrupt as error:
            message = "interrupted; what was finished is kept, the same command goes on from there"
            raise _Interrupted(str(error) or message) from error
        except BaseException as error:
            # a panic of Rust code is not an Exception
            debugging = ctx.params.get("debug") or os.environ.get("CORTEX_DEBUG")
            if debugging or (isinstance(error, OSError) and error.errno == errno.EPIPE):
                raise  # click exits quietly if the reader is gone
            try:
                root = find_root()
            except (ProjectError, OSError):
                root = None
            raise click.ClickException(failure_message(error, root)) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands by what they are for; those of no group come last."""
        grouped = {name for names in GROUPS.values() for name in names.split()}
        ungrouped = " ".join(name for name in self.list_commands(ctx) if name not in grouped)
        for heading, names in {**GROUPS, "Other commands": ungrouped}.items():
            commands = [(name, self.get_command(ctx, name)) for name in names.split()]
            rows = [
                (name, command.get_short_help_str(1000)) for name, command in commands if command and not command.hidden
            ]
            if rows:
                with formatter.section(heading):
                    formatter.write_dl(rows)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        word = args[0]
        if (command_name := alias(word)) is not None and self.get_command(ctx, word) is None:
            say(f"{word} is `cortex {command_name}` here")
            return super().resolve_command(ctx, [command_name, *args[1:]])
        if self.get_command(ctx, word) is None and not word.startswith("-"):
            hint = suggestion(word, self.list_commands(ctx)) or "; `cortex --help` lists them"
            raise click.UsageError(f"no command {word}{hint}", ctx)
        return super().resolve_command(ctx, args)


class _Interrupted(click.ClickException):
    exit_code = 130  # as shells have it for Ctrl-C


@click.group(
    cls=_Cortex,
    invoke_without_command=True,
    subcommand_metavar="COMMAND [ARGS]",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option("--debug", is_flag=True, help="Show where an error comes from (CORTEX_DEBUG=1).")
@click.version_option(package_name="cortex-pipelines", prog_name="cortex")
@click.pass_context
def main(ctx: click.Context, debug: bool) -> None:
    """Train models on a team's code and agent logs, with reproducible data."""
    logging.basicConfig(level=logging.WARNING if debug else logging.ERROR, stream=sys.stderr, format="%(message)s")
    logging.getLogger("cortex_pipelines").setLevel(logging.INFO)
    if not debug and not sys.warnoptions:
        warnings.simplefilter("ignore")  # what libraries warn of is for those who develop this
    gc.set_threshold(50_000)  # what is imported is never garbage: collecting it was a fifth of a short command
    if ctx.invoked_subcommand in _READING:  # a second thread of linear algebra only waits
        os.environ.setdefault("OMP_NUM_THREADS", "1")
    programs = str(Path(sys.executable).parent)  # of this environment, activated or not
    if programs not in os.environ.get("PATH", "").split(os.pathsep):
        os.environ["PATH"] = os.pathsep.join(filter(None, (programs, os.environ.get("PATH"))))
    if ctx.invoked_subcommand is None:
        _show_next_step(ctx)
        return
    ctx.with_resource(temporary_files())
    if ctx.invoked_subcommand in ("doctor", "init", "lsp", "merge-driver", "resolve"):
        return  # these work while a file of the project is in conflict
    try:
        root = find_root()
    except ProjectError:
        return  # not every command needs a project
    from cortex_pipelines.orchestration.recovery import recover
    from cortex_pipelines.versioning.merging.conflicts import require_no_conflicts

    require_no_conflicts(root)
    say(*recover(root))


def _show_next_step(ctx: click.Context) -> None:
    """What to do next in a project; outside of one, the help."""
    from cortex_pipelines.versioning.dvc.yaml_files import peek_yaml
    from cortex_pipelines.versioning.lock_file import locked_stages
    from cortex_pipelines.versioning.parameters import STAGE as PARAMETERS

    try:
        root = find_root()
    except ProjectError:
        click.echo(ctx.get_help())
        return
    projects = (peek_yaml(root / "params.yaml") or {}).get("projects") or {}
    # the parameters are in git, so that every clone has them
    stages = [stage for address, stage in locked_stages(root).items() if address != PARAMETERS]
    paths = [out["path"] for stage in stages for out in stage.get("outs") or ()]
    output_count = sum((root / path).exists() for path in paths) if projects else 0
    click.echo(f"{root}: {', '.join(projects) or 'no project yet'}")
    if not projects:
        click.echo("next: `cortex add NAME SOURCE`, a path, a URL, or pypi:NAME==VERSION")
    elif not output_count:
        click.echo("next: `cortex run --plan` shows what it takes, `cortex run` makes it")
    else:
        click.echo(
            f"{output_count} outputs are made; `cortex status` lists the stale ones, `cortex run` makes them again"
        )
        click.echo("next: `cortex summary` shows what came of it, `cortex serve` serves what was promoted")
    click.echo("`cortex --help` lists all commands")


_READING = (
    *("search", "context", "graph", "route", "releases", "summary"),
    *("lineage", "status", "leaderboard", "forecast", "defects", "explain"),
)

for _command in (
    *(check, defects, extract, lsp, mutate, patterns, refactorings, scan),
    *(anomalies, card, dictionary, drift, logs),
    *(export, forecast, latency, leaderboard, models, promote, releases, reproduce, rollback, tune_machine, verify),
    *(backup, forget, init, merge_driver, params, remove, resolve, restore, test_environment),
    *(context, explain, graph, index, memory, search),
    *(off_policy, predict, review, route, router),
    *(audit, experiment, feedback, keys, mcp, predict_batch, prompts, serve, suggest),
    *(report, retrain, run, status, study, summary, sync),
):
    main.add_command(_command)


@main.command(epilog="Example: cortex add flask pypi:flask==3.1.3")
@click.argument("name")
@click.argument("source")
@click.option(
    "--control", is_flag=True, help="It represents all other code: gains on it do not count as learning a project."
)
@click.option("--no-control", is_flag=True, help="Add no package as the control where none is named.")
@in_project
def add(name: str, source: str, control: bool, no_control: bool) -> None:
    """Add a project called NAME with the source SOURCE.

    SOURCE is a path, a URL, pypi:NAME==VERSION or npm:NAME@VERSION.
    """
    from cortex_pipelines.ingestion.entries import SourceError
    from cortex_pipelines.orchestration.planning import estimate_new, missing_control
    from cortex_pipelines.projects.added import CONTROL, add_control, describe_project
    from cortex_pipelines.projects.create import add_project

    root = find_root()
    add_project(root, name, source, control)
    say(f"{name} is added and its source pinned")
    try:
        added = describe_project(root, name)
    except SourceError as error:  # it may be mended where it lies
        raise click.ClickException(
            f"its files cannot be listed: {error}. "
            f"Mend it there, then `cortex update {name}`; or `cortex remove {name}`"
        ) from error
    estimates = estimate_new(current_project(), name, added.size) if added.size else {}
    for label, text in {**added.words, **estimates}.items():
        click.echo(f"  {label:<10} {text}")
    try:
        control_source = None if no_control else add_control(root, name, added.language)
    except (ProjectError, SourceError) as error:
        say(f"no control was added: {error}")
    else:
        if control_source:
            say(f"{CONTROL} ({control_source}) is added as the control: an adapter has to save more on its own project")
            say("than there. `general.project` in params.yaml names another.")
    say(*missing_control(current_project(), name))
    say(f"next: `cortex run --plan --project {name}` lists each step, `cortex run` makes what is new")


@main.command(epilog="Example: cortex completion bash >> ~/.bashrc")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what makes SHELL complete commands and options."""
    from click.shell_completion import get_completion_class

    completion_class = get_completion_class(shell)
    if completion_class is not None:
        click.echo(completion_class(main, {}, "cortex", "_CORTEX_COMPLETE").source())


@main.command(epilog="Example: cortex update flask")
@click.argument("project", required=False)
@in_project
def update(project: str | None) -> None:
    """Update the pins in sources.lock to the current sources, of all projects or of PROJECT."""
    from cortex_pipelines.projects.update_pins import UnreadSourcesError, update_pins

    try:
        changed = update_pins(find_root(), project)
    except UnreadSourcesError as error:
        say(*(f"moved: {key}" for key in error.changed))
        raise
    say("\n".join(f"moved: {key}" for key in changed) or "every pin is where it was")


@main.command("dvc-yaml", epilog="Example: cortex dvc-yaml --check")
@click.option("--check", is_flag=True, help="Only fail if dvc.yaml is out of date.")
@in_project
def dvc_yaml(check: bool) -> None:
    """Write dvc.yaml from the asset graph."""
    from cortex_pipelines.release.ledger import ensure_keys, project_models
    from cortex_pipelines.versioning.dvc import stages

    project = current_project()
    if check:
        stages.check(project)
    else:
        ensure_keys(project.root, project_models(project))
        stages.write(project)


@main.command(epilog="Example: cortex lineage task_router@champion")
@click.argument("model")
@AS_JSON
@in_project
def lineage(model: str, as_json: bool) -> None:
    """Trace MODEL, MODEL@ALIAS or MODEL/VERSION back to its data sets and source commits."""
    from cortex_pipelines.projects.status import node_facts
    from cortex_pipelines.tracking.lineage import lineage as walk
    from cortex_pipelines.tracking.lineage import render

    project = current_project()
    tree = walk(project, model)
    if as_json:
        print_json(tree.to_json())
    else:
        click.echo(render(tree, node_facts(project)))
        say(f"`cortex lineage {model} --json` has the whole hashes and the runs")


@main.command(epilog="Example: cortex doctor")
def doctor() -> None:
    """Check what is missing on this machine, and how to install it."""
    from cortex_pipelines.projects.doctor import check_machine

    try:
        root = find_root()
    except ProjectError:
        root = None
        say("this folder is not a project: only the machine is checked; `cortex init FOLDER` makes a project")
    missing = 0
    for finding in check_machine(root):
        missing += finding.needed and not finding.good
        mark = "ok     " if finding.good else "MISSING" if finding.needed else "WITHOUT"
        click.echo(f"{mark} {finding.what}: {finding.detail}")
        if not finding.good:
            click.echo(f"        {finding.remedy}")
    if missing:
        sys.exit(1)
