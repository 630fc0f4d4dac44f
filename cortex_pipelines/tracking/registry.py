"""The model registry, written by releases and promotions, never read by assets."""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cortex_pipelines.release.ledger import Model
from cortex_pipelines.release.loading import base_of, parent_of
from cortex_pipelines.release.promotion import standing
from cortex_pipelines.release.signing import sign_version
from cortex_pipelines.tracking.model_file import FILES, SIGNATURE, Description, write_model_file
from cortex_pipelines.tracking.store import open_client
from cortex_pipelines.versioning.asset import VersionedAsset
from cortex_pipelines.versioning.champions import model_folder, model_name
from cortex_pipelines.versioning.dagster.dagster_assets import read_json
from cortex_pipelines.versioning.materialise import Version
from cortex_pipelines.versioning.project import Project

CHALLENGER, CANARY, CHAMPION = "challenger", "canary", "champion"
_LOCKS = ("params.yaml", "sources.lock", "dvc.lock")
_GAIN = ("improvement", "improvement_low", "improvement_high")
"""Figures of a verdict that become tags: the gain over the reference, with its interval."""


def register(
    project: Project, asset: VersionedAsset, partition: str | None, version: Version, run_id: str
) -> str:
    """Register a model with its files and the files needed to reproduce it.

    A version that is registered already (same DVC hash) only gets the new verdict.

    Returns:
        The version's number in the registry.
    """
    model = str(asset.registers)
    name = model_name(model, partition)
    verdict = read_json(project.output(asset.name, partition) / "verdict.json")
    md5 = str(verdict["model_version"])
    client = open_client(project.root)
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
    number = find_version(project, name, md5)
    if number is None:
        folder = model_folder(project, model, partition, md5)
        signed = sign_version(project.root, folder, name, md5, base_of(folder))
        client.log_artifacts(run_id, str(signed), "signature")
        logged = log_model(client, Description(model, name, md5, run_id), folder, signed)
        for lock in _LOCKS:
            if (project.root / lock).exists():
                client.log_artifact(run_id, str(project.root / lock))
        entry = client.create_model_version(
            name,
            # not models:/ID, which MLflow would look for at its own default address
            source=client.get_logged_model(logged).artifact_location,
            run_id=run_id,
            model_id=logged,
            tags={"dvc_md5": md5} | parent_tag(folder),
        )
        number = str(entry.version)
    figures = verdict["figures"]
    for key, value in {
        "verdict": verdict["verdict"],
        "reason": verdict["reason"],
        "model_asset": model,
        "partition": partition or "",
        "release_md5": version.value,
        **{name: f"{figures[name]:.4g}" for name in _GAIN if name in figures},
    }.items():
        client.set_model_version_tag(name, number, key, value)
    client.set_registered_model_alias(name, CHALLENGER, number)
    return number


def log_model(client: Any, about: Description, folder: Path, signed: Path) -> str:
    """Log a model to its run in a form that ``mlflow.pyfunc`` loads.

    Args:
        client: An MLflow client.
        about: The model.
        folder: Its files.
        signed: Manifest and signature of them.

    Returns:
        Its id among MLflow's logged models.
    """
    from mlflow.entities import LoggedModelOutput

    run = client.get_run(about.run_id)
    logged = client.create_logged_model(
        run.info.experiment_id,
        name=about.name,
        source_run_id=about.run_id,
        tags={"dvc_md5": about.version} | parent_tag(folder),
        params=dict(run.data.params),
        model_type=about.asset,
    )
    model_id = str(logged.model_id)
    client.log_outputs(about.run_id, [LoggedModelOutput(model_id, 0)])
    with TemporaryDirectory() as scratch:
        write_model_file(replace(about, model_id=model_id), Path(scratch))
        client.log_model_artifacts(model_id, scratch)
    client.log_model_artifacts(model_id, str(folder), FILES)
    client.log_model_artifacts(model_id, str(signed), SIGNATURE)
    client.finalize_logged_model(model_id, "READY")
    return model_id


def parent_tag(folder: Path) -> dict[str, str]:
    """Tag ``parent``: the version that a model's training continued from, if any."""
    parent = parent_of(folder)
    return {"parent": parent} if parent else {}


def find_version(project: Project, name: str, md5: str) -> str | None:
    """Registry number of the version with a DVC hash; None if there is none."""
    versions = open_client(project.root).search_model_versions(
        f"name = '{name}' and tags.dvc_md5 = '{md5}'"
    )
    return str(versions[0].version) if versions else None


