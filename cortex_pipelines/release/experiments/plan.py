"""Plans of experiments and how they ended: an append-only file that the gateway follows.

An experiment divides the requests to a project between two ways of answering it. Its end promotes
nothing.
"""

import hashlib
import json
import random
import re
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypedDict

from cortex_pipelines.jsonl import appending, line_start

FILE = "experiments.jsonl"
FOLDER = "experiments"

Arm = Literal["a", "b"]
ARMS: tuple[Arm, Arm] = ("a", "b")

Metric = Literal["accepted", "answered"]
"""Share of requests whose answer was accepted; that were answered without a failure or a vote
against the answer."""

_UNIT = 24
"""Hexadecimal digits of a user's pseudonym."""

_LEAST_SHARE = 0.01
_RANDOM = random.SystemRandom()


class ExperimentError(RuntimeError):
    """An experiment is refused; the message gives the reason."""


class ExperimentOptions(TypedDict):
    """What whoever begins an experiment says of it; see ``Plan``."""

    share: float
    metric: Metric
    smallest: float
    most_answers: int
    tolerance: float
    slowest: float | None
    why: str


@dataclass(frozen=True)
class ExperimentSpec:
    """What is compared, and when it ends.

    Args:
        id: Names it; also what users are assigned by.
        project: The project whose requests are divided.
        a: How one part is answered, such as ``1.2.0``, ``1.2.0:adapter``, ``base``.
        b: How the other part is.
        share: Share of users that get ``b``.
        metric: What is compared.
        smallest: Smallest difference of the metric that matters.
        most_answers: Answers of both after which it ends in any case.
        tolerance: Share of failed, and of withheld, answers of ``b`` beyond those of ``a`` that is
            tolerated.
        slowest: Seconds that 95 % of the answers of ``b`` have to keep to; None for any.
        begun: When, ISO 8601 in UTC.
        by: Who began it.
        why: The reason given.
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

    @property
    def is_aa_test(self) -> bool:
        """Whether both are answered alike (A/A): a test of the experiment itself."""
        return self.a == self.b

    def unit(self, user: str) -> str:
        """A user's pseudonym within this experiment; empty for nobody in particular."""
        text = f"{self.id}\0{user}".encode(errors="replace")
        return hashlib.sha256(text).hexdigest()[:_UNIT] if user else ""

    def arm(self, unit: str) -> Arm:
        """Who answers a unit: always the same; of nobody in particular, drawn each time."""
        draw = int(unit[:16], 16) / 2**64 if unit else _RANDOM.random()
        return "b" if draw < self.share else "a"

    def describe(self) -> str:
        """What is compared, in words."""
        comparison = (
            f"{self.a} against itself" if self.is_aa_test else f"{self.a} (a) against {self.b} (b)"
        )
        return f"{self.project}: {comparison}, by the share {self.metric}; b gets {self.share:.0%}"


@dataclass(frozen=True)
class ExperimentEnd:
    """How an experiment ended.

    Args:
        id: The experiment's.
        outcome: See ``analysis.Outcome``.
        reason: Why, in words.
        at: When, ISO 8601 in UTC.
        by: Who ended it; ``gateway`` where its own rule did.
        figures: What was counted.
    """

    id: str
    outcome: str
    reason: str
    at: str
    by: str
    figures: Mapping[str, Any]


@dataclass(frozen=True)
class ExperimentRecord:
    """An experiment, and how it ended; None while it is under way."""

    plan: ExperimentSpec
    end: ExperimentEnd | None


class ExperimentLog:
    """The experiments of a project, oldest first.

    Args:
        state: Folder of what the gateway keeps.
    """

    def __init__(self, state: Path) -> None:
        self.state = state
        self.path = state / FILE

    def entries(self) -> list[ExperimentRecord]:
        """All of them; a line that a killed process left unfinished is none."""
        plans: dict[str, ExperimentSpec] = {}
        ends: dict[str, ExperimentEnd] = {}
        for line in _lines(self.path):
            if "outcome" in line:
                ends.setdefault(line["id"], ExperimentEnd(**line))
            else:
                plans.setdefault(line["id"], ExperimentSpec(**line))
        return [ExperimentRecord(plan, ends.get(name)) for name, plan in plans.items()]

    def running(self, project: str) -> ExperimentSpec | None:
        """The experiment that a project is under; None for none."""
        return next(
            (e.plan for e in self.entries() if not e.end and e.plan.project == project), None
        )

    def write(self, line: ExperimentSpec | ExperimentEnd) -> None:
        """Append a beginning or an end."""
        append(self.path, asdict(line))

    def answers(self, plan: ExperimentSpec) -> Path:
        """The file of an experiment's answers."""
        return self.state / FOLDER / f"{plan.id}.jsonl"

    def forget(self, user: str, project: str | None) -> int:
        """Give the answers to a user another pseudonym, made at random; counts stay as they are.

        Lines keep their length, so that a gateway that reads along reads on.

        Args:
            user: As the gateway knows them.
            project: Only in experiments of this project; None for all.

        Returns:
            In how many lines the pseudonym stood.
        """
        count = 0
        for plan in (entry.plan for entry in self.entries()):
            path = self.answers(plan)
            if project not in (None, plan.project) or not path.exists():
                continue
            unit, replacement = plan.unit(user).encode(), secrets.token_hex(_UNIT // 2).encode()
            with appending(path), path.open("rb+") as file:
                positions = [match.start() for match in re.finditer(re.escape(unit), file.read())]
                for position in positions:
                    file.seek(position)
                    file.write(replacement)
            count += len(positions)
        return count


def append(path: Path, line: Mapping[str, Any]) -> None:
    """Append a line of JSON; what a killed process left unfinished does not swallow it."""
    with appending(path) as file:
        file.write(line_start(file) + json.dumps(line, sort_keys=True).encode() + b"\n")


def _lines(path: Path) -> list[dict[str, Any]]:
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    return [line for line in map(decode_line, lines) if line is not None]


def decode_line(line: bytes) -> dict[str, Any] | None:
    """The object of a line; None if it holds none with an ``id``, as a part of one does."""
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) and isinstance(value.get("id"), str) else None
