"""Damaged lock files and databases: set aside, and restored from the last good copy where there is one.

DVC writes ``dvc.lock`` in place, so a kill (of ``dvc repro`` itself, too) or a full disk can leave half of it. The
project's own writers cannot do that, but a disk or a hand can. What is cut off is set aside, never deleted, and the
last good copy takes its place; a stage whose entry is newer than that is made again, out of DVC's run cache if DVC ran
it, and has the same bytes.
"""

import contextlib
import sqlite3
import uuid
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from cortex_pipelines.atomic import write_whole
from cortex_pipelines.versioning.merging.conflicts import marker_line
from cortex_pipelines.versioning.root import ProjectError, ask_git

DVC_LOCK = "dvc.lock"
BY_MACHINE = (DVC_LOCK, "sources.lock", "releases.lock")
BY_HAND = ("params.yaml",)
FILES = BY_MACHINE + BY_HAND
_COPIES = Path(".cortex") / "kept"


def keep(root: Path, name: str) -> None:
    text, copy = (root / name).read_bytes(), root / _COPIES / name
    if not copy.exists() or copy.read_bytes() != text:
        write_whole(copy, text)


def mend(root: Path, name: str) -> str | None:
    """Back up a good file, or restore the last good copy of a truncated one.

    For ``dvc.lock`` DVC's own lock has to be held: DVC could be writing it. Returns what was done, in a sentence; None
    if the file was good. Raises ProjectError: it was cut off, and no good copy exists.
    """
    path, copy, problem = root / name, root / _COPIES / name, damage(root, name)
    if problem is None:
        if path.is_file() and marker_line(path.read_bytes()) is None:
            keep(root, name)
        return None
    good = copy.read_bytes() if copy.exists() else _of_git(root, f"HEAD:./{name}")
    good = good if good and _parsed(good) is not None else None
    if good is None and name != DVC_LOCK:
        raise ProjectError(
            f"{path} {problem}, and no good copy of it is left in .cortex/kept or in git's last commit: "
            f"`git log -- {name}` finds an older one, `git checkout COMMIT -- {name}` brings it back"
        )
    remains = set_aside(root, path, move=good is None)
    if good is None:
        return f"{name} {problem} and has no good copy, so the outputs are made again; the damaged file is {remains}"
    write_whole(path, good)
    return f"{name} {problem}: restored the last good copy; the damaged file is {remains}"


def damage(root: Path, name: str) -> str | None:
    """Damage of a file, in words that follow its name; None if it is good, missing, in conflict or edited badly."""
    path, copy = root / name, root / _COPIES / name
    if not path.is_file():
        return None
    text, good = path.read_bytes(), copy.read_bytes() if copy.exists() else b""
    if text == good or marker_line(text) is not None:
        return None
    if not text.strip():
        return "is empty"
    shorter = good.startswith(text)
    if name in BY_HAND:
        return "is cut off" if shorter and not text.endswith(b"\n") else None
    values = _parsed(text)
    if values is None or not text.endswith(b"\n"):
        return "is cut off"
    if name == DVC_LOCK:
        shorter = _ends_early(values, _parsed(good) or {})
    # git may have brought an older one; nobody else makes it shorter
    return "is cut off" if shorter and text != _of_git(root, f":./{name}") else None


def set_aside(root: Path, path: Path, move: bool = True) -> Path:
    target = Path(".cortex") / "damaged" / f"{path.name}.{uuid.uuid4().hex[:8]}"
    (root / target).parent.mkdir(parents=True, exist_ok=True)
    if move:
        path.rename(root / target)
    else:
        (root / target).write_bytes(path.read_bytes())
    return target


def _ends_early(values: dict[str, Any], good: dict[str, Any]) -> bool:
    """Whether a ``dvc.lock`` was truncated between two lines."""
    stages, good_stages = values.get("stages") or {}, good.get("stages") or {}
    names, before = list(stages), list(good_stages)
    if not names:
        return bool(before) or "stages" not in values
    last = stages[names[-1]] or {}
    outs = last.get("outs")
    if not outs or not {"path", "md5"} <= set(outs[-1]):
        return "outs" in (good_stages.get(names[-1]) or {"outs": None})
    if names[-1] in good_stages and len(outs[-1]) < len(good_stages[names[-1]]["outs"][-1]):
        return True
    return len(names) < len(before) and names == before[: len(names)]


def _parsed(text: bytes) -> dict[str, Any] | None:
    try:
        values = YAML(typ="safe").load(text.decode("utf-8"))
    except (YAMLError, ValueError):
        return None
    return values if isinstance(values, dict) else None


def _of_git(root: Path, revision: str) -> bytes | None:
    """A file in git's index (``:``) or last commit (``HEAD:``); None if missing."""
    process = ask_git(root, "show", revision)
    return process.stdout if process.returncode == 0 else None


def database_damage(path: Path, thorough: bool = False) -> str | None:
    """Damage in words; None if intact or missing. ``thorough`` reads every page, else size, first page and schema."""
    if not path.is_file():
        return None
    if not path.stat().st_size:
        return "is empty"
    try:
        with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True)) as database:
            (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
            words = database.execute("PRAGMA quick_check(1)").fetchone()[0] if thorough else "ok"
    except sqlite3.OperationalError:
        return None  # busy, or not to be opened by us: no sign of damage
    except sqlite3.DatabaseError as error:
        return f"is damaged ({error})"
    if words != "ok":
        return f"is damaged ({' '.join(str(words).split())})"
    return None if tables else "has no tables"


def renew(root: Path, path: Path, ready: Path) -> str | None:
    """Set a damaged database aside unless the mark ``ready`` is missing; what was wrong and where it is."""
    if not ready.exists() or (problem := database_damage(path)) is None:
        return None
    ready.unlink(missing_ok=True)
    return f"{path.relative_to(root)} {problem}; it is now {set_aside_all(root, path)}"


def set_aside_all(root: Path, path: Path) -> Path:
    for end in ("-wal", "-shm", "-journal"):  # first: what is left of a journal must not meet a new database
        journal = path.with_name(path.name + end)
        if journal.exists():
            set_aside(root, journal)
    return set_aside(root, path)
