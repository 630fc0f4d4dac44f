"""Three-way joins of ``sources.lock``, ``releases.lock``; the caller decides on what both changed, or ours stands."""

import json
from collections.abc import Callable, Hashable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from operator import itemgetter
from typing import Any, Final, TypeVar

from cortex_pipelines.versioning.champions import model_name

K = TypeVar("K")
ABSENT: Final = object()  # stands for a key that a version does not have
Decide = Callable[[Any, Any], Any]  # takes our value and theirs, which differ from the base and from each other


def choose(decide: Decide, base: Any, ours: Any, theirs: Any) -> Any:
    """The value that one side changed; where both did, the one that is left, or what ``decide`` says."""
    if _equal(ours, theirs) or _equal(base, theirs):
        return ours
    if _equal(base, ours) or ours is ABSENT:
        return theirs
    return ours if theirs is ABSENT else decide(ours, theirs)


def join_keys(base: Mapping[K, Any], ours: Mapping[K, Any], theirs: Mapping[K, Any]) -> list[K]:
    """The keys of all versions: in our order, those of theirs after the key they follow there."""
    order, previous = list(ours), None
    present = set(ours)
    for name in theirs:
        if name not in present:
            order.insert(order.index(previous) + 1 if previous in present else 0, name)
            present.add(name)
        previous = name
    return order + [name for name in base if name not in present]


def join_by_key(join: Callable[..., Any], *versions: Mapping[K, Any]) -> dict[K, Any]:
    """Three mappings joined key by key; ``join`` takes a key and its value of each version, ABSENT without one."""
    values = {key: join(key, *(each.get(key, ABSENT) for each in versions)) for key in join_keys(*versions)}
    return {key: value for key, value in values.items() if value is not ABSENT}


def join_values(base: Any, ours: Any, theirs: Any) -> Any:
    def decide(our_value: Any, their_value: Any) -> Any:
        if isinstance(our_value, Mapping) and isinstance(their_value, Mapping):
            before = base if isinstance(base, Mapping) else {}
            return join_by_key(lambda _, *values: join_values(*values), before, our_value, their_value)
        if isinstance(our_value, list) and isinstance(their_value, list):
            return join_lists(base if isinstance(base, list) else [], our_value, their_value)
        return our_value

    return choose(decide, base, ours, theirs)


def join_lists(
    base: Sequence[Any],
    ours: Sequence[Any],
    theirs: Sequence[Any],
    key: Callable[[Any], Hashable] = lambda item: json.dumps(item, sort_keys=True, default=str),
    decide: Decide = lambda ours, _: ours,
) -> list[Any]:
    """Join lists whose items are known by a key; by default by all that they say."""
    versions = ({key(item): item for item in items} for items in (base, ours, theirs))
    return list(join_by_key(lambda _, *items: choose(decide, *items), *versions).values())


def _equal(first: Any, second: Any) -> bool:
    if first is ABSENT or second is ABSENT:
        return first is second
    # 1, 1.0 and true are equal to Python, but not the same in a file
    return bool(first == second) and json.dumps(first, sort_keys=True, default=str) == json.dumps(
        second, sort_keys=True, default=str
    )


MERGE = "merge"  # action of the ledger's note that two branches decided on a model; nothing moves with it
_DECISIONS = ("promote", "rollback")  # actions that move a champion


