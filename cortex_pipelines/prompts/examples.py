"""Examples that adapters are trained and evaluated on, and the end of an answer."""

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal, get_args

import polars as pl

from cortex_pipelines.adapters.settings import Task
from cortex_pipelines.datasets.dedup.minhash import smallest_connected
from cortex_pipelines.tokenization.text_encoder import (
    PREFIX,
    SUFFIX,
    Segment,
    Segments,
    as_segments,
    encoder_of,
    gap_format,
)

TASKS: tuple[Task, ...] = get_args(Task)
"""Tasks that adapters learn."""

DATASETS: Mapping[str, Task] = {**{task: task for task in TASKS}, "feedback": "refactoring"}
"""Data set ``<name>_dataset`` to the task that it trains."""

_ALWAYS_MEASURED = ("completion", "refactoring", "naming", "architecture", "feedback")
"""Data sets used by questions and gates, also where the adapter was not trained on them."""

_COLUMNS = ("example_id", "path", "language", "kind", "prompt", "completion", "cluster")


@dataclass(frozen=True)
class Example:
    """``task`` is one of ``DATASETS``, ``suffix`` the code after a gap, ``cluster`` that of near-duplicates."""

    example_id: str
    task: str
    path: str
    language: str
    kind: str
    prompt: str
    completion: str
    cluster: str
    suffix: str | None = None

    @property
    def form(self) -> str:
        """Task whose prompt format the example has, and whose adapter learns it."""
        return DATASETS.get(self.task, self.task)


def datasets_to_measure(datasets: Mapping[str, Path], trained: Collection[str]) -> dict[str, Path]:
    """Data sets that an adapter is evaluated on; optional ones only if it was trained on them."""
    return {name: folder for name, folder in datasets.items() if name in _ALWAYS_MEASURED or DATASETS[name] in trained}


def read_examples(folder: Path, task: str, split: str) -> list[Example]:
    """Examples of one split in the output folder of a data set, in order; ``task`` is one of ``DATASETS``."""
    frame = pl.read_parquet(folder / f"{split}.parquet")
    gaps = pl.lit(None, pl.String)
    if "suffix" in frame.columns:
        gaps = pl.when(pl.col("task") == "fim").then("suffix")
    frame = frame.select(*_COLUMNS, gaps.alias("suffix"))
    return [Example(task=task, **row) for row in frame.iter_rows(named=True)]


def without_gaps(folder: Path, task: str, split: str) -> list[Example]:
    return [example for example in read_examples(folder, task, split) if example.suffix is None]


def prompt_segments(tokenizer: Any, example: Example) -> Segments:
    """The prompt as the model sees it; for a gap, with the code after it.

    Where the base's tokenizer has marks for gaps, they are used in its order (Bavarian et al. 2022). A base without
    such marks can only continue code: it sees the code after the gap first and the code before the gap last.
    """
    if example.suffix is None:
        return as_segments(example.prompt)
    texts = {PREFIX: Segment(example.prompt), SUFFIX: Segment(example.suffix, continues=True)}
    if form := gap_format(encoder_of(tokenizer).controls):
        return tuple(texts.get(part) or Segment(part, control=True) for part in form)
    following = example.suffix.strip("\n")
    return as_segments(f"{following}\n\n{example.prompt}" if following else example.prompt)


def shuffled(examples: Iterable[Example], seed: int) -> list[Example]:
    """Shuffle examples by their identities and the seed alone.

    A hash is used instead of a random generator: adding or removing an example does not move
    others, so a sample of a growing data set stays mostly the same and cached scores stay valid.
    """

    def rank(example: Example) -> str:
        return hashlib.sha256(f"{seed}:{example.task}:{example.example_id}".encode()).hexdigest()

    return sorted(examples, key=rank)


def sampled(examples: Iterable[Example], count: int, seed: int) -> list[Example]:
    """A sample in the order of its ids, half of it gaps, as far as there are enough of both.

    A held-out function has several gaps, so that by number they would leave few other completions.
    """
    ranked = shuffled(examples, seed)
    gaps = [example for example in ranked if example.suffix is not None]
    others = [example for example in ranked if example.suffix is None]
    in_turn = [example for pair in zip_longest(others, gaps) for example in pair if example is not None]
    return sorted(in_turn[:count], key=lambda example: example.example_id)


