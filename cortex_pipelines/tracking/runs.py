"""One MLflow run per materialisation."""

import json
import logging
import platform
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from cortex_pipelines.schemas.learned import LEADERBOARD
from cortex_pipelines.tracking.commits import LockCommit, git_commit, lock_commit, source_tags
from cortex_pipelines.tracking.experiments import (
    experiment_id,
    find_run,
    get_run,
    is_deleted,
    note_process,
    restore_run,
    run_marker,
)
from cortex_pipelines.tracking.model_versions import parent_tag
from cortex_pipelines.tracking.recorded_versions import recorded_experiment
from cortex_pipelines.tracking.registry import register
from cortex_pipelines.tracking.store import open_client, tracking_uri, ui, workspace_id
from cortex_pipelines.tracking.training_metrics import LiveMetrics, live_metrics, record_curves, record_trials
from cortex_pipelines.versioning import snapshot
from cortex_pipelines.versioning.asset import VersionedAsset
from cortex_pipelines.versioning.champions import model_name
from cortex_pipelines.versioning.content import content_md5
from cortex_pipelines.versioning.dvc.yaml_files import read_json
from cortex_pipelines.versioning.materialise import (
    EXPECTATIONS,
    BrokenContractError,
    ContractCheck,
    Version,
    input_versions,
)
from cortex_pipelines.versioning.parameters import CODE, PACKAGES
from cortex_pipelines.versioning.parameters import FOLDER as PARAMETERS
from cortex_pipelines.versioning.project import Stage
from cortex_pipelines.versioning.snapshot import Snapshot

OUTPUT, INPUT = "output", "input"


def data_set(asset: VersionedAsset, partition: str | None, digest: str, folder: Path, context: str) -> Any:
    from mlflow.entities import Dataset, DatasetInput, InputTag
    from mlflow.types.schema import ColSpec, Schema

    source = json.dumps({"uri": "/".join(filter(None, ("data", asset.name, partition)))})
    unlike = any(table.columns != asset.tables[0].columns for table in asset.tables)
    columns: list[Any] = [
        ColSpec(
            _type(column.dtype), f"{table.name}.{column.name}" if unlike else column.name, required=not column.nullable
        )
        for table in (asset.tables if unlike else asset.tables[:1])
        for column in table.columns
    ]
    schema = json.dumps({"mlflow_colspec": Schema(columns).to_dict()}) if columns else None
    profile = _profile(asset, folder)
    described = Dataset(asset.name, digest, source_type="local", source=source, schema=schema, profile=profile)
    return DatasetInput(described, tags=[InputTag("mlflow.data.context", context)])


def _profile(asset: VersionedAsset, folder: Path) -> str | None:
    rows: dict[str, int] = {}
    for table in asset.tables:
        single_file = folder / f"{table.name}.parquet"
        files = [single_file] if single_file.exists() else sorted(folder.glob(f"*/{table.name}.parquet"))
        if files:
            rows[table.name] = sum(int(pl.scan_parquet(path).select(pl.len()).collect().item()) for path in files)
    if not rows:
        return None
    elements = sum(rows.get(table.name, 0) * len(table.columns) for table in asset.tables)
    profile: Mapping[str, Any] = {"num_rows": sum(rows.values()), "num_elements": elements}
    return json.dumps({**profile, **{f"rows/{name}": count for name, count in rows.items()}})


_MLFLOW_TYPES: dict[Any, str] = {
    **dict.fromkeys((pl.Int8, pl.Int16, pl.Int32, pl.UInt8, pl.UInt16), "integer"),
    **dict.fromkeys((pl.Int64, pl.UInt32, pl.UInt64), "long"),
    pl.Float32: "float",
    pl.Float64: "double",
    pl.Boolean: "boolean",
    pl.Binary: "binary",
    **dict.fromkeys((pl.Date, pl.Datetime), "datetime"),
}


def _type(dtype: Any) -> Any:
    from mlflow.types import DataType
    from mlflow.types.schema import Array, Object, Property

    if isinstance(dtype, pl.List | pl.Array):
        return Array(_type(dtype.inner))
    if isinstance(dtype, pl.Struct):
        return Object([Property(field.name, _type(field.dtype)) for field in dtype.fields])
    return DataType[_MLFLOW_TYPES.get(dtype.base_type(), "string")]


_ARTIFACTS = (
    *("metrics.json", "verdict.json", "report.html", "card.md"),
    *("model_card.md", "compliance.json", "comparison.json", "training.json"),
)
"""Small output files that are logged as artifacts."""
_LONGEST_PARAM = 6000
_LONGEST_TAG = 5000
_LOG = logging.getLogger("cortex_pipelines")


