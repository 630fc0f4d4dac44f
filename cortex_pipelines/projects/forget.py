"""``cortex forget``: exclude data from now on, and find and purge what was made from it.

Two steps, with `cortex run` between them: the tombstones make ingestion skip the material, so that the data sets are
rebuilt without it; then earlier versions are purged from every store.
"""

import logging
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from email.utils import parseaddr
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import polars as pl

from cortex_pipelines.config import load_parameters
from cortex_pipelines.path_patterns import path_pattern
from cortex_pipelines.privacy.pseudonyms import author_pseudonym, is_forgotten, logs_key, project_key
from cortex_pipelines.privacy.settings import Tombstone
from cortex_pipelines.project_names import ROLES
from cortex_pipelines.projects.parameter_file import read_values, write_values
from cortex_pipelines.release import ledger
from cortex_pipelines.release.promotion import model_roles
from cortex_pipelines.serving.engines.engine import CACHE as CONVERTED
from cortex_pipelines.tracking.experiments import FORGOTTEN, experiment_ids, pages
from cortex_pipelines.tracking.lineage import LineageNode, lineage
from cortex_pipelines.tracking.model_versions import complete_tags, find_logged_model
from cortex_pipelines.tracking.store import open_client, tracking_uri, workspace_id
from cortex_pipelines.versioning.content import content_md5
from cortex_pipelines.versioning.dagster.instance import close_databases
from cortex_pipelines.versioning.dvc.dvc_store import locked_repo
from cortex_pipelines.versioning.project import Project, ProjectError
from cortex_pipelines.versioning.root import require_project

if TYPE_CHECKING:
    import dagster as dg

SOURCE_READERS = ("repository_files", "repository_commits", "line_times")
"""Assets that read sources; everything that contains source data depends on them."""

INTERACTIONS = "interactions"
"""The asset that reads feedback."""

FEEDBACK = "feedback_dataset"
"""The training data set made from feedback, by project."""

_LEFTOVERS = (Path("damaged"), Path("data_docs"), Path("cache") / "checkpoints")
"""Below ``.cortex``: files set aside after damage, checks with frequent values of former versions, and checkpoints of
interrupted trainings.
"""

FORGOTTEN_TAG = "forgotten"
"""Tag of registered model versions that were trained on forgotten data."""

WEIGHTS_TAG = "weights"
"""Tag of model versions whose weights are deleted."""


@dataclass(frozen=True)
class TrainedModel:
    """A registered model version that was made from a project; ``projects``: those of the request."""

    name: str
    number: str
    asset: str
    partition: str | None
    projects: tuple[str, ...]
    version: str


@dataclass(frozen=True)
class Purged:
    """Counts; ``remotes``: names and addresses of DVC's remotes, whose contents are not deleted."""

    dvc_bytes: int
    mlflow_runs: int
    dagster_runs: int
    row_caches: int
    index_bytes: int
    weights: tuple[str, ...]
    remotes: tuple[tuple[str, str], ...]


