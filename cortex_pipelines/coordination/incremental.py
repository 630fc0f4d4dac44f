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
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import polars as pl

from cortex_pipelines.coordination.json_scanner import ByteSpan, scan
from cortex_pipelines.coordination.records import canonical, event, is_test_row, unread_fields
from cortex_pipelines.privacy.paths import PathRedactor
from cortex_pipelines.privacy.pseudonyms import logs_key, record_pseudonym
from cortex_pipelines.privacy.records import RecordRedactor
from cortex_pipelines.privacy.settings import PrivacySettings
from cortex_pipelines.progress import track
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.coordination import COORDINATION_EVENTS, REDACTED_EVENTS, REJECTED_EVENTS, UNREAD_FIELDS

TABLES = (COORDINATION_EVENTS, REJECTED_EVENTS, REDACTED_EVENTS, UNREAD_FIELDS)
_LENGTH = 8  # bytes that hold the length of the description which precedes the kept tables


@dataclass(frozen=True)
class LogRows:
    """Rows of a log up to byte ``end``, a frame for each of ``TABLES``; ``scanned`` bytes were read in this run."""

    frames: tuple[pl.DataFrame, ...]
    end: int = 0
    scanned: int = 0


def join_frames(parts: Iterable[Sequence[pl.DataFrame]]) -> tuple[pl.DataFrame, ...]:
    """The frames of several parts of logs as one for each of ``TABLES``; of repeated records the first counts."""
    empty = [table.empty() for table in TABLES]
    events, *other_frames = (pl.concat(frames) for frames in zip(empty, *parts, strict=True))
    return (events.unique("event_id", keep="first", maintain_order=True), *other_frames)


class LogReader:
    """Reads logs incrementally; without a cache, all of each log."""

    def __init__(
        self, aliases: Mapping[str, str], test_rows: Sequence[str], privacy: PrivacySettings, cache: RowCache | None
    ) -> None:
        self._aliases, self._cache = aliases, cache
        self._settings = (dict(aliases), list(test_rows), privacy.model_dump(mode="json"))
        self._rules = [re.compile(rule) for rule in test_rows]
        self._key = logs_key(privacy)
        self._redact, self._path = RecordRedactor(privacy, self._key), PathRedactor(privacy, self._key)

    def read(self, name: str, data: bytes) -> LogRows:
        packed = None if self._cache is None else self._cache.get("log", name, *self._settings)
        cached = (packed and _unpack(packed, data)) or LogRows(join_frames([]))
        spans, lines = list(scan(data, cached.end)), LineNumbers(data)
        count = next((n for n, span in enumerate(spans) if not span.settled), len(spans))
        beginning = self._add(cached, spans[:count], name, lines)
        if count and self._cache is not None:
            self._cache.put(_pack(beginning, data), "log", name, *self._settings)
        return self._add(beginning, spans[count:], name, lines, scanned=len(data) - cached.end)

    def _add(
        self, previous: LogRows, spans: Sequence[ByteSpan], name: str, lines: "LineNumbers", scanned: int = 0
    ) -> LogRows:
        rows: list[list[dict[str, Any]]] = [[] for _ in TABLES]
        events, rejected, redacted, unread = rows
        file_name = self._path(name)
        for span in track([span for span in spans if span.kind != "blank"], f"Reading {file_name}"):
            location = {"file": file_name, "byte_offset": span.start}
            if span.kind in ("rejected", "waiting"):
                rejected.append(location | {"reason": span.reason})
            if span.value is None:
                continue
            record = self._redact(span.value)
            row = event(record.value, name, span.start, self._aliases, self._rules)
            fields = unread_fields(record.value, row["kind"])
            if record.redactions:
                # Two records may differ in nothing but what is private, and a plain hash could be guessed.
                row["event_id"] = record_pseudonym(canonical(span.value), self._key)
                row["test_row"] = is_test_row(span.value, self._rules)
            events.append(row | {"file": file_name})
            counts = sorted(Counter(record.redactions).items())
            redacted += (location | asdict(secret) | {"places": count} for secret, count in counts)
            unread += (location | {"line": lines.line_of(span.start)} | asdict(field) for field in fields)
        frames = [pl.DataFrame(r, schema=table.schema, orient="row") for r, table in zip(rows, TABLES, strict=True)]
        return LogRows(join_frames([previous.frames, frames]), spans[-1].end if spans else previous.end, scanned)


class LineNumbers:
    """Numbers of the lines of a file, asked for in the order of the file."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._offset, self._line = 0, 1

    def line_of(self, offset: int) -> int:
        self._line += self._data.count(b"\n", self._offset, offset)
        self._offset = offset
        return self._line


def _pack(rows: LogRows, data: bytes) -> bytes:
    tables = []
    for frame in rows.frames:
        frame.write_ipc(buffer := io.BytesIO(), compression="lz4")
        tables.append(buffer.getvalue())
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
    return LogRows(tuple(frames), end)
