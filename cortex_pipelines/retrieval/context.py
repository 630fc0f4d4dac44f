"""What a model or an agent is shown of a code base for a task, packed into a budget of tokens.

Places are taken in the order of what speaks for them and for their files, whole where they fit,
else by their signatures. A part of the budget is kept for files that got no place yet: each is
named by the signature of its best one, so that who has to change several files knows of them all.
Measured in docs/guides/search.md.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Any

from cortex_pipelines.retrieval.excerpts import DocumentLocation, Excerpts
from cortex_pipelines.retrieval.notes.attempts import LikeTask
from cortex_pipelines.retrieval.notes.note import Note
from cortex_pipelines.retrieval.queries import ParsedQuery, QueryError, understand
from cortex_pipelines.retrieval.search import RankedFile, Searcher

LEAST_BUDGET = 200
"""Tokens below which hardly a function fits."""
BUDGET = 4_000
"""Tokens without another wish."""

_LIKE = 0.9
_LEAST_LINES = 5
_MOST_NAMED = 5
_WORD_PART = re.compile(r"[^\W\d_]+|\d|\n+| {2,}|[^\s\w]+|_+")
_LETTERS = 6


class BudgetError(ValueError):
    """A budget that nothing fits in; the message says what is expected."""


@dataclass(frozen=True)
class Counter:
    """Counts tokens.

    Args:
        name: What counts, in words.
        count: Text to number of tokens.
    """

    name: str
    count: Callable[[str], int]


def approximate_tokens(text: str) -> int:
    """Words in pieces of six letters, digits, and runs of signs, of indentation and of newlines.

    Within 15 % of the default base's tokenizer on Python, Go, Java, Rust and Markdown.
    """
    parts = _WORD_PART.findall(text)
    return sum(-(-len(part) // _LETTERS) if part[0].isalpha() else 1 for part in parts)


APPROXIMATION = Counter("approximation (word parts of six letters, digits, signs)",
                        approximate_tokens)  # fmt: skip


@dataclass(frozen=True)
class Packing:
    """How places are chosen; the values won on development sets, docs/guides/search.md.

    Args:
        files: Most files that places are taken from.
        next: What each further place of a file counts, relative to the one before.
        small: Share of the budget up to which a file is shown whole.
        signatures: Share of the budget that is kept for files without a place.
    """

    files: int = 60
    next: float = 0.9
    small: float = 0.25
    signatures: float = 0.15


@dataclass(frozen=True)
class Excerpt:
    """One excerpt of one file.

    Args:
        path: Path of the file.
        start_line: First line shown, from 1.
        end_line: Last line shown, inclusive.
        name: Qualified name of a unit, heading of a section, name of a file.
        kind: Kind of document, or ``outline`` where lines between are left out.
        why: What speaks for it.
        score: What it was chosen by; only comparable within one answer.
        commit: Commit that the file was at when it was indexed; None outside of git.
        stale: Whether the file has changed since.
        text: The lines; ``… 12-40`` stands for lines that are left out.
        tokens: Of the piece with its heading.
    """

    path: str
    start_line: int
    end_line: int
    name: str
    kind: str
    why: str
    score: float
    commit: str | None
    stale: bool
    text: str
    tokens: int

    def as_text(self) -> str:
        """The piece under a heading that cites it."""
        return _headed(
            self.path, self.start_line, self.end_line, self.kind, self.name, self.stale, self.text
        )


@dataclass(frozen=True)
class PackedContext:
    """What is shown for a task.

    Args:
        task: The task.
        tokens: Of all pieces with their headings, and of what is known besides.
        budget: Most tokens.
        counted_by: What counted them.
        pieces: The pieces by file, the most promising first, in a file by line.
        files: Paths of the pieces, best first.
        notice: What whoever reads it should know; empty if there is nothing.
        attempts: What the agents' workers tried on tasks like this one.
        notes: What is kept in the memory about it.
    """

    task: str
    tokens: int
    budget: int
    counted_by: str
    pieces: tuple[Excerpt, ...]
    files: tuple[str, ...]
    notice: str
    attempts: tuple[LikeTask, ...] = ()
    notes: tuple[Note, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The context as the command writes it."""
        notes = [note.as_json() for note in self.notes]
        return asdict(self) | {"notes": notes, "known": self._known}

    def as_text(self) -> str:
        """All of it as it is put into a prompt."""
        return "\n".join(filter(None, (self._known, *(piece.as_text() for piece in self.pieces))))

    @property
    def _known(self) -> str:
        return besides_text(self.attempts, self.notes)


