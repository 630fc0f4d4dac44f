"""Read a log of decisions and say what a new policy would be worth."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cortex_pipelines.statistics.off_policy import PolicyValue, value_of_policy

_KEYS = ("reward", "propensity", "target")
_LEAST_PROPENSITY = 1e-9  # a decision that is taken once in a thousand million times is an error of the log
_MOST_REWARD = 1e100  # squares of greater rewards have no floating-point number


class LogError(ValueError):
    """A line of a log of decisions cannot be used."""


_EXAMPLE = '{"reward": 1, "propensity": 0.25, "target": 0.9}'


def value_from_log(path: Path, low: float | None = None, high: float | None = None) -> PolicyValue:
    """Value of the new policy by a log of lines ``{"reward", "propensity", "target"}``.

    ``low`` and ``high`` are the smallest and largest possible reward, both or neither. Raises ``LogError``.
    """
    if (low is None) != (high is None):
        raise LogError("a range of rewards needs both ends, --low and --high")
    bounds = None if low is None or high is None else (low, high)
    if bounds and not -_MOST_REWARD <= bounds[0] < bounds[1] <= _MOST_REWARD:
        raise LogError(
            f"--low {low:g} and --high {high:g} are not a range of rewards; expected a smallest "
            f"and a greater one, of at most {_MOST_REWARD:g}"
        )
    if not path.is_file():
        raise LogError(f"no such file: {path}; expected one decision a line, as {_EXAMPLE}")
    rows = np.array(list(_decisions(path)), dtype=np.float64).reshape(-1, len(_KEYS))
    if not len(rows):
        raise LogError(f"{path} holds no decision; expected one a line, as {_EXAMPLE}")
    rewards, propensities, targets = rows.T
    if bounds and not (bounds[0] <= rewards.min() and rewards.max() <= bounds[1]):
        raise LogError(
            f"{path} has rewards from {rewards.min():g} to {rewards.max():g}, which are not "
            f"between --low {low:g} and --high {high:g}"
        )
    return value_of_policy(rewards, propensities, targets, bounds)


def _decisions(path: Path) -> Iterator[tuple[float, ...]]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            location = f"{path} line {number}"
            try:
                record = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise LogError(f"{location} is not JSON ({error}); expected {_EXAMPLE}") from error
            if not isinstance(record, dict):
                raise LogError(f"{location} is not a JSON object; expected {_EXAMPLE}")
            yield tuple(_number(record, key, location) for key in _KEYS)


def _number(record: dict[str, Any], key: str, where: str) -> float:
    if key not in record:
        raise LogError(f"{where} has no {key}; expected {_EXAMPLE}")
    value_text = json.dumps(record[key])[:40]
    # a success may be logged as true; a probability may not
    plain = isinstance(record[key], float | int) and (key == "reward" or not isinstance(record[key], bool))
    try:
        value = float(record[key]) if plain else math.nan
    except OverflowError:  # an integer of hundreds of digits
        value = math.inf
    if not math.isfinite(value):
        raise LogError(f"{where}: {key} is {value_text}; expected a finite number")
    if key == "reward" and abs(value) > _MOST_REWARD:
        raise LogError(f"{where}: reward is {value_text}; expected one of at most {_MOST_REWARD:g}")
    if key == "propensity" and not _LEAST_PROPENSITY <= value <= 1:
        raise LogError(
            f"{where}: propensity is {value_text}; expected the probability with which the "
            f"decision was taken, {_LEAST_PROPENSITY:g} to 1"
        )
    if key == "target" and not 0 <= value <= 1:
        raise LogError(f"{where}: target is {value_text}; expected a probability, 0 to 1")
    return value
