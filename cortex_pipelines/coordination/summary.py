"""Summarise a folder of logs file by file, without a project."""

import re
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from cortex_pipelines.coordination.incremental import LineNumbers
from cortex_pipelines.coordination.json_scanner import scan
from cortex_pipelines.coordination.logs import CoordinationSettings, log_files, logs_folder
from cortex_pipelines.coordination.records import event, time_assumption, unread_fields
from cortex_pipelines.privacy.pseudonyms import logs_key
from cortex_pipelines.privacy.records import RecordRedactor
from cortex_pipelines.privacy.settings import PrivacySettings


@dataclass(frozen=True)
class FileSummary:
    """Summary of one log; ``rejected`` includes an incomplete last record, which is read once it is complete."""

    file: str
    kind: str
    kinds: dict[str, int]
    records: int
    duplicates: int
    empty_objects: int
    rejected: list[dict[str, int | str]]
    test_rows: int
    unread: list[dict[str, int | str]]
    unread_by_reason: dict[str, int]
    assumed: dict[str, int]


def summarise(folder: Path, settings: CoordinationSettings, privacy: PrivacySettings) -> list[FileSummary]:
    event_ids: set[str] = set()
    redact = RecordRedactor(privacy, logs_key(privacy))
    if folder.is_file():
        return [_summary(folder, folder.name, settings, redact, event_ids)]
    logs_root = logs_folder(str(folder), Path.cwd())
    return [
        _summary(path, path.relative_to(logs_root).as_posix(), settings, redact, event_ids)
        for path in log_files(logs_root)
    ]


def _summary(
    path: Path, name: str, settings: CoordinationSettings, redact: RecordRedactor, event_ids: set[str]
) -> FileSummary:
    test_rows = [re.compile(rule) for rule in settings.test_rows]
    kinds: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    assumed: Counter[str] = Counter()
    rejected: list[dict[str, int | str]] = []
    unread: list[dict[str, int | str]] = []
    data = path.read_bytes()
    lines = LineNumbers(data)
    for span in scan(data):
        if span.value is not None:
            row = event(span.value, name, span.start, settings.aliases, test_rows)
            kinds[row["kind"]] += 1
            counts["duplicates"] += row["event_id"] in event_ids
            counts["test_rows"] += row["test_row"]
            event_ids.add(row["event_id"])
            assumption = time_assumption(span.value)
            assumed.update([assumption] if assumption else [])
            if fields := unread_fields(span.value, row["kind"]):
                fields = unread_fields(redact(span.value).value, row["kind"])
            unread += ({"line": lines.line_of(span.start)} | asdict(field) for field in fields)
        elif span.kind in ("rejected", "waiting"):
            rejected.append({"offset": span.start, "reason": span.reason})
        counts["empty"] += span.kind == "empty"
    main_kind = min(kinds, key=lambda kind: (-kinds[kind], kind)) if kinds else "empty"
    return FileSummary(
        file=name,
        kind=main_kind,
        kinds=dict(sorted(kinds.items())),
        records=kinds.total(),
        duplicates=counts["duplicates"],
        empty_objects=counts["empty"],
        rejected=rejected,
        test_rows=counts["test_rows"],
        unread=unread,
        unread_by_reason=dict(Counter(str(field["reason"]) for field in unread).most_common()),
        assumed=dict(assumed.most_common()),
    )
