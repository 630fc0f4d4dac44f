"""Records of logs in the formats that other programs export, each with its line (of Parquet, its row)."""

import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any

from cortex_pipelines.coordination.enclosed import enclosed_records, is_conversation, key_value_pairs
from cortex_pipelines.coordination.fact_names import SPECIFIC, is_task
from cortex_pipelines.coordination.json_scanner import OUTSIDE, scan
from cortex_pipelines.timestamps import is_timestamp

_MOST_BYTES = 2**30
"""Most bytes that a gzip file may unpack to: one of a few kilobytes can fill any memory."""
_ROTATED = re.compile(r"(?:\.\d{1,3}|[.-]\d{4}-?\d\d-?\d\d(?:[t_-]\d\d(?:-?\d\d)*)?)$")
"""What log rotation appends to a name: ``.2``, ``-20260301`` or ``.2026-03-01_00-00``."""
NATIVE_ENDINGS = (".jsonl", ".ndjson")
PACKED = (".gz", ".zst")
_UNPACKED = re.compile(r"\.(?:gz|zst)$")
NUMBERED = "lines are numbers of records"
_DELIMITERS = ",;\t|"


@dataclass(frozen=True)
class LogRecords:
    """``records`` and what is ``refused`` (with the reason) by line; ``notes`` say what was assumed in reading them."""

    records: Sequence[tuple[int, dict[str, Any]]]
    refused: Sequence[tuple[int, str]] = ()
    notes: Sequence[str] = ()


def read_records(name: str, data: bytes) -> LogRecords:
    """The records of a file by the ending of its name (``ENDINGS``), before ``PACKED`` and what rotation appends."""
    if name.lower().endswith(PACKED):
        try:
            data = _unpacked(name, data)
        except (OSError, EOFError, zlib.error):
            form = "gzip" if name.lower().endswith(".gz") else "Zstandard"
            return LogRecords([], [(1, f"not a {form} file, or cut off")])
        if len(data) > _MOST_BYTES:
            return LogRecords([], [(1, "more than 1 GiB when unpacked; split it")])
    read = _READERS[_ending(name)](data)
    return replace(read, records=[(line, part) for line, record in read.records for part in enclosed_records(record)])


def _unpacked(name: str, data: bytes) -> bytes:
    """What a packed file holds, up to a byte more than is read."""
    if name.lower().endswith(".gz"):
        with gzip.open(io.BytesIO(data)) as file:
            return file.read(_MOST_BYTES + 1)
    from pyarrow import BufferReader, CompressedInputStream

    with CompressedInputStream(BufferReader(data), "zstd") as stream:
        return bytes(stream.read(_MOST_BYTES + 1))


def is_log_name(name: str) -> bool:
    return _ending(name) in ENDINGS


def is_native_name(name: str) -> bool:
    """Whether a file has the form of the agent system's own logs."""
    return _ending(name) in NATIVE_ENDINGS


def _ending(name: str) -> str:
    return PurePosixPath(_ROTATED.sub("", _UNPACKED.sub("", name.lower()))).suffix


def _text(data: bytes) -> tuple[str, list[str]]:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace"), ["read as UTF-16"]
    try:
        return data.decode("utf-8-sig"), []
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace"), ["not UTF-8: read as Windows-1252 (Latin-1)"]


def _json_lines(data: bytes) -> LogRecords:
    text, notes = _text(data)
    records: list[tuple[int, dict[str, Any]]] = []
    refused = []
    encoded = text.encode("utf-8", "surrogatepass")
    line, at = 1, 0
    for span in scan(encoded):
        line, at = line + encoded.count(b"\n", at, span.start), span.start
        if span.value is not None:
            records.append((line, span.value))
        elif span.kind in ("rejected", "waiting") and encoded[span.start : span.end].strip(b"[], \t\r\n"):
            refused.append((line, span.reason))  # lists may follow each other, as `gh api --paginate` writes them
    return LogRecords(records, refused, notes)


def _log_lines(data: bytes) -> LogRecords:
    """JSON in the lines of a program's log, else logfmt, where text, such as a time before it, is nothing refused."""
    read = _json_lines(data)
    if not read.records:
        return _logfmt(data)
    lines = {line for line, _ in read.records}
    texts = sum(reason == OUTSIDE and line not in lines for line, reason in read.refused)
    notes = [*read.notes, *_left_out("JSON", texts)]
    return LogRecords(read.records, [refusal for refusal in read.refused if refusal[1] != OUTSIDE], notes)


def _logfmt(data: bytes) -> LogRecords:
    text, notes = _text(data)
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    records = [(number, dict[str, Any](pairs)) for number, line in lines if (pairs := key_value_pairs(line))]
    if not records:
        return LogRecords([], [(1, "none of its lines has a JSON object or key=value pairs")] if lines else [], notes)
    return LogRecords(records, [], [*notes, *_left_out("key=value pairs", len(lines) - len(records))])


def _left_out(form: str, lines: int) -> list[str]:
    return [f"lines without {form}, left out: {lines:,}"] if lines else []


def _json(data: bytes) -> LogRecords:
    text, notes = _text(data)
    try:
        value = json.loads(text, parse_constant=lambda _: None)
    except (ValueError, RecursionError):
        return _json_lines(data)
    key, items = _items(value)
    if key is not None:
        notes.append(f"records are those of {key!r}")
    lines = _lines(text, key, items)
    if items and lines == list(range(1, len(items) + 1)):
        notes.append(NUMBERED)
    records = [(line, item) for line, item in zip(lines, items, strict=True) if isinstance(item, dict)]
    refused = [
        (line, "not an object of names and values")
        for line, item in zip(lines, items, strict=True)
        if not isinstance(item, dict)
    ]
    return LogRecords(records, refused, notes)


