"""Open a router with its encoder."""

from pathlib import Path

from cortex_pipelines.ingestion.pretrained_models import ModelSource, weights_folder
from cortex_pipelines.routing.serving.bundle import load_config
from cortex_pipelines.routing.serving.router import Router


def open_trained(folder: Path, root: Path, version: str | None = None) -> Router:
    """Raises ``RouterError`` if the folder holds no readable router, ``WeightsError`` without its encoder."""
    pin = dict(load_config(folder).encoder)
    # a pin repeats its entry of params.yaml
    source = ModelSource(**{key: pin[key] for key in ModelSource.model_fields if key in pin})
    return Router.load(folder, weights_folder(source, pin, root), version)