def besides_text(attempts: Sequence[LikeTask], notes: Sequence[Note]) -> str:
    """What is known of a task besides code, a line each under two headings."""
    parts = (
        ("tried on tasks like this one:", [task.as_text() for task in attempts]),
        ("kept about this:", [note.as_text() for note in notes]),
    )
    return "".join("\n".join((head, *lines, "")) for head, lines in parts if lines)


Read = Callable[[str], str | None]
"""Path to text without private values; None where there is none any more."""


def pack(
    searcher: Searcher,
    task: str,
    read: Read,
    budget: int = BUDGET,
    counter: Counter = APPROXIMATION,
    packing: Packing = Packing(),
    notice: str = "",
) -> PackedContext:
    """What the index holds for a task, within a budget.

    Args:
        searcher: Searches the index.
        task: What is to be done: a sentence, or the text of an issue.
        read: Gives the text of the indexed files.
        budget: Most tokens.
        counter: Counts them.
        packing: How places are chosen.
        notice: What is to be said besides.

    Raises:
        QueryError: the task is empty, enormous, or no text.
        BudgetError: the budget is too small.
    """
    if not task.strip():
        raise QueryError("the task is empty; say in a sentence what is to be done")
    if budget < LEAST_BUDGET:
        raise BudgetError(
            f"a budget of {budget:,} tokens holds hardly a function; give at least {LEAST_BUDGET}"
        )
    query = understand(task)
    ranked = searcher.rank_inside(query, packing.files)
    packed = _Packed(searcher, query, read, budget, counter)
    packed.add_places(ranked, packing)
    packed.add_signatures(ranked)
    return packed.context(task, ranked, notice)


