"""Dagster assets for the asset graph."""

import logging
import sqlite3
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import dagster as dg

from cortex_pipelines.interrupts import ending_on_interrupt
from cortex_pipelines.parallel.backends import BackendError
from cortex_pipelines.progress import Steps
from cortex_pipelines.versioning.asset import VersionedAsset
from cortex_pipelines.versioning.dagster.instance import NAME as PARTITIONS
from cortex_pipelines.versioning.dagster.metadata import describe
from cortex_pipelines.versioning.dagster.staleness import event_tags, latest_record, observe_pins
from cortex_pipelines.versioning.dvc.yaml_files import read_json
from cortex_pipelines.versioning.graph import Pin
from cortex_pipelines.versioning.materialise import (
    EXPECTATIONS,
    BrokenContractError,
    ContractCheck,
    Validate,
    Version,
    materialise,
)
from cortex_pipelines.versioning.project import Project, Stage
from cortex_pipelines.versioning.snapshot import Snapshot

_LOG = logging.getLogger("cortex_pipelines")
_RUN_ID = "mlflow/run_id"
SHIFT = "volume_and_distribution"  # check that warns if a version differs from the one before by more than usual
# An output is made again only when something moved, so its age says nothing of most assets. A gate
# that has judged nothing for so long does: sources rest, or the nightly run is off or fails.
_VERDICT_AGE = dg.FreshnessPolicy.time_window(fail_window=timedelta(days=30), warn_window=timedelta(days=14))

MAX_RETRIES = 3
DELAY_SECONDS = 10.0  # delay before the first retry, doubled for each further one

_TYPES = frozenset(
    {
        "ConnectionError",  # also the subclasses: reset, refused, broken pipe
        "TimeoutError",
        "Timeout",  # of requests and of filelock
        "TransportError",  # of httpx and its successors
        "LockError",  # of DVC
    }
)
_WORDS = (  # of git, of resolvers and of databases, which come as text only
    "could not resolve host",
    "temporary failure in name resolution",
    "connection timed out",
    "connection reset",
    "connection refused",
    "server closed the connection",
    "the database system is starting up",
    "early eof",
    "the remote end hung up",
    "returned error: 429",
    "returned error: 5",
)


class TrackingRun(Protocol):
    run_id: str

    def finish(self, version: Version) -> str: ...

    def fail(self, error: BaseException) -> None: ...


class Tracker(Protocol):
    def begin(self, stage: Stage, made_from: Snapshot, dagster_run_id: str) -> TrackingRun: ...

    def record(self, stage: Stage, version: Version, dagster_run_id: str) -> str: ...

    def link(self, root: Path, run_id: str, artifact: str = "") -> str: ...


Link = Callable[[str], str]
"""Address of an artifact of a run, or of the run itself."""


def build_assets(
    project: Project, tracker: Tracker, validate: Validate | None = None, pool: str | None = None
) -> list[dg.AssetsDefinition | dg.SourceAsset]:
    """The graph's assets. ``pool``: Dagster's pool of those that train a model, of which few run at once."""
    partitions = dg.DynamicPartitionsDefinition(name=PARTITIONS)
    # Observable sources are marked as beta; that is known, and no news for whoever runs this.
    warnings.filterwarnings("ignore", category=dg.BetaWarning)
    pins = [_source(project, pin, partitions) for pin in project.graph.pins.values()]
    models = {asset.registers for asset in project.graph.order}
    assets = [
        _asset(project, asset, partitions, tracker, validate, pool if asset.name in models else None)
        for asset in project.graph.order
    ]
    return [*pins, *assets]


def _source(project: Project, pin: Pin, partitions: dg.DynamicPartitionsDefinition) -> dg.SourceAsset:
    @dg.observable_source_asset(
        name=pin.name,
        description=pin.description,
        group_name="sources" if pin.lock else "yaml_parameters",  # groups stand by alphabet, and these come last
        partitions_def=partitions if pin.partitioned else None,
    )
    def observe() -> dg.DataVersion | dg.DataVersionsByPartition:
        versions = project.pin_versions(pin, project.partitions_of(pin))
        if not pin.partitioned:
            return dg.DataVersion(versions[None])
        return dg.DataVersionsByPartition({str(name): version for name, version in versions.items()})

    return observe


def _sources(project: Project, asset: VersionedAsset) -> dict[str, Any]:
    """Links to the function and to the stage in dvc.yaml, which the UI opens in an editor."""
    code = asset.compute.__code__
    stages = project.root / "dvc.yaml"
    lines = stages.read_text(encoding="utf-8").splitlines() if stages.exists() else []
    stage = next((number for number, line in enumerate(lines, 1) if line == f"  {asset.name}:"), 1)
    locations = ((code.co_filename, code.co_firstlineno, asset.name), (str(stages), stage, "dvc.yaml"))
    return {
        "dagster/code_references": dg.CodeReferencesMetadataValue(
            code_references=[
                dg.LocalFileCodeReference(file_path=file, line_number=line, label=label)
                for file, line, label in locations
            ]
        )
    }


