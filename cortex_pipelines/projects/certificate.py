"""Signed certificates of deletion: what was forgotten, what became of it, what is left to do.

What was asked for and removed is noted when it happens. What was rebuilt is not: the certificate
compares the versions of then with those of DVC, the registry and the ledger now, so it can claim no
rebuild that did not happen, and names what is outstanding.
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
from cortex_pipelines.projects.forget import (
    INTERACTIONS,
    WEIGHTS,
    TrainedModel,
    made_from_sources,
    remotes,
)
from cortex_pipelines.release.ledger import ReleasedModel
from cortex_pipelines.release.promotion import standing
from cortex_pipelines.serving.reviews import ReviewQueue
from cortex_pipelines.serving.security import audit
from cortex_pipelines.signing.signatures import sign_file
from cortex_pipelines.tracking.model_versions import find_version
from cortex_pipelines.tracking.store import database_uri, open_client, tracking_uri
from cortex_pipelines.versioning.dvc.dvc_store import cache_folder
from cortex_pipelines.versioning.dvc.reconcile import DvcView, dvc_views
from cortex_pipelines.versioning.lock_file import locked_stages, locked_version
from cortex_pipelines.versioning.project import Project, ProjectError

_FOLDER = "deletions"
_COPIES = (
    "exported models and data sets, and backups: where somebody has put them",
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


def note(
    project: Project,
    stones: Iterable[Tombstone],
    gone: Mapping[str, int],
    models: Iterable[TrainedModel],
    by: str,
) -> str:
    """Note a deletion that has just been asked for, and the versions of before; returns its id."""
    now = datetime.now(UTC)
    name = f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(2)}"
    stones = list(stones)
    record = {
        "id": name,
        "requested": now.isoformat(timespec="seconds"),
        "by": by,
        "forgotten": [stone.model_dump(exclude_none=True) for stone in stones],
        "removed": {what: count for what, count in gone.items() if count},
        "purges": [],
        "outputs": _versions(project, stones),
        "models": [asdict(model) for model in models],
    }
    write_whole(_folder(project) / f"{name}.json", json.dumps(record, indent=1))
    return name


def note_purge(project: Project, counts: Mapping[str, Any]) -> None:
    """Note with every deletion that former versions were purged."""
    done = {"at": datetime.now(UTC).isoformat(timespec="seconds"), **counts}
    for path in _folder(project).glob("*.json"):
        record = json.loads(path.read_text(encoding="utf-8"))
        record["purges"].append(done)
        write_whole(path, json.dumps(record, indent=1))


def deletions(project: Project) -> list[dict[str, Any]]:
    """What was noted of each deletion, the earliest first; see ``note``."""
    paths = sorted(_folder(project).glob("*.json"))
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


def asked_since(project: Project, model: ReleasedModel, trained: datetime | None) -> bool:
    """Whether something that a model's present version was made from is to be forgotten since.

    Args:
        project: The project.
        model: The model.
        trained: When its last training ended; None if that is not known.
    """
    now = locked_version(locked_stages(project.root), model.address)
    return any(
        (marked["name"], marked["version"]) == (model.name, now)
        for record in deletions(project)
        if trained is None or datetime.fromisoformat(record["requested"]) > trained
        for marked in record["models"]
    )


def certify(project: Project, path: Path, name: str | None = None) -> dict[str, Any]:
    """Write the certificate of a deletion, and its signature beside it.

    Args:
        project: The project.
        path: Where; the signature has the same name with ``.sig`` behind it.
        name: Id of the deletion; None for the last one.

    Returns:
        What the certificate says.

    Raises:
        ProjectError: there is no such deletion; names those that there are.
    """
    known = {record["id"]: record for record in deletions(project)}
    record = known.get(name or next(reversed(known), ""))
    if record is None:
        words = f"no deletion {name}" if name else "nothing was forgotten here"
        raise ProjectError(f"{words}; deletions: {', '.join(known) or 'none'}")
    views = dvc_views(project)
    stale = _stale(project, views)
    current = {_address(project, view): view.locked for view in views}
    cache = Path(cache_folder(project.root))
    outputs = [
        _output(address, before, current.get(address), stale, cache)
        for address, before in record["outputs"].items()
    ]
    models = [_model(project, model, current, stale) for model in record["models"]]
    left = [sentence for row in (*outputs, *models) for sentence in row.pop("outstanding")]
    certificate = {
        "certificate": "cortex-pipelines deletion 1",
        **record,
        "issued": datetime.now(UTC).isoformat(timespec="seconds"),
        "outputs": outputs,
        "models": models,
        "audit_log": _audit(project.root),
        "outstanding": left,
        "copies_may_remain": [*_elsewhere(project), *_COPIES],
    }
    write_whole(path, json.dumps(certificate, indent=1) + "\n")
    sign_file(project.root, path)
    return certificate


def _folder(project: Project) -> Path:
    return project.state / _FOLDER


def _versions(project: Project, stones: list[Tombstone]) -> dict[str, str]:
    """Versions of all outputs that may hold something of it, by DVC's address."""
    concerned = project.graph.downstream([INTERACTIONS]) | {INTERACTIONS}
    if any(stone.user is None for stone in stones):
        concerned |= set(made_from_sources(project))
    named = {stone.project for stone in stones}
    stages = locked_stages(project.root)
    return {
        address: version
        for asset in project.graph.order
        if asset.name in concerned
        for partition in project.partitions_of(asset)
        if partition is None or None in named or partition in named
        if (version := locked_version(stages, address := project.address(asset, partition)))
    }


