"""Queries on the ledger: version numbers, canary, archived versions."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cortex_pipelines.project_names import BASELINE
from cortex_pipelines.release.answering import Release
from cortex_pipelines.release.ledger import LedgerEntry, ReleasedModel, champion, moves
from cortex_pipelines.release.numbering import FIRST, classify_change, next_free_number, version_inputs

ROLLED_BACK = "rollback"


def numbers(lines: Sequence[LedgerEntry]) -> dict[str, str]:
    by_version: dict[str, str] = {}
    for line in lines:
        if line.version and line.number:
            by_version.setdefault(line.version, line.number)
    return by_version


def canary(lines: Sequence[LedgerEntry]) -> LedgerEntry | None:
    return lines[-1] if lines and lines[-1].action == "canary" else None


def champions(lines: Sequence[LedgerEntry]) -> list[str]:
    return list(dict.fromkeys(e.version for e in lines if e.action == "promote" and e.version))


def archived(lines: Sequence[LedgerEntry], current: str | None) -> list[str]:
    return [version for version in champions(lines) if version != current]


def previous_champion(lines: Sequence[LedgerEntry], version: str | None) -> str | None:
    for line in lines:
        if line.action == "promote" and line.version == version:
            return line.previous
    return None


def was_rolled_back(lines: Sequence[LedgerEntry], version: str) -> bool:
    """Whether the latest event of a version is a rollback.

    Such a version is promoted again only by name, never by a nightly run.
    """
    for line in reversed(lines):
        if version in (line.version, line.previous):
            return line.action == ROLLED_BACK and line.previous == version
    return False


def made_from(lines: Sequence[LedgerEntry], version: str) -> dict[str, str] | None:
    inputs = [e.made_from for e in lines if e.version == version and e.made_from]
    return inputs[-1] if inputs else None


def inputs_of(lines: Sequence[LedgerEntry], version: str) -> dict[str, str] | None:
    """Versions of the assets that a released version was made from; None if not recorded."""
    recorded = [e.inputs for e in lines if e.version == version and e.inputs]
    return recorded[-1] if recorded else None


def release_of(lines: Sequence[LedgerEntry], version: str | None) -> Release | None:
    releases = [e.release for e in lines if version and e.version == version and e.release]
    return Release(**releases[-1]) if releases else None


def prompts_of(lines: Sequence[LedgerEntry], version: str | None) -> dict[str, str]:
    promotions = [e for e in lines if version and e.version == version and e.action != ROLLED_BACK]
    return (promotions[-1].prompts or {}) if promotions else {}


def next_number(root: Path, model: ReleasedModel, version: str) -> tuple[str, str]:
    """The semantic version of a challenger, and the reason for it."""
    lines = moves(root, model)
    number_by_version = numbers(lines)
    if version in number_by_version:
        return number_by_version[version], "released before"
    current = champion(root, model).champion
    if not number_by_version:
        return FIRST, "the first release"
    # after a rollback to the baseline, compare with the newest release
    reference = current if current in number_by_version else list(number_by_version)[-1]
    step, reason = classify_change(made_from(lines, reference), version_inputs(root, model.address, version))
    return next_free_number(number_by_version[reference], step, number_by_version.values()), f"{step}: {reason}"


def resolve(lines: Sequence[LedgerEntry], reference: str) -> str | None:
    """A former champion by its semantic version or (abbreviated) DVC hash.

    ``baseline`` stands for no champion.

    Raises:
        LookupError: no version matches, or several do; lists the known ones.
    """
    if reference == BASELINE:
        return None
    number_by_version = {version: numbers(lines).get(version, "") for version in champions(lines)}
    matches = [v for v, number in number_by_version.items() if reference == number or v.startswith(reference)]
    if len(matches) != 1:
        version_list = ", ".join(f"{n or '-'} ({v[:12]})" for v, n in number_by_version.items()) or "none yet"
        problem = "matches more than one version" if matches else "was never champion"
        raise LookupError(f"{reference} {problem}; known versions: {BASELINE}, {version_list}")
    return matches[0]


def plan_of(lines: Sequence[LedgerEntry], version: str | None) -> dict[str, Any] | None:
    plans = [e.plan for e in lines if e.version == version and e.plan]
    return plans[-1] if plans and version else None