def _asset(
    project: Project,
    asset: VersionedAsset,
    partitions: dg.DynamicPartitionsDefinition,
    tracker: Tracker,
    validate: Validate | None,
    pool: str | None,
) -> dg.AssetsDefinition:
    wiring = project.graph.wiring(asset.name)
    nodes: list[VersionedAsset | Pin] = [*wiring.assets, *wiring.pins]
    fan_in = [node for node in nodes if node.partitioned and not asset.partitioned]
    form = {"adapters": "pytorch", "routing": "scikitlearn"}.get(asset.room, "json")

    @dg.asset(
        name=asset.name,
        deps=[
            dg.AssetDep(node.name, partition_mapping=dg.AllPartitionMapping() if node in fan_in else None)
            for node in nodes
        ],
        description=asset.description,
        group_name=asset.room,
        partitions_def=partitions if asset.partitioned else None,
        code_version=project.code_versions[asset.name],
        check_specs=_check_specs(asset),
        metadata={"code": ", ".join(asset.code), **_sources(project, asset)},
        kinds={"polars", "parquet", "dvc"} if asset.tables else {"dvc", "mlflow", form},
        owners=["team:cortex"],
        tags={"determinism": asset.determinism, **({"model": asset.registers} if asset.registers else {})},
        freshness_policy=_VERDICT_AGE if asset.registers else None,
        # A run for each project: one that fails takes no other along, and can be run again alone.
        backfill_policy=dg.BackfillPolicy.multi_run(1) if asset.partitioned else None,
        pool=pool,
    )
    def run(context: dg.AssetExecutionContext) -> Iterator[Any]:
        stage = Stage(project, asset, context.partition_key if asset.partitioned else None)
        yield from run_step(context, stage, tracker, validate)

    return run


def run_step(
    context: dg.OpExecutionContext | dg.AssetExecutionContext,
    stage: Stage,
    tracker: Tracker,
    validate: Validate | None,
    is_known: Callable[[], bool] = lambda: False,
) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
    """Materialise and report, unless ``is_known`` says that Dagster knows this version; raises dg.Failure."""
    asset, partition = stage.asset, stage.partition
    opened: list[TrackingRun] = []

    def watch(made_from: Snapshot) -> None:
        opened.append(tracker.begin(stage, made_from, context.run.run_id))

    try:
        with reported_errors(context), logging_to(context), _signs():
            observe_pins(context.instance, stage.project, stage.wiring.pins, (partition,))
            try:
                version = materialise(stage, validate, watch)
                run_id = opened[0].finish(version) if opened else None
            except BaseException as error:
                for run in opened:
                    run.fail(error)
                raise
            if run_id is None and is_known():
                return
            run_id = run_id or remembered_run(context.instance, asset.name, partition, version.value)
            run_id = run_id or tracker.record(stage, version, context.run.run_id)
            link = partial(tracker.link, stage.project.root, run_id)
            result: dg.MaterializeResult[Any] = dg.MaterializeResult(
                asset_key=asset.name,
                data_version=dg.DataVersion(version.value),
                tags=event_tags(context.instance, stage, version.made_from, version.value),
                metadata=describe(stage, version.value) | {_RUN_ID: run_id} | links(stage, link),
                check_results=[*_table_results(asset, version.checks, link), *_figure_results(stage, link)],
            )
    except BrokenContractError as error:
        yield from _table_results(asset, error.checks, partial(tracker.link, stage.project.root, opened[0].run_id))
        raise dg.Failure(str(error), allow_retries=False) from error
    yield result


def links(stage: Stage, link: Link) -> dict[str, Any]:
    """MLflow's run of a version, and the page about it, which only MLflow shows over HTTP."""
    pages = {"report": link("report.html")} if (stage.output / "report.html").exists() else {}
    return {name: dg.MetadataValue.url(address) for name, address in {"mlflow/run": link(""), **pages}.items()}


class _DagsterHandler(logging.Handler):
    def __init__(self, log: dg.DagsterLogManager) -> None:
        super().__init__(logging.INFO)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        self._log.log(record.levelno, record.getMessage())


@contextmanager
def logging_to(context: dg.OpExecutionContext | dg.AssetExecutionContext) -> Iterator[None]:
    """Show in the run's log view what the package logs, its progress above all."""
    handler, level = _DagsterHandler(context.log), _LOG.level
    _LOG.addHandler(handler)
    _LOG.setLevel(logging.INFO)
    try:
        yield
    finally:
        _LOG.setLevel(level)
        _LOG.removeHandler(handler)


def _signs() -> AbstractContextManager[object]:
    """Name the step while it says nothing, unless the process does so already."""
    return nullcontext() if Steps.current or Steps.forward else Steps({})


