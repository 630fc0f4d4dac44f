"""Check files and folders, and fix them."""

import codecs
import hashlib
import io
import json
import os
import re
import tokenize
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from cortex_pipelines.atomic import write_whole
from cortex_pipelines.check.check import NotCheckedError, check_file, check_text, read_file
from cortex_pipelines.check.checked_file import MAX_BYTES
from cortex_pipelines.check.findings import Finding, LineEdit, fix_text
from cortex_pipelines.check.project_facts import ProjectFacts, facts_for
from cortex_pipelines.ingestion.entries import SourceError
from cortex_pipelines.ingestion.files.content import is_generated
from cortex_pipelines.ingestion.files.languages import is_code, language_of
from cortex_pipelines.ingestion.git.command import run_git
from cortex_pipelines.ingestion.settings import IngestionSettings
from cortex_pipelines.retrieval.listing import list_files, marked_files

_HUNK = re.compile(r"@@ -\d+(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_DIFF = (
    *("diff", "--unified=0", "--no-color", "--no-ext-diff", "--no-textconv", "--find-renames", "--diff-filter=d"),
    *("--ignore-submodules=all", "--src-prefix=a/", "--dst-prefix=b/"),
)


class DiffError(ValueError):
    """The folder is not a git repository, or the commit does not exist."""


@dataclass(frozen=True)
class ChangedLines:
    lines: frozenset[int] | None  # from 1; None for a file that git does not know yet, or for all

    def overlap(self, finding: Finding) -> bool:
        return self.lines is None or not self.lines.isdisjoint(range(finding.line, finding.end_line + 1))

    def after(self, edits: Sequence[LineEdit]) -> "ChangedLines":
        """The lines, and those that edits insert, by their positions after the edits."""
        if self.lines is None:
            return self
        lines = set(self.lines)
        for edit in sorted(edits, reverse=True):
            added = edit.text.count("\n") - (edit.end_line - edit.line)
            lines = {line + added * (line > edit.end_line) for line in lines if not edit.line < line <= edit.end_line}
            lines |= set(range(edit.line, edit.line + edit.text.count("\n") + 1))
        return ChangedLines(frozenset(lines))


ALL_LINES = ChangedLines(None)


def changed_since(ref: str, location: Path) -> dict[Path, ChangedLines]:
    """Changed files of the repository around a path, with the lines that are new since its history left ``ref``.

    Renamed files have their new paths; what git does not track and does not ignore is new as a whole.
    Raises DiffError.
    """
    folder = location if location.is_dir() else location.parent
    try:
        root = Path(_git(folder, "rev-parse", "--show-toplevel").removesuffix("\n"))
    except SourceError as error:
        raise DiffError(f"{location}: --diff needs a git repository ({error})") from error
    try:
        commit = _git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}").strip()
    except SourceError as error:
        raise DiffError(f"{root}: no commit {ref!r}; `git branch --all` and `git log` show what there is") from error
    with suppress(SourceError):  # no common history: all lines are compared
        commit = _git(root, "merge-base", commit, "HEAD").strip()
    changed = {
        root / path: ChangedLines(frozenset(lines)) for path, lines in _parse_diff(_git(root, *_DIFF, commit, "--"))
    }
    untracked = _git(root, "ls-files", "--others", "--exclude-standard", "-z").split("\0")
    return changed | {root / path: ALL_LINES for path in untracked if path}


def _git(folder: Path, *arguments: str) -> str:
    # with the user's own configuration, where a repository of another owner may be declared safe
    return run_git(None, "-C", str(folder), *arguments, network=True)


def _parse_diff(diff: str) -> list[tuple[str, list[int]]]:
    files: list[tuple[str, list[int]]] = []
    lines = iter(diff.split("\n"))
    for line in lines:
        if line.startswith("+++ "):
            files.append((_unquote_path(line[4:]), []))
        elif match := _HUNK.match(line):
            removed, first, added = (int(number or 1) for number in match.groups())
            files[-1][1].extend(range(first, first + added))
            remaining = removed + added
            while remaining:  # a line of code may look like a header
                remaining -= not next(lines).startswith("\\")
    return files


def _unquote_path(git_path: str) -> str:
    """The path in git's notation: after a prefix, quoted if it has control characters, with a tab after blanks."""
    if git_path.startswith('"'):
        data = codecs.escape_decode(git_path.rstrip("\t")[1:-1].encode("utf-8", "surrogateescape"))[0]
        git_path = bytes(data).decode("utf-8", "surrogateescape")
    return git_path.removesuffix("\t").removeprefix("b/")


