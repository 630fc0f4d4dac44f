"""The notes of one project: they are added, superseded, searched and forgotten.

The last exchanges of each author stay word for word, of older ones a summary. All else stays until
it is forgotten, also what was superseded.
"""

import json
import re
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from math import fsum
from pathlib import Path
from sqlite3 import Connection

import numpy as np

from cortex_pipelines.retrieval.collection import PinnedEncoder
from cortex_pipelines.retrieval.notes.database import Database
from cortex_pipelines.retrieval.notes.note import PRIVATE_KINDS, SUMMARY, NewNote, Note, NoteError, validate_text
from cortex_pipelines.retrieval.queries import parse_query, stop_terms, terms
from cortex_pipelines.retrieval.vectors import Floats

SENTENCES = 8  # of a summary of ten exchanges: less than one of each
_LONGEST = 300
_END = re.compile(r"(?<=[.!?])\s+|\n+")


def summarise(texts: Sequence[str], most: int = SENTENCES) -> str:
    """The sentences whose words the texts use most, each adding words that are not there yet.

    SumBasic: Nenkova, Vanderwende 2005.
    """
    parts = [part.strip() for text in texts for part in _END.split(text)]
    sentences = list(dict.fromkeys(part[:_LONGEST] for part in parts if part))
    words = [set(terms(sentence)) - stop_terms() for sentence in sentences]
    counts = Counter(term for inside in words for term in inside)
    total = max(1, counts.total())
    share = {term: count / total for term, count in counts.items()}
    remaining = [number for number, inside in enumerate(words) if inside]
    selected: list[int] = []
    while remaining and len(selected) < most:
        best = max(remaining, key=lambda n: (fsum(share[t] for t in words[n]) / len(words[n]), -n))
        remaining.remove(best)
        selected.append(best)
        for term in words[best]:
            share[term] **= 2  # what was said once is worth little more
    return "\n".join(sentences[number] for number in sorted(selected))


EXCHANGES = 50  # latest exchanges of an author that stay word for word
FOLDED = 10  # older ones that become one summary, as soon as there are so many

_MAY_SEE = """
(kind NOT IN ('exchange', 'summary') OR author = :author)
AND (:kind IS NULL OR kind = :kind) AND (:history OR superseded_by IS NULL)
"""
_LATEST = f"""
SELECT * FROM shown WHERE {_MAY_SEE}
AND (:kinds = '[]' OR kind IN (SELECT value FROM json_each(:kinds)))
ORDER BY number DESC LIMIT :most
"""  # nosec B608: constants alone
_BY_WORDS = f"""
SELECT number FROM words JOIN entries ON number = words.rowid
WHERE words MATCH :asked AND {_MAY_SEE} ORDER BY bm25(words), number DESC LIMIT :most
"""  # nosec B608: constants alone
_VECTORS = f"""
SELECT number, vector FROM entries JOIN vectors USING (number)
WHERE encoder = :encoder AND {_MAY_SEE} ORDER BY number DESC
"""  # nosec B608: constants alone
_NUMBERED = "SELECT * FROM shown WHERE number IN (SELECT value FROM json_each(?))"
_MOST_TERMS = 2000
_CANDIDATES = 200
_FUSED = 60  # what is added to a rank before ranks are fused (Cormack, Clarke, Büttcher 2009)
_EMBEDDED = 256  # entries that one search embeds at most; the next goes on


@dataclass(frozen=True)
class NoteScope:
    """Which notes an author may see: of exchanges only their own; superseded ones with ``history``."""

    author: str
    kind: str | None = None
    history: bool = False


@dataclass(frozen=True)
class ForgetSelection:
    """Notes to forget: those that match every given condition; ``before`` is ISO 8601 in UTC."""

    ids: tuple[str, ...] = ()
    author: str | None = None
    before: str | None = None
    matches: Callable[[Note], bool] | None = None


