"""Whether an answer can be known from its prompt, its project or its language.

A row is left out, with a reason that begins with ``unanswerable``, if its answer uses a name that stands in neither
(``unanswerable_name``), consists too much of text or numbers that nobody could foresee (``unanswerable_literal``),
holds a placeholder of redaction (``unanswerable_redacted``), is what a comment just before it calls wrong
(``unanswerable_error``), is a name that the code does not tell
(``unanswerable_naming``), or documentation without a statement (``unanswerable_reference``).

What an answer itself binds, such as its local variables, is its own choice. A name of the project counts if it stands
outside of the unit, since retrieval may show it.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
from tree_sitter import Node

from cortex_pipelines.augmentation.mutation.namespaces import is_bound
from cortex_pipelines.augmentation.node_table import COMMENTS, NodeTable, split_words
from cortex_pipelines.augmentation.snippets import parse_file, parse_unit
from cortex_pipelines.datasets.unit_text import rows_of_units
from cortex_pipelines.extraction.architecture.syntax import package_names
from cortex_pipelines.extraction.test_cases import is_test
from cortex_pipelines.rowcache import RowCache

REDACTED = "unanswerable_redacted"
_NAME, _LITERAL, _IMPORT, _ERROR = (f"unanswerable_{what}" for what in ("name", "literal", "import", "error"))
_WRONG_ON_PURPOSE = re.compile(r"@ts-expect-error\b.*\n.*\Z")
_SECRET, _PERSONAL = "REDACTED_[A-Z]", "redacted-[0-9a-f]{8}"
"""Patterns of placeholders: of a secret, and of a name or mail address."""
_WORD = re.compile(r"[^\W\d]\w*")
_TOKEN = re.compile(r"\w+")
_DEFINITIONS = ("definition", "declaration", "item", "signature")
_FROM = re.compile(r"\bfrom\s*['\"]")
_PATH = re.compile(r"(?:[.:/]|\bimport\b)+")
_NAMES = Path(__file__).parent / "names"
_FORESEEABLE = frozenset({"0", "1", "2", "-1", "10", "100", "0.0", "1.0", "0.5"})
_LONGEST_WORDS = 3
"""More words in one string are prose; where it does not stand elsewhere nobody could write the same."""
_KNOWN_ELSEWHERE = 0.5
"""Weight of a short literal of words that stand elsewhere in the project; of a test, often."""
_MOST_UNFORESEEN, _MOST_UNFORESEEN_OF_TESTS = 0.13, 0.05
"""Share of an answer in literals, and half of its comments, that nobody could foresee; chosen by reading rows."""
_TEXT = re.compile(r"string|char|regex|template|heredoc|jsx_text")
_NUMBER = re.compile(r"integer|float|number|int_literal|imaginary")

INPUTS = ("unit_id", "code", "language", "kind", "path", "prompt", "answer", "suffix")
"""Columns of rows to judge: ``code`` is the unit with the answer, ``suffix`` what follows a gap or an empty text."""
_NEEDS = pl.Schema([("names", pl.List(pl.String)), ("words", pl.List(pl.String)), ("unforeseen", pl.Int64)])


class ProjectWords:
    """How often each word stands in the files of a project."""

    def __init__(self, texts: Iterable[bytes]) -> None:
        self._counts: Counter[str] = Counter()
        for text in texts:
            self._counts.update(_TOKEN.findall(text.decode("utf-8", "replace")))

    def is_custom(self, name: str, unit: str) -> bool:
        return self._counts[name] - unit.count(name) >= _CUSTOMARY

    def stands_outside(self, word: str, unit: Mapping[str, int]) -> bool:
        return self._counts[word] > unit.get(word, 0)


def holds_placeholder(columns: Iterable[str]) -> pl.Expr:
    """Whether an answer holds a placeholder of a secret, or one of personal data that it does not repeat."""
    answer, shown = (
        pl.col("completion"),
        pl.concat_str(sorted({"prompt", "suffix"}.intersection(columns)), ignore_nulls=True),
    )
    new = answer.str.extract_all(_PERSONAL).list.set_difference(shown.str.extract_all(_PERSONAL))
    return answer.str.contains(_SECRET) | (new.list.len() > 0)


def unanswerable(rows: pl.DataFrame, project: ProjectWords, cache: RowCache | None) -> pl.Series:
    """Reason why the answer of a row cannot be known; null if it can. ``rows``: ``INPUTS``."""
    needs = rows_of_units(cache, "answers", rows.select(INPUTS), _needs, _NEEDS)
    reasons = [_reason(row, project) for row in rows.select(INPUTS).hstack(needs).iter_rows(named=True)]
    return pl.Series("unanswerable", reasons, dtype=pl.String)


def _reason(row: Mapping[str, Any], project: ProjectWords) -> str | None:
    answer: str = row["answer"]
    if _WRONG_ON_PURPOSE.search(row["prompt"]):
        return _ERROR
    if row["kind"] == "import":
        # the names that the import makes known; of a path the last part, or what its major version stands behind
        names = _FROM.split(answer)[0] if _FROM.search(answer) else _PATH.split(answer)[-1]
        package = package_names(answer.strip('"')) if row["language"] == "go" else ()
        known = {*_WORD.findall(" ".join([names or answer, *package]))} - {"as", "type"}
        used = known.intersection(_TOKEN.findall(row["suffix"]))
        if not used or (not package and 2 * len(used) < len(known)):
            return _IMPORT
    unit = Counter(_TOKEN.findall(row["code"])) if row["names"] or row["words"] else Counter[str]()
    if not all(project.stands_outside(name, unit) for name in row["names"]):
        return _NAME
    in_test = is_test(row["path"])

    def share(word: str) -> float:
        # what a test asserts may stand in one other place by chance
        is_known = project.is_custom(word, row["code"]) if in_test else project.stands_outside(word, unit)
        return _KNOWN_ELSEWHERE if is_known else 1.0

    unforeseen = row["unforeseen"] + sum(len(word) * share(word) for word in row["words"])
    most = _MOST_UNFORESEEN_OF_TESTS if in_test else _MOST_UNFORESEEN
    return _LITERAL if unforeseen > most * len(answer.strip()) else None


def _needs(row: Mapping[str, Any]) -> tuple[list[str], list[str], int]:
    """Names and words of literals that neither prompt nor language shows, and the length of what nobody foresees."""
    code, answer, shown = row["code"], row["answer"], f"{row['prompt']}\n{row['suffix']}"
    start = len(code[: max(code.rfind(answer), 0)].encode())
    data, language, path = code.encode(), row["language"], row["path"]
    view = NodeTable(parse_unit(data, language, row["kind"], path) or parse_file(data, language, path))
    visible = language_names(row["language"]) | {*_TOKEN.findall(shown)}
    names, words, bound, unforeseen = dict[str, None](), list[str](), set[str](), 0
    is_declared = row["kind"] in ("variable", "constant")
    for node in _parts(view, start, start + len(answer.encode())):
        text = view.code(node)
        if node.type.endswith("identifier") or row["kind"] == "import":
            is_defined = view.field(node) == "name" and view.parent_type(node).endswith(_DEFINITIONS)
            if is_bound(node, view) or is_defined:
                bound.add(text)
            names.update(dict.fromkeys(word for word in _WORD.findall(text) if word not in visible))
        elif node.type in COMMENTS:
            unforeseen += _unforeseen_text(text, shown, words) // 2
        elif _TEXT.search(node.type):
            unforeseen += _unforeseen_text(text, shown, words)
        elif _NUMBER.search(node.type) and text not in visible and (is_declared or text not in _FORESEEABLE):
            unforeseen += len(text)
    return [name for name in names if name not in bound], words, unforeseen


def _stands_alone(inside: str, shown: str) -> bool:
    before, after = r"(?<!\w)" * (inside[:1].isalnum()), r"(?!\w)" * (inside[-1:].isalnum())
    return re.search(f"{before}{re.escape(inside)}{after}", shown) is not None


def _unforeseen_text(text: str, shown: str, words: list[str]) -> int:
    inside = text.strip("\"'`/#*! \n\t")
    if not inside or (inside in shown and _stands_alone(inside, shown)):
        return 0
    own = _TOKEN.findall(inside)
    if len(own) > _LONGEST_WORDS or len(inside) > 2 * sum(map(len, own)):
        return len(text)
    words += own
    return 0


def _parts(view: NodeTable, start: int, end: int) -> Iterator[Node]:
    """Names and literals of a span, literals and comments as a whole unless code stands within them."""
    shift, whole_until = len(view.snippet.prefix), -1
    for node in view.nodes:
        first, last = node.start_byte - shift, node.end_byte - shift
        if last <= start or first >= end or node.start_byte < whole_until:
            continue
        is_text = _TEXT.search(node.type) and not any(
            "interpolation" in part.type or "substitution" in part.type for part in node.named_children
        )
        if node.type in COMMENTS or is_text:
            whole_until = node.end_byte
            yield node
        elif not node.child_count and node.is_named and start <= first and last <= end:
            yield node


@cache
def language_names(language: str) -> frozenset[str]:
    """Keywords, builtins and names of the standard library that are in common use."""
    name = "javascript" if language == "typescript" else language
    file = _NAMES / f"{name}.txt"
    return frozenset(file.read_text().split()) if file.exists() else frozenset()


_NAMING = "unanswerable_naming"
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_STEM = 4
_TELLING_SHARE, _TELLING_SHARE_OF_TESTS = 0.6, 0.75
"""Share of the words of a name that stand in the code that it is masked in."""
_CUSTOMARY = 5
"""Uses outside of the unit that make a name a custom of the project, such as ``rv`` or ``run``."""
_FILLERS = split_words(
    "a an and as at by can does for from get has if in is it no not of on only or set should test tests that the to "
    "when with without"
)


_EMPTY_BODY = r"(?:\{\s*\}|:\s*(?:pass|\.\.\.))\s*$"


def naming_reasons(rows: pl.DataFrame, project: ProjectWords, defined: Mapping[str, int]) -> pl.Series:
    """Reason why a masked name (``completion``) cannot be known from ``prompt``; null if it can.

    ``defined``: how many units have a name. What has it alone is not named by custom, however often it is used, and
    neither is a function without a body.
    """
    is_function = pl.col("kind").is_in(("function", "method"))
    has_no_body = pl.col("body_start_byte").is_null() | pl.col("code").str.contains(_EMPTY_BODY)
    columns = rows.select("prompt", "completion", "code", "name", is_function & has_no_body)
    reasons = [
        None
        if _tells_name(prompt, name)
        or (not is_empty and (name != unit or defined.get(name, 0) > 1) and project.is_custom(name, code))
        else _NAMING
        for prompt, name, code, unit, is_empty in columns.iter_rows()
    ]
    return pl.Series("unanswerable", reasons, dtype=pl.String)


def _tells_name(prompt: str, name: str) -> bool:
    words = [word.lower() for word in _PART.findall(name)]
    telling = {word for word in words if word not in _FILLERS} or {*words}
    if not words or words[-1].isdecimal():
        return False
    stems = {word.lower()[:_STEM] for word in _PART.findall(prompt)}
    share = _TELLING_SHARE_OF_TESTS if words[0] == "test" else _TELLING_SHARE
    return sum(word[:_STEM] in stems for word in telling) >= share * len(telling)


CHANGE = "unanswerable_change"


def follows(prompt: str, answer: str) -> bool:
    """Whether a change follows from its description; one that does more besides brings words of its own."""
    return {*re.findall(r"\w+", answer)} <= {*re.findall(r"\w+", prompt)}


_SYMBOL = re.compile(r"\w+|\S")
_BRACKETS = re.compile(r"[(\[{<][^()\[\]{}<>]*[)\]}>]")


def changes_alone(refactoring: str, name_before: str | None, name_after: str | None, before: str, after: str) -> bool:
    """Whether a change of a name or of parameters is all that differs between two versions, but for white space."""
    old, new = _SYMBOL.findall(before), _SYMBOL.findall(after)
    if refactoring in ("Add Parameter", "Remove Parameter"):
        short, long = sorted((old, new), key=len)
        start = next((index for index, symbol in enumerate(short) if symbol != long[index]), len(short))
        end = len(long) - len(short) + start
        return short[start:] == long[end:] and _BRACKETS.sub("", "".join(long[start:end])).count(",") <= 1
    if refactoring == "Reorder Parameter":
        return sorted(old) == sorted(new)
    if "Rename" in refactoring:
        pairs = zip(old, new, strict=False)
        return len(old) == len(new) and all(a == b or (a, b) == (name_before, name_after) for a, b in pairs)
    return not refactoring.startswith("Move") or "Inline" in refactoring  # not what only moved


_TELLING_SHARE_OF_PROSE, _SHORTEST = 0.25, 4


_TICKET = re.compile(r"(?:#|\b(?:gh|issues?|bugs?|ticket|pr|pull request)[ -]#?)(\d{2,})\b", re.I)


_DEFAULT = re.compile(r"\bdefault(?:s? to|s? is|:)\s+\W{0,3}(?!(?:the|an?)\b)([\w-]*\w)", re.I)


def tells_prose(code: str, text: str) -> bool:
    """Whether the code has enough of the words of its documentation, the short ones aside, and its ticket numbers and
    default values."""
    if any(claim not in code for claim in _TICKET.findall(text) + _DEFAULT.findall(text)):
        return False
    stems = {word.lower()[:_STEM] for word in _PART.findall(code)}
    words = {word.lower() for word in _PART.findall(text) if len(word) >= _SHORTEST}
    return sum(word[:_STEM] in stems for word in words) >= _TELLING_SHARE_OF_PROSE * len(words)


_REFERENCE = re.compile(
    r"https?://\S+|(?<![\w./-])[\w./-]*+#\d+|\b[A-Z]{2,}-\d+|:\w+:`[^`]*`|\b(?:see|cf|issue|bug|ticket|pull|request|link|refs?)\b"
    r"|\b(?:implements|satisfies|is\s+part\s+of)\s+(?:the\s+)?\S+(?=\W*\Z|\s+interface\b)",
    re.I,
)


def only_refers(text: str) -> bool:
    """Whether documentation is only a link, a ticket or the name of an interface."""
    return bool(_REFERENCE.search(text)) and len(_WORD.findall(_REFERENCE.sub("", text))) < 3
