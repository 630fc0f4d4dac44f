"""Dagster assets for the asset graph."""

import sqlite3
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Protocol

import dagster as dg

from cortex_pipelines.versioning.asset import VersionedAsset
from cortex_pipelines.versioning.dagster.instance import partitions_definition
from cortex_pipelines.versioning.dagster.metadata import describe
from cortex_pipelines.versioning.dagster.staleness import event_tags, latest_record, observe_pins
from cortex_pipelines.versioning.dvc.yaml_files import read_json
from cortex_pipelines.versioning.graph import Pin
from cortex_pipelines.versioning.materialise import BrokenContractError, ContractCheck, Validate, Version, materialise
from cortex_pipelines.versioning.project import Project
from cortex_pipelines.versioning.snapshot import Snapshot

_RUN_ID = "mlflow/run_id"
SHIFT = "volume_and_distribution"
"""Check that warns if a version differs from the one before by more than usual."""
_OWNER = "team:cortex"
# An output is made again only when something moved, so its age says nothing of most assets. A gate
# that has judged nothing for so long does: sources rest, or the nightly run is off or fails.
_VERDICT_AGE = dg.FreshnessPolicy.time_window(fail_window=timedelta(days=30), warn_window=timedelta(days=14))


MAX_RETRIES = 3
DELAY_SECONDS = 10.0
"""Delay before the first retry, doubled for each further one."""

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
    def finish(self, version: Version) -> str:
        pass

    def fail(self, error: BaseException) -> None:
        pass


class Tracker(Protocol):
    def begin(
        self, project: Project, asset: VersionedAsset, partition: str | None, made_from: Snapshot, dagster_run_id: str
    ) -> TrackingRun:
        pass

    def record(
        self, project: Project, asset: VersionedAsset, partition: str | None, version: Version, dagster_run_id: str
    ) -> str:
        pass

    def link(self, run_id: str) -> str:
        pass


def build_assets(
    project: Project, tracker: Tracker, validate: Validate | None = None
) -> list[dg.AssetsDefinition | dg.SourceAsset]:
    partitions = partitions_definition()
    # Observable sources are marked as beta; that is known, and no news for whoever runs this.
    warnings.filterwarnings("ignore", category=dg.BetaWarning)
    pins = [_source(project, pin, partitions) for pin in project.graph.pins.values()]
    assets = [_asset(project, asset, partitions, tracker, validate) for asset in project.graph.order]
    return [*pins, *assets]


def _source(project: Project, pin: Pin, partitions: dg.DynamicPartitionsDefinition) -> dg.SourceAsset:
    @dg.observable_source_asset(
        name=pin.name,
        description=pin.description,
        group_name="sources" if pin.lock else "parameters",
        partitions_def=partitions if pin.partitioned else None,
    )
    def observe() -> dg.DataVersion | dg.DataVersionsByPartition:
        if not pin.partitioned:
            return dg.DataVersion(project.pin_version(pin, None))
        return dg.DataVersionsByPartition({name: project.pin_version(pin, name) for name in project.partitions})

    return observe


def _asset(
    project: Project,
    asset: VersionedAsset,
    partitions: dg.DynamicPartitionsDefinition,
    tracker: Tracker,
    validate: Validate | None,
) -> dg.AssetsDefinition:
    wiring = project.graph.wiring(asset.name)

    nodes: list[VersionedAsset | Pin] = [*wiring.assets, *wiring.pins]

    @dg.asset(
        name=asset.name,
        deps=[dg.AssetDep(node.name, partition_mapping=_mapping(asset, node)) for node in nodes],
        description=asset.description,
        group_name=asset.room,
        partitions_def=partitions if asset.partitioned else None,
        code_version=project.code_versions[asset.name],
        check_specs=_check_specs(asset),
        metadata={"determinism": asset.determinism, "code": ", ".join(asset.code)},
        kinds=_kinds(asset),
        owners=[_OWNER],
        freshness_policy=_VERDICT_AGE if asset.registers else None,
        # A run for each project: one that fails takes no other along, and can be run again alone.
        backfill_policy=dg.BackfillPolicy.multi_run(1) if asset.partitioned else None,
    )
    def run(context: dg.AssetExecutionContext) -> Iterator[Any]:
        partition = context.partition_key if asset.partitioned else None
        yield from run_step(context, project, asset, partition, tracker, validate)

    return run


def run_step(
    context: dg.OpExecutionContext | dg.AssetExecutionContext,
    project: Project,
    asset: VersionedAsset,
    partition: str | None,
    tracker: Tracker,
    validate: Validate | None,
    is_known: Callable[[], bool] = lambda: False,
) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
    """Materialise within a Dagster step and report it; nothing if the version is unchanged and ``is_known`` says
    that Dagster knows it. Raises dg.Failure, retried only if the cause is transient.
    """
    opened: list[TrackingRun] = []

    def watch(made_from: Snapshot) -> None:
        dagster_run = context.run.run_id
        opened.append(tracker.begin(project, asset, partition, made_from, dagster_run))

    try:
        observe_pins(context.instance, project, project.graph.wiring(asset.name).pins, partition)
        with _failing(opened):
            version = materialise(project, asset, partition, validate, watch)
            run_id = opened[0].finish(version) if opened else None
        if run_id is None and is_known():
            return
        if run_id is None:
            run_id = _remember(context, project, asset, partition, version, tracker)
        result: dg.MaterializeResult[Any] = dg.MaterializeResult(
            asset_key=asset.name,
            data_version=dg.DataVersion(version.value),
            tags=event_tags(context.instance, project, asset, partition, version.made_from, version.value),
            metadata=describe(project, asset, partition, version.value)
            | {_RUN_ID: run_id, "mlflow/run": dg.MetadataValue.url(tracker.link(run_id))},
            check_results=list(_check_results(asset, version.checks))
            + list(_verdict_result(project, asset, partition))
            + list(_alarm_result(project, asset, partition)),
        )
    except BrokenContractError as error:
        yield from _check_results(asset, error.checks)
        raise dg.Failure(str(error), allow_retries=False) from error
    except Exception as error:
        # Said once in plain words; a stack trace helps only where the words do not.
        raise failure(error, context.retry_number) from error
    yield result


