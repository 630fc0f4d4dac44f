"""Development sets for search, made of repositories and packages that are on this machine.

A commit's message asks for the files that it changed, searched in the tree before a stretch of
commits; the first sentence of a docstring for its function, with the docstring taken out; the name
of a test for what it tests.
"""

import ast
import io
import re
import subprocess
import sysconfig
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from cortex_pipelines.api import load_parameters
from cortex_pipelines.extraction.test_cases import is_test
from cortex_pipelines.extraction.units import file_units
from cortex_pipelines.ingestion.files.languages import language_of
from cortex_pipelines.retrieval.documents import FileText, ReadingLimits
from cortex_pipelines.retrieval.index import read_folder
from cortex_pipelines.syntax.grammars import PARSED

_EXTRACTION = load_parameters().extraction
_POINTS = (0.55, 0.75, 0.93)
_FOLLOWING = 200
_MOST_QUERIES = 40
_MOST_CHANGED = 4
_TRAILER = re.compile(r"^(signed-off-by|co-authored-by|reviewed-by|change-id|git-svn-id|\(?cherry).*$", re.I | re.M)
_REFERENCE = re.compile(r"\(?\b(fixe?[sd]?|close[sd]?|resolve[sd]?|refs?)?:?\s*#\d+\)?", re.I)


@dataclass(frozen=True)
class SearchQuery:
    """One query.

    Args:
        text: The query.
        wanted: What answers it: paths, or ``path:name`` of functions.
        commit: The commit whose message it is; empty for other queries.
    """

    text: str
    wanted: frozenset[str]
    commit: str = ""


@dataclass(frozen=True)
class Set:
    """Queries over one collection of files.

    Args:
        name: Name.
        group: Repository or package, which no training set shares with a test set.
        by_file: Whether files are wanted, and not functions.
        files: The collection.
        asked: The queries.
        tree: Folder that the files were read from.
        at: Commit that it is of; empty for packages.
    """

    name: str
    group: str
    by_file: bool
    files: list[FileText]
    queries: list[SearchQuery]
    tree: Path
    at: str = ""


def commit_sets(
    repository: Path, name: str, work: Path, limits: ReadingLimits, *, functions: bool = True
) -> Iterator[Set]:
    """Commits after some points in history, each searched in the tree at its point.

    Args:
        repository: Folder of git.
        name: What the sets are called after.
        work: Where the trees are unpacked.
        limits: How files are read.
        functions: Whether each set of files is followed by one of functions.
    """
    log = git(repository, "rev-list", "--first-parent", "--no-merges", "--reverse", "HEAD")
    commits = log.decode().split()
    for share in _POINTS:
        position = int(len(commits) * share)
        tree = work / f"{name}-{position}"
        _unpack(repository, commits[position], tree)
        files = read_folder(tree, limits)
        present = {file.path for file in files if file.documents}
        query_text = []
        for commit in commits[position + 1 : position + 1 + _FOLLOWING]:
            entry = _commit_query(repository, commit, present)
            if entry and len(query_text) < _MOST_QUERIES:
                query_text.append(entry)
        yield Set(f"files {name}@{share}", name, True, files, query_text, tree, commits[position])
        if functions:
            following = commits[position + 1 : position + 1 + _FOLLOWING]
            inside = list(_functions_asked(repository, following, files))
            yield Set(f"functions {name}@{share}", name, False, files, inside, tree, commits[position])


def _commit_query(repository: Path, commit: str, present: set[str]) -> SearchQuery | None:
    output = git(repository, "show", "--format=%B%x00", "--name-only", "--no-renames", commit)
    message, _, names = output.decode(errors="replace").partition("\0")
    message = _REFERENCE.sub("", _TRAILER.sub("", message)).strip()
    changed = [path for path in names.split("\n") if path.strip()]
    code = {path for path in changed if language_of(path, "") in PARSED and not is_test(path)}
    if not 1 <= len(code) <= _MOST_CHANGED or not code <= present or len(message.split()) < 4:
        return None
    return SearchQuery(message, frozenset(code), commit)


