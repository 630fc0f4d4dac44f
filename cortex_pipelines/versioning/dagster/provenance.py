"""Dagster tags of a materialisation that make it agree with DVC on staleness.

Dagster would store a hash of concatenated inputs as the version, and would take its pointer to the inputs' events when
the step starts. All of it is set here instead, by tags, from the hashes that the version was really made from. How
Dagster reads them back:

* an un-partitioned input is updated if its newest version differs from the tag
  ``dagster/input_data_version/<asset>``;
* a partitioned input is updated if its newest version differs from the one that was newest at
  ``dagster/input_event_pointer/<asset>``. The pointer ``-1`` stands before every event, so such an
  input always reads as updated (``NULL`` and ``0`` would read as fresh for ever).
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from cortex_pipelines.versioning import snapshot
from cortex_pipelines.versioning.asset import VersionedAsset
from cortex_pipelines.versioning.content import content_md5
from cortex_pipelines.versioning.graph import Pin
from cortex_pipelines.versioning.project import Project
from cortex_pipelines.versioning.snapshot import Snapshot, input_path

if TYPE_CHECKING:
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
