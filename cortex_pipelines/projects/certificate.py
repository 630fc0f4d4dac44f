"""Signed certificates of deletion: the request, its effects, and what is outstanding.

The request and the removed items are recorded when they happen. Rebuilds are not: the certificate compares the recorded
versions with the current ones in DVC, the registry and the ledger, so it cannot claim a rebuild that did not happen.
"""

import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cortex_pipelines.atomic import write_whole
from cortex_pipelines.feedback.project_feedback import gateway_log
from cortex_pipelines.ingestion.connectors.snapshot import SNAPSHOTS
from cortex_pipelines.privacy.settings import Tombstone
from cortex_pipelines.projects.forget import INTERACTIONS, WEIGHTS_TAG, TrainedModel, dvc_remotes, source_derived_assets
from cortex_pipelines.release.ledger import ReleasedModel
from cortex_pipelines.release.promotion import model_roles
from cortex_pipelines.serving.reviews import ReviewQueue
from cortex_pipelines.serving.security import audit
from cortex_pipelines.signing.signatures import sign_file
from cortex_pipelines.tracking.model_versions import find_version
from cortex_pipelines.tracking.store import database_uri, open_client, tracking_uri
from cortex_pipelines.versioning.dvc.dvc_store import cache_folder
from cortex_pipelines.versioning.dvc.reconcile import DvcView, dvc_views
from cortex_pipelines.versioning.lock_file import locked_stages, locked_version
from cortex_pipelines.versioning.project import Project, ProjectError

_COPIES = (
    "exported models and data sets, and backups, wherever they were copied",
    "checkouts and remotes of this project's git repository, with tombstones and lock files",
    "the sources themselves",
    "names of the accounts that promoted, rolled back, forgot, or began and ended experiments: "
    "releases.lock, .cortex/deletions and .cortex/serving/experiments.jsonl record who decided",
)
_ROWS = (
    f"{SNAPSHOTS.as_posix()} here: rows of trackers as they came, as long as they are pinned; "
    "delete them in the tracker, then `cortex update`, `cortex run` and `cortex forget --purge`"
)
_GONE = "its record is gone from the registry"


def record_deletion(
    project: Project, stones: Iterable[Tombstone], removed: Mapping[str, int], models: Iterable[TrainedModel], by: str
) -> str:
    timestamp = datetime.now(UTC)
    name = f"{timestamp:%Y%m%dT%H%M%S}-{secrets.token_hex(2)}"
    stones = list(stones)
    concerned = project.graph.downstream([INTERACTIONS]) | {INTERACTIONS}
    if any(stone.user is None for stone in stones):
        concerned |= set(source_derived_assets(project))
    projects = {stone.project for stone in stones}
    stages = locked_stages(project.root)
    record = {
        "id": name,
        "requested": timestamp.isoformat(timespec="seconds"),
        "by": by,
        "forgotten": [stone.model_dump(exclude_none=True) for stone in stones],
        "removed": {kind: count for kind, count in removed.items() if count},
        "purges": [],
        "outputs": {
            address: version
            for asset in project.graph.order
            if asset.name in concerned
            for partition in project.partitions_of(asset)
            if partition is None or None in projects or partition in projects
            if (version := locked_version(stages, address := project.address(asset, partition)))
        },
        "models": [asdict(model) for model in models],
    }
    write_whole(_folder(project) / f"{name}.json", json.dumps(record, indent=1))
    return name


def record_purge(project: Project, counts: Mapping[str, Any]) -> None:
    purge = {"at": datetime.now(UTC).isoformat(timespec="seconds"), **counts}
    for record in read_deletions(project):
        record["purges"].append(purge)
        write_whole(_folder(project) / f"{record['id']}.json", json.dumps(record, indent=1))


def read_deletions(project: Project) -> list[dict[str, Any]]:
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(_folder(project).glob("*.json"))]


def deletion_requested_since(project: Project, model: ReleasedModel, trained: datetime | None) -> bool:
    """Whether deletion of data that a model's current version was made from was requested since."""
    current_version = locked_version(locked_stages(project.root), model.address)
    return any(
        (marked["name"], marked["version"]) == (model.name, current_version)
        for record in read_deletions(project)
        if trained is None or datetime.fromisoformat(record["requested"]) > trained
        for marked in record["models"]
    )


