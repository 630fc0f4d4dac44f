"""Join two versions of ``sources.lock``: pins by project and source."""

from collections.abc import Mapping
from typing import Any

from cortex_pipelines.versioning.merging.three_way import ABSENT, choose, join_keys, join_lists

_IDENTITY = ("ref", "declared")
"""What names a source beside its first key, such as ``git: PATH``."""


def join_sources_locks(
    base: Mapping[str, Any] | None, ours: Mapping[str, Any], theirs: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """Join the contents of two versions; see ``dvc_lock.join_dvc_locks``.

    Of a git source that both branches moved, the pin with more commits is taken; of any other, and
    of models and logs, ours: nothing in a pin says which is later.
    """
    joiner = _PinJoiner()
    joined = {}
    for key in join_keys(base or {}, ours, theirs):
        versions = [each.get(key, ABSENT) for each in (base or {}, ours, theirs)]
        value = joiner.join(key, versions)
        if value is not ABSENT:
            joined[key] = value
    if isinstance(projects := joined.get("projects"), dict):
        joined["projects"] = dict(sorted(projects.items()))
    return joined, joiner.notes


class _PinJoiner:
    """Joins pins, and notes where a side had to be chosen."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def join(self, place: str, versions: list[Any]) -> Any:
        """Join what stands at a dotted key; mappings by key, lists of pins by source."""
        base, ours, theirs = versions

        def decide(mine: Any, other: Any) -> Any:
            if mine is ABSENT or other is ABSENT:
                return other if mine is ABSENT else mine
            if isinstance(mine, list) and isinstance(other, list):
                pins = base if isinstance(base, list) else []
                pick = self._picker(place)
                return join_lists(pins, mine, other, _identity, pick)
            if _is_section(place, mine) and _is_section(place, other):
                before = base if isinstance(base, Mapping) else {}
                keys = join_keys(before, mine, other)
                values = {
                    key: self.join(
                        f"{place}.{key}", [each.get(key, ABSENT) for each in (before, mine, other)]
                    )
                    for key in keys
                }
                return {key: value for key, value in values.items() if value is not ABSENT}
            return self._picker(place)(mine, other)

        return choose(base, ours, theirs, decide)

    def _picker(self, place: str) -> Any:
        def pick(mine: Any, other: Any) -> Any:
            if mine is ABSENT or other is ABSENT:
                return other if mine is ABSENT else mine
            mapped = mine if isinstance(mine, Mapping) else {}
            label = ":".join(map(str, next(iter(mapped.items()), ())))
            later = _commits(other) > _commits(mine)
            side = "the other branch" if later else "this branch"
            why = "the later one" if _commits(other) != _commits(mine) else f"that of {side}"
            project = place.removeprefix("projects.") if place.startswith("projects.") else ""
            update = f"`cortex update {project}`" if project else "`cortex update`"
            self.notes.append(
                f"{place}{f' {label}' if project else ''}: both branches moved this pin; {why} is "
                f"taken; {update} moves it to the current source"
            )
            return other if later else mine

        return pick


def _is_section(place: str, value: Any) -> bool:
    """Whether a value holds pins by name; a pin itself is taken whole."""
    named = place in ("projects", "models", "coordination", "feedback")
    return named and isinstance(value, Mapping)


def _identity(pin: Any) -> str:
    if not isinstance(pin, Mapping):
        return repr(pin)
    place = next(iter(pin.items()), ())
    return repr((place, *(pin.get(key) for key in _IDENTITY)))


def _commits(pin: Any) -> int:
    commits = pin.get("commits") if isinstance(pin, Mapping) else None
    return commits if isinstance(commits, int) else 0
