"""Context of a code base for a task, packed into a budget of tokens.

Excerpts are added by their score times that of their file: in full if they fit, else as signatures. A share of the
budget is reserved for further files, each with the signature of its best unit, so that a change of several files
sees them all. Measured in docs/guides/search.md.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Any

from cortex_pipelines.retrieval.excerpts import DocumentLocation, ExcerptSource
from cortex_pipelines.retrieval.notes.note import Note
from cortex_pipelines.retrieval.notes.related import SimilarTask
from cortex_pipelines.retrieval.queries import ParsedQuery, QueryError, parse_query
from cortex_pipelines.retrieval.search import RankedFile, Searcher
from cortex_pipelines.retrieval.vectors import ISSUE
from cortex_pipelines.schemas.vocabulary import DEFINITIONS

LEAST_BUDGET = 200  # tokens below which hardly a function fits
BUDGET = 4_000  # default budget in tokens

_SIGNATURE_TOKENS = 80  # of a signature with its sentence
_DUPLICATE_SHARE = 0.9
_LEAST_LINES = 5
_MOST_NAMED = 5
_WORD_PART = re.compile(r"[^\W\d_]+|\d|\n+| {2,}|[^\s\w]+|_+")
_LETTERS = 6


class BudgetError(ValueError):
    pass


@dataclass(frozen=True)
class TokenCounter:
    name: str
    count: Callable[[str], int]


def approximate_tokens(text: str) -> int:
    """Words in pieces of six letters, digits, and runs of signs, of indentation and of newlines.

    Within 15 % of the default base's tokenizer on Python, Go, Java, Rust and Markdown.
    """
    parts = _WORD_PART.findall(text)
    return sum(-(-len(part) // _LETTERS) if part[0].isalpha() else 1 for part in parts)


APPROXIMATION = TokenCounter("approximation (word parts of six letters, digits, signs)", approximate_tokens)


@dataclass(frozen=True)
class PackingConfig:
    """How excerpts are selected; the values won on development sets, docs/guides/search.md.

    Args:
        max_files: Most files that excerpts are taken from.
        decay: Weight of each further excerpt of a file, relative to the one before.
        small_file: Share of the budget up to which a file is included in full.
        signatures: Share of the budget reserved for signatures of files without an excerpt.
        excerpt_score: Score of a file, relative to the best one, below which it gets no excerpt.
        signature_score: Score of a file, relative to the best one, below which it gets no signature.
        min_worth: Worth of an excerpt, relative to the best one, below which it is left out.
    """

    max_files: int = 60
    decay: float = 0.9
    small_file: float = 0.25
    signatures: float = 0.15
    excerpt_score: float = 0.6
    signature_score: float = 0.45
    min_worth: float = 0.1


@dataclass(frozen=True)
class Excerpt:
    """One excerpt of one file.

    ``kind`` is the kind of document, or ``outline`` if lines are omitted, each run as ``… 12-40``. Scores are
    comparable only within one answer; ``commit`` is that of the indexed file, None outside of git.
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
        return _with_heading(self.path, self.start_line, self.end_line, self.kind, self.name, self.stale, self.text)


@dataclass(frozen=True)
class PackedContext:
    """Excerpts and notes packed for a task, the most promising file first; within a file by line."""

    task: str
    tokens: int
    budget: int
    counted_by: str
    pieces: tuple[Excerpt, ...]
    files: tuple[str, ...]
    notice: str
    attempts: tuple[SimilarTask, ...] = ()
    notes: tuple[Note, ...] = ()

    def as_json(self) -> dict[str, Any]:
        notes = [note.as_json() for note in self.notes]
        return asdict(self) | {"notes": notes, "known": background_text(self.attempts, self.notes)}

    def as_text(self) -> str:
        background = background_text(self.attempts, self.notes)
        return "\n".join(filter(None, (background, *(excerpt.as_text() for excerpt in self.pieces))))