def grouped_by_file(examples: Sequence[Example], among: Iterable[Example]) -> list[Example]:
    """Set each example's cluster to the group of its file.

    The split draws files, so files and not their examples are independent; files that share a near-duplicate among all
    examples of the split form one group, named after its first file.
    """
    pairs = sorted({(example.path, example.cluster) for example in among})
    numbers = {path: number for number, path in enumerate(dict.fromkeys(path for path, _ in pairs))}
    first = dict[str, int]()
    ends = [first.setdefault(cluster, numbers[path]) for path, cluster in pairs]
    first_of, paths = smallest_connected(len(numbers), ([numbers[path] for path, _ in pairs], ends)), list(numbers)
    return [replace(example, cluster=paths[first_of[numbers[example.path]]]) for example in examples]


def task_counts(examples: Sequence[Example]) -> dict[str, int]:
    return dict(sorted(Counter(example.task for example in examples).items()))


StopRule = Literal["line", "statement", "indented", "braced", "unit", "braced_unit", "paragraph"]

_OPENING, _CLOSING = "([{", ")]}"
_QUOTES = "\"'`"


def extent_of(item: Example) -> StopRule:
    python = item.language == "python"
    if item.task == "naming":
        return "line"
    if item.task in ("architecture", "documentation"):
        return "paragraph"
    if item.task == "tests":
        return extent_of_test(item.language)
    if item.form == "refactoring":
        return "unit" if python else "braced_unit"
    if item.kind in ("function", "method"):
        return "indented" if python else "braced"
    return "statement"


def extent_of_test(language: str) -> StopRule:
    """A function in most languages, else a call like ``it(...)``."""
    if language in ("javascript", "typescript"):
        return "statement"
    return "unit" if language == "python" else "braced_unit"


def cut(text: str, extent: StopRule) -> str:
    return text[: _end(text, extent)].rstrip()


def is_complete(text: str, extent: StopRule) -> bool:
    return _end(text, extent) < len(text)


def _end(text: str, extent: StopRule) -> int:
    if extent in ("line", "paragraph"):
        start = len(text) - len(text.lstrip())
        end = text.find("\n" if extent == "line" else "\n\n", start)
        return end if end >= 0 else len(text)
    if extent == "statement":
        return _end_of_statement(text)
    if extent in ("indented", "unit"):
        return _end_by_indent(text, includes_header=extent == "unit")
    return _end_by_brace(text, depth=0 if extent == "braced_unit" else 1)


def _end_of_statement(text: str) -> int:
    """End of the first line at which all brackets are closed."""
    depth, begun, quote = 0, False, ""
    for position, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote and text[position - 1] != "\\" else quote
        elif letter in _QUOTES:
            quote = letter
        depth += (letter in _OPENING) - (letter in _CLOSING) if not quote else 0
        begun = begun or not letter.isspace()
        if letter == "\n" and begun and depth <= 0:
            return position
    return len(text)


def _end_by_indent(text: str, *, includes_header: bool) -> int:
    """Start of the first line outside the block whose header, or inside, the text begins with."""
    offset, margin, entered_block = 0, -1, False
    for line in text.split("\n"):
        content = line.strip()
        indent = len(line) - len(line.lstrip())
        if content and margin < 0:
            margin = indent
        elif content:
            dedented = indent < margin or (includes_header and entered_block and indent == margin)
            if dedented and not (includes_header and content[0] in _CLOSING):
                return max(offset - 1, 0)
            # a bracket that closes at the margin ends a decorator's or header's, not the block
            closes = indent == margin and content[0] in _CLOSING
            entered_block = not closes and (entered_block or indent > margin)
        offset += len(line) + 1
    return len(text)


def _end_by_brace(text: str, *, depth: int) -> int:
    """End of the brace that closes the open block; ignores braces in one-line strings."""
    quote, opened = "", depth > 0
    for position, letter in enumerate(text):
        if quote:
            ends = (letter == quote and text[position - 1] != "\\") or letter == "\n"
            quote = "" if ends else quote
        elif letter in _QUOTES[:1]:
            quote = letter
        elif letter == "{":
            depth, opened = depth + 1, True
        elif letter == "}":
            depth -= 1
            if opened and depth <= 0:
                return position + 1
    return len(text)