def join_releases_locks(
    base: Mapping[str, Any] | None, ours: Mapping[str, Any], theirs: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """As ``git_merge.join_dvc_locks``; of two champions the later decision's, which the ledger notes."""
    versions = (base or {}, ours, theirs)
    ledgers = [list(each.get("ledger") or []) for each in versions]
    notes: list[dict[str, Any]] = []

    def join_pins(key: tuple[str, str | None], *pins: Any) -> Any:
        return choose(lambda our_pin, their_pin: _later(model_name(*key), our_pin, their_pin, ledgers, notes), *pins)

    champions: dict[str, Any] = {}
    pins_by_key = join_by_key(join_pins, *(_pins(each.get("champions") or {}) for each in versions))
    for (asset, project), pin in pins_by_key.items():
        if project is None:
            champions[asset] = pin
        else:
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
    decisions = []
    for ledger, pin in zip(ledgers[1:], (our_pin, their_pin), strict=True):
        lines = [line for line in ledger if line["model"] == model and line["action"] in _DECISIONS]
        line = max(lines, key=_moment, default=None)
        # by champion, too: the same whichever branch is merged into the other
        decisions.append((_moment(line or {}), str((pin or {}).get("champion") or ""), line, pin))
    (_, _, line, winning_pin), (_, _, overruled, _) = sorted(decisions, key=itemgetter(0, 1), reverse=True)
    if line:
        described = [
            f"{each['action']} of {each.get('number') or each.get('version') or 'the baseline'} at {each['at']}"
            for each in filter(None, (line, overruled))
        ]
        explanation = f"two branches decided; the later decision stands: {'; not: '.join(described)}"
        champion, previous = (winning_pin or {}).get("champion"), (overruled or {}).get("version")
        notes.append(
            {
                **{"at": line["at"], "by": line["by"], "action": MERGE, "model": model},
                **{"version": champion, "previous": previous, "why": explanation},
            }
        )
    return winning_pin


_NEVER = datetime.min.replace(tzinfo=UTC)


def _moment(line: Mapping[str, Any]) -> datetime:
    try:
        moment = datetime.fromisoformat(str(line["at"]))
    except (ValueError, KeyError):
        return _NEVER
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


_SECTIONS = ("projects", "models", "coordination", "feedback")  # keys with a pin for each name


def join_sources_locks(
    base: Mapping[str, Any] | None, ours: Mapping[str, Any], theirs: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """Join the contents of two versions; see ``git_merge.join_dvc_locks``.

    Of a git source that both branches moved, the pin with more commits is taken; of any other, and of models and logs,
    ours: nothing in a pin says which is later.
    """
    notes: list[str] = []

    def pick(key_path: str, our_pin: Any, their_pin: Any) -> Any:
        mapping = our_pin if isinstance(our_pin, Mapping) else {}
        label = ":".join(map(str, next(iter(mapping.items()), ())))
        later = _commits(their_pin) > _commits(our_pin)
        branch = "the other branch" if later else "this branch"
        choice = "the later one" if _commits(their_pin) != _commits(our_pin) else f"that of {branch}"
        project = key_path.removeprefix("projects.") if key_path.startswith("projects.") else ""
        update = f"`cortex update {project}`" if project else "`cortex update`"
        notes.append(
            f"{key_path}{f' {label}' if project else ''}: both branches moved this pin; "
            f"{choice} is taken; {update} moves it to the current source"
        )
        return their_pin if later else our_pin

    def join(key_path: str, *versions: Any) -> Any:
        before = versions[0]

        def decide(our_value: Any, their_value: Any) -> Any:
            if isinstance(our_value, list) and isinstance(their_value, list):
                pins = before if isinstance(before, list) else []
                return join_lists(pins, our_value, their_value, _identity, partial(pick, key_path))
            if key_path in _SECTIONS and isinstance(our_value, Mapping) and isinstance(their_value, Mapping):
                values = before if isinstance(before, Mapping) else {}
                return join_by_key(lambda key, *v: join(f"{key_path}.{key}", *v), values, our_value, their_value)
            return pick(key_path, our_value, their_value)

        return choose(decide, *versions)

    merged = join_by_key(join, base or {}, ours, theirs)
    if isinstance(projects := merged.get("projects"), dict):
        merged["projects"] = dict(sorted(projects.items()))
    return merged, notes


def _identity(pin: Any) -> str:
    if not isinstance(pin, Mapping):
        return repr(pin)
    # its first key, such as ``git: PATH``, and what else names a source
    return repr((next(iter(pin.items()), ()), pin.get("ref"), pin.get("declared")))


def _commits(pin: Any) -> int:
    commits = pin.get("commits") if isinstance(pin, Mapping) else None
    return commits if isinstance(commits, int) else 0
