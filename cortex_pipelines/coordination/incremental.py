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

from cortex_pipelines.coordination.json_scanner import Stretch, scan
from cortex_pipelines.coordination.records import (
    UnreadField,
    canonical,
    event,
    is_test_row,
    unread_fields,
)
from cortex_pipelines.privacy.paths import PathRedactor
from cortex_pipelines.privacy.pseudonyms import logs_key, record_pseudonym
from cortex_pipelines.privacy.records import RecordRedactor
from cortex_pipelines.privacy.settings import PrivacySettings
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.coordination import (
    COORDINATION_EVENTS,
    REDACTED_EVENTS,
    REJECTED_EVENTS,
    UNREAD_FIELDS,
)
from cortex_pipelines.schemas.table import Table

_TABLES = (COORDINATION_EVENTS, REJECTED_EVENTS, REDACTED_EVENTS, UNREAD_FIELDS)
_LENGTH = 8
"""Bytes that hold the length of the description which precedes the kept tables."""


@dataclass(frozen=True)
class LogRows:
    """Rows of a log or of its beginning.

    Args:
        events: Columns of ``schemas.COORDINATION_EVENTS``; a record that repeats is there once.
        rejected: Columns of ``schemas.REJECTED_EVENTS``.
        redacted: Columns of ``schemas.REDACTED_EVENTS``.
        unread: Columns of ``schemas.UNREAD_FIELDS``.
        end: Byte up to which the log was read.
        scanned: How many of its bytes were read in this run, and not in one before.
    """

    events: pl.DataFrame
    rejected: pl.DataFrame
    redacted: pl.DataFrame
    unread: pl.DataFrame
    end: int
    scanned: int


@dataclass(frozen=True)
class LogReader:
    """Reads logs incrementally.

    Args:
        aliases: Canonical names of masters by alias.
        test_rows: Regular expressions; a record whose task id or author one matches is a test's.
        privacy: What is taken out of records and names.
        cache: Where the beginnings are kept; None reads all of each log.
    """

    aliases: Mapping[str, str]
    test_rows: Sequence[str]
    privacy: PrivacySettings
    cache: RowCache | None

    def read(self, name: str, data: bytes) -> LogRows:
        """Read the rows of a log.

        Args:
            name: Its path, relative to the logs folder.
            data: All of its bytes.
        """
        before = self._kept(name, data)
        settled, rest = _divide(list(scan(data, before.end)))
        lines = LineNumbers(data)
        beginning = self._add(before, settled, name, lines)
        if settled and self.cache is not None:
            self.cache.put(_packed(beginning, data), *self._place(name))
        return self._add(beginning, rest, name, lines, scanned=len(data) - before.end)

    def _add(
        self,
        before: LogRows,
        stretches: Sequence[Stretch],
        name: str,
        lines: "LineNumbers",
        scanned: int = 0,
    ) -> LogRows:
        shown = self._path(name)
        events: list[dict[str, Any]] = []
        redacted: list[dict[str, Any]] = []
        unread: list[dict[str, Any]] = []
        for stretch in stretches:
            if stretch.value is not None:
                row, taken, fields = self._row(stretch.value, name, stretch.start)
                events.append(row | {"file": shown})
                place = {"file": shown, "byte_offset": stretch.start}
                redacted += (place | finding for finding in taken)
                unread += (
                    place | {"line": lines.at(stretch.start)} | asdict(field) for field in fields
                )
        rejected = [
            _rejected(stretch, shown)
            for stretch in stretches
            if stretch.kind in ("rejected", "waiting")
        ]
        more = _frame(events, COORDINATION_EVENTS)
        return LogRows(
            first_of_each(pl.concat([before.events, more])),
            pl.concat([before.rejected, _frame(rejected, REJECTED_EVENTS)]),
            pl.concat([before.redacted, _frame(redacted, REDACTED_EVENTS)]),
            pl.concat([before.unread, _frame(unread, UNREAD_FIELDS)]),
            stretches[-1].end if stretches else before.end,
            scanned,
        )

    def _row(
        self, record: dict[str, Any], name: str, start: int
    ) -> tuple[dict[str, Any], list[dict[str, Any]], list[UnreadField]]:
        """A record's row without private data, the redactions, and what was not understood."""
        clean = self._redact(record)
        row = event(clean.value, name, start, self.aliases, self._rules)
        unread = unread_fields(clean.value, row["kind"])
        if not clean.redactions:
            return row, [], unread
        # Two records may differ in nothing but what is private, and a plain hash could be guessed.
        row["event_id"] = record_pseudonym(canonical(record), self._key)
        row["test_row"] = is_test_row(record, self._rules)
        taken = [
            asdict(secret) | {"places": places}
            for secret, places in sorted(Counter(clean.redactions).items())
        ]
        return row, taken, unread

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

    def _place(self, name: str) -> tuple[Any, ...]:
        privacy = self.privacy.model_dump(mode="json")
        return ("log", name, dict(self.aliases), list(self.test_rows), privacy)

    def _kept(self, name: str, data: bytes) -> LogRows:
        """Cached rows of the log's beginning, if it is unchanged; else none."""
        events, rejected, redacted, unread = (table.empty() for table in _TABLES)
        nothing = LogRows(events, rejected, redacted, unread, 0, 0)
        packed = None if self.cache is None else self.cache.get(*self._place(name))
        return nothing if packed is None else _unpacked(packed, data) or nothing


class LineNumbers:
    """Numbers of the lines of a file, asked for in the order of the file.

    Args:
        data: The bytes of the file.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._offset, self._line = 0, 1

    def at(self, offset: int) -> int:
        """The line, from 1, that a byte is in; none before it is asked for any more."""
        self._line += self._data.count(b"\n", self._offset, offset)
        self._offset = offset
        return self._line


def first_of_each(events: pl.DataFrame) -> pl.DataFrame:
    """Deduplicate records, keeping first occurrences."""
    return events.unique("event_id", keep="first", maintain_order=True)


def _divide(stretches: list[Stretch]) -> tuple[list[Stretch], list[Stretch]]:
    count = next((n for n, stretch in enumerate(stretches) if not stretch.settled), len(stretches))
    return stretches[:count], stretches[count:]


def _rejected(stretch: Stretch, file: str) -> dict[str, Any]:
    return {
        "file": file,
        "byte_offset": stretch.start,
        "length_bytes": stretch.end - stretch.start,
        "reason": stretch.reason,
    }


def _packed(rows: LogRows, data: bytes) -> bytes:
    """The rows with a description of the bytes they were read from."""
    frames = (rows.events, rows.rejected, rows.redacted, rows.unread)
    tables = [_written(frame) for frame in frames]
    description = {
        "end": rows.end,
        "sha256": hashlib.sha256(data[: rows.end]).hexdigest(),
        "lengths": [len(table) for table in tables],
    }
    head = json.dumps(description, sort_keys=True).encode()
    return b"".join([len(head).to_bytes(_LENGTH, "big"), head, *tables])


def _unpacked(packed: bytes, data: bytes) -> LogRows | None:
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


def _written(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_ipc(buffer, compression="lz4")
    return buffer.getvalue()