class NoteStore:
    def __init__(self, path: Path) -> None:
        self.database = Database(path)

    def add(self, draft: NewNote) -> Note:
        """Keep an entry; once this returns it survives a kill and a power failure.

        Raises:
            NoteError: it is not text, or what it supersedes is missing or not current.
        """
        validate_text(draft)
        with self.database.writing() as db:
            note = _insert(db, draft)
            former = draft.supersedes
            if former is not None:
                row = db.execute("SELECT kind, author, superseded_by FROM entries WHERE id = ?", (former,)).fetchone()
                if row is None or (row[0] in PRIVATE_KINDS and row[1] != note.author):
                    raise NoteError(f"no entry {former}; `cortex memory show` lists what there is")
                if row[0] in PRIVATE_KINDS:
                    raise NoteError(f"{former} is an exchange, which is not superseded; forget it")
                if row[2] is not None:
                    raise NoteError(
                        f"{former} was superseded by {row[2]} already; read that one, and supersede it if it no longer "
                        "holds"
                    )
                db.execute("UPDATE entries SET superseded_by = ? WHERE id = ?", (note.id, former))
            if draft.kind == "exchange":
                _summarise_oldest(db, draft.author)
        return note

    def list_notes(self, scope: NoteScope, most: int, *kinds: str) -> list[Note]:
        """The latest entries, the oldest of them first."""
        with self.database.reading() as db:
            if db is None:
                return []
            parameters = {**asdict(scope), "kinds": json.dumps(kinds), "most": most}
            rows = db.execute(_LATEST, parameters).fetchall()
        return [Note(*row) for row in reversed(rows)]

    def search(
        self, query: str, scope: NoteScope, k: int, encoder: PinnedEncoder | None = None
    ) -> list[tuple[float, Note]]:
        """The entries most similar to a query, best first, with their ranking signals.

        Raises:
            QueryError: the query is empty, too long, or not text.
        """
        weights = parse_query(query).weights
        heaviest = sorted(weights, key=lambda term: (-weights[term], term))[:_MOST_TERMS]
        match_query = " OR ".join(f'"{term}"' for term in heaviest)
        parameters = {**asdict(scope), "asked": match_query, "most": _CANDIDATES}
        with self.database.reading() as db:
            if db is None:
                return []
            by_words = [number for (number,) in db.execute(_BY_WORDS, parameters)] if match_query else []
        by_meaning = self._by_meaning(query, scope, encoder) if encoder else []
        scores: dict[int, float] = {}
        for ranked in (by_words, by_meaning):
            for rank, number in enumerate(ranked, start=1):
                scores[number] = scores.get(number, 0.0) + 1 / (_FUSED + rank)
        best = sorted(scores, key=lambda number: (-scores[number], -number))[:k]
        with self.database.reading() as db:
            rows = [] if db is None else db.execute(_NUMBERED, (json.dumps(best),)).fetchall()
        notes = {row[0]: Note(*row) for row in rows}
        return [(scores[number], notes[number]) for number in best if number in notes]

    def forget(self, selection: ForgetSelection) -> list[Note]:
        """Delete entries so that their bytes are gone from the files, with all cached answers.

        A summary goes with any exchange that it was made of.

        Raises:
            NoteError: somebody reads the file for too long for its bytes to be gone.
        """
        if not self.database.path.exists():
            return []
        with self.database.writing() as db:
            notes = [Note(*row) for row in db.execute("SELECT * FROM shown ORDER BY number")]
            selected = [note for note in notes if _is_selected(note, selection)]
            db.executemany("DELETE FROM entries WHERE number = ?", [(e.number,) for e in selected])
            db.execute("DELETE FROM answers")
            remaining_authors = {author for (author,) in db.execute("SELECT author FROM entries")}
            for author in {selection.author, *(note.author for note in selected)} - remaining_authors:
                db.execute("DELETE FROM snapshots WHERE author = ?", (author,))
        # also where nothing was chosen: a kill may have come between the two
        self.database.wipe()
        return selected

    def state(self) -> str:
        """A version that changes with every entry added, superseded or forgotten."""
        with self.database.reading() as db:
            if db is None:
                return "0 0 0"
            last = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'entries'").fetchone()
            counts = db.execute("SELECT count(*), count(superseded_by) FROM entries").fetchone()
        return " ".join(map(str, (*(last or (0,)), *counts)))

    def _by_meaning(self, query: str, scope: NoteScope, encoder: PinnedEncoder) -> list[int]:
        with self.database.reading() as db:
            if db is None:
                return []
            unembedded = db.execute(
                "SELECT number, text, answer FROM entries WHERE number NOT IN "
                "(SELECT number FROM vectors WHERE encoder = ?) ORDER BY number DESC LIMIT ?",
                (encoder.name, _EMBEDDED),
            ).fetchall()
        if unembedded:
            vectors: Floats = encoder.encode([f"{text}\n{answer}".strip() for _, text, answer in unembedded])
            halves = [vector.astype(np.float16).tobytes() for vector in vectors]
            values = [(encoder.name, half, row[0]) for row, half in zip(unembedded, halves, strict=True)]
            insert = "INSERT OR IGNORE INTO vectors SELECT number, ?, ? FROM entries WHERE number = ?"
            with self.database.writing(durable=False) as db:
                db.executemany(insert, values)  # what was forgotten meanwhile gets none
        parameters = {**asdict(scope), "encoder": encoder.name}
        with self.database.reading() as db:
            rows = [] if db is None else db.execute(_VECTORS, parameters).fetchall()
        if not rows:
            return []
        stored = np.stack([np.frombuffer(vector, np.float16) for _, vector in rows])
        similarity = stored.astype(np.float32) @ encoder.encode([query])[0]
        order = np.argsort(-similarity, kind="stable")[:_CANDIDATES]
        return [int(rows[row_number][0]) for row_number in order]


