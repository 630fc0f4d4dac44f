"""A router outside the asset graph: trained on a folder of logs, opened from a folder."""

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from cortex_pipelines.config import Parameters
from cortex_pipelines.coordination.logs import (
    CoordinationError,
    read_logs,
    take_coordination_pin,
)
from cortex_pipelines.ingestion.pretrained_models import (
    ModelSource,
    PinnedModel,
    take_model_pin,
)
from cortex_pipelines.routing.assets import embedder
from cortex_pipelines.routing.dataset.build import logged_rules, training_tasks
from cortex_pipelines.routing.serving.bundle import RouterError
from cortex_pipelines.routing.serving.load import open_trained
from cortex_pipelines.routing.serving.router import Router
from cortex_pipelines.routing.train import train_router
from cortex_pipelines.rowcache import RowCache

_EMBEDDINGS = "2"
"""Version of what is kept of embeddings; to be raised when they are computed otherwise."""


@dataclass(frozen=True)
class Trained:
    """What came of a training.

    Args:
        steps: The table of the competition, a row a rung.
        tasks: Tasks trained on.
        masters: Masters to choose from.
        seconds: How long it took.
    """

    steps: Sequence[Mapping[str, Any]]
    tasks: int
    masters: int
    seconds: float


def train_on_logs(logs: Path, out: Path, params: Parameters) -> Trained:
    """Train a router on all logs in a folder.

    Args:
        logs: Folder of logs, or one log.
        out: Folder that gets the router; made if it is not there.
        params: Parameters; of them the sections coordination, models and routing count.

    Raises:
        CoordinationError: there is no such folder, or no log in it.
        TooFewMastersError: the logs hold no two masters.
    """
    began = monotonic()
    folder, pin = _pinned(logs)
    events, _ = read_logs(folder, pin, params.coordination)
    home = _home()
    source = _absolute(params.models.encoder)
    encoder = PinnedModel(source, take_model_pin(source, home))
    out.mkdir(parents=True, exist_ok=True)
    metrics = train_router(
        training_tasks(events, params.routing),
        embedder(encoder, params.routing, home, RowCache(home / "embeddings", _EMBEDDINGS)),
        params.routing,
        encoder.pin,
        logged_rules(events),
        out,
        home / "studies",
    )
    steps = json.loads((out / "ladder.json").read_text(encoding="utf-8"))
    tasks, masters = int(metrics["train_tasks"]), int(metrics["masters"])
    return Trained(steps, tasks, masters, monotonic() - began)


def open_model(folder: Path) -> Router:
    """A router out of its folder, with the encoder that it was trained on.

    Raises:
        RouterError: the folder holds no router.
        WeightsError: the encoder is not on this machine.
    """
    if not folder.is_dir():
        raise RouterError(
            f"no folder {folder}; `cortex router train LOGS --out {folder}` makes a router"
        )
    return open_trained(folder, _home())


def _pinned(logs: Path) -> tuple[Path, dict[str, Any]]:
    whole = logs.resolve()
    if not whole.exists():
        raise CoordinationError(f"coordination logs: no file or folder {logs}")
    folder = whole if whole.is_dir() else whole.parent
    pin = take_coordination_pin(folder, folder)
    if whole.is_file():
        pin = {"files": [file for file in pin["files"] if file["path"] == whole.name]}
    if not pin["files"]:
        raise CoordinationError(
            f"coordination logs: no log in {logs}; files called *.jsonl or *.ndjson are read"
        )
    return folder, pin


def _absolute(source: ModelSource) -> ModelSource:
    """The entry with its folder, if it has one, as seen from anywhere."""
    if source.directory is None:
        return source
    return ModelSource(directory=str(Path(source.directory).resolve()))


def _home() -> Path:
    """Where embeddings and hashes of weights are kept; nothing in it is needed."""
    base = os.environ.get("XDG_CACHE_HOME")
    home = (Path(base) if base else Path.home() / ".cache") / "cortex-pipelines"
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError:
        home = Path(tempfile.gettempdir()) / f"cortex-pipelines-{os.getuid()}"
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
    return home
