"""Detect damaged SQLite databases, set them aside and start with new ones."""

import contextlib
import sqlite3
from pathlib import Path

from cortex_pipelines.versioning.retained_outputs import set_aside

_BESIDE = ("-wal", "-shm", "-journal")


def damage(path: Path, thorough: bool = False) -> str | None:
    """Damage in words; None if intact or missing. ``thorough`` reads every page, otherwise size, first page and
    schema.
    """
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
    """Set a damaged database aside, so that its owner creates an empty one; returns what was wrong and where it is.
    Without the mark ``ready`` there is nothing to lose yet.
    """
    if not ready.exists():
        return None
    problem = damage(path)
    if problem is None:
        return None
    ready.unlink(missing_ok=True)
    return f"{path.relative_to(root)} {problem}; it is now {set_aside_all(root, path)}"


def set_aside_all(root: Path, path: Path) -> Path:
    for end in _BESIDE:  # first: what is left of a journal must not meet a new database
        journal = path.with_name(path.name + end)
        if journal.exists():
            set_aside(root, journal)
    return set_aside(root, path)
