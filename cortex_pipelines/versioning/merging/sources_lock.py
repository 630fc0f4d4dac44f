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