def _items(value: Any) -> tuple[str | None, list[Any]]:
    """Records of a JSON value, and the key that they stand under if it is an object with more in it.

    They are a list or a list of such pages, lists of equal length by column, objects by name with a key in common, or
    the longest list of objects in an object, at whatever depth; but an object that tells of a task, with its steps, is
    one record.
    """
    key, items = _listed(value)
    is_record = key is not None and is_task(value, SPECIFIC) and not any(map(is_task, items))
    return (None, [value]) if is_record else (key, items)


def _listed(value: Any) -> tuple[str | None, list[Any]]:
    if isinstance(value, list):
        return None, [item for page in value for item in (page if isinstance(page, list) else [page])]
    if not isinstance(value, dict):
        return None, [value]
    fields = list(value.values())
    is_table = fields and all(isinstance(field, list) and len(field) == len(fields[0]) > 0 for field in fields)
    if is_table and not any(isinstance(item, dict) for field in fields for item in field):
        return None, [dict(zip(value, row, strict=True)) for row in zip(*fields, strict=True)]
    lists = {key: field for key, field in value.items() if _is_records(field)}
    if lists:
        longest = max(lists, key=lambda key: len(lists[key]))
        return longest, lists[longest]
    objects = [field for field in fields if isinstance(field, dict)]
    if len(objects) > 1 and objects == fields and set.intersection(*map(set, objects)):
        return None, [{"key": key, **field} for key, field in value.items()]
    nested = max(map(_items, objects), key=lambda found: len(found[1]) if found[0] else 0, default=(None, []))
    return nested if nested[0] else (None, [value])


def _is_records(value: Any) -> bool:
    is_list = isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)
    return is_list and not is_conversation(value)


_SEPARATOR = re.compile(r"[\s,]*")


def _lines(text: str, key: str | None, items: Sequence[Any]) -> list[int]:
    """The line of each element of a list in a JSON text; its number in the list where that cannot be told."""
    if key is None:
        start = len(text) - len(text.lstrip()) + 1
    else:
        found = re.search(rf"{re.escape(json.dumps(key))}\s*:\s*\[", text)
        start = found.end() if found else 0
    if "\n" not in text.strip():
        return list(range(1, len(items) + 1))
    decoder = json.JSONDecoder(parse_constant=lambda _: None)
    lines: list[int] = []
    line, counted = 1, 0
    try:
        for item in items:
            start = _SEPARATOR.match(text, start).end()  # type: ignore[union-attr]  # it matches nothing, too
            value, end = decoder.raw_decode(text, start)
            if value != item:
                raise ValueError
            line, counted = line + text.count("\n", counted, start), start
            lines.append(line)
            start = end
    except (ValueError, IndexError):
        return list(range(1, len(items) + 1))
    return lines


def _table(data: bytes) -> LogRecords:
    text, notes = _text(data)
    first, newline, rest = text.partition("\n")
    before = 0
    if first.lower().startswith("sep=") and len(first.strip()) == 5:  # Excel's own way to say it
        delimiter, text, before = first[4], rest, 1
    else:
        delimiter = max(_DELIMITERS, key=lambda mark: len(next(csv.reader([first + newline], delimiter=mark), ())))
    if delimiter not in ",\t":
        notes.append(f"separated by {delimiter!r}")
    reader = csv.reader(io.StringIO(text.replace("\0", ""), newline=""), delimiter=delimiter)
    header: list[str] = []
    records: list[tuple[int, dict[str, Any]]] = []
    refused, skipped = [], before
    try:
        for row in reader:
            line, before = before + 1, skipped + reader.line_num
            if not any(cell.strip() for cell in row):
                continue
            if not header:
                header = [cell.strip() or f"column {number}" for number, cell in enumerate(row, 1)]
                if any(re.fullmatch(r"[\d.,]+", name) or is_timestamp(name) for name in header):
                    return LogRecords([], [(line, "the first line must name the columns")], notes)
            elif any(row[len(header) :]):
                refused.append((line, f"more fields than the {len(header)} columns of the first line"))
            else:
                records.append((line, _named(header, row)))
    except csv.Error as error:
        refused.append((skipped + reader.line_num, f"not a table from here on ({error})"))
    return LogRecords(records, refused, notes)


def _named(header: Sequence[str], row: Sequence[str]) -> dict[str, Any]:
    """A row by column; of columns with one name (exports of trackers have them) the first that is filled counts."""
    record: dict[str, Any] = dict.fromkeys(header)
    for name, cell in zip(header, row, strict=False):
        record[name] = record[name] or cell.strip() or None
    return record


def _parquet(data: bytes) -> LogRecords:
    import polars as pl

    try:
        rows = pl.read_parquet(io.BytesIO(data)).to_dicts()
    except (pl.exceptions.PolarsError, OSError) as error:
        return LogRecords([], [(1, f"not a Parquet file ({str(error).splitlines()[0]})")])
    return LogRecords([(number, _plain(row)) for number, row in enumerate(rows, 1)], notes=[NUMBERED])


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(field) for name, field in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Decimal):
        return float(value)
    return None if isinstance(value, bytes) or value != value else value


_READERS: Mapping[str, Callable[[bytes], LogRecords]] = {
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".log": _log_lines,
    ".json": _json,
    ".csv": _table,
    ".tsv": _table,
    ".parquet": _parquet,
}
ENDINGS = tuple(_READERS)