def _functions_asked(repository: Path, commits: list[str], files: list[FileText]) -> Iterator[SearchQuery]:
    """Commits that changed at most a few functions, with these."""
    tracked = {
        f"{file.path}:{document.name}"
        for file in files
        for document in file.documents
        if document.kind in ("function", "method")
    }
    count = 0
    for commit in commits:
        query = _commit_query(repository, commit, {file.path for file in files})
        if query is None or count >= _MOST_QUERIES:
            continue
        changed = {f"{path}:{name}" for path in query.wanted for name in _changed(repository, commit, path)}
        if 1 <= len(changed) <= 3 and changed <= tracked:
            count += 1
            yield SearchQuery(query.text.split("\n\n")[0], frozenset(changed))


def _changed(repository: Path, commit: str, path: str) -> Iterator[str]:
    """Functions of the version before a commit in which it changed lines."""
    diff = git(repository, "show", "--format=", "-U0", "--no-renames", commit, "--", path)
    hunks = re.findall(r"^@@ -(\d+)(?:,(\d+))? ", diff.decode(errors="replace"), re.M)
    before = git(repository, "show", f"{commit}^:{path}")
    units = file_units(before, str(language_of(path, "")), path, _EXTRACTION)
    for unit in units:
        if unit.kind not in ("function", "method"):
            continue
        for first, length in hunks:
            start = int(first)
            if start <= unit.end_line and start + int(length or 1) - 1 >= unit.start_line:
                yield unit.qualified_name
                break


def _unpack(repository: Path, commit: str, tree: Path) -> None:
    if tree.exists():
        return
    tree.mkdir(parents=True)
    with tarfile.open(fileobj=io.BytesIO(git(repository, "archive", commit))) as archive:
        archive.extractall(tree, filter="data")


def git(repository: Path, *arguments: str) -> bytes:
    return subprocess.run(["git", f"--git-dir={repository}", *arguments], check=True, capture_output=True).stdout


def docstring_set(name: str, packages: tuple[str, ...], most: int, work: Path, limits: ReadingLimits) -> Set:
    """First sentences of docstrings over installed packages without docstrings."""
    tree = work / name
    by_text: dict[str, SearchQuery] = {}
    for package in packages:
        root = Path(sysconfig.get_path("purelib"))
        paths = sorted((root / package).rglob("*.py"), key=lambda p: sha256(str(p.name).encode()).digest())
        count = 0
        for path in paths:
            if count >= most or is_test(path.as_posix()) or path.stat().st_size > 200_000:
                continue
            relative_path = path.relative_to(root)
            bare, sentences = _without_docstrings(path.read_text(encoding="utf-8"))
            copy = tree / relative_path
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(bare, encoding="utf-8")
            for function, sentence in sentences:
                count += 1
                by_text[f"{relative_path}:{function}"] = SearchQuery(
                    sentence, frozenset({f"{relative_path}:{function}"})
                )
    selected = sorted(by_text.values(), key=lambda entry: _shuffled(entry.text))
    return Set(name, name, False, read_folder(tree, limits), selected[:400], tree)


def _shuffled(text: str) -> bytes:
    """A key that puts texts in an order that says nothing, the same each time."""
    return sha256(text.encode()).digest()


def _without_docstrings(text: str) -> tuple[str, list[tuple[str, str]]]:
    lines = text.split("\n")
    sentences = []
    try:
        parsed = ast.parse(text)
    except SyntaxError:
        return text, []
    for node, qualified in _functions(parsed, ""):
        docstring = ast.get_docstring(node)
        literal = node.body[0]
        if not docstring or literal.end_lineno is None:
            continue
        indent = " " * literal.col_offset
        lines[literal.lineno - 1 : literal.end_lineno] = [f"{indent}..."] + [""] * (literal.end_lineno - literal.lineno)
        sentence = " ".join(re.split(r"\n\s*\n|(?<=[.])\s", docstring)[0].split())
        if len(re.findall(r"[A-Za-z]{2,}", sentence)) >= 5 and not node.name.startswith("__"):
            sentences.append((qualified, sentence))
    return "\n".join(lines), sentences


def _functions(node: ast.AST, prefix: str) -> Iterator[tuple[ast.FunctionDef | ast.AsyncFunctionDef, str]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef):
            yield from _functions(child, f"{prefix}{child.name}.")
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield child, f"{prefix}{child.name}"
