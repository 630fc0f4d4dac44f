"""Versions in MLflow's model registry and their ``MLmodel``: found by DVC's hash, entered, or restored.

The registry is a copy of what ``releases.lock`` and DVC hold. A version that was deleted, or whose tags or files
are gone, is entered, tagged or filled again from there.
"""

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cortex_pipelines.release.gates import read_verdict
from cortex_pipelines.release.ledger import ReleasedModel
from cortex_pipelines.release.loading import base_of, parent_of
from cortex_pipelines.release.promotion import verdict_folder
from cortex_pipelines.signing.manifest import MANIFEST, Manifest, UntrustedModelError
from cortex_pipelines.signing.signatures import SIGNED, sign_version, signed_folder
from cortex_pipelines.tracking.commits import committed, lock_commit
from cortex_pipelines.tracking.experiments import experiment_id, find_run, unless_missing
from cortex_pipelines.tracking.store import open_client, tracking_uri
from cortex_pipelines.versioning.champions import model_folder, model_name
from cortex_pipelines.versioning.content import content_md5
from cortex_pipelines.versioning.lock_file import locked_stages, locked_version, stage_address
from cortex_pipelines.versioning.project import Project

_EXAMPLE = "input_example.json"
_LOADER = "cortex_pipelines.serving.pyfunc"
FILES, SIGNATURE = "files", "signature"
"""Folders beside ``MLmodel``: what DVC versions, and what proves that it is that."""


@dataclass(frozen=True)
class ModelSignature:
    """``inputs``, ``outputs``: type by name; ``loads``: command or call that opens the model, for people;
    ``configuration``: what a caller of MLflow can choose.
    """

    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    example: Mapping[str, Any]
    loads: str
    configuration: Mapping[str, Any] = field(default_factory=dict)


SIGNATURES = {
    "code_adapter": ModelSignature(
        {"prompt": "string"},
        {"completion": "string"},
        {"prompt": "def read_lines(path):\n    "},
        "cortex_pipelines.release.open_model.open_adapter",
        {"task": "", "max_new_tokens": 128},
    ),
    "task_router": ModelSignature(
        {"task": "string"},
        {"master": "string", "probability": "double", "abstained": "boolean"},
        {"task": "Rotate the leaked API key"},
        "cortex_pipelines.release.open_model.open_router",
    ),
}
"""Interfaces by the asset that makes the model."""


@dataclass(frozen=True)
class ModelMetadata:
    asset: str
    name: str
    version: str
    run_id: str | None
    model_id: str | None = None


def write_model_file(model_metadata: ModelMetadata, out: Path) -> None:
    """Write ``MLmodel`` (flavour ``python_function``, this package loads it) and an input example, if declared."""
    interface = SIGNATURES.get(model_metadata.asset)
    if interface is None:
        return
    from mlflow import pyfunc
    from mlflow.models import Model, ModelSignature
    from mlflow.types.schema import ColSpec, Schema

    inputs, outputs = (
        Schema([ColSpec(kind, name) for name, kind in columns.items()])
        for columns in (interface.inputs, interface.outputs)
    )
    signature = ModelSignature(inputs=inputs, outputs=outputs)
    # the loaded model checks its input itself: MLflow would refuse a list of strings, since that has no column's name
    signature._is_signature_from_type_hint = True
    model = Model(
        artifact_path=model_metadata.name,
        run_id=model_metadata.run_id,
        model_id=model_metadata.model_id,
        signature=signature,
        flavors={"cortex_pipelines": {"loader": interface.loads, "weights": "safetensors"}},
        saved_input_example_info={"artifact_path": _EXAMPLE, "type": "json_object"},
        metadata={"asset": model_metadata.asset, "model": model_metadata.name, "version": model_metadata.version},
    )
    pyfunc.add_to_model(model, loader_module=_LOADER, data=FILES, model_config=dict(interface.configuration))
    model.save(str(out / "MLmodel"))
    text = json.dumps(dict(interface.example), indent=1) + "\n"
    (out / _EXAMPLE).write_text(text, encoding="utf-8")


def read_metadata(folder: Path) -> tuple[str, str, str]:
    """Asset, name and version from the ``MLmodel`` in a folder; ValueError for a model of another program."""
    from mlflow.models import Model

    metadata = Model.load(str(folder)).metadata or {}
    try:
        return str(metadata["asset"]), str(metadata["model"]), str(metadata["version"])
    except KeyError as error:
        raise ValueError(f"{folder / 'MLmodel'} has no {error.args[0]} in its metadata") from None