@contextmanager
def _failing(opened: list[TrackingRun]) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        for run in opened:
            run.fail(error)
        raise


def _kinds(asset: VersionedAsset) -> set[str]:
    kinds = {"dvc", "mlflow"}
    if asset.tables:
        kinds |= {"polars"} if asset.determinism == "exact" else {"pytorch"}
    else:
        kinds |= {"json"} if asset.registers else {"pytorch"}
    return kinds


def _mapping(asset: VersionedAsset, node: VersionedAsset | Pin) -> dg.PartitionMapping | None:
    if node.partitioned and not asset.partitioned:
        return dg.AllPartitionMapping()
    return None


def _remember(
    context: dg.OpExecutionContext | dg.AssetExecutionContext,
    project: Project,
    asset: VersionedAsset,
    partition: str | None,
    version: Version,
    tracker: Tracker,
) -> str:
    earlier = remembered_run(context.instance, asset.name, partition, version.value)
    if earlier:
        return earlier
    return tracker.record(project, asset, partition, version, context.run.run_id)


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


def _check_results(asset: VersionedAsset, checks: tuple[ContractCheck, ...]) -> Iterator[dg.AssetCheckResult]:
    by_table = {check.table: check for check in checks}
    for table in asset.tables:
        check = by_table.get(table.name)
        yield dg.AssetCheckResult(
            asset_key=asset.name,
            check_name=f"{table.name}_contract",
            passed=not (check and check.failures),
            metadata=_check_metadata(check),
        )
    if asset.tables:
        shifts = [f"{check.table}: {warning}" for check in checks for warning in check.warnings]
        yield dg.AssetCheckResult(
            asset_key=asset.name,
            check_name=SHIFT,
            passed=not shifts,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"shifts": "; ".join(shifts) or "none"},
        )


def _check_metadata(check: ContractCheck | None) -> dict[str, Any]:
    if check is None:
        return {"unchanged": True}
    metadata: dict[str, Any] = {"rows": check.rows, "failures": "; ".join(check.failures) or "none"}
    if check.page:
        metadata["expectations"] = dg.MetadataValue.path(check.page)
    return metadata


def _verdict_result(project: Project, asset: VersionedAsset, partition: str | None) -> Iterator[dg.AssetCheckResult]:
    if not asset.registers:
        return
    verdict = read_json(project.output(asset.name, partition) / "verdict.json")
    yield dg.AssetCheckResult(
        asset_key=asset.name,
        check_name="verdict",
        passed=verdict["verdict"] == "promoted",
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"verdict": verdict["verdict"], "reason": verdict["reason"]},
    )


def _alarm_result(project: Project, asset: VersionedAsset, partition: str | None) -> Iterator[dg.AssetCheckResult]:
    if not asset.alarm:
        return
    folder = project.output(asset.name, partition)
    value = read_json(folder / "metrics.json")[asset.alarm]
    yield dg.AssetCheckResult(
        asset_key=asset.name,
        check_name=asset.alarm,
        passed=value == 0,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={asset.alarm: value, "report": dg.MetadataValue.path(str(folder / "report.html"))},
    )


def failure(error: BaseException, attempts: int) -> dg.Failure | dg.RetryRequested:
    """The error for Dagster, which retries a transient one.

    Steps declare no retry policy: with one, Dagster begins an interrupted step again, too.
    """
    if not is_transient(error):
        return dg.Failure(f"{type(error).__name__}: {error}", allow_retries=False)
    policy = dg.RetryPolicy(
        max_retries=MAX_RETRIES, delay=DELAY_SECONDS, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS
    )
    return dg.RetryRequested(MAX_RETRIES, policy.calculate_delay(attempts + 1))


def is_transient(error: BaseException) -> bool:
    return any(_passes(link) for link in _chain(error))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    visited: list[BaseException] = []
    while error is not None and error not in visited:
        visited.append(error)
        yield error
        error = error.__cause__ or error.__context__


def _passes(error: BaseException) -> bool:
    text = str(error).lower()
    if isinstance(error, sqlite3.OperationalError):
        return "locked" in text or "busy" in text
    if _TYPES & {cls.__name__ for cls in type(error).__mro__}:
        return True
    return _status(error) == 429 or _status(error) >= 500 or any(word in text for word in _WORDS)


def _status(error: BaseException) -> int:
    status = getattr(getattr(error, "response", None), "status_code", getattr(error, "code", 0))
    return status if isinstance(status, int) and 400 <= status < 600 else 0