def _stale(project: Project, views: Iterable[DvcView]) -> set[str]:
    """Outputs that are not what the present sources and parameters give, or rest on such."""
    stale: set[tuple[str, str | None]] = set()
    found = set()
    for view in views:  # in topological order
        rests_on = [
            (other.name, partition)
            for other in project.graph.wiring(view.asset.name).assets
            for partition in project.partitions_of(other)
            if view.partition is None or partition in (None, view.partition)
        ]
        if view.changed or stale.intersection(rests_on):
            stale.add((view.asset.name, view.partition))
            found.add(_address(project, view))
    return found


def _output(
    address: str, before: str, now: str | None, stale: set[str], cache: Path
) -> dict[str, Any]:
    rebuilt = now is not None and address not in stale
    kept = now != before and (cache / before[:2] / before[2:]).exists()
    left = [] if rebuilt else [f"{address}: not rebuilt without it yet; `cortex run`"]
    if kept:
        left.append(f"{address}: version {before} is in DVC's cache; `cortex forget --purge`")
    row = {"output": address, "before": before, "now": now, "rebuilt": rebuilt}
    return row | {"former_version_in_cache": kept, "outstanding": left}


def _model(
    project: Project, model: Mapping[str, Any], current: Mapping[str, str | None], stale: set[str]
) -> dict[str, Any]:
    of = ReleasedModel(model["asset"], model["partition"])
    roles, before = standing(project.root, of), model["version"]
    now = current.get(of.address)
    rebuilt = now is not None and of.address not in stale
    # by its hash: records that were entered again have other numbers
    number, tags = find_version(project, model["name"], before), {}
    if number:
        tags = open_client(project.root).get_model_version(model["name"], number).tags
    title = f"{model['name']}/{number or before}"
    left = [] if rebuilt else [f"{title}: not rebuilt without it yet; `cortex run`"]
    if not (rebuilt and now == before):  # the same version: nothing of it had reached the model
        left += [
            f"{title}: made with it, and still {role}; promote what was rebuilt or roll back"
            for role in ("champion", "canary")
            if roles[role] == before
        ]
        if number is None:
            left.append(f"{title}: {_GONE}; look for its weights where MLflow keeps artifacts")
        elif WEIGHTS not in tags:
            left.append(f"{title}: its weights are kept; `cortex forget --purge --weights`")
    return {
        "model": model["name"],
        "number": number,
        "before": before,
        "now": now,
        "rebuilt": rebuilt,
        "weights": tags.get(WEIGHTS, "kept") if number else _GONE,
        "verdict": roles["verdict"] if rebuilt and roles["challenger"] == now else None,
        "champion": roles["champion"],
        "outstanding": left,
    }


def _address(project: Project, view: DvcView) -> str:
    return project.address(view.asset, view.partition)


def _audit(root: Path) -> dict[str, Any] | None:
    path = gateway_log(root).parent / audit.FILE
    return asdict(audit.verify(path)) if path.exists() else None


def _elsewhere(project: Project) -> list[str]:
    """DVC's remotes and MLflow elsewhere, without what lets one in; pinned rows; open tasks."""
    places = [_ROWS] if any((project.root / SNAPSHOTS).glob("*.jsonl")) else []
    if waiting := len(ReviewQueue(gateway_log(project.root).parent, str).open()):
        tasks = f"the {waiting} tasks that wait" if waiting > 1 else "the task that waits"
        places.append(f"{tasks} for a person's decision; `cortex review` shows, decides and drops")
    places += [f"DVC remote {name}: {_open(url)}" for name, url in remotes(project.root)]
    uri = tracking_uri(project.root)
    return places + ([] if uri == database_uri(project.root) else [f"MLflow: {_open(uri)}"])


def _open(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
