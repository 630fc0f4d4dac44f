"""Open a router with its encoder, also that of an earlier version."""

from collections.abc import Sequence
from pathlib import Path

from cortex_pipelines.embeddings.encoder import EncoderError
from cortex_pipelines.ingestion.pretrained_models import ModelSource, WeightsError, weights_folder
from cortex_pipelines.routing.serving.bundle import RouterError, load_config
from cortex_pipelines.routing.serving.router import Decision, Router


def open_trained(folder: Path, root: Path, version: str | None = None) -> Router:
    """Raises ``RouterError`` if the folder holds no readable router, ``WeightsError`` without its encoder."""
    pin = dict(load_config(folder).encoder)
    # a pin repeats its entry of params.yaml
    source = ModelSource(**{key: pin[key] for key in ModelSource.model_fields if key in pin})
    return Router.load(folder, weights_folder(source, pin, root), version)


class UnreadableChampionError(RuntimeError):
    """A former router cannot run any more; the message says why, without a full stop."""


def champion_decisions(folder: Path, version: str, root: Path, texts: Sequence[str]) -> list[Decision]:
    """Raises ``UnreadableChampionError`` if the format is outdated, or the encoder is missing."""
    try:
        return open_trained(folder, root, version).route(texts)
    except RouterError as error:
        raise UnreadableChampionError(
            f"The champion {version} was written by a version of the code whose routers cannot be read any more"
        ) from error
    except (WeightsError, EncoderError) as error:
        raise UnreadableChampionError(
            f"The champion {version} was trained on another encoder, which is no longer here ({type(error).__name__})"
        ) from error
