"""Command line interface, for people and for ``dvc.yaml``."""

import errno
import json
import logging
import os
import sys
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cortex_pipelines.atomic import temporary_files
from cortex_pipelines.cli.data.dictionary import dictionary
from cortex_pipelines.cli.data.extract import extract
from cortex_pipelines.cli.data.logs import logs
from cortex_pipelines.cli.data.mutate import mutate
from cortex_pipelines.cli.data.patterns import patterns
from cortex_pipelines.cli.data.refactorings import refactorings
from cortex_pipelines.cli.data.scan import scan
from cortex_pipelines.cli.failures import failure_message
from cortex_pipelines.cli.models.export import export, verify
from cortex_pipelines.cli.models.promote import promote, rollback
from cortex_pipelines.cli.models.releases import releases
from cortex_pipelines.cli.models.reproduce import reproduce
from cortex_pipelines.cli.models.tune_machine import tune_machine
from cortex_pipelines.cli.monitoring.anomalies import anomalies
from cortex_pipelines.cli.monitoring.drift import drift
from cortex_pipelines.cli.projects.backup import backup, restore
from cortex_pipelines.cli.projects.forget import forget
from cortex_pipelines.cli.projects.init import init
from cortex_pipelines.cli.projects.params import params
from cortex_pipelines.cli.projects.remove import remove
from cortex_pipelines.cli.projects.resolve import merge_driver, resolve
from cortex_pipelines.cli.projects.status import status
from cortex_pipelines.cli.projects.study import study
from cortex_pipelines.cli.projects.summary import summary
from cortex_pipelines.cli.projects.test_environment import test_environment
from cortex_pipelines.cli.projects.upgrade import upgrade
from cortex_pipelines.cli.retrieval.context import context
from cortex_pipelines.cli.retrieval.graph import graph
from cortex_pipelines.cli.retrieval.memory import memory
from cortex_pipelines.cli.retrieval.search import index, search
from cortex_pipelines.cli.routing.off_policy import off_policy
from cortex_pipelines.cli.routing.predict import predict
from cortex_pipelines.cli.routing.review import review
from cortex_pipelines.cli.routing.route import route
from cortex_pipelines.cli.routing.router import router
from cortex_pipelines.cli.serving.audit import audit
from cortex_pipelines.cli.serving.experiment import experiment
from cortex_pipelines.cli.serving.feedback import feedback
from cortex_pipelines.cli.serving.keys import keys
from cortex_pipelines.cli.serving.mcp import mcp
from cortex_pipelines.cli.serving.predict_batch import predict_batch
from cortex_pipelines.cli.serving.prompts import prompts
from cortex_pipelines.cli.serving.serve import serve
from cortex_pipelines.cli.serving.suggest import suggest
from cortex_pipelines.versioning.root import ProjectError, find_root

if TYPE_CHECKING:
    import dagster as dg

    from cortex_pipelines.orchestration.runs import RunOutcome
    from cortex_pipelines.versioning.project import Project


class _Cortex(click.Group):
    """Command group that turns every error into one sentence; see ``cli.failures``."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise  # click's own exits
        except KeyboardInterrupt as error:
            raise _Interrupted from error
        except SystemExit:
            raise
        except BaseException as error:
            # a panic of Rust code is not an Exception
            if _debugging(ctx) or (isinstance(error, OSError) and error.errno == errno.EPIPE):
                raise  # click exits quietly if the reader is gone
            raise click.ClickException(failure_message(error, _root())) from error


class _Interrupted(click.ClickException):
    """Ctrl-C, with the exit status that shells use for it."""

    exit_code = 130

    def __init__(self) -> None:
        super().__init__("interrupted; what was finished is kept, the same command goes on from there")


def _debugging(ctx: click.Context) -> bool:
    return bool(ctx.params.get("debug") or os.environ.get("CORTEX_DEBUG"))


def _root() -> Path | None:
    try:
        return find_root()
    except (ProjectError, OSError):
        return None


def _is_not_retry_notice(record: logging.LogRecord) -> bool:
    """False for dagster-postgres's retry notices, since its error is shown in the end."""
    return not str(record.msg).startswith("Retrying failed database connection")