def create_tombstones(
    root: Path,
    author: str | None = None,
    path: str | None = None,
    source: str | None = None,
    project: str | None = None,
    user: str | None = None,
) -> list[Tombstone]:
    """Tombstones for a request; an author has a different pseudonym in each project.

    The tombstone of an author without a project holds the pseudonym made with the logs' key, which identifies the
    author in projects that are added later (`deleted_authors`).

    Args:
        root: Project root.
        author: Mail address of an author, who may also be a user; only pseudonyms are stored.
        path: Pattern of paths.
        source: A source, as in params.yaml (``git:PATH``).
        project: Only in this project; None for all.
        user: A user of the gateway: name of a key, subject of a token, or what clients send.

    Raises:
        ProjectError: unknown project, or an empty request.
        PathPatternError: the path is not a pattern.
    """
    if path is not None:
        path_pattern(path)
    parameters = load_parameters(root)
    if project is not None:
        require_project(project, parameters.projects)
    if not (author or path or source or user):
        raise ProjectError("say what to forget: --author ADDRESS, --user NAME, --path PATTERN or --repository")
    if author is not None:
        author = parseaddr(author)[1] or author  # as git shows it: Ada <ada@example.org>
        if "@" not in author:
            raise ProjectError(f"--author takes a mail address, not {author!r}; --user takes a name")
    scope: dict[str, Any] = {"source": source, "path": path}
    person = author or user
    if person is None:
        return [Tombstone(project=project, **scope, author=None)]
    pseudonym = author_pseudonym(person, logs_key(parameters.privacy))
    as_user = Tombstone(project=project, **scope, author=None, user=pseudonym)
    if author is None:
        return [as_user]
    names = [project] if project else sorted(parameters.projects)
    keys = {name: project_key(name, parameters.privacy) for name in names}
    later = [] if project else [Tombstone(project=None, **scope, author=pseudonym)]
    return [
        *(Tombstone(project=name, **scope, author=author_pseudonym(author, key)) for name, key in keys.items()),
        *later,
        as_user,
    ]


def add_tombstones(root: Path, stones: Iterable[Tombstone]) -> list[Tombstone]:
    """Add tombstones to params.yaml, preserving comments and order; returns the new ones."""
    values = read_values(root)
    privacy = values.setdefault("privacy", {})
    present = [dict(entry) for entry in privacy.get("forgotten") or []]
    new_entries = [(stone, stone.model_dump(exclude_defaults=True)) for stone in stones]
    new = [stone for stone, fields in new_entries if fields not in present]
    if new:
        privacy["forgotten"] = [*present, *(f for _, f in new_entries if f not in present)]
        write_values(root, values)
    return new


_READ = {"repository_files": "files.parquet", "repository_commits": "commits.parquet"}


def covers_nothing(project: Project, stones: Iterable[Tombstone]) -> bool:
    """Whether sources were read, and no file and no commit of theirs is covered: what is asked for may be misspelt."""
    privacy = load_parameters(project.root).privacy.model_copy(update={"forgotten": tuple(stones)})
    was_read = False
    for name in project.partitions:
        for asset, file in _READ.items():
            table = project.output(asset, name) / file
            if table.exists():
                rows = pl.scan_parquet(table).select("source", pl.col("^path$"), "author").unique().collect()
                if any(is_forgotten(privacy, name, **row) for row in rows.iter_rows(named=True)):
                    return False
                was_read = True
    return was_read


def models_trained_on(project: Project, partitions: Iterable[str], feedback: Iterable[str] = ()) -> list[TrainedModel]:
    """Registered model versions that were made from any of these projects.

    A model counts whichever files of a project it saw: the effect of a forgotten line on weights cannot be determined,
    so the answer errs on the side of too many models.
    """
    source_projects, feedback_projects = set(partitions), set(feedback)
    client = open_client(project.root)

    def is_affected(node: LineageNode) -> bool:
        if node.name == FEEDBACK and node.partition in feedback_projects:
            metrics = client.get_run(node.run_id).data.metrics if node.run_id else {}
            return metrics.get("rows_train", 1) > 0
        return node.name in SOURCE_READERS and node.partition in source_projects

    models = []
    for version, tags in _released_versions(project):
        tree = lineage(project, f"{version.name}/{version.version}")
        used = tuple(sorted({str(node.partition) for node in _nodes(tree) if is_affected(node)}))
        if used:
            asset, partition = tags["model_asset"], tags["partition"] or None
            name, number = str(version.name), str(version.version)
            models.append(TrainedModel(name, number, asset, partition, used, tags["dvc_md5"]))
    return sorted(models, key=lambda model: (model.name, int(model.number)))


def mark_models(project: Project, models: Iterable[TrainedModel], by: str, timestamp: str, reason: str) -> None:
    client = open_client(project.root)
    for model in models:
        client.set_model_version_tag(model.name, model.number, FORGOTTEN_TAG, ",".join(model.projects))
        released_model = ledger.ReleasedModel(model.asset, model.partition)
        pin = ledger.champion(project.root, released_model)
        detail = f"{model.number}: {reason}"
        line = ledger.LedgerEntry(timestamp, by, "forget", model.name, pin.champion, pin.champion, detail)
        ledger.record(project.root, released_model, pin, line)


