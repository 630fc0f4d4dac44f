"""Decisions of an earlier version's router, if it can still run."""

from collections.abc import Sequence
from pathlib import Path

from cortex_pipelines.embeddings.encoder import EncoderError
from cortex_pipelines.ingestion.pretrained_models import WeightsError
from cortex_pipelines.routing.serving.bundle import RouterError
from cortex_pipelines.routing.serving.load import open_trained
from cortex_pipelines.routing.serving.router import Decision


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
