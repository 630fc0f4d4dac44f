"""Find conflict markers of git in a project's files, and tell the two sides apart.

A marker is a line of seven or more equal characters, as git writes them (``conflict-marker-size``); a text with markers
is of the styles ``merge``, ``diff3`` or ``zdiff3``.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from cortex_pipelines.versioning.root import ProjectError

GENERATED = "data/parameters"  # folder of the effective parameters, which follow from params.yaml
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
    conflicts = []
    for pattern in (*_READ, *_READ_TEXTS):
        for path in root.glob(pattern):
            data = path.read_bytes() if path.is_file() else b""
            line = marker_line(data)
            if line is not None and pattern in _READ_TEXTS:
                conflict = _WHOLE.search(data)
                line = data.count(b"\n", 0, conflict.start()) + 1 if conflict else None
            if line is not None:
                conflicts.append(Conflict(path.relative_to(root).as_posix(), line))
    return sorted(conflicts, key=lambda conflict: conflict.file)


def require_no_conflicts(root: Path) -> None:
    """ConflictError if a file of the project holds a conflict: the file, the line and the command that mends it."""
    if conflicts := find_conflicts(root):
        raise ConflictError("; ".join(map(str, conflicts)))


def split_versions(text: str) -> Versions:
    """The versions in a text with conflict markers, else the text thrice; ConflictError gives the wrong line."""
    texts: dict[str, list[str]] = {"ours": [], "base": [], "theirs": []}
    version: str | None = None
    size = opened = 0
    has_base = True
    # not splitlines(), which also divides at characters that stand within a value
    for number, line in enumerate(re.findall(r"[^\n]*\n|[^\n]+", text), 1):
        # the markers of a conflict in the base itself are longer
        if not _MARKER.match(line.encode()) or (version and len(line.split()[0]) != size):
            for name, lines in texts.items():
                if version in (None, name):
                    lines.append(line)
            continue
        kind, marker = line[0], line.split()[0]
        if kind not in {None: "<", "ours": "|=", "base": "=", "theirs": ">"}[version]:
            raise ConflictError(
                f"line {number}: conflict marker {marker} without the one before it; put "
                "it back, or keep one side and delete the markers by hand"
            )
        if kind == "<":
            size, opened = len(marker), number
        # unless each conflict has a base, its full text is unknown
        has_base &= not (kind == "=" and version == "ours")
        version = {"<": "ours", "|": "base", "=": "theirs", ">": None}[kind]
    if version is not None:
        raise ConflictError(
            f"line {opened}: a conflict begins here and does not end; put the missing "
            "markers back, or keep one side and delete the markers by hand"
        )
    ours, base, theirs = ("".join(lines) for lines in texts.values())
    return Versions(base if has_base else None, ours, theirs)