class MlflowTracker:
    def begin(self, stage: Stage, made_from: Snapshot, dagster_run_id: str) -> "OpenRun":
        """Open the run of a materialisation and log system metrics meanwhile.

        Tags: ``dagster_run_id, asset_key, partition, git_commit, code_version, processor``, ``input.<asset>`` with the
        hash of each input, ``pin.<name>`` with each pin as JSON, and MLflow's own of git and of the source; who ran it
        is nowhere.
        """
        return _open(stage, made_from, dagster_run_id, live=True)

    def record(self, stage: Stage, version: Version, dagster_run_id: str) -> str:
        """Enter a version that was made without a run, as of the commit that locked it, if one did."""
        locked = lock_commit(stage.project.root, stage.address)
        return _open(stage, version.made_from, dagster_run_id, live=False, locked=locked).finish(version)

    def link(self, root: Path, run_id: str, artifact: str = "") -> str:
        """Address of a run or its artifact in MLflow's page, which without the last part is the one for traces."""
        experiment = _EXPERIMENTS.get(run_id) or recorded_experiment(root, run_id)
        if experiment is None:  # it is on a server, unless it is gone
            run = get_run(root, run_id)
            experiment = _EXPERIMENTS[run_id] = str(run.info.experiment_id) if run else "0"
        page = f"{run_id}/artifacts/{artifact}" if artifact else run_id
        return f"{ui(root)}/#/experiments/{experiment}/runs/{page}?workflowType=machine_learning"


_EXPERIMENTS: dict[str, str] = {}
"""Experiment of each run that this process opened, or asked a server for."""


@dataclass
class OpenRun:
    stage: Stage
    run_id: str
    experiment: str
    live: LiveMetrics
    watching: ExitStack
    dagster_run_id: str
    ended: int | None = None  # in ms since 1970; None if it goes on

    def finish(self, version: Version) -> str:
        """Record the output, and register its model if it is a release.

        Tags are added: ``dvc_md5`` and, of a model, ``parent`` with the version that its training started from, if it
        did. Returns the run's id.
        """
        from mlflow.entities import Metric, RunTag

        self.watching.close()
        self._require_active(version.made_from)
        client, run_id = self.live.client, self.run_id
        asset, folder = self.stage.asset, self.stage.output
        timestamp = int(time.time() * 1000)
        tags = {"dvc_md5": version.value, **parent_tag(folder)}
        figures = {name: value for name, value in read_json(folder / "metrics.json").items() if value is not None}
        figures |= {f"rows/{check.table}": check.rows for check in version.checks} | _leaderboard(folder)
        figures |= {f"observed/{name}": value for name, value in version.observations.items()}
        client.log_batch(
            run_id,
            metrics=[Metric(name, float(value), timestamp, 0) for name, value in figures.items()],
            tags=[RunTag(key, value) for key, value in tags.items()],
        )
        client.log_inputs(run_id, [data_set(asset, self.stage.partition, version.value, folder, OUTPUT)])
        for name in _ARTIFACTS:
            if (folder / name).exists():
                client.log_artifact(run_id, str(folder / name))
        self._log_pages(version.checks)
        record_curves(client, run_id, timestamp, folder, self.live.written)
        record_trials(client, self.experiment, run_id, folder)
        if asset.registers:
            register(self.stage, version, run_id)
        self._end("FINISHED")
        return run_id

    def _log_pages(self, checks: Iterable[ContractCheck]) -> None:
        for check in checks:
            if check.page:
                self.live.client.log_artifact(self.run_id, check.page, EXPECTATIONS)

    def _require_active(self, made_from: Snapshot) -> None:
        """Restore the run if it was deleted meanwhile, or open a new one."""
        root = self.stage.project.root
        run = get_run(root, self.run_id)
        if run is not None and not is_deleted(run.info):
            return
        if run is not None:
            restore_run(root, run)
            _LOG.warning("MLflow: run %s was deleted meanwhile; it is restored", self.run_id)
            return
        run_marker(root, self.run_id).unlink(missing_ok=True)
        new = _open(self.stage, made_from, self.dagster_run_id, live=False)
        _LOG.warning(
            "MLflow: run %s was deleted for good meanwhile; run %s records what it made", self.run_id, new.run_id
        )
        self.run_id, self.experiment, self.live = new.run_id, new.experiment, new.live

    def fail(self, error: BaseException) -> None:
        """Record the error, an interrupt as killed; MLflow's own errors must not hide it."""
        from mlflow.exceptions import MlflowException

        words = f"{type(error).__name__}: {error}".replace(str(self.stage.project.root), ".")
        try:
            self.watching.close()
            for tag in ("error", "mlflow.note.content"):
                self.live.client.set_tag(self.run_id, tag, words[:_LONGEST_TAG])
            if isinstance(error, BrokenContractError):
                self._log_pages(error.checks)
            self._end("FAILED" if isinstance(error, Exception) else "KILLED")
        except MlflowException as second:
            _LOG.warning("MLflow did not accept the end of run %s: %s", self.run_id, second)

    def _end(self, status: str) -> None:
        self.live.client.set_terminated(self.run_id, status, self.ended)
        run_marker(self.stage.project.root, self.run_id).unlink(missing_ok=True)


