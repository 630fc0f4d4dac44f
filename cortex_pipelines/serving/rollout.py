"""Canaries as their plans say: who is answered by one, and what became of the answers."""

import hashlib
import json
import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from cortex_pipelines.atomic import write_whole
from cortex_pipelines.release.analysis import Analysis, Count, analyse, look_of
from cortex_pipelines.serving.security.access import caller

_LOG = logging.getLogger("cortex_pipelines")
_CHANCE = random.SystemRandom()
ROLLOUTS = "rollouts.json"
_EVERY = 1.0
"""Seconds between two writes of the counts; a kill loses those since the last."""

Variant = Literal["canary", "champion"]
Conclude = Callable[[str, str, Analysis], None]
"""Project, version of the canary and analysis to the ledger."""

_USER: ContextVar[str] = ContextVar("user", default="")


@dataclass(frozen=True)
class Split:
    """A running canary beside the champion of a project.

    Args:
        project: The project; its canary is served as ``PROJECT@canary``.
        version: The canary's.
        plan: ``strategy``, ``share`` and ``analysis`` as in the ledger.
        begun: When, as the ledger writes it.
    """

    project: str
    version: str
    plan: Mapping[str, Any] = field(compare=False)
    begun: str

    @property
    def identity(self) -> str:
        """The same after a restart, another one for a plan that was made anew."""
        return f"{self.project} {self.version} {self.begun}"

    @property
    def shadow(self) -> bool:
        """Whether the canary answers in the background only."""
        return self.plan.get("strategy") == "shadow"

    def variant(self, user: str) -> Variant:
        """Who answers a user: always the same; of nobody in particular, drawn anew each time."""
        if user:
            digest = hashlib.sha256(f"{self.identity}\0{user}".encode(errors="replace")).digest()
            place = int.from_bytes(digest[:8], "big") / 2**64
        else:
            place = _CHANCE.random()
        return "canary" if place < float(self.plan.get("share", 0)) else "champion"


@contextmanager
def answering_user(name: str) -> Iterator[None]:
    """Answer for a user or a session, so that one variant answers all of their requests."""
    before = _USER.set(name)
    try:
        yield
    finally:
        _USER.reset(before)


def user(named: str | None = None) -> str:
    """Whom a request is for: as its body says, its header, or the name of its key."""
    return named or _USER.get() or caller().name


class Rollouts:
    """Counts of the variants' answers, and what follows from them.

    Args:
        path: File of the counts, so that a plan goes on after a restart.
        conclude: Writes the end of an analysis into the ledger.
    """

    def __init__(self, path: Path, conclude: Conclude) -> None:
        self._path = path
        self._conclude = conclude
        self._lock = threading.Lock()
        self._counts: dict[str, dict[str, Any]] = _read(path)
        self._ending: dict[str, threading.Thread] = {}
        self._written = 0.0

    def add(self, split: Split, variant: Variant, failed: bool) -> None:
        """Count an answer; what follows from it is done in the background."""
        with self._lock:
            mine = self._counts.setdefault(split.identity, {"looks": 0})
            count = Count(**mine.get(variant, {}))
            count = Count(count.answered + 1, count.failed + failed)
            mine[variant] = asdict(count)
            analysis = self._looked(split, mine)
            if analysis is not None or time.monotonic() - self._written > _EVERY:
                self._write()
            if analysis is not None and split.identity not in self._ending:
                end = threading.Thread(target=self._end, args=(split, analysis), name="rollout")
                self._ending[split.identity] = end
                end.start()

    def vote_down(self, split: Split, version: str) -> None:
        """Take an answer that was counted as given for one that failed."""
        variant: Variant = "canary" if version == split.version else "champion"
        with self._lock:
            mine = self._counts.setdefault(split.identity, {"looks": 0})
            count = Count(**mine.get(variant, {}))
            mine[variant] = asdict(Count(count.answered, min(count.failed + 1, count.answered)))
            self._write()

    def counts(self, split: Split) -> dict[str, Any]:
        """What was counted, by variant; empty before the first answer."""
        with self._lock:
            mine = self._counts.get(split.identity, {})
            return {name: dict(mine[name]) for name in ("canary", "champion") if name in mine}

    def close(self) -> None:
        """Finish what was begun, and write the counts down."""
        for end in list(self._ending.values()):
            end.join()
        with self._lock:
            if self._counts:
                self._write()

    def _looked(self, split: Split, mine: dict[str, Any]) -> Analysis | None:
        rules = split.plan.get("analysis")
        if rules is None or split.shadow or mine.get("ended"):
            return None
        canary, champion = (Count(**mine.get(name, {})) for name in ("canary", "champion"))
        look = look_of(min(canary.answered, champion.answered), int(rules["least_answers"]))
        if look <= mine["looks"] and canary.answered < int(rules["most_answers"]):
            return None
        analysis = analyse(canary, champion, rules)
        if analysis is None:
            mine["looks"] = look  # else only once the ledger knows: a kill must not lose it
        return analysis

    def _end(self, split: Split, analysis: Analysis) -> None:
        _LOG.warning("canary of %s: %s, %s", split.project, analysis.conclusion, analysis.reason)
        try:
            self._conclude(split.project, split.version, analysis)
        except Exception as error:  # noqa: BLE001 - whoever is answered must not suffer from it
            _LOG.error("releases.lock could not follow (%s); the next answer tries again", error)
        else:
            with self._lock:
                self._counts[split.identity]["ended"] = True
                self._write()
        finally:
            self._ending.pop(split.identity, None)

    def _write(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self._path, json.dumps(self._counts, sort_keys=True) + "\n")
        self._written = time.monotonic()


def _read(path: Path) -> dict[str, dict[str, Any]]:
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return read if isinstance(read, dict) else {}
