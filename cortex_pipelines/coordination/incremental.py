"""Read logs incrementally, from where the last run stopped.

Cached are the rows of a log's settled beginning: the part that does not change whatever is
appended. So the rows are the same as in a full read, and the cache file may be deleted at any time.

Private data are removed here, where a record becomes a row: neither the cache nor anything made of
the rows ever contains them.
"""

import hashlib
import io
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import polars as pl

from cortex_pipelines.coordination.json_scanner import ByteSpan, scan
from cortex_pipelines.coordination.records import UnreadField, canonical, event, is_test_row, unread_fields
from cortex_pipelines.privacy.paths import PathRedactor
from cortex_pipelines.privacy.pseudonyms import logs_key, record_pseudonym
from cortex_pipelines.privacy.records import RecordRedactor
from cortex_pipelines.privacy.settings import PrivacySettings
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.coordination import COORDINATION_EVENTS, REDACTED_EVENTS, REJECTED_EVENTS, UNREAD_FIELDS
from cortex_pipelines.schemas.table import Table

_TABLES = (COORDINATION_EVENTS, REJECTED_EVENTS, REDACTED_EVENTS, UNREAD_FIELDS)
_LENGTH = 8  # bytes that hold the length of the description which precedes the kept tables


@dataclass(frozen=True)
class LogRows:
    """Rows of a log up to byte ``end``, of which ``scanned`` were read in this run."""

    events: pl.DataFrame
    rejected: pl.DataFrame
    redacted: pl.DataFrame
    unread: pl.DataFrame
    end: int
    scanned: int


@dataclass(frozen=True)
class LogReader:
    """Reads logs incrementally; without a cache, all of each log."""

    aliases: Mapping[str, str]
    test_rows: Sequence[str]
    privacy: PrivacySettings
    cache: RowCache | None

    def read(self, name: str, data: bytes) -> LogRows:
        cached = self._cached_rows(name, data)
        settled, unsettled = _divide(list(scan(data, cached.end)))
        lines = LineNumbers(data)
        beginning = self._add(cached, settled, name, lines)
        if settled and self.cache is not None:
            self.cache.put(_pack(beginning, data), *self._cache_key(name))
        return self._add(beginning, unsettled, name, lines, scanned=len(data) - cached.end)

    def _add(
        self, previous: LogRows, spans: Sequence[ByteSpan], name: str, lines: "LineNumbers", scanned: int = 0
    ) -> LogRows:
        file_name = self._path(name)
        events: list[dict[str, Any]] = []
        redacted: list[dict[str, Any]] = []
        unread: list[dict[str, Any]] = []
        for span in spans:
            if span.value is not None:
                row, redactions, fields = self._row(span.value, name, span.start)
                events.append(row | {"file": file_name})
                location = {"file": file_name, "byte_offset": span.start}
                redacted += (location | finding for finding in redactions)
                unread += (location | {"line": lines.line_of(span.start)} | asdict(field) for field in fields)
        rejected = [
            {"file": file_name, "byte_offset": span.start, "reason": span.reason}
            for span in spans
            if span.kind in ("rejected", "waiting")
        ]
        new_events = _frame(events, COORDINATION_EVENTS)
        return LogRows(
            first_of_each(pl.concat([previous.events, new_events])),
            pl.concat([previous.rejected, _frame(rejected, REJECTED_EVENTS)]),
            pl.concat([previous.redacted, _frame(redacted, REDACTED_EVENTS)]),
            pl.concat([previous.unread, _frame(unread, UNREAD_FIELDS)]),
            spans[-1].end if spans else previous.end,
            scanned,
        )

    def _row(
        self, record: dict[str, Any], name: str, start: int
    ) -> tuple[dict[str, Any], list[dict[str, Any]], list[UnreadField]]:
        redacted = self._redact(record)
        row = event(redacted.value, name, start, self.aliases, self._rules)
        unread = unread_fields(redacted.value, row["kind"])
        if not redacted.redactions:
            return row, [], unread
        # Two records may differ in nothing but what is private, and a plain hash could be guessed.
        row["event_id"] = record_pseudonym(canonical(record), self._key)
        row["test_row"] = is_test_row(record, self._rules)
        redactions = [
            asdict(secret) | {"places": count} for secret, count in sorted(Counter(redacted.redactions).items())
        ]
        return row, redactions, unread

    @cached_property
    def _key(self) -> bytes:
        return logs_key(self.privacy)

    @cached_property
    def _redact(self) -> RecordRedactor:
        return RecordRedactor(self.privacy, self._key)

    @cached_property
    def _path(self) -> PathRedactor:
        return PathRedactor(self.privacy, self._key)

    @cached_property
    def _rules(self) -> list[re.Pattern[str]]:
        return [re.compile(rule) for rule in self.test_rows]

    def _cache_key(self, name: str) -> tuple[Any, ...]:
        privacy = self.privacy.model_dump(mode="json")
        return ("log", name, dict(self.aliases), list(self.test_rows), privacy)

    def _cached_rows(self, name: str, data: bytes) -> LogRows:
        events, rejected, redacted, unread = (table.empty() for table in _TABLES)
        nothing = LogRows(events, rejected, redacted, unread, 0, 0)
        packed = None if self.cache is None else self.cache.get(*self._cache_key(name))
        return nothing if packed is None else _unpack(packed, data) or nothing


class LineNumbers:
    """Numbers of the lines of a file, asked for in the order of the file."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._offset, self._line = 0, 1

    def line_of(self, offset: int) -> int:
        self._line += self._data.count(b"\n", self._offset, offset)
        self._offset = offset
        return self._line


def first_of_each(events: pl.DataFrame) -> pl.DataFrame:
    return events.unique("event_id", keep="first", maintain_order=True)


def _divide(spans: list[ByteSpan]) -> tuple[list[ByteSpan], list[ByteSpan]]:
    count = next((n for n, span in enumerate(spans) if not span.settled), len(spans))
    return spans[:count], spans[count:]


def _pack(rows: LogRows, data: bytes) -> bytes:
    frames = (rows.events, rows.rejected, rows.redacted, rows.unread)
    tables = [_to_ipc(frame) for frame in frames]
    description = {
        "end": rows.end,
        "sha256": hashlib.sha256(data[: rows.end]).hexdigest(),
        "lengths": [len(table) for table in tables],
    }
    head = json.dumps(description, sort_keys=True).encode()
    return b"".join([len(head).to_bytes(_LENGTH, "big"), head, *tables])


def _unpack(packed: bytes, data: bytes) -> LogRows | None:
    start = _LENGTH + int.from_bytes(packed[:_LENGTH], "big")
    description = json.loads(packed[_LENGTH:start])
    end: int = description["end"]
    if len(data) < end or hashlib.sha256(data[:end]).hexdigest() != description["sha256"]:
        return None
    frames = []
    for length in description["lengths"]:
        frames.append(pl.read_ipc(io.BytesIO(packed[start : start + length])))
        start += length
    events, rejected, redacted, unread = frames
    return LogRows(events, rejected, redacted, unread, end, 0)


def _frame(rows: list[dict[str, Any]], table: Table) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=table.schema, orient="row")


def _to_ipc(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_ipc(buffer, compression="lz4")
    return buffer.getvalue()