def purge(project: Project, instance: "dg.DagsterInstance", weights: bool = False) -> Purged:
    """Delete former versions of everything made from sources, in all stores.

    The current workspace stays; DVC's cache keeps nothing else, so earlier versions of all assets are deleted from this
    machine. Remotes are reported but not changed: others may store versions there that this workspace does not know.
    """
    cache = _own_cache(project)
    folders = list((project.state / "cache" / "rows").glob("*"))
    for folder in folders:
        shutil.rmtree(folder)
    # adapters of former versions in another format
    shutil.rmtree(project.root / CONVERTED, ignore_errors=True)
    for leftover in _LEFTOVERS:
        shutil.rmtree(project.state / leftover, ignore_errors=True)
    _drop_opened_data(project)
    from cortex_pipelines.retrieval.project_index import drop_indexes  # slow to import

    before = _size(cache)
    with locked_repo(project.root) as repo:
        # DVC warns twice about each stage that was never run
        logging.getLogger("dvc").setLevel(logging.ERROR)
        repo.gc(workspace=True)
    return Purged(
        max(0, before - _size(cache)),
        _purge_mlflow(project),
        _purge_dagster(project, instance),
        len(folders),
        drop_indexes(project),
        drop_weights(project, lambda tags: FORGOTTEN_TAG in tags) if weights else (),
        dvc_remotes(project.root),
    )


def _own_cache(project: Project) -> Path:
    """DVC's cache; ProjectError if it is outside of the project."""
    with locked_repo(project.root) as repo:
        cache = Path(repo.cache.local.path)
    if not cache.resolve().is_relative_to(project.root.resolve()):
        raise ProjectError(
            f"DVC's cache is in {cache}, where other repositories may keep files that a purge would delete; give this "
            "project one of its own (`dvc cache dir --local .dvc/cache`, then copy the files), and purge again"
        )
    return cache


def source_derived_assets(project: Project) -> list[str]:
    derived: list[str] = []
    for asset in project.graph.order:
        inputs = {other.name for other in project.graph.wiring(asset.name).assets}
        if asset.name in (*SOURCE_READERS, INTERACTIONS) or inputs & set(derived):
            derived.append(asset.name)
    return derived


def _nodes(node: LineageNode) -> Iterator[LineageNode]:
    yield node
    for child in node.made_from:
        yield from _nodes(child)


def dvc_remotes(root: Path) -> tuple[tuple[str, str], ...]:
    """Names of DVC's remotes with their addresses."""
    with locked_repo(root) as repo:
        remote_settings = repo.config["remote"]
        return tuple((name, str(remote_settings[name]["url"])) for name in sorted(remote_settings))


def _drop_opened_data(project: Project) -> None:
    """Delete files of opened models that no version in use needs; registered models stay."""
    versions = open_client(project.root).search_model_versions()
    live_versions = {_tags_of(project, version).get("dvc_md5") for version in versions}
    for _, tags in _released_versions(project):
        model = ledger.ReleasedModel(tags["model_asset"], tags["partition"] or None)
        used, moves = _versions_in_use(project, model), ledger.moves(project.root, model)
        live_versions |= {line.release.get("index") for line in moves if line.release and line.version in used}
        live_versions |= {line.refit for line in moves}
    opened = project.state / "models"
    for folder in opened.iterdir() if opened.is_dir() else ():
        if folder.name not in live_versions:
            shutil.rmtree(folder)