def _insert(db: Connection, draft: NewNote, kind: str | None = None) -> Note:
    values = (
        uuid.uuid4().hex[:12],
        kind or draft.kind,
        draft.author,
        draft.origin,
        datetime.now(UTC).isoformat(timespec="seconds"),
        draft.text,
        draft.answer,
    )
    searched = " ".join(terms(f"{draft.text}\n{draft.answer}"))
    (number,) = db.execute(
        "INSERT INTO entries (id, kind, author, origin, at, text, answer, terms) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING number",
        (*values, searched),
    ).fetchone()
    return Note(number, *values, None)


def _summarise_oldest(db: Connection, author: str) -> None:
    """Put a summary in the place of the oldest exchanges once there are enough of them."""
    rows = db.execute(
        "SELECT * FROM shown WHERE author = ? AND kind = 'exchange' ORDER BY number", (author,)
    ).fetchall()
    if len(rows) < EXCHANGES + FOLDED:
        return
    old = [Note(*row) for row in rows[:FOLDED]]
    text = summarise([f"{note.text}\n{note.answer}" for note in old]) or old[0].text
    ids = ", ".join(note.id for note in old)
    origin = f"exchanges of {old[0].at} to {old[-1].at}: {ids}"
    _insert(db, NewNote(text, "exchange", author, origin), kind=SUMMARY)
    db.executemany("DELETE FROM entries WHERE number = ?", [(note.number,) for note in old])


def _is_selected(note: Note, selection: ForgetSelection) -> bool:
    if selection.ids and note.id not in selection.ids:
        sources = note.origin.rpartition(": ")[2].split(", ") if note.kind == SUMMARY else []
        if not set(sources) & set(selection.ids):
            return False
    if selection.author is not None and note.author != selection.author:
        return False
    if selection.before is not None and note.at >= selection.before:
        return False
    return selection.matches is None or selection.matches(note)
