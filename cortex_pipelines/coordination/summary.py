"""Read a folder of logs without a project, in any form, and summarise it file by file."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl

from cortex_pipelines.coordination.formats import ENDINGS, PACKED, LogRecords, is_log_name, is_native_name, read_records
from cortex_pipelines.coordination.guessing import SEEN, Guess, columns_of, guess_mapping, unknown_key
from cortex_pipelines.coordination.incremental import LineNumbers, LogReader, join_frames
from cortex_pipelines.coordination.json_scanner import scan
from cortex_pipelines.coordination.logs import RULES_FILE, CoordinationError, log_files, log_lines
from cortex_pipelines.coordination.mapping import NAMES, mapped_record, notation_of
from cortex_pipelines.coordination.records import (
    canonical,
    event_id,
    is_test_row,
    kind_of,
    native_task,
    time_assumption,
    unread_fields,
)
from cortex_pipelines.coordination.settings import CoordinationSettings, Fact
from cortex_pipelines.coordination.task_ids import join_by_id
from cortex_pipelines.privacy.pseudonyms import logs_key
from cortex_pipelines.privacy.records import RecordRedactor
from cortex_pipelines.privacy.settings import PrivacySettings
from cortex_pipelines.progress import track

_FEWEST_SEEN = 200
"""Least records of a file that are looked at for their keys."""
_MOST_FORMS = 3


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
    notes: list[str] = field(default_factory=list)
    repeated: list[int] = field(default_factory=list)
    """Lines of the duplicates."""


@dataclass(frozen=True)
class OwnLogs:
    """Logs as they are read, without private data.

    ``guess`` is None where records have the agent system's own names; ``lines`` are those of events by file and
    offset; ``other_files`` were not read.
    """

    files: Sequence[FileSummary]
    events: pl.DataFrame
    unread: pl.DataFrame
    lines: Mapping[tuple[str, int], int]
    guess: Guess | None
    other_files: Sequence[str]
    redact: RecordRedactor

    def questions(self) -> list[str]:
        """Questions to answer before the logs can train a router."""
        if self.guess is None:
            return []
        if not self.guess.columns and any(file.rejected for file in self.files):
            return ["no record could be read: see the reasons that `cortex logs` gives"]
        questions = [self.guess.question(fact, self._redacted) for fact in self.guess.open]
        for fact in ("task", "master"):
            if fact not in self.guess.mapping and fact not in self.guess.open and self.guess.columns:
                keys = ", ".join(sorted(self.guess.columns)[:40])
                questions.append(f"no key looks like the {fact}; the keys are {keys}. Say --map {fact}=KEY")
        return questions

    def _redacted(self, value: str) -> str:
        return str(self.redact({"value": value}).value["value"])


def open_logs(
    path: Path, settings: CoordinationSettings, privacy: PrivacySettings, explicit: Mapping[Fact, str] | None = None
) -> OwnLogs:
    """Logs of a folder, or one log, by the ``explicit`` or configured mapping, else by native names or a guess.

    Raises ``CoordinationError``: missing folder, a file that is not a log, or a mapping to a key that no record has.
    """
    if not path.exists():
        raise CoordinationError(f"coordination logs: no folder or file {path}")
    if path.is_file() and not is_log_name(path.name):
        raise CoordinationError(
            f"{path} is not read as a log; those end in {', '.join(ENDINGS)}, each also with {' or '.join(PACKED)}"
        )
    folder = path if path.is_dir() else path.parent
    paths = [path] if path.is_file() else log_files(folder, mapped=True)
    try:
        contents = {file.relative_to(folder).as_posix(): file.read_bytes() for file in paths}
    except OSError as error:
        raise CoordinationError(f"{error.filename} cannot be read ({error.strerror})") from error
    logs = {name: read_records(name, data) for name, data in contents.items() if Path(name).name != RULES_FILE}
    guess = _guess(logs, settings, explicit or {})
    mapping = guess.mapping if guess else {}
    native = {file.relative_to(folder).as_posix() for file in log_files(folder)}
    if guess is None:
        contents = {name: data for name, data in contents.items() if name in native}
    reader = LogReader(settings.aliases, settings.test_rows, privacy, None)
    redact = RecordRedactor(privacy, logs_key(privacy))
    parts, files = [], []
    lines: dict[tuple[str, int], int] = {}
    event_ids: set[str] = set()
    for name, data in contents.items():
        text = log_lines(name, data, mapping, logs.get(name)) if mapping or name in native else b""
        parts.append(reader.read(name, text).frames)
        numbers = LineNumbers(text)
        lines |= {
            position: numbers.line_of(position[1]) for position in parts[-1][0].select("file", "byte_offset").rows()
        }
        files.append(_summary(name, text, logs.get(name) if guess else None, mapping, settings, redact, event_ids))
    events, _, _, unread = join_frames(parts)
    read = {folder / name for name in contents}
    other_files = [file for file in folder.rglob("*") if file.is_file() and file not in read] if path.is_dir() else []
    return OwnLogs(files, join_by_id(events), unread, lines, guess, sorted(file.name for file in other_files), redact)


def _guess(
    logs: Mapping[str, LogRecords], settings: CoordinationSettings, explicit: Mapping[Fact, str]
) -> Guess | None:
    records = {name: [record for _, record in read.records] for name, read in logs.items()}
    every = [record for file_records in records.values() for record in file_records]
    if settings.map and not explicit:
        return Guess(settings.map, {}, columns_of(every))
    is_native = any(
        native_task(record) for name, file_records in records.items() if is_native_name(name) for record in file_records
    )
    if is_native and not explicit:
        return None
    share = max(_FEWEST_SEEN, SEEN // max(1, len(records)))
    sample = [record for file_records in records.values() for record in file_records[:share]]
    if sample and (wrong := unknown_key(explicit, columns_of(sample))):
        raise CoordinationError(wrong)
    guesses = [guess_mapping(form, explicit, sample) for form in islice(_forms(records), _MOST_FORMS)]
    return max(guesses, key=lambda guess: guess.clarity, default=Guess({}, {}, {}))


def _forms(records: Mapping[str, Sequence[Mapping[str, Any]]]) -> Iterator[list[Mapping[str, Any]]]:
    """Records of files with half of their keys in common, the largest first: one mapping is for logs of one form."""
    keys = {name: {key for record in rows[:_FEWEST_SEEN] for key in record} for name, rows in records.items() if rows}
    while keys:
        largest = max(keys, key=lambda name: len(records[name]))
        names = keys[largest]
        similar = [name for name, of_file in keys.items() if 2 * len(of_file & names) >= len(of_file | names)]
        for name in similar:
            del keys[name]
        yield [record for name in similar for record in records[name]]


def _summary(
    name: str,
    text: bytes,
    read: LogRecords | None,
    mapping: Mapping[Fact, str],
    settings: CoordinationSettings,
    redact: RecordRedactor,
    event_ids: set[str],
) -> FileSummary:
    """``text`` is the log as it is read; of one of another form, ``read`` says what was refused and assumed."""
    keys = {NAMES[fact]: key for fact, key in mapping.items()}
    test_rows = [re.compile(rule) for rule in settings.test_rows]
    kinds: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    assumed: Counter[str] = Counter()
    rejected: list[dict[str, int | str]] = []
    unread: list[dict[str, int | str]] = []
    repeated: list[int] = []
    lines = LineNumbers(text)
    for span in track([span for span in scan(text) if span.kind != "blank"], f"Summarising {name}"):
        line = lines.line_of(span.start)
        if span.value is not None:
            kind = kind_of(span.value, name)
            kinds[kind] += 1
            counts["test_rows"] += is_test_row(span.value, test_rows)
            record_id = event_id(canonical(span.value))
            repeated += [line] if record_id in event_ids else []
            event_ids.add(record_id)
            assumption = time_assumption(span.value)
            assumed.update([assumption] if assumption else [])
            if fields := unread_fields(span.value, kind):
                fields = unread_fields(redact(span.value).value, kind)
            unread += ({"line": line} | asdict(item) | {"field": keys.get(item.field, item.field)} for item in fields)
        elif span.kind in ("rejected", "waiting"):
            rejected.append({"line": line, "reason": span.reason})
        counts["empty"] += span.kind == "empty"
    main_kind = min(kinds, key=lambda kind: (-kinds[kind], kind)) if kinds else "empty"
    return FileSummary(
        file=name,
        kind=main_kind,
        kinds=dict(sorted(kinds.items())),
        records=kinds.total(),
        duplicates=len(repeated),
        empty_objects=counts["empty"],
        rejected=_refused(name, read, mapping) if read else rejected,
        test_rows=counts["test_rows"],
        unread=unread,
        unread_by_reason=dict(Counter(str(unread_field["reason"]) for unread_field in unread).most_common()),
        assumed=dict(assumed.most_common()),
        notes=[*read.notes, *_notation_notes(read, mapping)] if read else [],
        repeated=repeated,
    )


def _notation_notes(read: LogRecords, mapping: Mapping[Fact, str]) -> list[str]:
    notation = notation_of([record for _, record in read.records], mapping)
    notes = [f"dates are read {notation.dates}, as those of the file say that have a day above 12"]
    comma = ["a comma in durations and tokens is read as the decimal mark, as those say that no thousands follow"]
    return notes * bool(notation.dates) + comma * notation.decimal_comma


def _refused(name: str, read: LogRecords, mapping: Mapping[Fact, str]) -> list[dict[str, int | str]]:
    """What could not be read, and records that have neither of the two keys that make a task."""
    refused = list(read.refused)
    if mapping and not is_native_name(name):
        keys = " or ".join(mapping[fact] for fact in ("task", "master") if fact in mapping)
        incomplete = [line for line, record in read.records if mapped_record(record, mapping) is None]
        refused += [(line, f"it has no {keys or 'key of a task or a master'}") for line in incomplete]
    return [{"line": line, "reason": reason} for line, reason in sorted(refused)]
