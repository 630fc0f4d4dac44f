"""Join two versions of ``releases.lock``: the ledgers by time, champions by the later decision."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from cortex_pipelines.versioning.champions import model_name
from cortex_pipelines.versioning.merging.three_way import ABSENT, choose, join_keys, join_lists

MERGE = "merge"
"""Action of the ledger's note that two branches decided on a model; nothing moves with it."""

_DECISIONS = ("promote", "rollback")
"""Actions that move a champion."""


def join_releases_locks(
    base: Mapping[str, Any] | None, ours: Mapping[str, Any], theirs: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """Join the contents of two versions; see ``dvc_lock.join_dvc_locks``.

    A champion that both branches moved is that of the later decision; a note in the ledger says so.
    """
    versions = (base or {}, ours, theirs)
    ledgers = [list(each.get("ledger") or []) for each in versions]
    base_pins, our_pins, their_pins = (_pins(each.get("champions") or {}) for each in versions)
    notes: list[dict[str, Any]] = []
    champions: dict[str, Any] = {}
    for key in join_keys(base_pins, our_pins, their_pins):
        asset, project = key

        def decide(our_pin: Any, their_pin: Any, model: str = model_name(asset, project)) -> Any:
            if our_pin is ABSENT or their_pin is ABSENT:
                return their_pin if our_pin is ABSENT else our_pin
            return _later(model, our_pin, their_pin, ledgers, notes)

        pin = choose(base_pins.get(key, ABSENT), our_pins.get(key, ABSENT), their_pins.get(key, ABSENT), decide)
        if pin is not ABSENT and project is None:
            champions[asset] = pin
        elif pin is not ABSENT:
            champions.setdefault(asset, {})[project] = pin
    ledger = join_lists(ledgers[0], ledgers[1], ledgers[2])
    ledger += [note for note in notes if note not in ledger]
    words = [f"{note['model']}: {note['why']}" for note in notes]
    ledger, renumbered = _with_distinct_numbers(sorted(ledger, key=_moment))
    return {**ours, "champions": champions, "ledger": ledger}, [*words, *renumbered]


def _with_distinct_numbers(ledger: list[Any]) -> tuple[list[Any], list[str]]:
    numbers: dict[tuple[str, str], str] = {}
    words = []
    for line in ledger:
        model, version, number = line.get("model"), line.get("version"), line.get("number")
        if not version or not number or (model, version) in numbers:
            continue
        used = {used_number for (name, _), used_number in numbers.items() if name == model}
        free = number
        while free in used:
            front, _, patch = free.rpartition(".")
            free = f"{front}.{int(patch) + 1}"
        numbers[model, version] = free
        if free != number:
            words.append(f"{model}: both branches released a {number}; {version} of the later one is {free}")
    lines = [
        {**line, "number": numbers.get((line.get("model"), line.get("version")), line["number"])}
        if line.get("number")
        else line
        for line in ledger
    ]
    return lines, words


def _pins(champions: Mapping[str, Any]) -> dict[tuple[str, str | None], Any]:
    pins: dict[tuple[str, str | None], Any] = {}
    for asset, value in champions.items():
        if value is None or set(value) == {"champion", "previous"}:
            pins[asset, None] = value
        else:
            pins |= {(asset, project): pin for project, pin in value.items()}
    return pins


def _later(model: str, our_pin: Any, their_pin: Any, ledgers: list[list[Any]], notes: list[dict[str, Any]]) -> Any:
    _, ours, theirs = ledgers
    decisions = [(_last_decision(model, ours), our_pin), (_last_decision(model, theirs), their_pin)]
    (line, winning_pin), (overruled, _) = sorted(decisions, key=_rank, reverse=True)
    if line:
        explanation = f"two branches decided; the later decision stands: {_describe(line)}"
        explanation += f"; not: {_describe(overruled)}" if overruled else ""
        champion, previous = (winning_pin or {}).get("champion"), (overruled or {}).get("version")
        notes.append(
            {
                **{"at": line["at"], "by": line["by"], "action": MERGE, "model": model},
                **{"version": champion, "previous": previous, "why": explanation},
            }
        )
    return winning_pin


def _last_decision(model: str, ledger: list[Any]) -> Mapping[str, Any] | None:
    lines = [line for line in ledger if line["model"] == model and line["action"] in _DECISIONS]
    return max(lines, key=_moment, default=None)


def _rank(decision: tuple[Mapping[str, Any] | None, Any]) -> tuple[datetime, str]:
    line, pin = decision
    # the same whichever branch is merged into the other
    return _moment(line) if line else _NEVER, str((pin or {}).get("champion") or "")


def _describe(line: Mapping[str, Any]) -> str:
    version = str(line.get("number") or line.get("version") or "the baseline")
    return f"{line['action']} of {version} at {line['at']}"


_NEVER = datetime.min.replace(tzinfo=UTC)


def _moment(line: Mapping[str, Any]) -> datetime:
    try:
        moment = datetime.fromisoformat(str(line["at"]))
    except (ValueError, KeyError):
        return _NEVER
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
