"""Find conflict markers of git in a project's files, and tell the two sides apart.

A marker is a line of seven or more equal characters, as git writes them (``conflict-marker-size``); a text with markers
is of the styles ``merge``, ``diff3`` or ``zdiff3``.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cortex_pipelines.versioning.root import ProjectError

GENERATED = "data/parameters"
"""Folder of the effective parameters, which follow from params.yaml."""

LOCKS = ("dvc.lock", "sources.lock", "releases.lock")
RESOLVED = (*LOCKS, "dvc.yaml")
"""Files that ``cortex resolve`` joins, beside the generated parameters."""

_READ = (
    *("params.yaml", *RESOLVED, "weights.lock", "workspace.yaml"),
    *(".dagster/dagster.yaml", ".dvc/config", ".dvcignore", "cortex_pipelines/profiles/*.yaml"),
    *(f"{GENERATED}/*.json", f"{GENERATED}/projects/*.json"),
)
"""Files that the project reads; a line in them that looks like a marker is one."""

_READ_TEXTS = ("prompts/**/*", "patterns/**/*", "environments/*")
"""Templates and rules: only a whole conflict counts, since a rule may be about conflicts."""

_MARKER = re.compile(rb"^(?:<{7,}|\|{7,}|>{7,})(?:[ \t][^\n]*)?\r?$|^={7,}\r?$", re.MULTILINE)
_WHOLE = re.compile(
    rb"^(<{7,})(?:[ \t][^\n]*)?\r?\n(?:.*\n)*?={7,}\r?\n(?:.*\n)*?>{7,}(?:[ \t][^\n]*)?\r?$", re.MULTILINE
)


@dataclass(frozen=True)
class Conflict:
    file: str
    line: int

    @property
    def remedy(self) -> str:
        return (
            "`cortex resolve` joins both sides"
            if is_resolvable(self.file)
            else "edit it by hand: keep what is right of both sides, delete the lines of markers "
            f"(<<<<<<<, =======, >>>>>>>), then `git add {self.file}`"
        )

    def __str__(self) -> str:
        return f"{self.file} line {self.line}: conflict markers of a git merge; {self.remedy}"


class ConflictError(ProjectError):
    pass


@dataclass(frozen=True)
class Versions:
    base: str | None
    ours: str
    theirs: str


def is_resolvable(file: str) -> bool:
    return file in RESOLVED or file.startswith(f"{GENERATED}/")


def marker_line(data: bytes) -> int | None:
    # the two searches for plain bytes are far quicker than the pattern
    if b"<<<<<<<" not in data and b">>>>>>>" not in data and b"=======" not in data:
        return None
    match = _MARKER.search(data)
    return data.count(b"\n", 0, match.start()) + 1 if match else None


def find_conflicts(root: Path) -> list[Conflict]:
    return sorted(_find(root), key=lambda conflict: conflict.file)


def require_no_conflicts(root: Path) -> None:
    """Raise if a file of the project holds a conflict. Raises ConflictError: names each file, the line and the
    command that mends it.
    """
    if conflicts := find_conflicts(root):
        raise ConflictError("; ".join(map(str, conflicts)))


def _find(root: Path) -> Iterator[Conflict]:
    for pattern in _READ:
        for path in root.glob(pattern):
            line = marker_line(path.read_bytes()) if path.is_file() else None
            if line is not None:
                yield Conflict(path.relative_to(root).as_posix(), line)
    for pattern in _READ_TEXTS:
        for path in root.glob(pattern):
            data = path.read_bytes() if path.is_file() else b""
            if b"<<<<<<<" in data and (match := _WHOLE.search(data)):
                line = data.count(b"\n", 0, match.start()) + 1
                yield Conflict(path.relative_to(root).as_posix(), line)


def split_versions(text: str) -> Versions:
    """The versions in a text with conflict markers; a text without any is all of them. Raises ConflictError: the
    markers do not belong together; gives the line.
    """
    splitter = _Splitter()
    # not splitlines(), which also divides at characters that stand within a value
    for number, line in enumerate(re.findall(r"[^\n]*\n|[^\n]+", text), 1):
        splitter.add(line, number)
    return splitter.versions()


class _Splitter:
    def __init__(self) -> None:
        self._texts: dict[str, list[str]] = {"ours": [], "base": [], "theirs": []}
        self._side: str | None = None
        self._size = 0
        self._opened = 0
        self._based = True

    def add(self, line: str, number: int) -> None:
        if not self._is_marker(line):
            for name, lines in self._texts.items():
                if self._side in (None, name):
                    lines.append(line)
            return
        kind = line[0]
        expected = {None: "<", "ours": "|=", "base": "=", "theirs": ">"}[self._side]
        if kind not in expected:
            raise ConflictError(
                f"line {number}: conflict marker {line.split()[0]} without the one before it; put "
                "it back, or keep one side and delete the markers by hand"
            )
        if kind == "<":
            self._size, self._opened = len(line.split()[0]), number
        # unless each conflict has a base, its full text is unknown
        self._based &= not (kind == "=" and self._side == "ours")
        self._side = {"<": "ours", "|": "base", "=": "theirs", ">": None}[kind]

    def _is_marker(self, line: str) -> bool:
        if not _MARKER.match(line.encode()):
            return False
        # those of a conflict in the base itself are longer
        return self._side is None or len(line.split()[0]) == self._size

    def versions(self) -> Versions:
        if self._side is not None:
            raise ConflictError(
                f"line {self._opened}: a conflict begins here and does not end; put the missing "
                "markers back, or keep one side and delete the markers by hand"
            )
        texts = {name: "".join(lines) for name, lines in self._texts.items()}
        return Versions(texts["base"] if self._based else None, texts["ours"], texts["theirs"])