DIGEST, ASSET, PARTITION = "dvc_md5", "model_asset", "partition"
"""Tags that say what a version is; the others say what was thought of it."""
LOCKS = ("params.yaml", "sources.lock", "dvc.lock")  # files that a version is reproduced from, logged to its run
_MODEL_FILE = "MLmodel"
_DELETED_WEIGHTS = "weights"  # tag of a version whose files `cortex forget` deleted
_LOG = logging.getLogger("cortex_pipelines")


def model_of(project: Project, name: str) -> ReleasedModel | None:
    for asset in project.graph.order:
        for partition in project.partitions_of(asset) if asset.registers else ():
            if model_name(str(asset.registers), partition) == name:
                return ReleasedModel(str(asset.registers), partition)
    return None


def find_version(project: Project, name: str, md5: str) -> str | None:
    versions = open_client(project.root).search_model_versions(f"name = '{name}' and tags.{DIGEST} = '{md5}'")
    return str(versions[0].version) if versions else None


def enter_version(project: Project, model: ReleasedModel, md5: str, run_id: str | None) -> str:
    """Registry number of a version, entered if it is missing; ProjectError if its files are nowhere."""
    client = open_client(project.root)
    if not client.search_registered_models(f"name = '{model.name}'"):
        kind = "Low-rank adapter" if model.asset == "code_adapter" else model.asset.replace("_", " ").capitalize()
        client.create_registered_model(
            model.name,
            description=f"{kind} of {model.partition or 'all projects'}. `champion` serves, `canary` gets a share of "
            "the requests, `challenger` was judged last; each version says what the gate found.",
        )
    number = find_version(project, model.name, md5) or _tag_again(project, model, md5)
    if number is not None:
        return number
    folder = model_folder(project, model.asset, model.partition, md5)
    signed = sign_version(project.root, folder, model.name, md5, base_of(folder))
    metadata = ModelMetadata(model.asset, model.name, md5, run_id)
    logged = log_model(project.root, metadata, folder, signed)
    if run_id:
        client.log_artifacts(run_id, str(signed), SIGNATURE)
    entry = client.create_model_version(
        model.name,
        # not models:/ID, which MLflow would look for at its own default address
        source=client.get_logged_model(logged).artifact_location,
        run_id=run_id,
        model_id=logged,
        tags=_own_tags(model, md5) | parent_tag(folder),
    )
    if run_id and locked_version(locked_stages(project.root), model.address) == md5:
        # of a release that came by git, the files of that commit: those of the workspace may have moved on
        locked = lock_commit(project.root, stage_address(f"{model.asset}_release", model.partition))
        for lock in LOCKS:
            path = project.root / lock
            text = committed(project.root, locked.commit, lock) if locked else path.exists() and path.read_text("utf-8")
            if text:
                client.log_text(run_id, text, lock)
    return str(entry.version)


def restore_version(project: Project, model: ReleasedModel, md5: str) -> str:
    """Registry number of a version that has a role, restored if a part was deleted; ProjectError if it cannot be."""
    number = find_version(project, model.name, md5)
    if number is None:
        folder = verdict_folder(project.root, model)
        verdict = read_verdict(folder)
        release = content_md5(folder) if verdict and verdict["model_version"] == md5 else None
        run = release and find_run(project.root, f"{model.asset}_release", model.partition, release)
        run = run or find_run(project.root, model.asset, model.partition, md5)
        number = enter_version(project, model, md5, run[0] if run else None)
        _LOG.warning(
            "MLflow's registry lacked version %s of %s; it is entered as %s/%s", *(md5, model.name, model.name, number)
        )
        return number
    version = open_client(project.root).get_model_version(model.name, number)
    _set_missing(project, version, _own_tags(model, md5))
    if _DELETED_WEIGHTS not in version.tags:
        _restore_files(project, model, version, md5)
    return number


def complete_tags(project: Project, version: Any) -> dict[str, str]:
    """The tags of a version; removed ones are set again. LookupError if nothing says what the version is."""
    tags = dict(version.tags)
    if {DIGEST, ASSET, PARTITION} <= tags.keys():
        return tags
    model = model_of(project, version.name)
    md5 = tags.get(DIGEST) or _recorded_digest(project.root, version)
    if model is None or md5 is None:
        raise LookupError(
            f"{version.name}/{version.version} in MLflow's registry has no tag {DIGEST}: it was "
            "not entered by a release, or was edited; choose another version, or let "
            "`cortex sync` enter again those that releases.lock names"
        )
    return tags | _set_missing(project, version, _own_tags(model, md5))


