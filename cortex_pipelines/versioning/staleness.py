"""What Dagster says is stale, worked out from its events by the rules of its UI.

Dagster has no public function for the stale status that its UI shows. The rules are few, and read
from what every materialisation carries (see ``provenance``): the data version, the code version,
and for each input the version that was read and a pointer to the newest event at that time. A
property test holds this module to Dagster's own answer after every step of a random history, so a
Dagster that changes its rules fails there.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from cortex_pipelines.versioning.provenance import (
    CODE_VERSION,
    DATA_VERSION,
    INPUT_POINTER,
    INPUT_VERSION,
    NOTHING,
    latest_record,
)

if TYPE_CHECKING:
    import dagster as dg

_SKIPPED_FROM = 100
"""Dagster looks past an input with so many partitions; ``sync`` says `dvc-changed:` there."""
_UNKNOWN = "INITIAL"
"""Version that Dagster takes for an input that was never observed."""


class Staleness:
    """Dagster's stale status of assets.

    Args:
        instance: The project's instance.
        definitions: The code location.
    """

    def __init__(self, instance: "dg.DagsterInstance", definitions: "dg.Definitions") -> None:
        self._instance = instance
        self._graph = definitions.resolve_asset_graph()

    def status(self, name: str, partition: str | None) -> tuple[str, tuple[str, ...]]:
        """FRESH, STALE or MISSING, and why, from the events there are now."""
        return self.snapshot()(name, partition)

    def snapshot(self) -> Callable[[str, str | None], tuple[str, tuple[str, ...]]]:
        """``status``, from the events there are when it is first asked of each asset.

        Events are read once and kept, so that many questions cost little more than one.
        """
        return _Reading(self._instance, self._graph).status

    def stale(self, name: str, partition: str | None) -> bool:
        """Whether an asset and partition is stale or missing."""
        return self.status(name, partition)[0] != "FRESH"


class _Reading:
    """The stale status from one reading of the events, each of which is looked up once."""

    def __init__(self, instance: "dg.DagsterInstance", graph: Any) -> None:
        self._instance = instance
        self._graph = graph
        self._latest = cache(partial(latest_record, instance))
        self._newest = cache(self._newest_version)

    def status(self, name: str, partition: str | None) -> tuple[str, tuple[str, ...]]:
        """What ``Staleness.status`` says."""
        record = self._latest(name, partition)
        if record is None or _version(record) == NOTHING:
            return "MISSING", ()
        causes = tuple(self._causes(name, partition, record))
        return "STALE" if causes else "FRESH", causes

    def _causes(
        self, name: str, partition: str | None, record: "dg.EventLogRecord"
    ) -> Iterator[str]:
        tags = record.event_log_entry.tags or {}
        known = CODE_VERSION in tags
        code = self._node(name).code_version
        if known and code and code != tags[CODE_VERSION]:
            yield "has a new code version"
        inputs = sorted(key.to_user_string() for key in self._node(name).parent_keys)
        read = {tag.removeprefix(INPUT_VERSION) for tag in tags if tag.startswith(INPUT_VERSION)}
        for other in sorted(read - set(inputs)) if known else ():
            yield f"{other} removed dependency on {other}"
        for other in inputs:
            for part in self._parts(other, partition):
                if not known:
                    why = self._newer(other, part, record)
                elif not {INPUT_VERSION + other, INPUT_POINTER + other} <= tags.keys():
                    why = f"has a new dependency on {other}"
                else:
                    why = self._updated(other, part, tags)
                if why:
                    yield f"{other} {why}"

    def _parts(self, other: str, partition: str | None) -> list[str | None]:
        """Partitions of an input that Dagster looks at, for one partition of what reads it."""
        node = self._node(other)
        if not node.is_partitioned:
            return [None]
        if partition is not None:
            return [partition]
        keys = sorted(node.partitions_def.get_partition_keys())
        return list(keys) if len(keys) < _SKIPPED_FROM else []

    def _updated(self, other: str, part: str | None, tags: Mapping[str, str]) -> str | None:
        """Why an input is not the one that was read; None if it is."""
        outside = self._node(other).is_external
        if part is None:
            before: str | None = tags[INPUT_VERSION + other]
            record = self._latest(other, None, outside)
            now: str | None = _version(record) if record else _UNKNOWN if outside else NOTHING
        else:
            pointer = tags[INPUT_POINTER + other]
            seen = None if pointer == NOTHING else int(pointer)
            record = self._newest(other, part, after_cursor=seen)
            if record is None:
                return None
            old = self._newest(other, part, before_cursor=seen + 1 if seen else None)
            before, now = (_tag(old) if old else None), _tag(record)
        if before == now or (before == _UNKNOWN and now == NOTHING):
            return None
        return "has a new dependency data version"

    def _newer(self, other: str, part: str | None, record: "dg.EventLogRecord") -> str | None:
        """The same for an event that does not say what was read: by time."""
        if self._node(other).is_external:
            return None
        newest = self._latest(other, part)
        if newest is None:
            return "has a new input"
        newer = newest.timestamp > record.timestamp
        return "has a new dependency materialization" if newer else None

    def _newest_version(
        self, other: str, part: str, **cursor: int | None
    ) -> "dg.EventLogRecord | None":
        import dagster as dg

        return self._instance.get_latest_data_version_record(
            dg.AssetKey(other),
            is_source=self._node(other).is_external,
            partition_key=part,
            **cursor,  # type: ignore[arg-type]
        )

    def _node(self, name: str) -> Any:
        import dagster as dg

        return self._graph.get(dg.AssetKey(name))


def _tag(record: "dg.EventLogRecord") -> str | None:
    return (record.event_log_entry.tags or {}).get(DATA_VERSION)


def _version(record: "dg.EventLogRecord") -> str:
    return _tag(record) or _UNKNOWN