def drop_weights(project: Project, is_selected: Callable[[dict[str, str]], bool]) -> tuple[str, ...]:
    """Delete the weights of models without a role; their records stay."""
    client, uri = open_client(project.root), tracking_uri(project.root)
    deleted = []
    for version, tags in _released_versions(project):
        if WEIGHTS_TAG in tags or not is_selected(tags):
            continue
        model = ledger.ReleasedModel(tags["model_asset"], tags["partition"] or None)
        if tags["dvc_md5"] in _versions_in_use(project, model):
            continue
        _delete_artifacts(str(version.source), uri)
        refit = ledger.refit_of(ledger.moves(project.root, model), tags["dvc_md5"])
        for folder in filter(None, (tags["dvc_md5"], refit)):
            shutil.rmtree(project.state / "models" / folder, ignore_errors=True)
        client.set_model_version_tag(version.name, version.version, WEIGHTS_TAG, "deleted")
        deleted.append(f"{version.name}/{version.version}")
    return tuple(sorted(deleted))


def _released_versions(project: Project) -> Iterator[tuple[Any, dict[str, str]]]:
    """Registered versions that a release has entered, with their tags; a shared server has those of others, too."""
    for version in open_client(project.root).search_model_versions():
        tags = _tags_of(project, version)
        if tags.keys() >= {"dvc_md5", "model_asset", "partition"}:
            yield version, tags


def _tags_of(project: Project, version: Any) -> dict[str, str]:
    try:
        return complete_tags(project, version)
    except LookupError:
        return dict(version.tags)


def _versions_in_use(project: Project, model: ledger.ReleasedModel) -> set[str | None]:
    """Versions of a model with a role."""
    roles = model_roles(project.root, model)
    return {roles[role] for role in ROLES}


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _purge_mlflow(project: Project) -> int:
    """Delete runs of former versions, failed ones and trials included, except those of registered models."""
    client, uri = open_client(project.root), tracking_uri(project.root)
    models = {str(version.run_id) for version in client.search_model_versions()}
    workspace = workspace_id(project.root)
    runs = list(pages(client.search_runs, experiment_ids=experiment_ids(project.root), max_results=500))
    former: set[str] = set()
    for name in source_derived_assets(project):
        asset = project.graph.assets[name]
        current = {content_md5(project.output(name, p)) for p in project.partitions_of(asset)}
        former |= {
            run.info.run_id
            for run in runs
            if run.data.tags.get("asset_key") == name
            and run.data.tags.get("workspace", workspace) == workspace
            and run.data.tags.get("dvc_md5") not in current
        }
    former -= models
    for run in runs:
        if run.info.run_id in former or run.data.tags.get("mlflow.parentRunId") in former:
            for output in run.outputs.model_outputs if run.outputs else []:
                if model := find_logged_model(client, output.model_id):
                    _delete_artifacts(model.artifact_location, uri)
                    client.delete_logged_model(model.model_id)
            _delete_artifacts(run.info.artifact_uri, uri)
            client.set_tag(run.info.run_id, FORGOTTEN, "true")
            client.delete_run(run.info.run_id)
    return len(former)


def _delete_artifacts(artifact_uri: str, uri: str) -> None:
    if artifact_uri.startswith("file://"):
        shutil.rmtree(url2pathname(urlsplit(artifact_uri).path), ignore_errors=True)
        return
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    repository: Any = get_artifact_repository(artifact_uri, tracking_uri=uri)
    repository.delete_artifacts()


def _purge_dagster(project: Project, instance: "dg.DagsterInstance") -> int:
    """Delete events with their previews; `cortex sync` reports current ones again."""
    import dagster as dg

    runs: set[str] = set()
    for name in source_derived_assets(project):
        key = dg.AssetKey(name)
        cursor = None
        while True:
            page = instance.fetch_materializations(key, limit=500, cursor=cursor)
            runs.update(record.event_log_entry.run_id for record in page.records)
            cursor = page.cursor
            if not page.has_more:
                break
        instance.wipe_assets([key])
    existing_runs = [run for run in sorted(runs) if run and instance.get_run_by_id(run) is not None]
    close_databases()  # what is deleted stays in the journals of open ones
    for run in existing_runs:
        instance.delete_run(run)
    close_databases()
    return len(existing_runs)
