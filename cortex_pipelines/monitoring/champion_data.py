"""The data that a champion was trained on, as it was then."""

from pathlib import Path

from cortex_pipelines.release.ledger import ReleasedModel, inputs_of, moves
from cortex_pipelines.versioning.asset import LoadVersion
from cortex_pipelines.versioning.champions import ChampionPin
from cortex_pipelines.versioning.project import ProjectError


class NothingToCompareError(RuntimeError):
    """No champion, or its data is missing; the message is a sentence for the page."""


def champions_data(
    root: Path, model: ReleasedModel, pin: ChampionPin, asset: str, load_version: LoadVersion
) -> tuple[str, Path]:
    """Version of the champion, and the folder with an asset's version that it was trained on.

    The ledger names that version, and a version never changes, so the pin decides the answer.

    Raises:
        NothingToCompareError: no champion, or its training data is unknown or missing.
    """
    if pin.champion is None:
        raise NothingToCompareError(f"{model.name} has no champion yet, so there is nothing to compare with.")
    input_versions = inputs_of(moves(root, model), pin.champion) or {}
    if asset not in input_versions:
        raise NothingToCompareError(
            f"releases.lock does not say which {asset} the champion {pin.champion} was trained "
            "on, for it was promoted before promotions noted that; the next one does."
        )
    try:
        return pin.champion, load_version(asset, model.partition, input_versions[asset])
    except ProjectError as error:
        raise NothingToCompareError(
            f"The data that the champion {pin.champion} was trained on cannot be read: {error}."
        ) from error