def certify(project: Project, path: Path, name: str | None = None) -> dict[str, Any]:
    """Write the certificate of a deletion, and its signature next to it; ProjectError for an unknown deletion."""
    records = {record["id"]: record for record in read_deletions(project)}
    record = records.get(name or next(reversed(records), ""))
    if record is None:
        problem = f"no deletion {name}" if name else "nothing was forgotten here"
        raise ProjectError(f"{problem}; deletions: {', '.join(records) or 'none'}")
    views = dvc_views(project)
    stale = _stale_outputs(project, views)
    current = {project.address(view.asset, view.partition): view.locked for view in views}
    cache = Path(cache_folder(project.root))
    outputs: list[dict[str, Any]] = []
    for address, before in record["outputs"].items():
        version = current.get(address)
        rebuilt = version is not None and address not in stale
        in_cache = version != before and (cache / before[:2] / before[2:]).exists()
        sentences = [] if rebuilt else [f"{address}: not rebuilt without it yet; `cortex run`"]
        if in_cache:
            sentences.append(f"{address}: version {before} is in DVC's cache; `cortex forget --purge`")
        row = {"output": address, "before": before, "now": version, "rebuilt": rebuilt}
        outputs.append(row | {"former_version_in_cache": in_cache, "outstanding": sentences})
    models = [_model_row(project, model, current, stale) for model in record["models"]]
    outstanding = [sentence for row in (*outputs, *models) for sentence in row.pop("outstanding")]
    audit_log = gateway_log(project.root).parent / audit.FILE
    certificate = {
        "certificate": "cortex-pipelines deletion 1",
        **record,
        "issued": datetime.now(UTC).isoformat(timespec="seconds"),
        "outputs": outputs,
        "models": models,
        "audit_log": asdict(audit.verify(audit_log)) if audit_log.exists() else None,
        "outstanding": outstanding,
        "copies_may_remain": [*_remaining_copies(project), *_COPIES],
    }
    write_whole(path, json.dumps(certificate, indent=1) + "\n")
    sign_file(project.root, path)
    return certificate


def _folder(project: Project) -> Path:
    return project.state / "deletions"


def not_rebuilt(project: Project) -> list[str]:
    """Outputs that held what was forgotten, or may have, and are still to be built without it."""
    stale = _stale_outputs(project, dvc_views(project))
    return sorted(stale.intersection(address for record in read_deletions(project) for address in record["outputs"]))


def _stale_outputs(project: Project, views: Iterable[DvcView]) -> set[str]:
    stale: set[tuple[str, str | None]] = set()
    addresses = set()
    for view in views:  # in topological order
        if view.changed or stale.intersection(project.inputs_of(view.asset.name, view.partition)):
            stale.add((view.asset.name, view.partition))
            addresses.add(project.address(view.asset, view.partition))
    return addresses


def _model_row(
    project: Project, model: Mapping[str, Any], current: Mapping[str, str | None], stale: set[str]
) -> dict[str, Any]:
    released_model = ReleasedModel(model["asset"], model["partition"])
    roles, before = model_roles(project.root, released_model), model["version"]
    current_version = current.get(released_model.address)
    rebuilt = current_version is not None and released_model.address not in stale
    # by its hash, since records that were entered again have different numbers
    number, tags = find_version(project, model["name"], before), {}
    if number:
        tags = open_client(project.root).get_model_version(model["name"], number).tags
    title = f"{model['name']}/{number or before}"
    outstanding = [] if rebuilt else [f"{title}: not rebuilt without it yet; `cortex run`"]
    if not (rebuilt and current_version == before):  # same version: the forgotten data had no effect on the model
        outstanding += [
            f"{title}: made with it, and still {role}; promote what was rebuilt or roll back"
            for role in ("champion", "canary")
            if roles[role] == before
        ]
        if number is None:
            outstanding.append(f"{title}: {_GONE}; look for its weights where MLflow keeps artifacts")
        elif WEIGHTS_TAG not in tags:
            outstanding.append(f"{title}: its weights are kept; `cortex forget --purge --weights`")
    return {
        "model": model["name"],
        "number": number,
        "before": before,
        "now": current_version,
        "rebuilt": rebuilt,
        "weights": tags.get(WEIGHTS_TAG, "kept") if number else _GONE,
        "verdict": roles["verdict"] if rebuilt and roles["challenger"] == current_version else None,
        "champion": roles["champion"],
        "outstanding": outstanding,
    }


def _remaining_copies(project: Project) -> list[str]:
    copies = [_ROWS] if any((project.root / SNAPSHOTS).glob("*.jsonl")) else []
    if open_tasks := len(ReviewQueue(gateway_log(project.root).parent, str).open()):
        tasks = f"the {open_tasks} tasks that wait" if open_tasks > 1 else "the task that waits"
        copies.append(f"{tasks} for a person's decision; `cortex review` shows, decides and drops")
    copies += [f"DVC remote {name}: {_without_credentials(url)}" for name, url in dvc_remotes(project.root)]
    uri = tracking_uri(project.root)
    return copies + ([] if uri == database_uri(project.root) else [f"MLflow: {_without_credentials(uri)}"])


def _without_credentials(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
