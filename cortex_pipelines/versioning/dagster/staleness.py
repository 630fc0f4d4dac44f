"""Dagster's stale status, computed from its events by the rules of its UI.

Dagster has no public function for the stale status that its UI shows. The rules are few, and read from what every
materialisation carries (see ``provenance``): the data version, the code version, and for each input the version that
was read and a pointer to the newest event at that time. A property test holds this module to Dagster's own answer after
every step of a random history, so a Dagster that changes its rules fails there.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from cortex_pipelines.versioning import snapshot
from cortex_pipelines.versioning.asset import VersionedAsset
from cortex_pipelines.versioning.content import content_md5
from cortex_pipelines.versioning.graph import Pin
from cortex_pipelines.versioning.project import Project
from cortex_pipelines.versioning.snapshot import Snapshot, input_path

if TYPE_CHECKING:
    import dagster as dg
    from dagster import DagsterInstance, EventLogRecord

DATA_VERSION = "dagster/data_version"
CODE_VERSION = "dagster/code_version"
INPUT_VERSION = "dagster/input_data_version/"
INPUT_POINTER = "dagster/input_event_pointer/"
MADE_BY_DVC = "dvc-changed:"
BEFORE_ALL = "-1"
NOTHING = "NULL"


def latest_record(
    instance: "DagsterInstance", name: str, partition: str | None, observed: bool = False
) -> "EventLogRecord | None":
    import dagster as dg

    return instance.get_latest_data_version_record(dg.AssetKey(name), is_source=observed, partition_key=partition)


def recorded_version(record: "EventLogRecord | None") -> str | None:
    if record is None:
        return None
    return (record.event_log_entry.tags or {}).get(DATA_VERSION)


def event_tags(
    instance: "DagsterInstance",
    project: Project,
    asset: VersionedAsset,
    partition: str | None,
    made_from: Snapshot,
    version: str,
) -> dict[str, str]:
    wiring = project.graph.wiring(asset.name)
    tags = {
        DATA_VERSION: version,
        "dagster/data_version_is_user_provided": "true",
        CODE_VERSION: snapshot.code_version(asset, made_from, wiring.sections),
    }
    for other in wiring.assets:
        consumed = made_from.deps.get(input_path(other, asset, partition))
        tags[INPUT_VERSION + other.name] = consumed or NOTHING
        tags[INPUT_POINTER + other.name] = _asset_pointer(instance, project, other, asset, partition, consumed)
    for pin in wiring.pins:
        consumed = snapshot.pin_version(pin, made_from, partition)
        tags[INPUT_VERSION + pin.name] = consumed
        record = latest_record(instance, pin.name, _partition_of(pin, partition), observed=True)
        tags[INPUT_POINTER + pin.name] = (
            str(record.storage_id) if record and recorded_version(record) == consumed else BEFORE_ALL
        )
    return tags


def observe_pins(
    instance: "DagsterInstance",
    project: Project,
    pins: Iterable[Pin],
    partition: str | None,
    known_version: Callable[[str, str | None], str | None] | None = None,
) -> int:
    """Report pins with versions unknown to Dagster; returns how many."""
    import dagster as dg

    def latest(name: str, key: str | None) -> str | None:
        return recorded_version(latest_record(instance, name, key, observed=True))

    reported = 0
    for pin in pins:
        key = _partition_of(pin, partition)
        version = project.pin_version(pin, key)
        if (known_version or latest)(pin.name, key) != version:
            instance.report_runless_asset_event(
                dg.AssetObservation(pin.name, partition=key, tags={DATA_VERSION: version})
            )
            reported += 1
    return reported


def _partition_of(node: Pin | VersionedAsset, partition: str | None) -> str | None:
    return partition if node.partitioned else None


def _asset_pointer(
    instance: "DagsterInstance",
    project: Project,
    other: VersionedAsset,
    asset: VersionedAsset,
    partition: str | None,
    consumed: str | None,
) -> str:
    if content_md5(project.root / input_path(other, asset, partition)) != consumed:
        return BEFORE_ALL
    if other.partitioned and not asset.partitioned:
        versions = {name: content_md5(project.output(other.name, name)) for name in project.partitions}
    else:
        versions = {_partition_of(other, partition): consumed}  # type: ignore[dict-item]
    newest = [0]
    for name, version in versions.items():
        record = latest_record(instance, other.name, name)
        if (recorded_version(record) or NOTHING) != (version or NOTHING):
            return BEFORE_ALL
        newest.append(record.storage_id if record else 0)
    return str(max(newest))


_SKIPPED_FROM = 100
"""Partition count from which Dagster ignores an input; ``sync`` says `dvc-changed:` there."""
_UNKNOWN = "INITIAL"
"""Version that Dagster assumes for an input that was never observed."""

Newest = Callable[..., "dg.EventLogRecord | None"]
"""Returns an asset's newest event, as ``latest_record``."""


class Staleness:
    def __init__(self, instance: "dg.DagsterInstance", definitions: "dg.Definitions") -> None:
        self._instance = instance
        self._graph = definitions.resolve_asset_graph()

    def status(self, name: str, partition: str | None) -> tuple[str, tuple[str, ...]]:
        """FRESH, STALE or MISSING with reasons, from the current events."""
        return StatusSnapshot(self._instance, self._graph, latest_record).status(name, partition)

    def snapshot(self) -> "StatusSnapshot":
        """The status of many assets, from one reading of the events.

        The newest events of all its partitions are read at once and kept: two queries an asset.
        """
        return StatusSnapshot(self._instance, self._graph, _AtOnce().newest)

    def stale(self, name: str, partition: str | None) -> bool:
        return self.status(name, partition)[0] != "FRESH"


