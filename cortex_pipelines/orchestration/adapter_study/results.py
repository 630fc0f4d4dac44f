"""What a study of adapters found in each project: its file, and means over the projects."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter
from scipy import stats

from cortex_pipelines.atomic import write_whole
from cortex_pipelines.statistics.significance import holm
from cortex_pipelines.versioning.project import ProjectError

RESULT = "study.json"
_OWN_ANSWERS = "questions answered beyond the other adapter"


@dataclass(frozen=True)
class Gain:
    """Bits per byte that one way of answering saves over another.

    Args:
        estimate: The mean over bytes.
        low: Lower end of its interval.
        high: Upper end.
        p: Of no difference, by flipping signs; not corrected.
    """

    estimate: float
    low: float
    high: float
    p: float


@dataclass(frozen=True)
class QuestionResults:
    """Questions with several answers, and how they were answered.

    Args:
        items: Their number.
        correct: Way to answer, to the share answered correctly.
    """

    items: int
    correct: dict[str, float]


@dataclass(frozen=True)
class Studied:
    """What was measured in one project.

    Args:
        name: The project.
        language: In which most of its code is written.
        lines: Of code.
        budget: Most tokens that the adapter was to be trained on.
        tokens: Those that it was trained on.
        minutes: That the training took here; None if it was made elsewhere.
        items: Held-out completions.
        gaps: Those of them that fill a gap.
        bits: Way to answer, to bits per byte of the completions.
        gap_bits: The same of the gaps.
        first_lines: Way to answer, to the share of completions whose first line is written right.
        questions: By kind, and ``all``; under ``shown`` those that were also asked with similar
            code before them, which alone ``context`` and ``both`` answered.
        gains: What is compared (``adapter over base`` and so on), to what the first one saves.
        forgetting: Rise of perplexity on code of the control, and its interval; None if it was not
            measured.
        best: Way that needs the fewest bits, of those that can be served.
    """

    name: str
    language: str
    lines: int
    budget: int
    tokens: int
    minutes: float | None
    items: int
    gaps: int
    bits: dict[str, float]
    gap_bits: dict[str, float]
    first_lines: dict[str, float]
    questions: dict[str, QuestionResults]
    gains: dict[str, Gain]
    forgetting: tuple[float, float, float] | None
    best: str


@dataclass(frozen=True)
class Mean:
    """A mean over projects with an interval by Student's t; without one of a single project."""

    estimate: float
    low: float | None
    high: float | None


_STUDIED = TypeAdapter(list[Studied])


def recorded(root: Path) -> list[Studied]:
    """What ``study.json`` says; nothing where there is none yet."""
    path = root / RESULT
    return read_results([path]) if path.exists() else []


def write_results(root: Path, studied: Sequence[Studied]) -> Path:
    """Write ``study.json``: each project with each budget, and means over the projects."""
    path = root / RESULT
    ordered = sorted(studied, key=lambda one: (one.name, one.budget))
    known = {
        "projects": [asdict(one) for one in ordered],
        "means": {name: asdict(mean) for name, mean in means(ordered).items()},
    }
    write_whole(path, json.dumps(known, indent=1) + "\n")
    return path


def with_most_tokens(studied: Sequence[Studied]) -> list[Studied]:
    """Of each project what was measured with its largest budget."""
    largest: dict[str, Studied] = {}
    for one in sorted(studied, key=lambda one: one.budget):
        largest[one.name] = one
    return [largest[name] for name in dict.fromkeys(one.name for one in studied)]


def read_results(paths: Sequence[Path]) -> list[Studied]:
    """The projects of several ``study.json``, such as of a study that several machines shared.

    Raises:
        ProjectError: a file is none, or a project stands in two of them.
    """
    found: dict[tuple[str, int], Studied] = {}
    for path in paths:
        try:
            listed = _STUDIED.validate_python(json.loads(path.read_bytes())["projects"])
        except (ValueError, KeyError, TypeError) as error:
            raise ProjectError(
                f"{path} is no study.json of this version of `cortex study adapters`; move it away "
                "and run that again, which takes up anew what is made already"
            ) from error
        for one in listed:
            if (one.name, one.budget) in found:
                raise ProjectError(f"{path}: {one.name} stands in another file as well; give one")
            found[one.name, one.budget] = one
    return list(found.values())


def corrected(studied: Sequence[Studied], name: str) -> dict[str, float]:
    """p-value of each project's gain, by Holm's correction over the projects."""
    known = {one.name: one.gains[name].p for one in studied if name in one.gains}
    return dict(zip(known, holm(list(known.values())), strict=True))


def means(studied: Sequence[Studied]) -> dict[str, Mean]:
    """Means over projects, each of which counts alike, with its largest budget.

    Of each way, over the base: bits saved as a share of the base's, also of gaps alone; first lines
    written right; questions answered correctly. And questions that the adapter answers beyond
    another project's adapter, which knows their form as well; and forgetting.
    """
    figures: dict[str, list[float]] = {}
    for one in with_most_tokens(studied):
        for what, bits in (("bits saved", one.bits), ("bits of gaps saved", one.gap_bits)):
            for way, saved in _beyond_base(bits).items():
                figures.setdefault(f"{what}: {way}", []).append(-saved / bits["base"])
        for way, more in _beyond_base(one.first_lines).items():
            figures.setdefault(f"first lines written right: {way}", []).append(more)
        for part, asked in one.questions.items():
            for way, more in _beyond_base(asked.correct).items():
                figures.setdefault(f"questions answered, {part}: {way}", []).append(more)
            if "other adapter" in asked.correct:
                own = asked.correct["adapter"] - asked.correct["other adapter"]
                figures.setdefault(f"{_OWN_ANSWERS}, {part}", []).append(own)
        if one.forgetting is not None:
            figures.setdefault("forgetting", []).append(one.forgetting[0])
    return {name: mean_over_projects(values) for name, values in figures.items()}


def _beyond_base(figures: Mapping[str, float]) -> dict[str, float]:
    return {way: value - figures["base"] for way, value in figures.items() if way != "base"}


def mean_over_projects(values: Sequence[float]) -> Mean:
    """Mean of at least one figure, each of one project, with its interval by Student's t."""
    estimate = float(np.mean(values))
    if len(values) < 2:
        return Mean(estimate, None, None)
    half = float(stats.t.ppf(0.975, len(values) - 1) * stats.sem(values))
    return Mean(estimate, estimate - half, estimate + half)
