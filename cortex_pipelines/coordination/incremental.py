"""Reading a log on from where the last run stopped.

What is kept of a log are the rows of its settled beginning: of that part which stays as it is
whatever is appended. So the rows are the same as in a reading from nothing, and the file in which
they are kept may be deleted at any time.
"""

import hashlib
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from cortex_pipelines.coordination.json_scanner import Stretch, scan
from cortex_pipelines.coordination.records import event
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.coordination import COORDINATION_EVENTS, REJECTED_EVENTS

_LENGTH = 8
"""Bytes that hold the length of the description which precedes the kept tables."""


@dataclass(frozen=True)
class LogRows:
    """What a log, or its beginning, holds.

    Args:
        events: Columns of ``schemas.COORDINATION_EVENTS``; a record that repeats is there once.
        rejected: Columns of ``schemas.REJECTED_EVENTS``.
        end: Byte up to which the log was read.
        scanned: How many of its bytes were read in this run, and not in one before.
    """

    events: pl.DataFrame
    rejected: pl.DataFrame
    end: int
    scanned: int


@dataclass(frozen=True)
class LogReader:
    """Reads logs, each on from where it was read to before.

    Args:
        aliases: Other names of masters, to the name that is kept.
        test_rows: Regular expressions; a record whose task id or author one matches is a test's.
        cache: Where the beginnings are kept; None reads all of each log.
    """

    aliases: Mapping[str, str]
    test_rows: Sequence[str]
    cache: RowCache | None

    def read(self, name: str, data: bytes) -> LogRows:
        """What a log holds.

        Args:
            name: Its path, relative to the logs folder.
            data: All of its bytes.
        """
        before = self._kept(name, data)
        settled, rest = _divide(list(scan(data, before.end)))
        beginning = self._add(before, settled, name)
        if settled and self.cache is not None:
            self.cache.put(_packed(beginning, data), *self._key(name))
        return self._add(beginning, rest, name, scanned=len(data) - before.end)

    def _add(
        self, before: LogRows, stretches: Sequence[Stretch], name: str, scanned: int = 0
    ) -> LogRows:
        rules = [re.compile(rule) for rule in self.test_rows]
        events = [
            event(stretch.value, name, stretch.start, self.aliases, rules)
            for stretch in stretches
            if stretch.value is not None
        ]
        rejected = [
            _rejected(stretch, name)
            for stretch in stretches
            if stretch.kind in ("rejected", "waiting")
        ]
        more = pl.DataFrame(events, schema=COORDINATION_EVENTS.schema, orient="row")
        return LogRows(
            first_of_each(pl.concat([before.events, more])),
            pl.concat(
                [
                    before.rejected,
                    pl.DataFrame(rejected, schema=REJECTED_EVENTS.schema, orient="row"),
                ]
            ),
            stretches[-1].end if stretches else before.end,
            scanned,
        )

    def _key(self, name: str) -> tuple[Any, ...]:
        return ("log", name, dict(self.aliases), list(self.test_rows))

    def _kept(self, name: str, data: bytes) -> LogRows:
        """The rows of the log's beginning, if it still begins as it did; else none."""
        nothing = LogRows(COORDINATION_EVENTS.empty(), REJECTED_EVENTS.empty(), 0, 0)
        packed = None if self.cache is None else self.cache.get(*self._key(name))
        return nothing if packed is None else _unpacked(packed, data) or nothing


def first_of_each(events: pl.DataFrame) -> pl.DataFrame:
    """Each record once, where it stands first."""
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
    """The rows with a description of the bytes that they were read from."""
    tables = [_written(frame) for frame in (rows.events, rows.rejected)]
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
    middle = start + description["lengths"][0]
    events, rejected = (
        pl.read_ipc(io.BytesIO(part)) for part in (packed[start:middle], packed[middle:])
    )
    return LogRows(events, rejected, end, 0)


def _written(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_ipc(buffer, compression="lz4")
    return buffer.getvalue()