def _example(text: str) -> str:
    return f"Example: {text}"


@click.group(cls=_Cortex, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show where an error comes from (CORTEX_DEBUG=1).")
@click.pass_context
def main(ctx: click.Context, debug: bool) -> None:
    """Train models on a team's code and agent logs, with reproducible data."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(message)s")
    logging.getLogger("cortex_pipelines").setLevel(logging.INFO)
    logging.getLogger().addFilter(_is_not_retry_notice)
    # at each start it mentions a package that only speeds up 4-bit inference on some processors
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    ctx.with_resource(temporary_files())
    if ctx.invoked_subcommand not in _IN_CONFLICT:
        _recover()


_IN_CONFLICT = ("doctor", "init", "merge-driver", "resolve")
"""Commands that work while a file of the project is in conflict."""


def _recover() -> None:
    from cortex_pipelines.orchestration.recovery import recover
    from cortex_pipelines.versioning.merging.conflicts import require_no_conflicts

    try:
        root = find_root()
    except ProjectError:
        return  # not every command needs a project
    require_no_conflicts(root)
    if not os.access(root, os.W_OK):
        return  # mounted read-only, as for a gateway in a container: nothing to clean up
    for sentence in recover(root):
        _say(sentence)


_COMMANDS = (
    anomalies,
    audit,
    backup,
    context,
    dictionary,
    drift,
    experiment,
    export,
    extract,
    feedback,
    forget,
    graph,
    index,
    init,
    keys,
    logs,
    mcp,
    memory,
    merge_driver,
    mutate,
    off_policy,
    params,
    patterns,
    predict,
    predict_batch,
    promote,
    prompts,
    refactorings,
    releases,
    remove,
    reproduce,
    resolve,
    restore,
    review,
    rollback,
    route,
    router,
    scan,
    search,
    serve,
    status,
    study,
    suggest,
    summary,
    test_environment,
    tune_machine,
    upgrade,
    verify,
)
for _command in _COMMANDS:
    main.add_command(_command)


def _open() -> "tuple[Project, dg.Definitions, dg.DagsterInstance]":
    from cortex_pipelines.orchestration.location import open_location
    from cortex_pipelines.versioning.dagster.instance import open_instance

    root = find_root()
    project, definitions = open_location(root)
    return project, definitions, open_instance(root)


def _say(text: str) -> None:
    click.echo(text, err=True)


def _report_outcome(outcome: "RunOutcome", project: "Project") -> None:
    """Report failures and exit with an error if there are any."""
    for address, error in outcome.failed.items():
        _say(f"FAILED {address}: {error}")
    if outcome.failed:
        from cortex_pipelines.orchestration.planning import unused_code

        for sentence in unused_code(project, outcome.failed):
            _say(sentence)
        sys.exit(1)


@main.command(epilog=_example("cortex run code_units --project flask"))
@click.argument("assets", nargs=-1)
@click.option("--project", "partition", help="Only this project.")
@click.option("--upstream", is_flag=True, help="Also whatever ASSETS are made from and is stale.")
@click.option("--plan", "only_plan", is_flag=True, help="Show what would run; run nothing.")
def run(assets: tuple[str, ...], partition: str | None, upstream: bool, only_plan: bool) -> None:
    """Build only the named ASSETS; without names, everything that is stale.

    NAME@PROJECT, as other commands show it, is NAME with --project PROJECT.
    """
    from cortex_pipelines.orchestration import runs
    from cortex_pipelines.orchestration.syncing import sync_project

    assets, partition = _split_addresses(assets, partition)
    if only_plan:
        from cortex_pipelines.catalog import open_project

        workspace = open_project(find_root())
        _check_names(workspace, assets, partition)
        planned = workspace.graph.upstream(assets) if upstream else assets
        _show_plan(workspace, planned, partition, _buildable_assets(workspace))
        return
    project, definitions, instance = _open()
    _check_names(project, assets, partition)
    if "DVC_STAGE" not in os.environ:  # within dvc repro, DVC holds the locks that a sync needs
        sync_project(project, definitions, instance)
    if upstream or not assets:
        among = project.graph.upstream(assets) if assets else _buildable_assets(project)
        outcome = runs.run_stale(project, definitions, instance, partition, _say, among)
        _say(f"{len(outcome.made)} made" if outcome.made else "nothing is stale")
        _report_outcome(outcome, project)
        return
    outcome = runs.RunOutcome()
    for partitioned, names in runs.split_by_partitioning(project, assets):
        parts: tuple[str | None, ...] = project.partitions if partitioned else (None,)
        for part in (partition,) if partitioned and partition else parts:
            outcome += runs.run_assets(project, definitions, instance, names, part)
    _report_outcome(outcome, project)


@main.command(epilog=_example("cortex retrain --plan"))
@click.argument("model", required=False)
@click.option("--plan", "only_plan", is_flag=True, help="Show the decisions; run nothing.")
@click.option("--anyway", is_flag=True, help="Train whatever is stale, whatever the policy says.")
def retrain(model: str | None, only_plan: bool, anyway: bool) -> None:
    """Make what is stale, and train those models again that the policy of retraining names.

    The policy is section `retraining` of params.yaml. MODEL is a name as in `cortex releases`;
    without it all are decided.
    """
    from cortex_pipelines.orchestration import retraining
    from cortex_pipelines.orchestration.syncing import sync_project
    from cortex_pipelines.release.ledger import project_models
    from cortex_pipelines.release.promote import find_model

    project, definitions, instance = _open()
    among = _buildable_assets(project)
    trainable = [released_model for released_model in project_models(project) if released_model.asset in among]
    selected = [find_model(project, model)] if model else trainable
    if only_plan:
        for line in retraining.describe_plan(project, selected, anyway):
            click.echo(line)
        return
    sync_project(project, definitions, instance)
    outcome = retraining.retrain(project, definitions, instance, selected, anyway, among, _say)
    _report_outcome(outcome, project)


def _buildable_assets(project: "Project") -> set[str]:
    """Assets that can be built: without the agent system's logs no router is trained."""
    from cortex_pipelines.versioning.project import look_up, read_yaml

    logs = look_up(read_yaml(project.root / "sources.lock"), "coordination.files")
    all_assets = {asset.name for asset in project.graph.order}
    if logs != []:
        return all_assets
    _say(
        "no router is trained: coordination.logs has no logs of the agent system; put some there "
        "and run `cortex update`"
    )
    return all_assets - project.graph.downstream(["routing_dataset"])


def _show_plan(project: "Project", assets: Collection[str], partition: str | None, among: set[str]) -> None:
    """Show stale assets, their estimated durations, and data excluded by limits."""
    from cortex_pipelines.orchestration.planning import data_left_out, duration, plan_stages
    from cortex_pipelines.versioning.lock_file import split_address

    selected = set(assets) or among
    steps = [step for step in plan_stages(project, partition) if split_address(step.address)[0] in selected]
    for step in steps:
        reads = "" if step.rows is None else f", reads {step.rows:,} rows"
        time = "?" if step.seconds is None else duration(step.seconds)
        click.echo(f"{step.address:<44} {time:>9}  ({step.basis}{reads})")
    durations = [step.seconds for step in steps if step.seconds is not None]
    unknown = len(steps) - len(durations)
    click.echo(
        f"{len(steps)} to run, {duration(sum(durations))}"
        + (f" and {unknown} without a known duration" if unknown else "")
        if steps
        else "nothing is stale"
    )
    for sentence in data_left_out(project, partition):
        click.echo(sentence)


def _split_addresses(addresses: tuple[str, ...], partition: str | None) -> tuple[tuple[str, ...], str | None]:
    """The assets' names, and the project named by the addresses or the option."""
    from cortex_pipelines.versioning.lock_file import split_address

    pairs = [split_address(address) for address in addresses]
    projects = {part for _, part in pairs if part} | ({partition} if partition else set())
    if len(projects) > 1:
        raise ProjectError(f"name one project at a time, not {' and '.join(sorted(projects))}")
    return tuple(name for name, _ in pairs), next(iter(projects), None)


def _check_names(project: "Project", assets: tuple[str, ...], partition: str | None) -> None:
    unknown = [name for name in assets if name not in project.graph.assets]
    if unknown:
        available = ", ".join(asset.name for asset in project.graph.order)
        raise ProjectError(f"no asset {', '.join(unknown)}; there is: {available}")
    if partition is not None and partition not in project.partitions:
        available = ", ".join(project.partitions) or "none yet"
        raise ProjectError(f"params.yaml has no project {partition}; there is: {available}")


@main.command(epilog=_example("cortex add flask pypi:flask==3.1.3"))
@click.argument("name")
@click.argument("source")
@click.option(
    "--control", is_flag=True, help="The project stands for all other code: gains on it are not the project's own."
)
def add(name: str, source: str, control: bool) -> None:
    """Add a project called NAME with the source SOURCE.

    SOURCE is a path, a URL, pypi:NAME==VERSION or npm:NAME@VERSION.
    """
    from cortex_pipelines.catalog import open_project
    from cortex_pipelines.orchestration.planning import missing_control
    from cortex_pipelines.projects.add import add_project

    root = find_root()
    entry = add_project(root, name, source, control)
    _say(f"projects.{name} has {entry} and is pinned; `cortex run` makes what is new")
    for sentence in missing_control(open_project(root), name):
        _say(sentence)


@main.command(epilog=_example("cortex update flask"))
@click.argument("project", required=False)
def update(project: str | None) -> None:
    """Update the pins in sources.lock to the current sources, of all projects or of PROJECT."""
    from cortex_pipelines.projects.update_pins import update_pins

    changed = update_pins(find_root(), project)
    _say("\n".join(f"moved: {key}" for key in changed) or "every pin is where it was")


@main.command("dvc-yaml", epilog=_example("cortex dvc-yaml --check"))
@click.option("--check", is_flag=True, help="Only fail if dvc.yaml is out of date.")
def dvc_yaml(check: bool) -> None:
    """Write dvc.yaml from the asset graph."""
    from cortex_pipelines.catalog import open_project
    from cortex_pipelines.release.ledger import ensure_keys, project_models
    from cortex_pipelines.versioning.dvc import stages

    project = open_project(find_root())
    if check:
        stages.check(project)
    else:
        ensure_keys(project.root, project_models(project))
        stages.write(project)


@main.command(epilog=_example("dvc repro && cortex sync"))
def sync() -> None:
    """Synchronise Dagster, MLflow and the registry's aliases with DVC."""
    from cortex_pipelines.orchestration.syncing import sync_aliases, sync_project
    from cortex_pipelines.release.promote import sign_released_versions

    project, definitions, instance = _open()
    events = sync_project(project, definitions, instance, thorough=True)
    if signed := sign_released_versions(project):
        _say(f"{signed} models signed")
    _say(f"{events} versions reported, {sync_aliases(project)} aliases moved")


@main.command(epilog=_example("cortex lineage task_router@champion"))
@click.argument("model")
@click.option("--json", "as_json", is_flag=True, help="JSON instead of a tree.")
def lineage(model: str, as_json: bool) -> None:
    """Trace MODEL, MODEL@ALIAS or MODEL/VERSION back to its data sets and source commits."""
    from cortex_pipelines.catalog import open_project
    from cortex_pipelines.tracking.lineage import lineage as walk

    tree = walk(open_project(find_root()), model)
    if as_json:
        click.echo(json.dumps(tree.to_json(), indent=1))
        return
    from cortex_pipelines.tracking.lineage import render

    click.echo(render(tree))


@main.command(epilog=_example("cortex doctor"))
def doctor() -> None:
    """Check what is missing on this machine, and how to install it."""
    from cortex_pipelines.projects.doctor import check_machine

    missing = 0
    for finding in check_machine(find_root()):
        missing += finding.needed and not finding.good
        mark = "ok     " if finding.good else "MISSING" if finding.needed else "WITHOUT"
        click.echo(f"{mark} {finding.what}: {finding.detail}")
        if not finding.good:
            click.echo(f"        {finding.remedy}")
    if missing:
        sys.exit(1)