_COMPARED = ("value", "low", "high", "difference", "difference_low", "difference_high", "adopted")


def _leaderboard(folder: Path) -> dict[str, float]:
    if not (folder / f"{LEADERBOARD.name}.parquet").exists():
        return {}
    rows = LEADERBOARD.read(folder).iter_rows(named=True)
    return {f"{row['task']}/{row['candidate']}/{name}": float(row[name]) for row in rows for name in _COMPARED}


def _open(
    stage: Stage, made_from: Snapshot, dagster_run_id: str, live: bool, locked: LockCommit | None = None
) -> OpenRun:
    from mlflow.entities import Param

    root, partition = stage.project.root, stage.partition
    client = open_client(root)
    experiment = experiment_id(root, experiment_name(stage))
    tags = run_tags(stage, made_from, dagster_run_id) | _parent(stage, made_from)
    if locked is not None:  # the machine that made it is not known
        tags |= {"git_commit": locked.commit, "mlflow.source.git.commit": locked.commit, "processor": ""}
    time_ms = None if locked is None else locked.seconds * 1000
    run = client.create_run(experiment, time_ms, tags, stage.address)
    params = [
        Param(name, str(value)[:_LONGEST_PARAM])
        for file, values in made_from.params.items()
        if file.startswith(f"{PARAMETERS}/") and file not in (CODE, PACKAGES)
        for name, value in _flat(values)
    ]
    versions = input_versions(stage, made_from)
    run_id = str(run.info.run_id)
    _EXPERIMENTS[run_id] = experiment
    note_process(root, run_id)
    metrics = LiveMetrics(client, run_id, model_name(stage.asset.name, partition))
    opened = OpenRun(stage, run_id, experiment, metrics, ExitStack(), dagster_run_id, time_ms)
    try:
        client.log_batch(run_id, params=params)
        inputs = []
        for other in stage.wiring.assets:
            part, folder = partition if other.partitioned else None, root / stage.input_path(other)
            inputs.append(data_set(other, part, versions[other.name], folder, INPUT))
        client.log_inputs(run_id, inputs)
        if live:
            opened.watching.enter_context(live_metrics(metrics, tracking_uri(root)))
    except BaseException as error:
        opened.fail(error)
        raise
    return opened


def _parent(stage: Stage, made_from: Snapshot) -> dict[str, str]:
    """The training of a model is the parent of what judges and releases it."""
    model = stage.asset.champion_of or stage.asset.registers
    version = input_versions(stage, made_from).get(str(model))
    run = find_run(stage.project.root, str(model), stage.partition, version) if version else None
    return {"mlflow.parentRunId": run[0]} if run else {}


def experiment_name(stage: Stage) -> str:
    """MLflow experiment of an asset.

    A model's own runs, and those that judge and release it, are together under the model's name, ``task_router`` or
    ``code_adapter-<project>``; all others are under ``data``, or ``data-<project>``.
    """
    graph, asset = stage.project.graph, stage.asset
    for model in sorted({other.registers for other in graph.order if other.registers}):
        if asset.name in graph.downstream([model]) and graph.assets[model].partitioned == asset.partitioned:
            return model_name(model, stage.partition)
    return model_name("data", stage.partition)


def run_tags(stage: Stage, made_from: Snapshot, dagster_run_id: str) -> dict[str, str]:
    """Tags that suffice to walk a lineage."""
    project, asset, partition, wiring = stage.project, stage.asset, stage.partition, stage.wiring
    tags = {
        "dagster_run_id": dagster_run_id,
        "asset_key": asset.name,
        "partition": partition or "",
        "git_commit": git_commit(project.root),
        "code_version": snapshot.code_version(stage, made_from),
        "determinism": asset.determinism,
        "processor": processor_type(),
        "workspace": workspace_id(project.root),
        **source_tags(project.root, asset.name, partition),
    }
    for name, value in input_versions(stage, made_from).items():
        tags[f"input.{name}"] = value
    for other in wiring.assets:
        if other.partitioned and not asset.partitioned:
            for name in project.partitions:
                if part := content_md5(project.output(other.name, name)):
                    tags[f"input.{other.name}/{name}"] = part
    for pin in wiring.pins:
        if pin.lock:
            _, pin_value = snapshot.pinned(pin, made_from, partition)
            tags[f"pin.{pin.name}"] = json.dumps(pin_value, sort_keys=True)
    return tags


def processor_type() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{platform.machine()} {models[0] if models else platform.processor()}".strip()


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