def log_model(root: Path, metadata: ModelMetadata, folder: Path, signed: Path) -> str:
    """Log a model to its run in a form that ``mlflow.pyfunc`` loads. Returns its id among MLflow's logged models."""
    from mlflow.entities import LoggedModelOutput

    client = open_client(root)
    run = client.get_run(metadata.run_id) if metadata.run_id else None
    logged = client.create_logged_model(
        run.info.experiment_id if run else experiment_id(root, metadata.name),
        name=metadata.name,
        source_run_id=metadata.run_id,
        tags={DIGEST: metadata.version} | parent_tag(folder),
        params=dict(run.data.params) if run else {},
        model_type=metadata.asset,
    )
    model_id = str(logged.model_id)
    if metadata.run_id:
        client.log_outputs(metadata.run_id, [LoggedModelOutput(model_id, 0)])
    with TemporaryDirectory() as scratch:
        write_model_file(replace(metadata, model_id=model_id), Path(scratch))
        client.log_model_artifacts(model_id, scratch)
    client.log_model_artifacts(model_id, str(folder), FILES)
    client.log_model_artifacts(model_id, str(signed), SIGNATURE)
    client.finalize_logged_model(model_id, "READY")
    return model_id


def find_logged_model(client: Any, model_id: str) -> Any | None:
    return unless_missing(lambda: client.get_logged_model(model_id))


def parent_tag(folder: Path) -> dict[str, str]:
    return {"parent": parent} if (parent := parent_of(folder)) else {}


def _own_tags(model: ReleasedModel, md5: str) -> dict[str, str]:
    return {DIGEST: md5, ASSET: model.asset, PARTITION: model.partition or ""}


def _set_missing(project: Project, version: Any, tags: Mapping[str, str]) -> dict[str, str]:
    missing = {key: value for key, value in tags.items() if version.tags.get(key) != value}
    for key, value in missing.items():
        open_client(project.root).set_model_version_tag(version.name, version.version, key, value)
    if missing:
        words = (", ".join(sorted(missing)), version.name, version.version)
        _LOG.warning("MLflow's registry: the tags %s of %s/%s had been removed; they are set again", *words)
    return missing


def _tag_again(project: Project, model: ReleasedModel, md5: str) -> str | None:
    """Number of a version with a lost or edited hash, found by what its files are."""
    versions = open_client(project.root).search_model_versions(f"name = '{model.name}'")
    for version in sorted(versions, key=lambda version: int(version.version)):
        if _recorded_digest(project.root, version) == md5:
            _set_missing(project, version, _own_tags(model, md5))
            return str(version.version)
    return None


def _recorded_digest(root: Path, version: Any) -> str | None:
    from mlflow.exceptions import MlflowException

    logged = find_logged_model(open_client(root), str(version.source).split("/")[-2])
    if logged is not None and DIGEST in logged.tags:
        return str(logged.tags[DIGEST])
    try:
        with TemporaryDirectory() as scratch:
            _artifacts(root, version).download_artifacts(_MODEL_FILE, scratch)
            return read_metadata(Path(scratch))[2]
    except (MlflowException, OSError, ValueError):
        return None


def _artifacts(root: Path, version: Any) -> Any:
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    return get_artifact_repository(version.source, tracking_uri=tracking_uri(root))


def _restore_files(project: Project, model: ReleasedModel, version: Any, md5: str) -> None:
    if str(version.source).startswith("runs:"):
        return  # nothing that a release entered
    artifacts = _artifacts(project.root, version)
    expected = {f"{SIGNATURE}/{name}" for name in SIGNED} | ({_MODEL_FILE} if model.asset in SIGNATURES else set())
    try:
        manifest = (signed_folder(project.root, model.name, md5) / MANIFEST).read_bytes()
        expected |= {f"{FILES}/{name}" for name in Manifest.from_bytes(manifest).files}
    except (OSError, UntrustedModelError):
        pass  # without a manifest, nothing says which files there were
    if expected <= set(_list_files(artifacts)):
        return
    folder = model_folder(project, model.asset, model.partition, md5)
    signed = sign_version(project.root, folder, model.name, md5, base_of(folder))
    with TemporaryDirectory() as scratch:
        model_id = str(version.source).split("/")[-2]
        metadata = ModelMetadata(model.asset, model.name, md5, version.run_id, model_id)
        write_model_file(metadata, Path(scratch))
        artifacts.log_artifacts(scratch)
    artifacts.log_artifacts(str(folder), FILES)
    artifacts.log_artifacts(str(signed), SIGNATURE)
    _LOG.warning(
        "MLflow's registry: files of %s/%s were missing; they are copied there again from DVC",
        *(model.name, version.version),
    )


def _list_files(artifacts: Any, folder: str | None = None) -> Iterator[str]:
    for entry in artifacts.list_artifacts(folder):
        if entry.is_dir:
            yield from _list_files(artifacts, entry.path)
        else:
            yield entry.path