class _Packed:
    """Pieces as they are chosen."""

    def __init__(
        self, searcher: Searcher, query: ParsedQuery, read: Read, budget: int, counter: Counter
    ) -> None:
        self._searcher, self._query, self._read = searcher, query, read
        self._budget, self._left, self._counter = budget, budget, counter
        self._opened: dict[str, Excerpts | None] = {}
        self._shown: dict[str, set[int]] = {}
        self._pieces: dict[str, list[Excerpt]] = {}
        self._lines: dict[str, set[str]] = {}
        self._alike: list[str] = []
        self._unread: list[str] = []

    def add_places(self, ranked: Sequence[RankedFile], packing: Packing) -> None:
        """Add the best places while the budget lasts, less what is kept for signatures."""
        kept = int(self._budget * packing.signatures)
        self._left -= kept
        for score, file, document in _in_order(ranked, packing):
            if self._left < LEAST_BUDGET // 10:
                break
            self._add(file, document, score, int(self._budget * packing.small))
        self._left += kept

    def add_signatures(self, ranked: Sequence[RankedFile]) -> None:
        """Name the best place of each file that has none yet."""
        for file in ranked:
            if self._left < LEAST_BUDGET // 10:
                break
            opened = self._open(file)
            if file.path in self._shown or opened is None or not file.documents:
                continue
            document, _ = file.documents[0]
            place = self._placed(file, document, opened)
            if place is not None:
                self._put(file, document, file.score, place, opened.signature(place), "outline")

    def context(self, task: str, ranked: Sequence[RankedFile], notice: str) -> PackedContext:
        """All of it."""
        pieces = tuple(
            piece
            for key in self._pieces
            for piece in sorted(self._pieces[key], key=lambda one: (one.start_line, one.end_line))
        )
        return PackedContext(
            task,
            sum(piece.tokens for piece in pieces),
            self._budget,
            self._counter.name,
            pieces,
            tuple(file.path for file in ranked if file.path in self._pieces),
            "; ".join(filter(None, (notice, *self._notices(bool(pieces))))),
        )

    def _notices(self, any_piece: bool) -> Iterator[str]:
        if self._unread:
            yield f"{_listed(self._unread)}: the text is not there any more; make the index again"
        if self._alike:
            yield f"near-duplicates left out: {_listed(self._alike)}"
        if not any_piece and not self._unread:
            yield "nothing in the index is like the task"

    def _add(self, file: RankedFile, document: int, score: float, small: int) -> None:
        opened = self._open(file)
        if opened is None:
            return
        place = self._placed(file, document, opened)
        if place is None:
            return
        if file.path not in self._shown:
            lines, name = opened.all(), PurePosixPath(file.path).name
            whole = DocumentLocation("file", name, 1, len(opened.lines))
            if self._put(file, document, score, whole, lines, "file", small):
                return
        for lines, kind in ((opened.whole(place), place.kind), (opened.outline(place), "outline")):
            if self._put(file, document, score, place, lines, kind):
                return

    def _put(
        self,
        file: RankedFile,
        document: int,
        score: float,
        place: DocumentLocation,
        numbers: Sequence[int],
        kind: str,
        most: int | None = None,
    ) -> bool:
        """Add these lines if they fit; whether there is nothing more to try."""
        opened = self._opened[file.path]
        before = self._shown.get(file.path, set())
        new = [number for number in numbers if number not in before]
        if opened is None or not any(opened.lines[number - 1].strip() for number in new):
            return bool(numbers)
        text = opened.show(new)
        if new[-1] - new[0] + 1 > len(new):
            kind = "outline"
        first, last = new[0], new[-1]
        headed = _headed(file.path, first, last, kind, place.name, file.stale, text)
        tokens = self._counter.count(headed)
        if tokens > min(self._left, self._left if most is None else most):
            return False
        cited = f"{file.path}:{first}-{last}"
        if self._is_alike(file.path, cited, text):
            return True
        result = self._searcher.result(file.part, document, score, self._query)
        piece = Excerpt(
            file.path, first, last, place.name, kind, result.why, round(float(score), 4),
            result.commit, file.stale, text, tokens,
        )  # fmt: skip
        self._left -= tokens
        self._shown.setdefault(file.path, set()).update(new)
        self._pieces.setdefault(file.path, []).append(piece)
        return True

    def _is_alike(self, path: str, cited: str, text: str) -> bool:
        """Whether nearly all lines of a text are shown of one file already."""
        lines = {line.strip() for line in text.split("\n")} - {""}
        if len(lines) >= _LEAST_LINES:
            for other, shown in self._lines.items():
                if len(lines & shown) >= _LIKE * len(lines):
                    self._alike.append(f"{cited} (like {other})")
                    return True
        self._lines.setdefault(path, set()).update(lines)
        return False

    def _open(self, file: RankedFile) -> Excerpts | None:
        if file.path not in self._opened:
            text = self._read(file.path)
            if text is None:
                self._unread.append(file.path)
                self._opened[file.path] = None
            else:
                self._opened[file.path] = self._searcher.excerpts(file, text)
        return self._opened[file.path]

    def _placed(self, file: RankedFile, document: int, opened: Excerpts) -> DocumentLocation | None:
        _, kind, name, start, end, *_ = file.part.collection.documents.row(document)
        place = DocumentLocation(kind, name, start, end)
        return opened.located(place) if file.stale else place


def _in_order(
    ranked: Sequence[RankedFile], packing: Packing
) -> list[tuple[float, RankedFile, int]]:
    """Score, file and document, the best first: a file's worth, times a place's, damped."""
    best = max((score for file in ranked for _, score in file.documents), default=1.0)
    top = ranked[0].score if ranked else 1.0
    order = []
    for rank, file in enumerate(ranked):
        for position, (document, score) in enumerate(file.documents):
            worth = file.score / top * score / best * packing.next**position
            order.append((-worth, rank, position, document))
    return [(-worth, ranked[rank], document) for worth, rank, _, document in sorted(order)]


def _headed(path: str, first: int, last: int, kind: str, name: str, stale: bool, text: str) -> str:
    mark = ", stale" if stale else ""
    return f"{path}:{first}-{last} ({kind} {name}{mark})\n{text}\n"


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more:,} more" if more > 0 else "")
