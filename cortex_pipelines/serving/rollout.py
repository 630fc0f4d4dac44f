"""Canary rollouts: assignment of users to variants, and counts of their answers."""

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
from cortex_pipelines.release.gates import Analysis, Count, analyse, look_of
from cortex_pipelines.serving.security.access import current_principal

_LOG = logging.getLogger("cortex_pipelines")
_CHANCE = random.SystemRandom()
ROLLOUTS = "rollouts.json"
_EVERY = 1.0
"""Seconds between writes of the counts; a crash loses those since the last."""

Variant = Literal["canary", "champion"]
Conclude = Callable[[str, str, Analysis], None]
"""Writes project, version of the canary and analysis to the ledger."""

_USER: ContextVar[str] = ContextVar("user", default="")


@dataclass(frozen=True)
class Split:
    """A running canary and its share of a project's requests.

    Args:
        project: The project; its canary is served as ``PROJECT@canary``.
        version: Version of the canary.
        plan: ``strategy``, ``share`` and ``analysis`` as in the ledger.
        started_at: Start time in the ledger.
    """

    project: str
    version: str
    plan: Mapping[str, Any] = field(compare=False)
    started_at: str

    @property
    def identity(self) -> str:
        """Stable across restarts; differs for each new plan."""
        return f"{self.project} {self.version} {self.started_at}"

    @property
    def shadow(self) -> bool:
        """Whether the canary answers in the background only."""
        return self.plan.get("strategy") == "shadow"

    def variant(self, user: str) -> Variant:
        """Variant for a user, always the same; random without a user."""
        if user:
            digest = hashlib.sha256(f"{self.identity}\0{user}".encode(errors="replace")).digest()
            position = int.from_bytes(digest[:8], "big") / 2**64
        else:
            position = _CHANCE.random()
        return "canary" if position < float(self.plan.get("share", 0)) else "champion"


@contextmanager
def answering_user(name: str) -> Iterator[None]:
    """Set the user or session of a request, which stays with one variant."""
    before = _USER.set(name)
    try:
        yield
    finally:
        _USER.reset(before)


def request_user(explicit_user: str | None = None) -> str:
    """User of a request: from its body, else its header, else the name of its key."""
    return explicit_user or _USER.get() or current_principal().name


class Rollouts:
    """Counts the variants' answers and concludes canaries.

    Args:
        path: File of the counts, which survive restarts.
        conclude: Writes the conclusion to the ledger.
    """

    def __init__(self, path: Path, conclude: Conclude) -> None:
        self._path = path
        self._conclude = conclude
        self._lock = threading.Lock()
        self._counts: dict[str, dict[str, Any]] = _read(path)
        self._ending: dict[str, threading.Thread] = {}
        self._written = 0.0

    def add(self, split: Split, variant: Variant, failed: bool) -> None:
        """Count an answer; a conclusion is written in the background."""
        with self._lock:
            split_counts = self._counts.setdefault(split.identity, {"looks": 0})
            count = Count(**split_counts.get(variant, {}))
            count = Count(count.answered + 1, count.failed + failed)
            split_counts[variant] = asdict(count)
            analysis = self._analyse(split, split_counts)
            if analysis is not None or time.monotonic() - self._written > _EVERY:
                self._write()
            if analysis is not None and split.identity not in self._ending:
                end = threading.Thread(target=self._end, args=(split, analysis), name="rollout")
                self._ending[split.identity] = end
                end.start()

    def vote_down(self, split: Split, version: str) -> None:
        """Recount an answered request as failed."""
        variant: Variant = "canary" if version == split.version else "champion"
        with self._lock:
            split_counts = self._counts.setdefault(split.identity, {"looks": 0})
            count = Count(**split_counts.get(variant, {}))
            split_counts[variant] = asdict(Count(count.answered, min(count.failed + 1, count.answered)))
            self._write()

    def counts(self, split: Split) -> dict[str, Any]:
        """Counts by variant; empty before the first answer."""
        with self._lock:
            split_counts = self._counts.get(split.identity, {})
            return {name: dict(split_counts[name]) for name in ("canary", "champion") if name in split_counts}

    def close(self) -> None:
        """Wait for pending conclusions, and write the counts."""
        for end in list(self._ending.values()):
            end.join()
        with self._lock:
            if self._counts:
                self._write()

    def _analyse(self, split: Split, split_counts: dict[str, Any]) -> Analysis | None:
        rules = split.plan.get("analysis")
        if rules is None or split.shadow or split_counts.get("ended"):
            return None
        canary, champion = (Count(**split_counts.get(name, {})) for name in ("canary", "champion"))
        look = look_of(min(canary.answered, champion.answered), int(rules["least_answers"]))
        if look <= split_counts["looks"] and canary.answered < int(rules["most_answers"]):
            return None
        analysis = analyse(canary, champion, rules)
        if analysis is None:
            split_counts["looks"] = look  # a conclusion is recorded once the ledger has it: a crash must not lose it
        return analysis

    def _end(self, split: Split, analysis: Analysis) -> None:
        _LOG.warning("canary of %s: %s, %s", split.project, analysis.conclusion, analysis.reason)
        try:
            self._conclude(split.project, split.version, analysis)
        except Exception as error:  # noqa: BLE001 - must not affect answers
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