def evolution(project: Project, model: Model) -> Iterator[tuple[str, str, str, str, str]]:
    """The registered versions of a model, the newest first.

    Yields:
        Name with number, when it was registered (ISO 8601 in UTC), the version that its training
        continued from, its gain over what it was compared with (with the interval), and what
        became of it: its stage, or else the gate's verdict.
    """
    client = open_client(project.root)
    versions = client.search_model_versions(f"name = '{model.name}'")
    for version in sorted(versions, key=lambda version: -int(version.version)):
        tags = dict(version.tags)
        at = datetime.fromtimestamp(version.creation_timestamp / 1000, UTC)
        gain, *ends = (tags.get(name, "–") for name in _GAIN)
        yield (
            f"{model.name}/{version.version}",
            at.isoformat(timespec="seconds"),
            tags.get("parent", "–"),
            f"{gain} ({' to '.join(ends)})",
            tags.get("stage") or tags.get("verdict", "–"),
        )


def follow_ledger(project: Project, model: Model) -> int:
    """Set aliases and tags from releases.lock; returns how many aliases moved.

    Every released version has the tags ``semantic_version`` and ``stage``: ``champion``,
    ``canary``, or ``archived``.
    """
    now = standing(project.root, model)
    moved = sum(_point(project, model.name, alias, now[alias]) for alias in (CHAMPION, CANARY))
    stages = dict.fromkeys(now["numbers"], "archived")
    stages |= {now[alias]: alias for alias in (CANARY, CHAMPION) if now[alias]}
    client = open_client(project.root)
    for version, stage in stages.items():
        number = find_version(project, model.name, version)
        if number is None:
            continue  # released on another machine, or before MLflow's records were deleted
        tags = {"stage": stage, "semantic_version": now["numbers"].get(version, "")}
        for key, value in tags.items():
            client.set_model_version_tag(model.name, number, key, value)
    return moved


def _point(project: Project, name: str, alias: str, md5: str | None) -> bool:
    client = open_client(project.root)
    current = _alias(client, name, alias)
    number = find_version(project, name, md5) if md5 else None
    if current == number:
        return False
    if number is None:
        client.delete_registered_model_alias(name, alias)
    else:
        client.set_registered_model_alias(name, alias, number)
    return True


def resolve(project: Project, reference: str) -> tuple[str, str, dict[str, str]]:
    """Find a model version by ``MODEL``, ``MODEL@ALIAS``, ``MODEL/NUMBER`` or ``MODEL/1.0.0``.

    Without alias or number: the champion if there is one, else the challenger.

    Returns:
        Name, number and tags.

    Raises:
        LookupError: there is no such model, alias or version; names those that are there.
    """
    client = open_client(project.root)
    name, alias, number = _parse(reference)
    known = sorted(model.name for model in client.search_registered_models())
    if name not in known:
        raise LookupError(
            f"no model {name} in the registry; models: {', '.join(known) or 'none yet'}"
        )
    if not number:
        wanted = [alias] if alias else [CHAMPION, CHALLENGER]
        number = next((n for a in wanted if (n := _alias(client, name, a))), None)
        if number is None:
            raise LookupError(f"model {name} has no version named {' or '.join(wanted)}")
    which = (
        f"version_number = {int(number)}"
        if number.isdigit()
        else f"tags.semantic_version = '{number}'"
    )
    versions = client.search_model_versions(f"name = '{name}' and {which}")
    if not versions:
        raise LookupError(f"model {name} has no version {number}")
    return name, str(versions[0].version), dict(versions[0].tags)


def locks_of(project: Project, name: str, number: str) -> dict[str, str]:
    """Text of a version's ``params.yaml``, ``sources.lock`` and ``dvc.lock``, where stored."""
    client = open_client(project.root)
    run_id = str(client.get_model_version(name, number).run_id)
    kept = {file.path for file in client.list_artifacts(run_id)}
    with TemporaryDirectory() as scratch:
        return {
            lock: Path(client.download_artifacts(run_id, lock, scratch)).read_text(encoding="utf-8")
            for lock in _LOCKS
            if lock in kept
        }


def registered(project: Project, name: str) -> dict[str, str | None]:
    """Registry numbers as ``challenger_number``, ``canary_number``, ``champion_number``."""
    client = open_client(project.root)
    aliases = (CHALLENGER, CANARY, CHAMPION)
    return {f"{alias}_number": _alias(client, name, alias) for alias in aliases}


def _parse(reference: str) -> tuple[str, str | None, str | None]:
    if "@" in reference:
        name, _, alias = reference.partition("@")
        return name, alias, None
    name, _, number = reference.partition("/")
    if number and not re.fullmatch(r"\d+(\.\d+\.\d+)?", number):
        raise LookupError(
            f"{reference}: a version is a number, as in {name}/1, {name}/1.0.0 or {name}@champion"
        )
    return name, None, number or None


def _alias(client: Any, name: str, alias: str) -> str | None:
    models = client.search_registered_models(f"name = '{name}'")
    number = models[0].aliases.get(alias) if models else None
    return str(number) if number is not None else None
