"""When to retrain: the retraining policy replayed over real histories.

In each repository of the folder that CORTEX_BENCH_REPOSITORIES names, the last days with changed
code are replayed. A model that was trained some night completes what the next days add; n-grams
with a cache stand for the adapter, for they can be trained and measured for every night. Beside the
policy stand training never, every night, every week, and what hindsight would do with as many
trainings.
"""

import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import SequenceMatcher
from hashlib import sha256
from itertools import pairwise
from math import log
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.search import git_folders
from benchmarks.timing import BenchmarkError, Spent, Timing
from benchmarks.workspace import Workspace
from cortex_pipelines.adapters.data.packing import TokenisedExample
from cortex_pipelines.api import load_parameters
from cortex_pipelines.ingestion.files.languages import language_of
from cortex_pipelines.ingestion.git.command import run_git
from cortex_pipelines.monitoring.policy import RetrainingInputs, should_retrain
from cortex_pipelines.monitoring.settings import RetrainingRule
from cortex_pipelines.schemas.vocabulary import LANGUAGES

_DAYS = 40
_VOCABULARY = 50_000
"""Vocabulary size; an unseen token costs as much as any other."""

_PROMPT = 200
_TOKENS_A_DAY = 800
_SHARES = (0.01, 0.02, 0.05, 0.1, 0.2)
"""Compared values of ``new_share``."""

_TOKEN = re.compile(r"\w+|[^\S\n]+|\n|[^\w\s]")

_HEAD = ("trainings", "bits a byte", "saved", "a training", "an hour", "regret")

Tree = dict[str, str]
_CONTEXT = 4
_MOST_TOKENS = 500_000
Context = tuple[int, ...]
Counts = dict[Context, dict[int, int]]


@dataclass(frozen=True)
class TokenNgrams:
    """Interpolated n-grams of tokens, smoothed after Witten and Bell (1991), with a cache of the prompt.

    Code repeats itself locally, so counts over the project and the preceding text predict it well (Hellendoorn and
    Devanbu, FSE 2017).
    """

    counts: Counts
    totals: dict[Context, int]
    vocabulary: int

    @classmethod
    def fit(cls, texts: Iterable[Sequence[int]], vocabulary: int) -> "TokenNgrams":
        counts: Counts = defaultdict(dict)
        token_count = 0
        for text in texts:
            for position in range(len(text)):
                _count(counts, text, position)
            token_count += len(text)
            if token_count >= _MOST_TOKENS:
                break
        totals = {context: sum(following.values()) for context, following in counts.items()}
        return cls(dict(counts), totals, vocabulary)

    def nats(self, example: TokenisedExample) -> np.ndarray:
        """Negative log probability of each token of a completion, counting the tokens before it, too."""
        text = example.ids[: example.prompt_tokens + example.text_tokens]
        local_counts: Counts = defaultdict(dict)
        context_totals: Counter[Context] = Counter()
        costs = []
        for position, token in enumerate(text):
            if position >= example.prompt_tokens:
                costs.append(-log(self._probability(local_counts, context_totals, text[:position], token)))
            context_totals.update(_count(local_counts, text, position))
        return np.array(costs)

    def _probability(
        self, local_counts: Counts, context_totals: Counter[Context], before: Sequence[int], token: int
    ) -> float:
        chance = 1 / self.vocabulary
        for size in range(min(_CONTEXT, len(before)) + 1):
            context = tuple(before[len(before) - size :])
            total = self.totals.get(context, 0) + context_totals[context]
            if not total:
                break  # no longer context was seen either
            following, local = self.counts.get(context, {}), local_counts.get(context, {})
            kinds = len(following) + sum(other not in following for other in local)
            count = following.get(token, 0) + local.get(token, 0)
            chance = (count + kinds * chance) / (total + kinds)
        return chance


def _count(counts: Counts, text: Sequence[int], position: int) -> list[Context]:
    contexts = [tuple(text[position - size : position]) for size in range(min(_CONTEXT, position) + 1)]
    for context in contexts:
        following = counts[context]
        following[text[position]] = following.get(text[position], 0) + 1
    return contexts


