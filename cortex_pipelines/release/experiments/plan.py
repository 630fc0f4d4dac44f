"""Plans and results of experiments, which divide a project's requests and promote nothing; an append-only file."""

import hashlib
import json
import random
import re
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypedDict

from cortex_pipelines.jsonl import json_object, line_start, open_for_append

FILE = "experiments.jsonl"
FOLDER = "experiments"

Arm = Literal["a", "b"]
ARMS: tuple[Arm, Arm] = ("a", "b")

Metric = Literal["accepted", "answered"]
"""Share of requests with an accepted answer, or answered without failure or downvote."""

_UNIT = 24  # hexadecimal digits of a user's pseudonym
_LEAST_SHARE = 0.01
_RANDOM = random.SystemRandom()


class ExperimentError(RuntimeError):
    pass


class ExperimentOptions(TypedDict):
    share: float
    metric: Metric
    smallest: float
    most_answers: int
    tolerance: float
    slowest: float | None
    why: str


@dataclass(frozen=True)
class ExperimentSpec:
    """``id``: also the seed of the assignment; ``a``, ``b``: conditions such as ``1.2.0``, ``1.2.0:adapter``,
    ``base``; ``share`` of users that get ``b``; ``smallest`` difference of the metric that matters; ``tolerance``:
    tolerated excess of ``b``'s share of failed, and of withheld, answers; ``slowest``: limit of the 95th percentile
    of ``b``'s seconds; ``begun``: ISO 8601 in UTC.
    """

    id: str
    project: str
    a: str
    b: str
    share: float
    metric: Metric
    smallest: float
    most_answers: int
    tolerance: float
    slowest: float | None
    begun: str
    by: str
    why: str

    def __post_init__(self) -> None:
        if not _LEAST_SHARE <= self.share <= 1 - _LEAST_SHARE:
            raise ExperimentError(
                f"a share of {self.share:g} leaves one side without answers; give --share "
                f"{_LEAST_SHARE:g} to {1 - _LEAST_SHARE:g}"
            )
        for name, value in (("smallest", self.smallest), ("tolerance", self.tolerance)):
            if not 0 < value < 1:
                raise ExperimentError(f"--{name} is a share, above 0 and below 1; not {value:g}")
        if self.most_answers < 1 or (self.slowest is not None and not self.slowest > 0):
            raise ExperimentError("--most-answers and --slowest have to be above 0")

    def unit(self, user: str) -> str:
        """A user's pseudonym within this experiment; empty for an anonymous user."""
        text = f"{self.id}\0{user}".encode(errors="replace")
        return hashlib.sha256(text).hexdigest()[:_UNIT] if user else ""

    def arm(self, unit: str) -> Arm:
        """The arm of a unit, which never changes; drawn each time for anonymous users."""
        draw = int(unit[:16], 16) / 2**64 if unit else _RANDOM.random()
        return "b" if draw < self.share else "a"

    def describe(self) -> str:
        comparison = f"{self.a} against itself" if self.a == self.b else f"{self.a} (a) against {self.b} (b)"
        return f"{self.project}: {comparison}, by the share {self.metric}; b gets {self.share:.0%}"


@dataclass(frozen=True)
class ExperimentEnd:
    id: str
    outcome: str
    reason: str
    at: str
    by: str
    figures: Mapping[str, Any]


@dataclass(frozen=True)
class ExperimentRecord:
    plan: ExperimentSpec
    end: ExperimentEnd | None


class ExperimentLog:
    def __init__(self, state: Path) -> None:
        self.state = state
        self.path = state / FILE

    def entries(self) -> list[ExperimentRecord]:
        """All experiments; unfinished lines of killed processes are ignored."""
        plans: dict[str, ExperimentSpec] = {}
        ends: dict[str, ExperimentEnd] = {}
        for line in self.path.read_bytes().split(b"\n") if self.path.exists() else ():
            entry = decode_line(line)
            if entry is not None and "outcome" in entry:
                ends.setdefault(entry["id"], ExperimentEnd(**entry))
            elif entry is not None:
                plans.setdefault(entry["id"], ExperimentSpec(**entry))
        return [ExperimentRecord(plan, ends.get(name)) for name, plan in plans.items()]

    def running(self, project: str) -> ExperimentSpec | None:
        return next((e.plan for e in self.entries() if not e.end and e.plan.project == project), None)

    def write(self, line: ExperimentSpec | ExperimentEnd) -> None:
        append(self.path, asdict(line))

    def answers(self, plan: ExperimentSpec) -> Path:
        return self.state / FOLDER / f"{plan.id}.jsonl"

    def forget(self, user: str, project: str | None) -> int:
        """Replace a user's pseudonym in place by a random one, and return how often; counts do not change."""
        count = 0
        for plan in (entry.plan for entry in self.entries()):
            path = self.answers(plan)
            if project not in (None, plan.project) or not path.exists():
                continue
            unit, replacement = plan.unit(user).encode(), secrets.token_hex(_UNIT // 2).encode()
            with open_for_append(path), path.open("rb+") as file:
                positions = [match.start() for match in re.finditer(re.escape(unit), file.read())]
                for position in positions:
                    file.seek(position)
                    file.write(replacement)
            count += len(positions)
        return count


def append(path: Path, line: Mapping[str, Any]) -> None:
    """Append a line of JSON, separated from an unfinished line of a killed process."""
    with open_for_append(path) as file:
        file.write(line_start(file) + json.dumps(line, sort_keys=True).encode() + b"\n")


def decode_line(line: bytes) -> dict[str, Any] | None:
    """The object in a line; None if it is not an object with an ``id``, as in a truncated line."""
    entry = json_object(line)
    return entry if entry is not None and isinstance(entry.get("id"), str) else None
