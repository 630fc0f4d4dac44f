"""Base class of ``params.yaml`` sections, and bounded value types.

The upper bounds are far above what anybody needs, and low enough that a slip of the keyboard is
refused at once instead of filling the memory an hour later.
"""

import re
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

MOST = 1_000_000_000
"""Upper bound of all counts."""

PROJECT_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}")
"""Pattern of project names, which are part of folders, DVC stages and commands."""

PROJECT_NAME_WORDS = "a project's name has 1 to 64 letters a-z or A-Z, digits, - and _, and no - in front"

T = TypeVar("T")


class Settings(BaseModel):
    """Base of a section of ``params.yaml``: typed, immutable, without defaults.

    A profile and ``params.yaml`` over it are the one place for anything that changes an output, so a value that is not
    written there must not exist in code either: every field is required, unknown keys are errors. Types are strict
    (``true`` is not a number and ``"3"`` neither), and numbers are finite.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class UnquotedError(ValueError):
    """A value is refused that may be secret: messages must not quote it."""


def _project_name(name: str) -> str:
    if not PROJECT_NAME.fullmatch(name):
        raise ValueError(PROJECT_NAME_WORDS)
    return name


def _compiles(pattern: str) -> str:
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"{pattern!r} is not a regular expression: {error}") from error
    return pattern


def _cron(text: str) -> str:
    from croniter import CroniterBadDateError, CroniterError, croniter

    count = len(text.split())
    if count != 5:
        raise ValueError(
            f"a cron expression has five fields (minute, hour, day, month, weekday), such as "
            f"`0 2 * * *` for each night at two; {text!r} has {count}"
        )
    try:
        croniter(text).get_next()
    except CroniterBadDateError as error:
        raise ValueError(f"{text!r}: no year has such a day") from error
    except CroniterError as error:
        raise ValueError(f"{text!r} is not a cron expression: {error}") from error
    return text


Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]  # Seed valid for numpy, torch and scikit-learn.
PositiveInt = Annotated[int, Field(ge=1, le=MOST)]
NonNegativeInt = Annotated[int, Field(ge=0, le=MOST)]

Bytes = Annotated[int, Field(ge=1, le=2**40)]  # A size of at most a tebibyte.
Threads = Annotated[int, Field(ge=1, le=1024)]  # Threads or processes of one machine.
Rank = Annotated[int, Field(ge=1, le=4096)]  # LoRA rank; no common model has wider layers.
Length = Annotated[int, Field(ge=16, le=2**20)]  # Sequence length in tokens.
Batch = Annotated[int, Field(ge=1, le=65536)]  # Batch size in rows.
Folds = Annotated[int, Field(ge=2, le=100)]

Share = Annotated[float, Field(ge=0, le=1)]  # 0 to 1, both included.
PositiveShare = Annotated[float, Field(gt=0, le=1)]  # Above 0, up to 1.
OpenShare = Annotated[float, Field(gt=0, lt=1)]  # Between 0 and 1, neither included.
PartShare = Annotated[float, Field(ge=0, lt=1)]  # From 0, below 1.
HeldOutShare = Annotated[float, Field(gt=0, lt=0.5)]  # A held-out share below one half.
PositiveFloat = Annotated[float, Field(gt=0, le=MOST)]
NonNegativeFloat = Annotated[float, Field(ge=0, le=MOST)]
Finite = Annotated[float, Field(ge=-MOST, le=MOST)]

LearningRate = Annotated[float, Field(gt=0, le=100)]

Text = Annotated[str, Field(min_length=1, max_length=4096)]

Regex = Annotated[str, Field(max_length=4096), AfterValidator(_compiles)]  # A regular expression of Python's ``re``.
CronExpression = Annotated[str, Field(max_length=200), AfterValidator(_cron)]  # Minute, hour, day, month and weekday.
ProjectName = Annotated[str, AfterValidator(_project_name)]

# YAML has lists only, which strict types do not take for a tuple
Row = Annotated[tuple[T, ...], Field(strict=False)]  # A list of any length.


def _rises(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise ValueError(f"the first of the two ({pair[0]}) must not be above the second")
    return pair


Range = Annotated[tuple[T, T], Field(strict=False), AfterValidator(_rises)]
"""Lowest and highest value."""