@dataclass(frozen=True)
class History:
    """A replayed repository.

    Args:
        name: Of the repository.
        when: Day of each step, from 0; step 0 is the state before all.
        bits: Bits of what a day adds under the model of an earlier night; shape (nights, days), 0
            for later nights.
        sizes: Bytes that each day adds, as far as they are measured.
        seconds: Processor time of a training, on the average.
        new: Blocks of a night's code that the code of an earlier one has not, shape (then, now).
        blocks: Blocks of each night's code.
    """

    name: str
    when: tuple[float, ...]
    bits: np.ndarray
    sizes: np.ndarray
    seconds: float
    new: np.ndarray
    blocks: np.ndarray


def measure(work: Workspace, repeats: int) -> list[Timing]:
    """Print the table for each repository and all; the timings are those of a training."""
    rule = load_parameters().retraining.code_adapter
    histories = [replay(name, folder) for name, folder in git_folders()]
    table = Table("history", "when", *_HEAD)
    for history in histories:
        for row in rows(history, rule):
            table.add_row(history.name, *row)
    Console(width=120).print(table)
    return [Timing(f"training on {entry.name}", (Spent(entry.seconds, entry.seconds),)) for entry in histories]


def rows(history: History, rule: RetrainingRule) -> Iterator[tuple[str, ...]]:
    """A row per decision rule.

    It has the number of trainings, bits a byte, per cent of those of never training again that are
    saved, in all, a training, and an hour of processor time, and bits a byte above what hindsight
    reaches with as many trainings.
    """
    ways = {
        "never": [],
        "nightly": list(range(1, len(history.sizes))),
        "weekly": _weekly(history),
        "policy": decided(history, rule),
        **{
            f"policy, new_share {share:g}": decided(history, rule.model_copy(update={"new_share": share}))
            for share in _SHARES
        },
    }
    never = cost(history, [])
    for name, nights in ways.items():
        reached = cost(history, nights)
        best = cost(history, hindsight(history, len(nights)))
        saved = 100 * (1 - reached / never)
        hours = len(nights) * history.seconds / 3600
        yield (
            name,
            str(len(nights)),
            f"{reached:.3f}",
            f"{saved:.1f} %",
            f"{saved / len(nights):.2f} %" if nights else "–",
            f"{saved / hours:,.0f} %" if hours else "–",
            f"{reached - best:.3f}",
        )


def cost(history: History, nights: Sequence[int]) -> float:
    """Bits a byte over all days if the model is trained on these nights, besides the first."""
    model = np.zeros(len(history.sizes), dtype=int)
    for night in nights:
        model[night:] = night
    bits = history.bits[model, np.arange(len(history.sizes))]
    return float(bits.sum() / history.sizes.sum())


def decided(history: History, rule: RetrainingRule) -> list[int]:
    """Nights on which the policy trains; cost and feedback are ignored here."""
    nights, last = [], 0
    for night in range(1, len(history.sizes)):
        new = int(history.new[last, night])
        evidence = RetrainingInputs(
            trained=True,
            champion=True,
            days=history.when[night] - history.when[last],
            new=new,
            new_share=new / max(int(history.blocks[night]), 1),
        )
        if should_retrain(evidence, rule, None).retrain:
            nights.append(night)
            last = night
    return nights


def _weekly(history: History) -> list[int]:
    nights, last = [], 0
    for night in range(1, len(history.sizes)):
        if history.when[night] - history.when[last] >= 7:
            nights.append(night)
            last = night
    return nights


def hindsight(history: History, count: int) -> list[int]:
    """The best nights for so many trainings, by dynamic programming over the days."""
    days = len(history.sizes)
    sums = np.concatenate([np.zeros((days, 1)), history.bits.cumsum(axis=1)], axis=1)
    # best[k][d]: fewest bits of the days before d with k trainings, and where the last one was
    best: list[dict[int, tuple[float, tuple[int, ...]]]] = [
        {day: (float(sums[0, day]), (0,)) for day in range(1, days + 1)}
    ]
    for _ in range(count):
        before = best[-1]
        current: dict[int, tuple[float, tuple[int, ...]]] = {}
        for day in range(1, days + 1):
            choices = [before[day]] + [
                (before[night][0] + float(sums[night, day] - sums[night, night]), (*before[night][1], night))
                for night in range(1, day)
            ]
            current[day] = min(choices)
        best.append(current)
    return list(best[-1][days][1][1:])


