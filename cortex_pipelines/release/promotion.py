"""Promotion and rollback: the only things that move a champion."""

from pathlib import Path

from cortex_pipelines.release.ledger import (
    Entry,
    Model,
    ReleaseError,
    champion,
    ledger,
    record,
)
from cortex_pipelines.release.verdict import read_verdict
from cortex_pipelines.versioning.opponent import ChampionPin


def promote(root: Path, model: Model, by: str, at: str, why: str) -> Entry | None:
    """Make the challenger that the gate has passed the champion.

    Args:
        root: Project root.
        model: The model.
        by: Who promotes it.
        at: When, ISO 8601 in UTC.
        why: Reason, for the ledger.

    Returns:
        The ledger's new line; None if the challenger is champion already.

    Raises:
        ReleaseError: there is no verdict yet, or it is not ``promoted``.
    """
    verdict = read_verdict(verdict_folder(root, model))
    if verdict is None:
        raise ReleaseError(f"{model.name}: no verdict yet; run `cortex run` first")
    now = champion(root, model)
    version = verdict["model_version"]
    if version == now.champion:
        return None
    if verdict["verdict"] != "promoted":
        raise ReleaseError(
            f"{model.name}: the gate says {verdict['verdict']}: {verdict['reason']}; "
            "the champion stays"
        )
    entry = Entry(at, by, "promote", model.name, version, now.champion, why)
    record(root, model, ChampionPin(version, now.champion), entry)
    return entry


def rollback(root: Path, model: Model, by: str, at: str, why: str) -> Entry:
    """Make the champion before this one champion again.

    Raises:
        ReleaseError: there is no champion.
    """
    now = champion(root, model)
    if now.champion is None:
        raise ReleaseError(f"{model.name}: there is no champion to roll back")
    before = _before(root, model, now.previous)
    entry = Entry(at, by, "rollback", model.name, now.previous, now.champion, why)
    record(root, model, ChampionPin(now.previous, before), entry)
    return entry


def was_rolled_back(root: Path, model: Model, version: str) -> bool:
    """Whether the last thing that happened to a version was a rollback from it.

    Such a version is promoted again only by name, never at the end of a nightly run.
    """
    for entry in reversed(ledger(root)):
        if entry.model == model.name and version in (entry.version, entry.previous):
            return entry.action == "rollback" and entry.previous == version
    return False


def _before(root: Path, model: Model, version: str | None) -> str | None:
    """Champion before ``version`` became champion; None if there was none."""
    for entry in ledger(root):
        if entry.model == model.name and entry.action == "promote" and entry.version == version:
            return entry.previous
    return None


def passed(root: Path, model: Model) -> bool:
    """Whether a nightly run may promote the challenger: it passed and was not rolled back."""
    verdict = read_verdict(verdict_folder(root, model))
    if verdict is None or verdict["verdict"] != "promoted":
        return False
    version = str(verdict["model_version"])
    return version != champion(root, model).champion and not was_rolled_back(root, model, version)


def verdict_folder(root: Path, model: Model) -> Path:
    """Folder with the verdict on the model's challenger."""
    folder = root / "data" / f"{model.asset}_release"
    return folder / model.partition if model.partition else folder


def standing(root: Path, model: Model) -> dict[str, str | None]:
    """How a model stands: ``model, challenger, verdict, reason, champion, previous``."""
    verdict = read_verdict(verdict_folder(root, model)) or {}
    pin = champion(root, model)
    return {
        "model": model.name,
        "challenger": verdict.get("model_version"),
        "verdict": verdict.get("verdict"),
        "reason": verdict.get("reason"),
        "champion": pin.champion,
        "previous": pin.previous,
    }
