"""Error rate and power of an experiment, compared with the z-test and a canary's analysis.

Answers are simulated, of which a share is good. By default each is somebody else's, and the tests
look at every one. In cases with people, whoever asks keeps a variant, people differ in how often
they ask and in how many answers are good for them, and the tests look once a day. All tests see the
same answers.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.special import ndtri

from benchmarks.timing import Timing, timed
from benchmarks.workspace import Workspace
from cortex_pipelines.statistics.sequential import UnitSums, difference, sample_ratio

_ERROR = 0.05
_SMALLEST = 0.05
_RUNS = 1000
_CHUNK = 100
_LEAST = 50
"""``deployment.analysis.least_answers``, from which a canary is looked at."""

_DAYS = 28
_A_DAY = 20
_SEED = 0


@dataclass(frozen=True)
class Case:
    """One kind of experiment.

    Args:
        what: In words.
        first: Share of good answers of the champion.
        effect: What the other adds to it.
        share: Share of requests that the other gets.
        answers: Answers in all, each of somebody else; 0 where people are simulated.
        people: People in all.
        alike: How alike people are: the two parameters of the beta distribution of their shares
            sum to it.
    """

    what: str
    first: float
    effect: float = 0.0
    share: float = 0.5
    answers: int = 0
    people: int = 0
    alike: float = 0.0


CASES = (
    Case("A/A", 0.3, answers=4000),
    Case("A/A, a tenth", 0.3, share=0.1, answers=4000),
    Case("A/A, rare", 0.02, answers=4000),
    Case("A/A, rare, a tenth", 0.02, share=0.1, answers=4000),
    Case("30 % and 35 %", 0.3, 0.05, answers=1000),
    Case("30 % and 35 %", 0.3, 0.05, answers=4000),
    Case("30 % and 40 %", 0.3, 0.1, answers=1000),
    Case("30 % and 35 %, a tenth", 0.3, 0.05, share=0.1, answers=4000),
    Case("2 % and 4 %", 0.02, 0.02, answers=4000),
    Case("2 % and 4 %, a tenth", 0.02, 0.02, share=0.1, answers=4000),
    Case("2 % and 20 %, a tenth", 0.02, 0.18, share=0.1, answers=1000),
    Case("A/A, 20 people", 0.3, people=20, alike=10),
    Case("A/A, 40 people", 0.3, people=40, alike=10),
    Case("A/A, 200 people", 0.3, people=200, alike=10),
    Case("A/A, 200 people, alike", 0.3, people=200, alike=1e6),
    Case("30 % and 40 %, 40 people", 0.3, 0.1, people=40, alike=10),
    Case("30 % and 40 %, 200 people", 0.3, 0.1, people=200, alike=10),
    Case("30 % and 40 %, 200 people, alike", 0.3, 0.1, people=200, alike=1e6),
    Case("A/A, rare, a tenth, 200 people", 0.02, share=0.1, people=200, alike=50),
)
"""Simulated cases, in order."""


@dataclass(frozen=True)
class VariantSums:
    """Sums of simulated experiments at each look; first axis experiment, last axis look."""

    first: UnitSums
    second: UnitSums


Test = Callable[[VariantSums], np.ndarray]
"""Whether each experiment ever showed a difference."""


def always(outcomes: VariantSums) -> np.ndarray:
    """The sequence of ``cortex experiment``, by people."""
    low, high = difference(outcomes.first, outcomes.second, _ERROR, 2 * _SMALLEST)
    return _any(low, high)


def always_by_answers(outcomes: VariantSums) -> np.ndarray:
    """The sequence with each answer treated as an independent unit."""
    low, high = difference(_apart(outcomes.first), _apart(outcomes.second), _ERROR, 2 * _SMALLEST)
    return _any(low, high)


def peeking(outcomes: VariantSums) -> np.ndarray:
    """The z-test of two proportions at each look, once there are 50 answers of each."""
    return ((np.abs(_z(outcomes)) > ndtri(1 - _ERROR / 2)) & _has_enough(outcomes)).any(axis=-1)


def once(outcomes: VariantSums) -> np.ndarray:
    """The z-test only at the end."""
    return np.abs(_z(outcomes))[..., -1] > ndtri(1 - _ERROR / 2)


def doubling(outcomes: VariantSums) -> np.ndarray:
    """The canary's: Newcombe's interval whenever the count has doubled, with half the error left.

    It is that of ``release.analysis``, for arrays.
    """
    fewest = np.minimum(outcomes.first.n, outcomes.second.n)
    rows = np.arange(len(fewest))
    significant = np.zeros(len(fewest), bool)
    look = 1
    while (due := _LEAST * 2 ** (look - 1)) <= fewest.max():
        index = (fewest >= due).argmax(axis=1)
        z = ndtri(1 - _ERROR / 2**look / 2)
        intervals = [_wilson(variant.y[rows, index], variant.n[rows, index], z) for variant in _variants(outcomes)]
        (first, one_low, one_high), (two, two_low, two_high) = intervals
        low = two - first - np.hypot(two - two_low, one_high - first)
        high = two - first + np.hypot(two_high - two, first - one_low)
        significant |= (fewest[rows, index] >= due) & ((low > 0) | (high < 0))
        look += 1
    return significant


TESTS: dict[str, Test] = {
    "always valid": always,
    "by answers": always_by_answers,
    "z, each look": peeking,
    "z, once": once,
    "canary": doubling,
}
"""Tests by column name."""


def measure(work: Workspace, repeats: int) -> list[Timing]:
    """Print the table, and return the cost of one look."""
    del work
    Console(width=120).print(table(CASES, _RUNS))
    variant = UnitSums(200, 10_000, 3000, 600_000, 180_000, 60_000)
    looks = 1000

    def look() -> None:
        for _ in range(looks):
            difference(variant, variant, _ERROR, 2 * _SMALLEST)
            sample_ratio(200, 200, 0.5)

    runs = tuple(timed(look) for _ in range(repeats))
    return [Timing("a thousand looks at an experiment", runs, amount=looks, unit="looks")]


def table(cases: Sequence[Case], runs: int) -> Table:
    """Share of experiments in which each test showed a difference."""
    table = Table("share that showed a difference", "answers", *TESTS, title="experiments")
    for index, case in enumerate(cases):
        case_shares = shares(case, runs, _SEED + index)
        answers = case.answers or case.people * _DAYS * _A_DAY
        table.add_row(case.what, f"{answers:,}", *(f"{case_shares[name]:.1%}" for name in TESTS))
    return table


def shares(case: Case, runs: int, seed: int) -> dict[str, float]:
    """Share of simulated experiments in which each test ever showed a difference."""
    random = np.random.default_rng(seed)
    counts = dict.fromkeys(TESTS, 0)
    for start in range(0, runs, _CHUNK):
        size = min(_CHUNK, runs - start)
        outcomes = (_by_people if case.people else _by_answers)(case, size, random)
        for name, test in TESTS.items():
            counts[name] += int(test(outcomes).sum())
    return {name: count / runs for name, count in counts.items()}


def _by_answers(case: Case, runs: int, random: np.random.Generator) -> VariantSums:
    second = random.random((runs, case.answers)) < case.share
    good = random.random((runs, case.answers)) < case.first + case.effect * second
    variants = []
    for mask in (~second, second):
        n, y = mask.cumsum(axis=1), (mask & good).cumsum(axis=1)
        variants.append(UnitSums(n, n, y, n, y, y))
    return VariantSums(*variants)


def _by_people(case: Case, runs: int, random: np.random.Generator) -> VariantSums:
    shape = (runs, case.people)
    usual = random.beta(case.first * case.alike, (1 - case.first) * case.alike, shape)
    second = random.random(shape) < case.share
    busy = random.gamma(2.0, _A_DAY / 2, shape)
    new = random.poisson(busy[..., None], (*shape, _DAYS))
    chance = np.clip(usual + case.effect * second, 0, 1)
    n = new.cumsum(axis=-1)
    y = random.binomial(new, chance[..., None]).cumsum(axis=-1)
    return VariantSums(*(_summed(n * mask[..., None], y * mask[..., None]) for mask in (~second, second)))


def _summed(n: np.ndarray, y: np.ndarray) -> UnitSums:
    return UnitSums(*(part.sum(axis=1) for part in (n > 0, n, y, n * n, n * y, y * y)))


def _apart(variant: UnitSums) -> UnitSums:
    return UnitSums(variant.n, variant.n, variant.y, variant.n, variant.y, variant.y)


def _variants(outcomes: VariantSums) -> Iterator[UnitSums]:
    yield outcomes.first
    yield outcomes.second


def _any(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    significant: np.ndarray = ((low > 0) | (high < 0)).any(axis=-1)
    return significant


def _has_enough(outcomes: VariantSums) -> np.ndarray:
    has_enough: np.ndarray = np.minimum(outcomes.first.n, outcomes.second.n) >= _LEAST
    return has_enough


def _z(outcomes: VariantSums) -> np.ndarray:
    n, m = (np.maximum(variant.n, 1) for variant in _variants(outcomes))
    pooled = (outcomes.first.y + outcomes.second.y) / (n + m)
    spread = np.sqrt(np.maximum(pooled * (1 - pooled), 1e-12) * (1 / n + 1 / m))
    z: np.ndarray = (outcomes.second.share - outcomes.first.share) / spread
    return z


def _wilson(good: np.ndarray, n: np.ndarray, z: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    n = np.maximum(n, 1)
    share = good / n
    scale = 1 + z * z / n
    centre = (share + z * z / (2 * n)) / scale
    half = z / scale * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return share, np.clip(centre - half, 0, share), np.clip(centre + half, share, 1)