def replay(name: str, folder: Path) -> History:
    """Train on the code of every night, and measure each model on every later day.

    Args:
        name: Of the repository.
        folder: Its git folder.

    Raises:
        BenchmarkError: code changed on fewer than two days.
    """
    ends = _ends_of_days(folder)[-_DAYS - 1 :]
    if len(ends) < 2:
        raise BenchmarkError(f"{name}: code changed on {len(ends)} day; a replay needs two")
    trees = list(_trees(folder, [commit for _, commit in ends]))
    numbers: dict[str, int] = {}
    added = [list(_added(*pair, numbers)) for pair in pairwise(trees)]
    days = len(added)
    bits, spent = np.zeros((days, days)), 0.0
    for night, tree in enumerate(trees[:-1]):
        began = time.process_time()
        texts = (_ids(text, numbers) for _, text in sorted(tree.items()))
        model = TokenNgrams.fit(texts, _VOCABULARY)
        spent += time.process_time() - began
        for day in range(night, days):
            nats = sum(float(model.nats(example).sum()) for example in added[day])
            bits[night, day] = nats / log(2)
    blocks = [_blocks(tree) for tree in trees[:-1]]
    return History(
        name,
        tuple(moment / 86400 for moment, _ in ends[:-1]),
        bits,
        np.array([sum(example.text_bytes for example in day) for day in added], dtype=float),
        spent / days,
        np.array([[len(current - then) for current in blocks] for then in blocks]),
        np.array([len(current) for current in blocks]),
    )


def _ends_of_days(folder: Path) -> list[tuple[float, str]]:
    """Time and last commit of each day on which code changed, oldest first."""
    log = run_git(folder, "log", "--first-parent", "--format=%x00%ct %H", "--name-only")
    days: dict[str, tuple[float, str]] = {}
    for record in log.split("\0")[1:]:
        head, *paths = record.strip().splitlines()
        moment, commit = head.split()
        if any(_is_code(path) for path in paths):
            day = datetime.fromtimestamp(int(moment), UTC).date().isoformat()
            days.setdefault(day, (float(moment), commit))
    return sorted(days.values())


def _trees(folder: Path, commits: Sequence[str]) -> Iterator[Tree]:
    """Code by path at each commit; unchanged files are not read again."""
    hashes: dict[str, str] = {}
    for commit in commits:
        tree: Tree = {}
        for line in run_git(folder, "ls-tree", "-r", commit).splitlines():
            (_, kind, blob), path = line.split("\t")[0].split(), line.split("\t")[1]
            if kind == "blob" and _is_code(path):
                if blob not in hashes:
                    hashes[blob] = run_git(folder, "cat-file", "blob", blob)
                tree[path] = hashes[blob]
        yield tree


def _is_code(path: str) -> bool:
    return language_of(path, "") in LANGUAGES


def _added(before: Tree, after: Tree, numbers: dict[str, int]) -> Iterator[TokenisedExample]:
    """Code added on a day, each with the code before it, up to ``_TOKENS_A_DAY`` tokens."""
    blocks = []
    for path, text in sorted(after.items()):
        old = before.get(path, "").splitlines(keepends=True)
        new = text.splitlines(keepends=True)
        if old == new:
            continue
        for kind, _, _, begin, end in SequenceMatcher(None, old, new, False).get_opcodes():
            if kind in ("insert", "replace"):
                prompt = _ids("".join(new[:begin]), numbers)[-_PROMPT:] or _ids("\n", numbers)
                lines = "".join(new[begin:end])
                blocks.append((f"{path}:{begin}", prompt, _ids(lines, numbers), lines))
    remaining = _TOKENS_A_DAY
    for index, prompt, ids, text in sorted(blocks, key=lambda block: sha256(block[0].encode()).digest()):
        if remaining <= 0:
            return
        if len(ids) > remaining:
            text, ids = "".join(_TOKEN.findall(text)[:remaining]), ids[:remaining]
        remaining -= len(ids)
        yield TokenisedExample(index, "completion", (*prompt, *ids), len(prompt), len(ids), len(text.encode()))


def _ids(text: str, numbers: dict[str, int]) -> tuple[int, ...]:
    return tuple(numbers.setdefault(token, len(numbers)) for token in _TOKEN.findall(text))


def _blocks(tree: Mapping[str, str]) -> frozenset[str]:
    """Code between empty lines: stands for the examples of a data set."""
    return frozenset(
        block.strip() for text in tree.values() for block in re.split(r"\n\s*\n", text) if block.count("\n") >= 2
    )
