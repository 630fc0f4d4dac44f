"""Real fixes: functions before and after the commits of a history that say they mend something."""

import re
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import polars as pl

from cortex_pipelines.extraction.pairs.commits import ChangedFiles, changed_files, select_commits
from cortex_pipelines.extraction.settings import PairSettings
from cortex_pipelines.extraction.test_cases import is_test
from cortex_pipelines.ingestion.files.languages import language_of
from cortex_pipelines.ingestion.git.history import commit_time, read_log
from cortex_pipelines.ingestion.settings import IngestionSettings
from cortex_pipelines.learned.defects.statements import Region, regions
from cortex_pipelines.learned.settings import DefectSettings
from cortex_pipelines.privacy.paths import PathRedactor
from cortex_pipelines.syntax.grammars import PARSED, grammar_for, parse

# As Mockus and Votta (2000) and those after them tell corrections by their words.
_FIX = re.compile(
    r"\bfix(?:e[sd]|ing)?\b|\bbug(?:s|fix)?\b|\bregressions?\b|\bcrash(?:es|ed)?\b|\bincorrect(?:ly)?\b|\bwrong(?:ly)?\b"
    r"|\boff.by.one\b|\bdeadlocks?\b|\braces?\b|\bleaks?\b|\bpanics?\b|\bcorrectly\b",
    re.IGNORECASE,
)
_FIXED = re.compile(
    r"^fix(?:ed|es)? (?:an? )?(?:\w+ )?(?:bug|issue|regression|problem)\b", re.IGNORECASE | re.MULTILINE
)
# Such a commit mends something other than behaviour.
_NO_DEFECT = re.compile(
    r"\btypos?\b|\bspelling\b|\bgrammar\b|\bdoc(?:s|umentation|strings?)?\b|\bcomments?\b|\breadme\b|\bchangelog\b"
    r"|\blint(?:er|ing)?\b|\bflake8?\b|\bclippy\b|\beslint\b|\bprettier\b|\bruff\b|\bpep ?8\b|\bformat(?:ting)?\b"
    r"|\bstyle\b|\bindent\w*|\bwhitespace\b|\bmypy\b|\bpyright\b|\btyp(?:ing|es|e hints?)\b|\bannotations?\b"
    r"|\bwarnings?\b|\bdeprecat\w+|\btests?\b|\bci\b|\bbuild\b|\bcompil\w+|\bcoverage\b|\bexamples?\b|\brenam\w+|\brefactor\w*"
    r"|\bimports?\b|\bversions?\b|\bdependenc\w+",
    re.IGNORECASE,
)
_LAYOUT = re.compile(r"[\s;]+")
_MOST_FILES = 3
"""Code files of a commit, tests aside: one function stands in one, the others may have changed in comments."""
_MOST_CHANGED = 3
_MOST_BYTES = 4000
"""Longer functions have more tokens than are read."""


@dataclass(frozen=True)
class FixedFunction:
    """A function that a fix changes, before and after; ``changed``: the statements of ``wrong`` that are not kept."""

    commit: str
    path: str
    wrong: Region
    right: Region
    changed: tuple[int, ...]


@dataclass
class MinedFixes:
    """``fixes``: the newest first; commits whose purpose is a fix, and how many of them were left out and why."""

    fixes: list[FixedFunction]
    commits: int = 0
    several_functions: int = 0
    insertions: int = 0
    other_size: int = 0


def is_fix(subject: str, body: str) -> bool:
    """Whether a commit's message says that it mends behaviour."""
    if _NO_DEFECT.search(subject):
        return False
    return bool(_FIX.search(subject) or _FIXED.search(body))