@contextmanager
def reported_errors(context: dg.OpExecutionContext | dg.AssetExecutionContext) -> Iterator[None]:
    """Report an error once and in plain words: a stack trace helps only where the words do not. An interrupt ends the
    run, even if a library has made an error of it.
    """
    try:
        with ending_on_interrupt():
            yield
    except BrokenContractError:
        raise
    except Exception as error:
        outcome = failure(error, context.retry_number)
        if isinstance(outcome, dg.RetryRequested) and context.retry_number < MAX_RETRIES:
            context.log.warning(f"{type(error).__name__}: {error}; tried again in {outcome.seconds_to_wait:.0f} s")
            time.sleep(outcome.seconds_to_wait or 0)  # here, since nothing ends Dagster's own wait
            outcome.seconds_to_wait = 0
        raise outcome from error


def remembered_run(instance: dg.DagsterInstance, name: str, partition: str | None, version: str) -> str | None:
    """Run named by Dagster's newest event, if that event has this version."""
    record = latest_record(instance, name, partition)
    event = record.event_log_entry.asset_materialization if record else None
    if event is None or (event.tags or {}).get("dagster/data_version") != version:
        return None
    value = event.metadata.get(_RUN_ID)
    return str(value.value) if value else None


def _check_specs(asset: VersionedAsset) -> list[dg.AssetCheckSpec]:
    specs = [
        dg.AssetCheckSpec(f"{table.name}_contract", asset=asset.name, description=table.meaning, blocking=True)
        for table in asset.tables
    ]
    if asset.tables:
        specs.append(dg.AssetCheckSpec(SHIFT, asset=asset.name, description="As in the version before"))
    if asset.registers:
        specs.append(dg.AssetCheckSpec("verdict", asset=asset.name, description="The challenger is worth promoting"))
    if asset.alarm:
        specs.append(dg.AssetCheckSpec(asset.alarm, asset=asset.name, description="Nothing raises an alarm"))
    return specs


def _table_results(
    asset: VersionedAsset, checks: tuple[ContractCheck, ...], link: Link
) -> Iterator[dg.AssetCheckResult]:
    by_table = {check.table: check for check in checks}
    for table in asset.tables:
        metadata: dict[str, Any] = {"unchanged": True}
        if check := by_table.get(table.name):
            metadata = {"rows": check.rows, "failures": "; ".join(check.failures) or "none"}
            metadata |= (
                {"expectations": dg.MetadataValue.url(link(f"{EXPECTATIONS}/{table.name}.html"))} if check.page else {}
            )
        passed = not (check and check.failures)
        yield dg.AssetCheckResult(
            asset_key=asset.name, check_name=f"{table.name}_contract", passed=passed, metadata=metadata
        )
    if asset.tables:
        shifts = [f"{check.table}: {warning}" for check in checks for warning in check.warnings]
        yield _warning(asset, SHIFT, not shifts, {"shifts": "; ".join(shifts) or "none"})


def _figure_results(stage: Stage, link: Link) -> Iterator[dg.AssetCheckResult]:
    asset, folder = stage.asset, stage.output
    if asset.registers:
        verdict = read_json(folder / "verdict.json")
        reasons = {"verdict": verdict["verdict"], "reason": verdict["reason"]}
        yield _warning(asset, "verdict", verdict["verdict"] == "promoted", reasons)
    if asset.alarm:
        value, report = read_json(folder / "metrics.json")[asset.alarm], dg.MetadataValue.url(link("report.html"))
        yield _warning(asset, asset.alarm, value == 0, {asset.alarm: value, "report": report})


def _warning(asset: VersionedAsset, name: str, passed: bool, metadata: dict[str, Any]) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=asset.name, check_name=name, passed=passed, severity=dg.AssetCheckSeverity.WARN, metadata=metadata
    )


def failure(error: BaseException, attempts: int) -> dg.Failure | dg.RetryRequested:
    """The error for Dagster, which retries a transient one; a retry policy would repeat interrupted steps, too."""
    if isinstance(error, BackendError) or not is_transient(error):
        return dg.Failure(f"{type(error).__name__}: {error}", allow_retries=False)
    policy = dg.RetryPolicy(
        max_retries=MAX_RETRIES, delay=DELAY_SECONDS, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS
    )
    return dg.RetryRequested(MAX_RETRIES, policy.calculate_delay(attempts + 1))


def is_transient(error: BaseException) -> bool:
    """Whether an error, or one that led to it, is of a network, a server or a lock that may be free later."""
    visited: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in visited:
        text = str(cause).lower()
        status = getattr(getattr(cause, "response", None), "status_code", getattr(cause, "code", 0))
        if isinstance(cause, sqlite3.OperationalError):
            if "locked" in text or "busy" in text:
                return True
        elif (
            _TYPES & {cls.__name__ for cls in type(cause).__mro__}
            or any(word in text for word in _WORDS)
            or (isinstance(status, int) and (status == 429 or 500 <= status < 600))
        ):
            return True
        visited.append(cause)
        cause = cause.__cause__ or cause.__context__
    return False
