"""Export a released adapter in other programs' formats, verified and signed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cortex_pipelines.adapters.model.base_model import base_digest, base_name, load_tokenizer, resolve_base
from cortex_pipelines.ingestion.pretrained_models import weights_folder
from cortex_pipelines.release.card import CARD
from cortex_pipelines.release.exports.gguf_files import write_gguf
from cortex_pipelines.release.exports.ollama import write_ollama
from cortex_pipelines.release.exports.pruning import Pruning, completions
from cortex_pipelines.release.exports.source import ExportChecks, ExportError, Source, staging_folder
from cortex_pipelines.release.exports.transformers_formats import write_merged, write_peft
from cortex_pipelines.release.ledger import ReleasedModel, moves, numbers
from cortex_pipelines.release.loading import adapter_folder
from cortex_pipelines.release.open_model import find_released, open_verified, pinned_base
from cortex_pipelines.release.promotion import model_roles, verdict_folder
from cortex_pipelines.signing.manifest import make_manifest
from cortex_pipelines.signing.signatures import require_signer, sign_openssf, write_signed
from cortex_pipelines.tracking.latencies import as_markdown, recorded
from cortex_pipelines.versioning.project import Project

Format = Literal["peft", "merged", "gguf", "ollama"]


@dataclass(frozen=True)
class Exported:
    model: str
    version: str
    checks: ExportChecks


def export(
    project: Project,
    reference: str,
    form: Format,
    out: Path,
    task: str | None = None,
    base_gguf: Path | None = None,
    openssf: bool = False,
    drop: tuple[int, int] = (0, 0),
) -> Exported:
    """Export a released adapter to an absent or empty folder, reload it, compare it, and sign it.

    ``reference``: ``MODEL``, ``MODEL@ALIAS``, ``MODEL/NUMBER`` or ``MODEL/1.0.0``. ``task``: of the adapter, for models
    with one adapter per task. ``base_gguf``: GGUF file of the base for ``ollama``; None for the pinned base's.
    ``openssf``: also sign in OpenSSF's format. ``drop``: layers, and groups of heads of each layer, that a merged model
    loses (``pruning``). Raises ``LookupError`` for an unknown version or where none was
    released, ``UntrustedModelError`` if its files differ from the released ones, ``ExportError`` if the format does not
    support it or the export answers differently; ``out`` is then unchanged.
    """
    if openssf:
        require_signer()
    model, version = find_released(project, reference)
    if version is None:
        latest = model_roles(project.root, model)["challenger"]
        remedy = (
            f"use {model.name}@challenger for the latest version" if latest else "`cortex run` makes a version of it"
        )
        raise LookupError(f"{model.name} has no champion yet; {remedy}")
    source_version, pinned = open_verified(project, model, version), pinned_base(project)
    if source_version.base is None:
        raise ExportError(f"{model.name} is not an adapter; only adapters can be exported")
    if source_version.base["digest"] != base_digest(pinned):
        raise ExportError(
            f"{model.name} ({version}) was trained on {source_version.base['name']}, models.base "
            f"in params.yaml is {base_name(pinned)}; set it to that base and run `cortex update`"
        )
    folder = adapter_folder(source_version.folder, task)
    if task and folder == source_version.folder:
        raise ExportError(f"{model.name} has one adapter for all tasks; leave --task out")
    card = verdict_folder(project.root, model) / CARD
    card_text = card.read_text(encoding="utf-8") if card.is_file() else ""
    source = Source(
        model=model.name,
        version=version,
        number=numbers(moves(project.root, model)).get(version, ""),
        folder=folder,
        base=resolve_base(pinned, project.root),
        card=card_text + as_markdown(recorded(project.root, version)) if version in card_text else "",
    )
    with staging_folder(out) as staging:
        if form == "ollama":
            files = sorted(weights_folder(pinned.source, pinned.pin, project.root).glob("*.gguf"))
            checked = write_ollama(source, base_gguf or (files[0] if len(files) == 1 else None), staging)
        elif form == "merged":
            checked = write_merged(source, staging, _pruning(project, model, source, drop) if any(drop) else None)
        else:
            checked = {"peft": write_peft, "gguf": write_gguf}[form](source, staging)
        manifest = make_manifest(staging, model.name, version, source_version.base)
        write_signed(project.root, manifest, staging)
    if openssf:  # this signature contains the folder's name, so sign it in its final location
        sign_openssf(project.root, out)
    return Exported(model.name, version, checked)


def _pruning(project: Project, model: ReleasedModel, source: Source, drop: tuple[int, int]) -> Pruning:
    """By completions of the model's project; ExportError without them."""
    folder = project.output("completion_dataset", model.partition)
    if not (folder / "train.parquet").is_file():
        raise ExportError(f"{folder} has no completions to choose by what is left out; run `cortex run` or `dvc pull`")
    tokenizer = load_tokenizer(source.base)
    return Pruning(*drop, *(completions(folder, tokenizer, split) for split in ("train", "validation")))