def background_text(attempts: Sequence[SimilarTask], notes: Sequence[Note]) -> str:
    parts = (
        ("tried on tasks like this one:", [task.as_text() for task in attempts]),
        ("kept about this:", [note.as_text() for note in notes]),
    )
    return "".join("\n".join((head, *lines, "")) for head, lines in parts if lines)


ReadText = Callable[[str], str | None]  # path to text without private values; None if the file is gone


def pack_context(
    searcher: Searcher,
    task: str,
    read: ReadText,
    budget: int = BUDGET,
    counter: TokenCounter = APPROXIMATION,
    packing: PackingConfig = PackingConfig(),
    notice: str = "",
) -> PackedContext:
    """Pack the best excerpts for a task into a budget of tokens.

    Raises:
        QueryError: the task is empty, too long, or not text.
        BudgetError: the budget is too small.
    """
    if not task.strip():
        raise QueryError("the task is empty; say in a sentence what is to be done")
    if budget < LEAST_BUDGET:
        raise BudgetError(f"a budget of {budget:,} tokens holds hardly a function; give at least {LEAST_BUDGET}")
    query = parse_query(task)
    ranked = searcher.rank_with_documents(query, packing.max_files)
    ranked = [file for file in ranked if file.score >= packing.signature_score * ranked[0].score]
    packer = _ContextPacker(searcher, query, read, budget, counter)
    packer.add_excerpts(ranked, packing)
    packer.add_signatures(ranked)
    return packer.context(task, ranked, notice)


