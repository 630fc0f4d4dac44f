"""One MLflow run for each materialisation."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from cortex_pipelines.tracking.curves import record_curves
from cortex_pipelines.tracking.registry import parent_tag, register
from cortex_pipelines.tracking.store import UI, experiment_id, open_client
from cortex_pipelines.tracking.trials import record_trials
from cortex_pipelines.versioning import snapshot
from cortex_pipelines.versioning.asset import VersionedAsset
from cortex_pipelines.versioning.content import content_md5
from cortex_pipelines.versioning.dagster_assets import read_json
from cortex_pipelines.versioning.materialise import Version, input_versions
from cortex_pipelines.versioning.project import Project

_SHOWN = (
    "metrics.json",
    "verdict.json",
    "report.html",
    "card.md",
    "model_card.md",
    "compliance.json",
    "comparison.json",
    "training.json",
)
"""Small files of an output that are worth having beside the run."""

_LONGEST_PARAM = 6000


class MlflowTracker:
    """Remembers materialisations in the project's MLflow."""

    def record(
        self,
        project: Project,
        asset: VersionedAsset,
        partition: str | None,
        version: Version,
        dagster_run_id: str,
    ) -> str:
        """Write the run of one materialisation, and enter its model if it decides on one.

        Tags: ``dagster_run_id, asset_key, partition, git_commit, code_version, dvc_md5``,
        ``input.<asset>`` with the hash of each input, ``pin.<name>`` with each pin as JSON,
        ``parent`` with the version that a model's training started from, if it did.

        Returns:
            The run's id.
        """
        from mlflow.entities import Metric, Param, RunStatus

        client = open_client(project.root)
        run = client.create_run(
            experiment_id(project.root, asset.name),
            run_name=project.address(asset, partition),
            tags=run_tags(project, asset, partition, version, dagster_run_id),
        )
        run_id = str(run.info.run_id)
        folder = project.output(asset.name, partition)
        now = run.info.start_time
        client.log_batch(
            run_id,
            metrics=[Metric(k, v, now, 0) for k, v in _metrics(folder, version)],
            params=[Param(k, v) for k, v in _params(version)],
        )
        client.log_inputs(run_id, list(_datasets(project, asset, partition, version)))
        for name in _SHOWN:
            if (folder / name).exists():
                client.log_artifact(run_id, str(folder / name))
        record_curves(client, run_id, now, folder)
        record_trials(client, str(run.info.experiment_id), run_id, folder)
        if asset.registers:
            register(project, asset, partition, version, run_id)
        client.set_terminated(run_id, RunStatus.to_string(RunStatus.FINISHED))
        _EXPERIMENT_OF[run_id] = str(run.info.experiment_id)
        return run_id

    def link(self, run_id: str) -> str:
        """Address of the run in MLflow's UI."""
        return f"{UI}/#/experiments/{_EXPERIMENT_OF.get(run_id, '0')}/runs/{run_id}"


_EXPERIMENT_OF: dict[str, str] = {}


def run_tags(
    project: Project,
    asset: VersionedAsset,
    partition: str | None,
    version: Version,
    dagster_run_id: str,
) -> dict[str, str]:
    """The tags from which a lineage can be walked without asking anything else."""
    wiring = project.graph.wiring(asset.name)
    made_from = version.made_from
    tags = {
        "dagster_run_id": dagster_run_id,
        "asset_key": asset.name,
        "partition": partition or "",
        "git_commit": git_commit(project.root),
        "code_version": snapshot.code_version(asset, made_from, wiring.sections),
        "dvc_md5": version.value,
        "determinism": asset.determinism,
        **parent_tag(project.output(asset.name, partition)),
    }
    for name, value in input_versions(project, asset, partition, made_from).items():
        tags[f"input.{name}"] = value
    for other in wiring.assets:
        if other.partitioned and not asset.partitioned:
            for name in project.partitions:
                part = content_md5(project.output(other.name, name))
                if part:
                    tags[f"input.{other.name}/{name}"] = part
    for pin in wiring.pins:
        taken = snapshot.look_up_pin(pin.lock_key, pin.lock, made_from, partition)
        tags[f"pin.{pin.name}"] = json.dumps(taken, sort_keys=True)
    return tags


def find_run(
    root: Path, name: str, partition: str | None, version: str
) -> tuple[str, dict[str, str]] | None:
    """Newest run that made this version of an asset and partition: its id and tags."""
    client = open_client(root)
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        return None
    runs = client.search_runs(
        [experiment.experiment_id],
        filter_string=f"tags.dvc_md5 = '{version}' and tags.partition = '{partition or ''}'",
        max_results=1,
    )
    return (str(runs[0].info.run_id), dict(runs[0].data.tags)) if runs else None


@lru_cache(maxsize=8)
def git_commit(root: Path) -> str:
    """Commit the project's checkout is at; empty outside git."""
    found = subprocess.run(
        ["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    return found.stdout.strip() if found.returncode == 0 else ""


def _metrics(folder: Path, version: Version) -> Iterator[tuple[str, float]]:
    for name, value in read_json(folder / "metrics.json").items():
        if value is not None:
            yield name, float(value)
    for check in version.checks:
        yield f"rows/{check.table}", float(check.rows)
    for name, value in version.observations.items():
        yield f"observed/{name}", float(value)


def _params(version: Version) -> Iterator[tuple[str, str]]:
    for file, values in version.made_from.params.items():
        if file == "params.yaml":
            for name, value in _flat(values):
                yield name, str(value)[:_LONGEST_PARAM]


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _datasets(
    project: Project, asset: VersionedAsset, partition: str | None, version: Version
) -> Iterator[Any]:
    """The output and the inputs as MLflow datasets whose digests are DVC's hashes."""
    folders = {
        (other.name, "input"): value
        for other in project.graph.wiring(asset.name).assets
        for value in [input_versions(project, asset, partition, version.made_from)[other.name]]
    }
    yield _dataset(asset.name, version.value, f"data/{asset.name}", "output", partition)
    for (name, context), value in folders.items():
        yield _dataset(name, value, f"data/{name}", context, partition)


def _dataset(name: str, digest: str, source: str, context: str, partition: str | None) -> Any:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    place = f"{source}/{partition}" if partition else source
    return DatasetInput(
        Dataset(name=name, digest=digest, source_type="local", source=json.dumps({"uri": place})),
        tags=[InputTag("mlflow.data.context", context)],
    )


def digest_of(root: Path, run_id: str) -> str | None:
    """Digest of the data set that a run made."""
    run = open_client(root).get_run(run_id)
    for entry in run.inputs.dataset_inputs if run.inputs else []:
        if any(t.key == "mlflow.data.context" and t.value == "output" for t in entry.tags):
            return str(entry.dataset.digest)
    return None
