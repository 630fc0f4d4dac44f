"""Train and open a router outside the asset graph, from folders."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import polars as pl

from cortex_pipelines.atomic import write_whole
from cortex_pipelines.config import Parameters
from cortex_pipelines.coordination.formats import ENDINGS, PACKED
from cortex_pipelines.coordination.logs import CoordinationError
from cortex_pipelines.coordination.settings import Fact
from cortex_pipelines.coordination.summary import OwnLogs, open_logs
from cortex_pipelines.coordination.tables.decisions import decisions, outcomes
from cortex_pipelines.coordination.tables.features import features
from cortex_pipelines.ingestion.pretrained_models import PinnedModel, absolute, home_folder, resolve_model_pin
from cortex_pipelines.routing.assets import embedder
from cortex_pipelines.routing.dataset.accounting import Accounting, account
from cortex_pipelines.routing.dataset.build import logged_rules, training_tasks
from cortex_pipelines.routing.outcomes.attempts import attempts
from cortex_pipelines.routing.selection.held_out import HeldOutReport, held_out_report
from cortex_pipelines.routing.serving.bundle import RouterError, load_config
from cortex_pipelines.routing.serving.router import Router, open_trained
from cortex_pipelines.routing.train import train_router
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.signing.keys import has_key
from cortex_pipelines.signing.manifest import (
    MANIFEST,
    Manifest,
    UntrustedModelError,
    checksums,
    compare,
    refuse_pickles,
)
from cortex_pipelines.signing.signatures import SIGNATURE, SIGNED, signed_folder, verify, write_signed
from cortex_pipelines.versioning.content import content_md5
from cortex_pipelines.versioning.project import ProjectError, find_root

_MODEL = "router"  # model name in the manifest of a router outside the asset graph
_EMBEDDINGS = "3"  # version of the embedding cache; raise it when embeddings are computed differently


@dataclass(frozen=True)
class TrainedRouter:
    steps: Sequence[Mapping[str, Any]]
    tasks: int
    masters: int
    seconds: float
    held_out: HeldOutReport


def train_on_logs(
    logs: Path, out: Path, params: Parameters, mapping: Mapping[Fact, str] | None = None, keep_rare: bool = True
) -> TrainedRouter:
    """Train a router on all logs of a folder, or on one log.

    ``mapping`` names the keys of logs of another form; what it does not name is guessed. Without ``keep_rare``, masters
    of fewer than three tasks are left out. Raises ``CoordinationError`` without a log, or where a key must be named
    first, ``TooFewMastersError`` with fewer than two masters.
    """
    opened = open_training_logs(logs, params, mapping)
    return train_on_opened(opened, account(opened.events, opened.unread, keep_rare), out, params)


def open_training_logs(logs: Path, params: Parameters, mapping: Mapping[Fact, str] | None = None) -> OwnLogs:
    """Raises ``CoordinationError``: there is no log, or a key must be named first."""
    if not logs.exists():
        raise CoordinationError(f"coordination logs: no file or folder {logs}")
    opened = open_logs(logs.resolve(), params.coordination, params.privacy, mapping)
    if not opened.files:
        raise CoordinationError(
            f"coordination logs: no log in {logs}; read are {', '.join(ENDINGS)}, each also {' or '.join(PACKED)}"
        )
    if questions := opened.questions():
        raise CoordinationError("\n".join(questions))
    return opened


def train_on_opened(opened: OwnLogs, accounting: Accounting, out: Path, params: Parameters) -> TrainedRouter:
    began = monotonic()
    home = home_folder()
    source = absolute(params.models.encoder)
    encoder = PinnedModel(source, resolve_model_pin(source, home))
    tasks = training_tasks(opened.events, params.routing)
    tasks = tasks.filter(pl.col("master").is_in([master for master, _ in accounting.masters]))
    reports: list[HeldOutReport] = []
    out.mkdir(parents=True, exist_ok=True)
    metrics = train_router(
        tasks,
        embedder(encoder, params.routing, home, RowCache(home / "embeddings", _EMBEDDINGS)),
        params.routing,
        encoder.pin,
        logged_rules(opened.events),
        out,
        home / "studies",
        lambda comparison: reports.append(held_out_report(comparison)),
        _attempts(opened.events, params),
    )
    _write_manifest(out)
    steps = json.loads((out / "candidates.json").read_text(encoding="utf-8"))
    train_tasks, masters = int(metrics["train_tasks"]), int(metrics["masters"])
    return TrainedRouter(steps, train_tasks, masters, monotonic() - began, reports[0])


def _attempts(events: pl.DataFrame, params: Parameters) -> pl.DataFrame:
    decided, known = decisions(events, params.coordination.aliases), outcomes(events)
    tried = attempts(decided, known, features(decided, known, params.log_tables))
    return tried.with_columns(judged=pl.lit(value=False))


def open_model(folder: Path) -> Router:
    """Open a router with the encoder it was trained on.

    Raises ``RouterError`` if the folder holds none, ``UntrustedModelError`` if its files are not those that the
    training wrote, ``WeightsError`` if the encoder is not on this machine.
    """
    if not folder.is_dir():
        raise RouterError(f"no folder {folder}; train a router with `cortex router train LOGS --out {folder}`")
    load_config(folder)  # a clear error for folders without a router
    return open_trained(folder, home_folder(), _verified_version(folder))


def _write_manifest(folder: Path) -> None:
    for name in SIGNED:
        (folder / name).unlink(missing_ok=True)
    files = checksums(folder)
    refuse_pickles(_MODEL, files)
    manifest = Manifest(_MODEL, str(content_md5(folder)), None, files)
    root = _project()
    if root is not None and has_key(root):
        write_signed(root, manifest, folder)
        return
    write_whole(folder / MANIFEST, manifest.to_bytes())


def _verified_version(folder: Path) -> str:
    """A manifest without a signature tells damage, not who wrote it."""
    root = _project()
    if (folder / SIGNATURE).exists():
        if root is None:
            raise UntrustedModelError(
                f"{folder} is signed, but no project here has keys to verify it; "
                f"change to one, or delete {SIGNATURE} to check the checksums only"
            )
        manifest = verify(root, folder, folder, _MODEL)
    elif (folder / MANIFEST).exists():
        manifest = Manifest.from_bytes((folder / MANIFEST).read_bytes())
        compare(folder, manifest, leave_out=SIGNED)
    else:
        version = str(content_md5(folder))
        if root is None or not (signed := signed_folder(root, "task_router", version)).is_dir():
            raise UntrustedModelError(
                f"{folder} has no {MANIFEST}, so it cannot be verified; train it again with "
                f"`cortex router train LOGS --out {folder}`"
            )
        verify(root, folder, signed, "task_router", version)
        return version
    version = str(content_md5(folder, leave_out=SIGNED))
    if (manifest.model, manifest.version) != (_MODEL, version):
        raise UntrustedModelError(
            f"the {MANIFEST} in {folder} was not written by `cortex router train`, or was modified; train it again"
        )
    return version


def _project() -> Path | None:
    try:
        return find_root()
    except ProjectError:
        return None
