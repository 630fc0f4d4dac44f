"""Three-way joins of ``sources.lock`` and ``releases.lock``.

A value that only one side changed is taken; one that both changed differently is decided by the caller, or is ours.
"""

import json
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from cortex_pipelines.versioning.champions import model_name

K = TypeVar("K")

ABSENT: Final = object()
"""Stands for a key that a version does not have."""

Decide = Callable[[Any, Any], Any]
"""Takes our value and theirs, which differ from the base and from each other."""


def choose(base: Any, ours: Any, theirs: Any, decide: Decide) -> Any:
    if _equal(ours, theirs) or _equal(base, theirs):
        return ours
    if _equal(base, ours):
        return theirs
    return decide(ours, theirs)


def join_keys(base: Mapping[K, Any], ours: Mapping[K, Any], theirs: Mapping[K, Any]) -> list[K]:
    """The keys of all versions: in our order, those of theirs after the key they follow there."""
    return _merge_order(list(ours), list(theirs), list(base))


def join_values(base: Any, ours: Any, theirs: Any) -> Any:
    def decide(our_value: Any, their_value: Any) -> Any:
        if our_value is ABSENT or their_value is ABSENT:
            return their_value if our_value is ABSENT else our_value
        if isinstance(our_value, Mapping) and isinstance(their_value, Mapping):
            return _join_mappings(base if isinstance(base, Mapping) else {}, our_value, their_value)
        if isinstance(our_value, list) and isinstance(their_value, list):
            return join_lists(base if isinstance(base, list) else [], our_value, their_value)
        return our_value

    return choose(base, ours, theirs, decide)


def join_lists(
    base: Sequence[Any],
    ours: Sequence[Any],
    theirs: Sequence[Any],
    key: Callable[[Any], Hashable] | None = None,
    decide: Decide = lambda ours, theirs: theirs if ours is ABSENT else ours,
) -> list[Any]:
    """Join lists whose items are known by a key; by default by all that they say."""
    of = key or (lambda item: json.dumps(item, sort_keys=True, default=str))
    base_items, our_items, their_items = ({of(item): item for item in items} for items in (base, ours, theirs))
    merged = []
    for name in _merge_order(list(our_items), list(their_items), list(base_items)):
        item = choose(base_items.get(name, ABSENT), our_items.get(name, ABSENT), their_items.get(name, ABSENT), decide)
        if item is not ABSENT:
            merged.append(item)
    return merged


def _join_mappings(base: Mapping[str, Any], ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    merged = {}
    for key in join_keys(base, ours, theirs):
        value = join_values(*(each.get(key, ABSENT) for each in (base, ours, theirs)))
        if value is not ABSENT:
            merged[key] = value
    return merged


def _merge_order(ours: list[Any], theirs: Iterable[Hashable], base: Iterable[Hashable]) -> list[Any]:
    order, previous = list(ours), None
    present = set(ours)
    for name in theirs:
        if name not in present:
            order.insert(order.index(previous) + 1 if previous in present else 0, name)
            present.add(name)
        previous = name
    return order + [name for name in base if name not in present]


def _equal(first: Any, second: Any) -> bool:
    if first is ABSENT or second is ABSENT:
        return first is second
    # 1, 1.0 and true are equal to Python, but not the same in a file
    return bool(first == second) and json.dumps(first, sort_keys=True, default=str) == json.dumps(
        second, sort_keys=True, default=str
    )


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


_IDENTITY = ("ref", "declared")
"""What names a source beside its first key, such as ``git: PATH``."""


def join_sources_locks(
    base: Mapping[str, Any] | None, ours: Mapping[str, Any], theirs: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """Join the contents of two versions; see ``dvc_lock.join_dvc_locks``.

    Of a git source that both branches moved, the pin with more commits is taken; of any other, and of models and logs,
    ours: nothing in a pin says which is later.
    """
    joiner = _PinJoiner()
    merged = {}
    for key in join_keys(base or {}, ours, theirs):
        versions = [each.get(key, ABSENT) for each in (base or {}, ours, theirs)]
        value = joiner.join(key, versions)
        if value is not ABSENT:
            merged[key] = value
    if isinstance(projects := merged.get("projects"), dict):
        merged["projects"] = dict(sorted(projects.items()))
    return merged, joiner.notes


class _PinJoiner:
    def __init__(self) -> None:
        self.notes: list[str] = []

    def join(self, key_path: str, versions: list[Any]) -> Any:
        base, ours, theirs = versions

        def decide(our_value: Any, their_value: Any) -> Any:
            if our_value is ABSENT or their_value is ABSENT:
                return their_value if our_value is ABSENT else our_value
            if isinstance(our_value, list) and isinstance(their_value, list):
                pins = base if isinstance(base, list) else []
                pick = self._picker(key_path)
                return join_lists(pins, our_value, their_value, _identity, pick)
            if _is_section(key_path, our_value) and _is_section(key_path, their_value):
                before = base if isinstance(base, Mapping) else {}
                keys = join_keys(before, our_value, their_value)
                values = {
                    key: self.join(
                        f"{key_path}.{key}", [each.get(key, ABSENT) for each in (before, our_value, their_value)]
                    )
                    for key in keys
                }
                return {key: value for key, value in values.items() if value is not ABSENT}
            return self._picker(key_path)(our_value, their_value)

        return choose(base, ours, theirs, decide)

    def _picker(self, key_path: str) -> Any:
        def pick(our_pin: Any, their_pin: Any) -> Any:
            if our_pin is ABSENT or their_pin is ABSENT:
                return their_pin if our_pin is ABSENT else our_pin
            mapping = our_pin if isinstance(our_pin, Mapping) else {}
            label = ":".join(map(str, next(iter(mapping.items()), ())))
            later = _commits(their_pin) > _commits(our_pin)
            branch = "the other branch" if later else "this branch"
            choice = "the later one" if _commits(their_pin) != _commits(our_pin) else f"that of {branch}"
            project = key_path.removeprefix("projects.") if key_path.startswith("projects.") else ""
            update = f"`cortex update {project}`" if project else "`cortex update`"
            self.notes.append(
                f"{key_path}{f' {label}' if project else ''}: both branches moved this pin; "
                f"{choice} is taken; {update} moves it to the current source"
            )
            return their_pin if later else our_pin

        return pick


def _is_section(key_path: str, value: Any) -> bool:
    has_names = key_path in ("projects", "models", "coordination", "feedback")
    return has_names and isinstance(value, Mapping)


def _identity(pin: Any) -> str:
    if not isinstance(pin, Mapping):
        return repr(pin)
    first_item = next(iter(pin.items()), ())
    return repr((first_item, *(pin.get(key) for key in _IDENTITY)))


def _commits(pin: Any) -> int:
    commits = pin.get("commits") if isinstance(pin, Mapping) else None
    return commits if isinstance(commits, int) else 0
