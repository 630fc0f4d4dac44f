"""The model registry: written by releases and promotions, never read by an asset."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cortex_pipelines.tracking.store import open_client
from cortex_pipelines.versioning.asset import VersionedAsset
from cortex_pipelines.versioning.dagster_assets import read_json
from cortex_pipelines.versioning.materialise import Version
from cortex_pipelines.versioning.opponent import model_name
from cortex_pipelines.versioning.project import Project

CHALLENGER, CHAMPION = "challenger", "champion"
_LOCKS = ("params.yaml", "sources.lock", "dvc.lock")


def register(
    project: Project, asset: VersionedAsset, partition: str | None, version: Version, run_id: str
) -> str:
    """Enter the model a release decides on, with its files and the files that reproduce it.

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
        client.log_artifacts(run_id, str(project.output(model, partition)), "model")
        for lock in _LOCKS:
            if (project.root / lock).exists():
                client.log_artifact(run_id, str(project.root / lock))
        entry = client.create_model_version(
            name, source=f"runs:/{run_id}/model", run_id=run_id, tags={"dvc_md5": md5}
        )
        number = str(entry.version)
    for key, value in {
        "verdict": verdict["verdict"],
        "reason": verdict["reason"],
        "model_asset": model,
        "partition": partition or "",
        "release_md5": version.value,
    }.items():
        client.set_model_version_tag(name, number, key, value)
    client.set_registered_model_alias(name, CHALLENGER, number)
    return number


def find_version(project: Project, name: str, md5: str) -> str | None:
    """Number of the registered version with this DVC hash; None if there is none."""
    found = open_client(project.root).search_model_versions(
        f"name = '{name}' and tags.dvc_md5 = '{md5}'"
    )
    return str(found[0].version) if found else None


def point_champion(project: Project, name: str, md5: str | None) -> bool:
    """Make the alias ``champion`` say what releases.lock says; whether it had to be moved."""
    client = open_client(project.root)
    current = _alias(client, name, CHAMPION)
    number = find_version(project, name, md5) if md5 else None
    if current == number:
        return False
    if number is None:
        client.delete_registered_model_alias(name, CHAMPION)
    else:
        client.set_registered_model_alias(name, CHAMPION, number)
    return True


def resolve(project: Project, reference: str) -> tuple[str, str, dict[str, str]]:
    """A model version by ``MODEL``, ``MODEL@ALIAS`` or ``MODEL/NUMBER``.

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
            f"no model {name} in the registry; there is: {', '.join(known) or 'none yet'}"
        )
    if not number:
        wanted = [alias] if alias else [CHAMPION, CHALLENGER]
        number = next((n for a in wanted if (n := _alias(client, name, a))), None)
        if number is None:
            raise LookupError(f"model {name} has no version called {' or '.join(wanted)}")
    found = client.search_model_versions(f"name = '{name}' and version_number = {int(number)}")
    if not found:
        raise LookupError(f"model {name} has no version {number}")
    return name, number, dict(found[0].tags)


def locks_of(project: Project, name: str, number: str) -> dict[str, str]:
    """Text of ``params.yaml``, ``sources.lock`` and ``dvc.lock`` of a version, as far as kept."""
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
    """Numbers in the registry of a model's ``challenger_number`` and ``champion_number``."""
    client = open_client(project.root)
    return {f"{alias}_number": _alias(client, name, alias) for alias in (CHALLENGER, CHAMPION)}


def _parse(reference: str) -> tuple[str, str | None, str | None]:
    if "@" in reference:
        name, _, alias = reference.partition("@")
        return name, alias, None
    name, _, number = reference.partition("/")
    if number and not number.isdigit():
        raise LookupError(f"{reference}: a version is a number, as in {name}/1 or {name}@champion")
    return name, None, number or None


def _alias(client: Any, name: str, alias: str) -> str | None:
    models = client.search_registered_models(f"name = '{name}'")
    number = models[0].aliases.get(alias) if models else None
    return str(number) if number is not None else None