_BASELINE_VERSION = 1

# As the profile `standard` has them.
_GENERATED = IngestionSettings.model_construct(
    generated_head_lines=40, minified_line_chars=300, minified_mean_chars=100
)
_GENERATED_FILE = "is generated or vendored"


class BaselineError(ValueError):
    """A file that is not a baseline: the findings that a team has accepted for now."""


@dataclass(frozen=True)
class ReportedFinding:
    finding: Finding
    path: str  # relative to the baseline's folder
    fingerprint: str


def fingerprint(finding: Finding, line: str, path: str) -> str:
    """Identity of a finding that does not depend on the lines above it: its file, its rule and the text of its line.

    Of several with the same one, as many are accepted as the baseline has.
    """
    parts = (path, finding.rule, " ".join(line.split()))
    return hashlib.blake2b("\0".join(parts).encode(errors="replace"), digest_size=16).hexdigest()


def read_baseline(path: Path) -> Counter[str]:
    """Number of accepted findings by fingerprint. Raises BaselineError."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        accepted = {entry["fingerprint"]: int(entry["count"]) for entry in content["findings"]}
    except FileNotFoundError as error:
        raise BaselineError(f"{path}: no such file; --write-baseline makes it") from error
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise BaselineError(f"{path}: is not a baseline of `cortex check`; --write-baseline replaces it") from error
    return Counter(accepted)


def write_baseline(path: Path, findings: Iterable[ReportedFinding]) -> None:
    counts = Counter((each.path, each.finding.rule, each.fingerprint) for each in findings)
    entries = [
        {"path": path, "rule": rule, "fingerprint": mark, "count": count}
        for (path, rule, mark), count in sorted(counts.items())
    ]
    write_whole(path, json.dumps({"version": _BASELINE_VERSION, "findings": entries}, indent=1) + "\n")


class PathError(ValueError):
    """A path that does not exist."""


@dataclass(frozen=True)
class CheckOptions:
    rules: frozenset[str]
    project: str | None = None  # else the one that a file belongs to
    since: str | None = None  # only lines that are new since this commit
    fix: bool = False
    unsafe_fixes: bool = False  # also those that change behaviour
    accepted: Counter[str] = field(default_factory=Counter)  # findings by fingerprint
    folder: Path = Path()  # that the paths of fingerprints are relative to


@dataclass
class Report:
    files: int = 0  # that were checked
    findings: list[ReportedFinding] = field(default_factory=list)
    fixed: list[Finding] = field(default_factory=list)
    not_checked: list[tuple[str, str]] = field(default_factory=list)  # path and reason


@dataclass(frozen=True)
class _FileContent:
    text: str  # without a byte order mark
    encoding: str
    mark: bytes


def check_paths(paths: Sequence[Path], options: CheckOptions) -> Report:
    """Findings in files, and in the handwritten files of folders; with ``fix`` those that remain after fixing.

    Raises PathError, DiffError, ProjectError.
    """
    report, facts = Report(), _FactsByFolder(options.project)
    if options.project is not None:
        facts_for(Path(), options.project)
    accepted = Counter(options.accepted)
    for path, changed in _files(paths, options.since, report):
        try:
            _check_file(path, changed, facts.for_file(path), options, accepted, report)
        except NotCheckedError as error:
            report.not_checked.append((path.as_posix(), str(error)))
        except OSError as error:
            report.not_checked.append((path.as_posix(), error.strerror or str(error)))
    return report


def _files(paths: Sequence[Path], since: str | None, report: Report) -> Iterator[tuple[Path, ChangedLines]]:
    changed: dict[Path, ChangedLines] = {}
    visited: set[Path] = set()
    for path in paths:
        if not path.exists():
            raise PathError(f"{path}: no such file or folder")
        if not path.is_file() and not path.is_dir():
            raise PathError(f"{path}: is neither a file nor a folder")
        resolved = path.resolve()
        if since is not None and not any(file.is_relative_to(resolved) for file in changed):
            changed |= changed_since(since, resolved)
        marked: set[str] = set()
        if path.is_file():
            files = [resolved]
        elif since is not None:
            files = sorted(file for file in changed if file.is_relative_to(resolved) and is_code(file))
            marked = marked_files(resolved, [file.relative_to(resolved).as_posix() for file in files])
        else:
            code_files = [file for file in list_files(resolved) if not file.left_out and is_code(file.path)]
            files = [resolved / file.path for file in code_files]
            marked = {file.path for file in code_files if file.marked}
        for file in files:
            lines = ALL_LINES if since is None else changed.get(file)
            if file in visited or lines is None:
                continue
            visited.add(file)
            file_path = path / file.relative_to(resolved) if file != resolved else path
            if file.relative_to(resolved).as_posix() in marked:
                report.not_checked.append((file_path.as_posix(), _GENERATED_FILE))
            else:
                yield file_path, lines


class _FactsByFolder:
    """The project of each file, cached by folder."""

    def __init__(self, name: str | None) -> None:
        self._name = name
        self._by_folder: dict[Path, ProjectFacts | None] = {}
        self._opened: dict[ProjectFacts, ProjectFacts] = {}

    def for_file(self, file: Path) -> ProjectFacts | None:
        if file.parent not in self._by_folder:
            facts = facts_for(file.parent, self._name)
            self._by_folder[file.parent] = facts and self._opened.setdefault(facts, facts)
        return self._by_folder[file.parent]


def _check_file(
    path: Path,
    changed: ChangedLines,
    facts: ProjectFacts | None,
    options: CheckOptions,
    accepted: Counter[str],
    report: Report,
) -> None:
    name, content = path.as_posix(), _read(path)
    require_handwritten(name, content.text)
    text = content.text

    def fixable(text: str, rounds: Sequence[tuple[LineEdit, ...]]) -> list[Finding]:
        lines = changed
        for edits in rounds:
            lines = lines.after(edits)
        findings = _new_findings(check_text(name, text, facts, options.rules), text, lines, Counter(accepted), options)
        fixes = [(each.finding, each.finding.fix) for each in findings]
        return [finding for finding, fix in fixes if fix and (fix.keeps_behaviour or options.unsafe_fixes)]

    if options.fix:
        fixed = fix_text(text, fixable)
        if fixed.findings:
            # a link stays one
            write_whole(path.resolve(), content.mark + fixed.text.encode(content.encoding))
            report.fixed += fixed.findings
            text = fixed.text
            for edits in fixed.edits:
                changed = changed.after(edits)
    file = read_file(name, text, facts)
    report.findings += _new_findings(check_file(file, facts, options.rules), text, changed, accepted, options)
    report.files += 1
    if file.broken:
        line, _ = file.position(file.broken[0][0])
        report.not_checked.append((name, f"the statement at line {line}, which does not parse"))


def require_handwritten(path: str, text: str) -> None:
    """Raises NotCheckedError for generated code."""
    if is_generated(path, language_of(path, text), text, _GENERATED):
        raise NotCheckedError(_GENERATED_FILE)


def _new_findings(
    findings: Sequence[Finding], text: str, changed: ChangedLines, accepted: Counter[str], options: CheckOptions
) -> list[ReportedFinding]:
    """Findings on changed lines that are not accepted; each accepted one is deducted from ``accepted``."""
    lines = text.split("\n") if findings else []
    reported = []
    for finding in findings:
        path = Path(os.path.relpath(finding.path, options.folder)).as_posix()
        mark = fingerprint(finding, lines[finding.line - 1], path)
        if accepted[mark] > 0:
            accepted[mark] -= 1
            continue
        if changed.overlap(finding):
            reported.append(ReportedFinding(finding, path, mark))
    return reported


def _read(path: Path) -> _FileContent:
    if path.stat().st_size > MAX_BYTES:
        raise NotCheckedError(f"{path.stat().st_size:,} bytes; at most {MAX_BYTES:,} are checked")
    data = path.read_bytes()
    if b"\0" in data:
        raise NotCheckedError("is binary")
    encoding = "utf-8"
    if language_of(path.name, "") == "python":
        try:
            encoding = tokenize.detect_encoding(io.BytesIO(data).readline)[0].replace("-sig", "")
        except SyntaxError as error:
            raise NotCheckedError(f"{error}; save it as UTF-8") from error
    mark = b"\xef\xbb\xbf" if data.startswith(b"\xef\xbb\xbf") else b""
    try:
        return _FileContent(data[len(mark) :].decode(encoding), encoding, mark)
    except UnicodeDecodeError as error:
        raise NotCheckedError(f"is not {encoding} at byte {len(mark) + error.start}; save it as UTF-8") from error
