"""Folders of commands that work without a project."""

import os
from pathlib import Path

from cortex_pipelines.atomic import lasting_folder
from cortex_pipelines.ingestion.pretrained_models import ModelSource


def home_folder() -> Path:
    """Folder for embeddings, hashes of weights, keys and tracebacks outside of a project."""
    base = os.environ.get("XDG_CACHE_HOME")
    home = (Path(base) if base else Path.home() / ".cache") / "cortex-pipelines"
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError:
        home = lasting_folder() / f"cortex-pipelines-{os.getuid()}"
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
    return home


def absolute(source: ModelSource) -> ModelSource:
    if source.directory is None:
        return source
    return ModelSource(directory=str(Path(source.directory).resolve()))
