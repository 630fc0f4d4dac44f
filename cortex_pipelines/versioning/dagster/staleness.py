"""Dagster's stale status, computed from its events by the rules of its UI.

Dagster has no public function for the stale status that its UI shows. The rules are few, and read from what every
materialisation carries (see ``provenance``): the data version, the code version, and for each input the version that
was read and a pointer to the newest event at that time. A property test holds this module to Dagster's own answer after
every step of a random history, so a Dagster that changes its rules fails there.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from cortex_pipelines.versioning import snapshot
from cortex_pipelines.versioning.asset import VersionedAsset
from cortex_pipelines.versioning.content import content_md5
from cortex_pipelines.versioning.dagster.instance import NAME as PARTITIONS
from cortex_pipelines.versioning.graph import Pin
from cortex_pipelines.versioning.project import Project, Stage
from cortex_pipelines.versioning.snapshot import Snapshot

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
    return (record.event_log_entry.tags or {}).get(DATA_VERSION) if record else None


def event_tags(instance: "DagsterInstance", stage: Stage, made_from: Snapshot, version: str) -> dict[str, str]:
    tags = {
        DATA_VERSION: version,
        "dagster/data_version_is_user_provided": "true",
        CODE_VERSION: snapshot.code_version(stage, made_from),
    }
    for other in stage.wiring.assets:
        consumed = made_from.deps.get(stage.input_path(other))
        tags[INPUT_VERSION + other.name] = consumed or NOTHING
        tags[INPUT_POINTER + other.name] = _asset_pointer(instance, stage, other, consumed)
    for pin in stage.wiring.pins:
        consumed = snapshot.pin_version(pin, made_from, stage.partition)
        tags[INPUT_VERSION + pin.name] = consumed
        record = latest_record(instance, pin.name, stage.partition if pin.partitioned else None, observed=True)
        tags[INPUT_POINTER + pin.name] = (
            str(record.storage_id) if record and recorded_version(record) == consumed else BEFORE_ALL
        )
    return tags


def observe_pins(
    instance: "DagsterInstance",
    project: Project,
    pins: Iterable[Pin],
    partitions: Sequence[str | None],
    known_version: Callable[[str, str | None], str | None] | None = None,
) -> int:
    """Report pins with versions unknown to Dagster; returns how many."""
    import dagster as dg

    def latest(name: str, key: str | None) -> str | None:
        return recorded_version(latest_record(instance, name, key, observed=True))

    reported = 0
    for pin in pins:
        for key, version in project.pin_versions(pin, partitions if pin.partitioned else (None,)).items():
            if (known_version or latest)(pin.name, key) != version:
                instance.report_runless_asset_event(
                    dg.AssetObservation(pin.name, partition=key, tags={DATA_VERSION: version})
                )
                reported += 1
    return reported


def _asset_pointer(instance: "DagsterInstance", stage: Stage, other: VersionedAsset, consumed: str | None) -> str:
    project = stage.project
    if content_md5(project.root / stage.input_path(other)) != consumed:
        return BEFORE_ALL
    versions: dict[str | None, str | None] = {stage.partition if other.partitioned else None: consumed}
    if other.partitioned and not stage.asset.partitioned:
        versions = {name: content_md5(project.output(other.name, name)) for name in project.partitions}
    newest = [0]
    for name, version in versions.items():
        record = latest_record(instance, other.name, name)
        if (recorded_version(record) or NOTHING) != (version or NOTHING):
            return BEFORE_ALL
        newest.append(record.storage_id if record else 0)
    return str(max(newest))


_SKIPPED_FROM = 100
"""Partition count from which Dagster ignores an input; ``sync`` says `dvc-changed:` there."""
_UNKNOWN = "INITIAL"  # version that Dagster assumes for an input that was never observed


@dataclass(frozen=True)
class Event:
    """The newest about an asset and partition; of an observation its version is the only tag, and no time known."""

    storage_id: int
    tags: Mapping[str, str]
    timestamp: float


class Staleness:
    def __init__(self, instance: "dg.DagsterInstance", project: Project) -> None:
        self._instance = instance
        self._project = project

    def status(self, name: str, partition: str | None) -> tuple[str, tuple[str, ...]]:
        """FRESH, STALE or MISSING with reasons, from the current events."""

        def latest(*key: Any) -> Event | None:
            return _event(latest_record(self._instance, *key))

        return StatusSnapshot(self._instance, self._project, latest).status(name, partition)

    def snapshot(self) -> "StatusSnapshot":
        """The status of many assets, from one reading of the events: two queries an asset."""
        events = cache(partial(_of_all_partitions, self._instance))

        def latest(name: str, partition: str | None, observed: bool) -> Event | None:
            if partition is None:
                return _event(latest_record(self._instance, name, None, observed))
            return events(name, observed).get(partition)

        return StatusSnapshot(self._instance, self._project, latest)

    def stale(self, name: str, partition: str | None) -> bool:
        return self.status(name, partition)[0] != "FRESH"


class StatusSnapshot:
    def __init__(
        self, instance: "dg.DagsterInstance", project: Project, latest: Callable[[str, str | None, bool], Event | None]
    ) -> None:
        self._instance = instance
        self._project = project
        self._latest = cache(latest)

    def version(self, name: str, partition: str | None, observed: bool = False) -> str | None:
        return _version(self._latest(name, partition, observed))

    def status(self, name: str, partition: str | None) -> tuple[str, tuple[str, ...]]:
        event = self._latest(name, partition, False)
        if event is None or _version(event) == NOTHING:
            return "MISSING", ()
        causes = tuple(self._causes(name, partition, event))
        return "STALE" if causes else "FRESH", causes

    def _causes(self, name: str, partition: str | None, event: Event) -> Iterator[str]:
        tags = event.tags
        has_code_version = CODE_VERSION in tags
        if has_code_version and self._project.code_versions[name] != tags[CODE_VERSION]:
            yield "has a new code version"
        wiring = self._project.graph.wiring(name)
        inputs = sorted([*(asset.name for asset in wiring.assets), *(pin.name for pin in wiring.pins)])
        read = {tag.removeprefix(INPUT_VERSION) for tag in tags if tag.startswith(INPUT_VERSION)}
        for other in sorted(read - set(inputs)) if has_code_version else ():
            yield f"{other} removed dependency on {other}"
        for other in inputs:
            for part in self._parts(other, partition):
                if not has_code_version:  # such an event does not say what was read: compared by time
                    newest = self._latest(other, part, False)
                    newer_reason = None if newest else "has a new input"
                    if newest and newest.timestamp > event.timestamp:
                        newer_reason = "has a new dependency materialization"
                    if other in self._project.graph.pins:
                        newer_reason = None
                elif not {INPUT_VERSION + other, INPUT_POINTER + other} <= tags.keys():
                    newer_reason = f"has a new dependency on {other}"
                else:
                    newer_reason = self._updated(other, part, tags)
                if newer_reason:
                    yield f"{other} {newer_reason}"

    def _parts(self, other: str, partition: str | None) -> list[str | None]:
        graph = self._project.graph
        if not (graph.pins.get(other) or graph.assets[other]).partitioned:
            return [None]
        if partition is not None:
            return [partition]
        keys = self._instance.get_dynamic_partitions(PARTITIONS)
        return [*sorted(keys)] if len(keys) < _SKIPPED_FROM else []

    def _updated(self, other: str, part: str | None, tags: Mapping[str, str]) -> str | None:
        import dagster as dg

        outside = other in self._project.graph.pins
        if part is None:
            before: str | None = tags[INPUT_VERSION + other]
            event = self._latest(other, None, outside)
            unknown = _UNKNOWN if outside or event else NOTHING
            current: str | None = _version(event) or unknown
        else:
            pointer = tags[INPUT_POINTER + other]
            pointer_id = None if pointer == NOTHING else int(pointer)
            event = self._latest(other, part, outside)
            if event is None or (pointer_id is not None and event.storage_id <= pointer_id):
                return None
            cursor = pointer_id + 1 if pointer_id else None
            key = dg.AssetKey(other)
            before = recorded_version(self._instance.get_latest_data_version_record(key, outside, part, cursor))
            current = _version(event)
        if before == current or (before == _UNKNOWN and current == NOTHING):
            return None
        return "has a new dependency data version"


def _event(record: "EventLogRecord | None") -> Event | None:
    return Event(record.storage_id, record.event_log_entry.tags or {}, record.timestamp) if record else None


def _version(event: Event | None) -> str | None:
    return event.tags.get(DATA_VERSION) if event else None


def _of_all_partitions(instance: "dg.DagsterInstance", name: str, observed: bool) -> dict[str, Event]:
    import dagster as dg

    key, kinds, storage = dg.AssetKey(name), dg.DagsterEventType, instance.event_log_storage
    kind = kinds.ASSET_OBSERVATION if observed else kinds.ASSET_MATERIALIZATION
    ids = storage.get_latest_storage_id_by_partition(key, kind)
    if not ids:
        return {}
    if observed:  # of what is observed, the version alone is asked for: a tenth of the time of its records
        tags = storage.get_latest_tags_by_partition(key, kind, [DATA_VERSION])
        return {name: Event(number, tags.get(name, {}), 0.0) for name, number in ids.items()}
    records_filter = dg.AssetRecordsFilter(asset_key=key, storage_ids=list(ids.values()))
    records = instance.fetch_materializations(records_filter, limit=len(ids)).records
    return {str(record.partition_key): event for record in records if (event := _event(record))}