class _ContextPacker:
    def __init__(
        self, searcher: Searcher, query: ParsedQuery, read: ReadText, budget: int, counter: TokenCounter
    ) -> None:
        self._searcher, self._query, self._read = searcher, query, read
        self._budget, self._remaining, self._counter = budget, budget, counter
        self._sources: dict[str, ExcerptSource | None] = {}
        self._shown_lines: dict[str, set[int]] = {}
        self._excerpts: dict[str, list[Excerpt]] = {}
        self._seen_lines: dict[str, set[str]] = {}
        self._duplicates: list[str] = []
        self._unreadable: list[str] = []

    def add_excerpts(self, ranked: Sequence[RankedFile], packing: PackingConfig) -> None:
        """Add small files in full, of others the best documents: in full, else in outline."""
        reserved = min(int(self._budget * packing.signatures), _SIGNATURE_TOKENS * len(ranked))
        self._remaining -= reserved
        top = ranked[0].score if ranked else 1.0
        best = max((score for file in ranked for _, score in file.documents), default=1.0)
        order = [  # a file's worth, times a document's, damped
            (-file.score / top * score / best * packing.decay**position, rank, position, document)
            for rank, file in enumerate(ranked)
            if file.score >= packing.excerpt_score * top
            for position, (document, score) in enumerate(file.documents)
        ]
        for negative_worth, rank, _, document in sorted(order):
            file, worth = ranked[rank], -negative_worth
            if self._remaining < LEAST_BUDGET // 10 or worth < packing.min_worth:
                break
            source = self._open(file)
            location = self._locate(file, document, source) if source is not None else None
            if source is None or location is None:
                continue
            if file.path not in self._shown_lines:
                lines, name = source.all_lines(), PurePosixPath(file.path).name
                whole_file = DocumentLocation("file", name, 1, len(source.lines))
                small = int(self._budget * packing.small_file)
                if self._add_lines(file, document, worth, whole_file, lines, "file", small):
                    continue
            for lines, kind in (
                (source.full_lines(location), location.kind),
                (source.outline_lines(location), "outline"),
                (source.outline_lines(location, documented=False), "outline"),
            ):
                if self._add_lines(file, document, worth, location, lines, kind):
                    break
        self._remaining += reserved

    def add_signatures(self, ranked: Sequence[RankedFile]) -> None:
        """Add the signature of the best unit of each further file, or the title of an issue."""
        for file in ranked:
            if self._remaining < LEAST_BUDGET // 10:
                break
            kinds = file.part.collection.documents["kind"]
            document = next((number for number, _ in file.documents if kinds[number] in (*DEFINITIONS, ISSUE)), None)
            source = self._open(file)
            if file.path in self._shown_lines or source is None or document is None:
                continue
            location = self._locate(file, document, source)
            if location is not None:
                self._add_lines(file, document, file.score, location, source.signature_lines(location), "outline")

    def context(self, task: str, ranked: Sequence[RankedFile], notice: str) -> PackedContext:
        excerpts = tuple(
            excerpt
            for key in self._excerpts
            for excerpt in sorted(self._excerpts[key], key=lambda item: (item.start_line, item.end_line))
        )
        notices = [notice] if notice else []
        if self._unreadable:
            notices.append(f"{_join_names(self._unreadable)}: the text is not there any more; make the index again")
        if self._duplicates:
            notices.append(f"near-duplicates left out: {_join_names(self._duplicates)}")
        if not excerpts and not self._unreadable:
            notices.append("nothing in the index is like the task")
        tokens = sum(excerpt.tokens for excerpt in excerpts)
        paths = tuple(file.path for file in ranked if file.path in self._excerpts)
        return PackedContext(task, tokens, self._budget, self._counter.name, excerpts, paths, "; ".join(notices))

    def _add_lines(
        self,
        file: RankedFile,
        document: int,
        score: float,
        location: DocumentLocation,
        numbers: Sequence[int],
        kind: str,
        most: int | None = None,
    ) -> bool:
        """Add lines if they fit. True if no shorter form needs to be tried."""
        source = self._sources[file.path]
        shown_lines = self._shown_lines.get(file.path, set())
        new = [number for number in numbers if number not in shown_lines]
        if source is None or not any(source.lines[number - 1].strip() for number in new):
            return bool(numbers)
        text = source.render(new)
        if new[-1] - new[0] + 1 > len(new):
            kind = "outline"
        first, last = new[0], new[-1]
        rendered = _with_heading(file.path, first, last, kind, location.name, file.stale, text)
        tokens = self._counter.count(rendered)
        if tokens > min(self._remaining, self._remaining if most is None else most):
            return False
        cited = f"{file.path}:{first}-{last}"
        if self._is_duplicate(file.path, cited, text):
            return True
        result = self._searcher.describe_hit(file.part, document, score, self._query)
        excerpt = Excerpt(
            file.path, first, last, location.name, kind, result.why, round(float(score), 4),
            result.commit, file.stale, text, tokens,
        )  # fmt: skip
        self._remaining -= tokens
        self._shown_lines.setdefault(file.path, set()).update(new)
        self._excerpts.setdefault(file.path, []).append(excerpt)
        return True

    def _is_duplicate(self, path: str, cited: str, text: str) -> bool:
        """Whether an excerpt of one file already has nearly all lines of a text."""
        lines = {line.strip() for line in text.split("\n")} - {""}
        if len(lines) >= _LEAST_LINES:
            for other, other_lines in self._seen_lines.items():
                if len(lines & other_lines) >= _DUPLICATE_SHARE * len(lines):
                    self._duplicates.append(f"{cited} (like {other})")
                    return True
        self._seen_lines.setdefault(path, set()).update(lines)
        return False

    def _open(self, file: RankedFile) -> ExcerptSource | None:
        if file.path not in self._sources:
            text = self._read(file.path)
            if text is None:
                self._unreadable.append(file.path)
            self._sources[file.path] = None if text is None else self._searcher.open_excerpts(file, text)
        return self._sources[file.path]

    def _locate(self, file: RankedFile, document: int, source: ExcerptSource) -> DocumentLocation | None:
        _, kind, name, start, end, *_ = file.part.collection.documents.row(document)
        location = DocumentLocation(kind, name, start, end)
        return source.relocate(location) if file.stale else location


def _with_heading(path: str, first: int, last: int, kind: str, name: str, stale: bool, text: str) -> str:
    mark = ", stale" if stale else ""
    return f"{path}:{first}-{last} ({kind} {name}{mark})\n{text}\n"


def _join_names(names: Sequence[str]) -> str:
    hidden = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {hidden:,} more" if hidden > 0 else "")