def mine_fixes(
    git_dir: Path,
    most: int,
    settings: DefectSettings,
    pairs: PairSettings,
    ingestion: IngestionSettings,
    redactor: PathRedactor,
    revision: str = "HEAD",
) -> MinedFixes:
    """The newest fixes of a history, at most ``most``, each of one function and at most three statements.

    Tests, comments, imports and documentation that a commit changes beside the function are left out, commits that
    change more functions altogether; as are fixes that only insert, as no statement of theirs was wrong.

    Raises:
        SourceError: no git history.
    """
    commits = _fixing_commits(git_dir, revision, pairs)
    mined, of_path, mined_code = MinedFixes([]), dict[str, int](), set[tuple[bytes, bytes]]()
    contents = changed_files(git_dir, commits, pairs, ingestion, redactor)
    for commit, files in zip(commits, contents, strict=True):
        if len(mined.fixes) >= most:
            break
        mined.commits += 1
        changes = list(_changed_regions(files))
        path, wrong, right = changes[0] if len(changes) == 1 else ("", None, None)
        if wrong is None or right is None:
            mined.several_functions += len(changes) > 0
            continue
        changed, inserted = changed_statements(wrong, right)
        if not changed:
            mined.insertions += 1
        elif (
            max(len(changed), inserted) > _MOST_CHANGED
            or not settings.min_statements <= len(wrong.statements) <= settings.max_statements
            or max(len(wrong.code), len(right.code)) > _MOST_BYTES
        ):
            mined.other_size += 1
        elif (wrong.code, right.code) not in mined_code and of_path.get(path, 0) < (pairs.max_commits_per_path or most):
            mined_code.add((wrong.code, right.code))
            of_path[path] = of_path.get(path, 0) + 1
            mined.fixes.append(FixedFunction(commit["commit"], path, wrong, right, changed))
    return mined


def _fixing_commits(git_dir: Path, revision: str, pairs: PairSettings) -> list[dict[str, Any]]:
    rows = []
    for (commit, parents, time, subject, body), paths in read_log(
        git_dir, "%P %ct %s %b", "--no-merges", "--end-of-options", revision
    ):
        texts = [each.decode("utf-8", "replace") for each in (subject, body)]
        code = [path for path in (each.decode("utf-8", "surrogateescape") for each in paths) if not is_test(path)]
        code = [path for path in code if language_of(path, "") in PARSED]
        if is_fix(*texts) and 1 <= len(code) <= _MOST_FILES:
            parent_ids = parents.decode().split()
            rows.append((commit.decode(), "", parent_ids, commit_time(time), texts[0], code))
    names = ("commit", "source", "parents", "committed_at", "subject", "paths")
    return select_commits(pl.DataFrame(rows, schema=names, orient="row"), pairs).to_dicts() if rows else []


def _changed_regions(files: ChangedFiles) -> Iterator[tuple[str, Region | None, Region | None]]:
    """Functions, and code between them, whose statements a commit changes; None where one is added or removed."""
    for path in sorted(files.before.keys() | files.after.keys()):
        before, after = (_regions(texts.get(path, ""), path) for texts in (files.before, files.after))
        old_keys, new_keys = ([tuple(map(_plain, each.texts())) for each in version] for version in (before, after))
        for first, last, new_first, new_last in _differences(old_keys, new_keys):
            for number in range(max(last - first, new_last - new_first)):
                old, new = first + number, new_first + number
                yield path, before[old] if old < last else None, after[new] if new < new_last else None


def _regions(text: str, path: str) -> list[Region]:
    data, language = text.encode(), language_of(path, text)
    if language is None or language not in PARSED:
        return []
    root = parse(data, grammar_for(language, path)).root_node
    return regions(root, data, language) if not root.has_error else []


def changed_statements(wrong: Region, right: Region) -> tuple[tuple[int, ...], int]:
    """Statements of one region that the other has not, and how many the other has in their place or beside them."""
    changed: list[int] = []
    inserted = 0
    for first, last, new_first, new_last in _differences(*(list(map(_plain, each.texts())) for each in (wrong, right))):
        changed += range(first, last)
        inserted += new_last - new_first
    return tuple(changed), inserted


def _differences(before: Sequence[Hashable], after: Sequence[Hashable]) -> Iterator[tuple[int, int, int, int]]:
    """First and last of one, first and last of the other."""
    matcher: SequenceMatcher[Hashable] = SequenceMatcher(None, before, after, autojunk=False)
    return ((a, b, c, d) for tag, a, b, c, d in matcher.get_opcodes() if tag != "equal")


def _plain(text: str) -> str:
    """A statement without its layout, and with one kind of quote."""
    return _LAYOUT.sub("", text).replace('"', "'").replace(",)", ")")