class StatusSnapshot:
    def __init__(self, instance: "dg.DagsterInstance", graph: Any, newest: Newest) -> None:
        self._instance = instance
        self._graph = graph
        self._latest = cache(partial(newest, instance))

    def version(self, name: str, partition: str | None, observed: bool = False) -> str | None:
        return recorded_version(self._latest(name, partition, observed))

    def status(self, name: str, partition: str | None) -> tuple[str, tuple[str, ...]]:
        record = self._latest(name, partition, False)
        if record is None or _version(record) == NOTHING:
            return "MISSING", ()
        causes = tuple(self._causes(name, partition, record))
        return "STALE" if causes else "FRESH", causes

    def _causes(self, name: str, partition: str | None, record: "dg.EventLogRecord") -> Iterator[str]:
        tags = record.event_log_entry.tags or {}
        has_code_version = CODE_VERSION in tags
        code = self._node(name).code_version
        if has_code_version and code and code != tags[CODE_VERSION]:
            yield "has a new code version"
        inputs = sorted(key.to_user_string() for key in self._node(name).parent_keys)
        read = {tag.removeprefix(INPUT_VERSION) for tag in tags if tag.startswith(INPUT_VERSION)}
        for other in sorted(read - set(inputs)) if has_code_version else ():
            yield f"{other} removed dependency on {other}"
        for other in inputs:
            for part in self._parts(other, partition):
                if not has_code_version:
                    newer_reason = self._newer(other, part, record)
                elif not {INPUT_VERSION + other, INPUT_POINTER + other} <= tags.keys():
                    newer_reason = f"has a new dependency on {other}"
                else:
                    newer_reason = self._updated(other, part, tags)
                if newer_reason:
                    yield f"{other} {newer_reason}"

    def _parts(self, other: str, partition: str | None) -> list[str | None]:
        node = self._node(other)
        if not node.is_partitioned:
            return [None]
        if partition is not None:
            return [partition]
        keys = node.partitions_def.get_partition_keys(dynamic_partitions_store=self._instance)
        return sorted(keys) if len(keys) < _SKIPPED_FROM else []

    def _updated(self, other: str, part: str | None, tags: Mapping[str, str]) -> str | None:
        outside = self._node(other).is_external
        if part is None:
            before: str | None = tags[INPUT_VERSION + other]
            record = self._latest(other, None, outside)
            current: str | None = _version(record) if record else _UNKNOWN if outside else NOTHING
        else:
            pointer = tags[INPUT_POINTER + other]
            pointer_id = None if pointer == NOTHING else int(pointer)
            record = self._latest(other, part, outside)
            if record is None or (pointer_id is not None and record.storage_id <= pointer_id):
                return None
            before, current = (self._version_before(other, part, pointer_id), recorded_version(record))
        if before == current or (before == _UNKNOWN and current == NOTHING):
            return None
        return "has a new dependency data version"

    def _newer(self, other: str, part: str | None, record: "dg.EventLogRecord") -> str | None:
        """The same by time, for an event without input versions."""
        if self._node(other).is_external:
            return None
        newest = self._latest(other, part, False)
        if newest is None:
            return "has a new input"
        newer = newest.timestamp > record.timestamp
        return "has a new dependency materialization" if newer else None

    def _version_before(self, other: str, part: str, pointer_id: int | None) -> str | None:
        """Newest version at the time of an event."""
        import dagster as dg

        return recorded_version(
            self._instance.get_latest_data_version_record(
                dg.AssetKey(other),
                is_source=self._node(other).is_external,
                partition_key=part,
                before_cursor=pointer_id + 1 if pointer_id else None,
            )
        )

    def _node(self, name: str) -> Any:
        import dagster as dg

        return self._graph.get(dg.AssetKey(name))


class _AtOnce:
    def __init__(self) -> None:
        self._read: dict[tuple[str, bool], dict[str, dg.EventLogRecord]] = {}

    def newest(
        self, instance: "dg.DagsterInstance", name: str, partition: str | None, observed: bool = False
    ) -> "dg.EventLogRecord | None":
        if partition is None:
            return latest_record(instance, name, None, observed)
        if (name, observed) not in self._read:
            self._read[name, observed] = _of_all_partitions(instance, name, observed)
        return self._read[name, observed].get(partition)


def _of_all_partitions(instance: "dg.DagsterInstance", name: str, observed: bool) -> "dict[str, dg.EventLogRecord]":
    import dagster as dg

    key, kind = dg.AssetKey(name), dg.DagsterEventType.ASSET_MATERIALIZATION
    if observed:
        kind = dg.DagsterEventType.ASSET_OBSERVATION
    ids = instance.event_log_storage.get_latest_storage_id_by_partition(key, kind)
    if not ids:
        return {}
    records_filter = dg.AssetRecordsFilter(asset_key=key, storage_ids=list(ids.values()))
    fetch = instance.fetch_observations if observed else instance.fetch_materializations
    records = fetch(records_filter, limit=len(ids)).records
    return {str(record.partition_key): record for record in records}


def _version(record: "dg.EventLogRecord") -> str:
    return recorded_version(record) or _UNKNOWN
