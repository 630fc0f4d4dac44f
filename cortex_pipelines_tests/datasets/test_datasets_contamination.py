"""What stands in a benchmark is left out; a benchmark that cannot be read is an error."""

import hashlib
import json
from pathlib import Path

import polars as pl
import pytest

from cortex_pipelines.datasets.decontamination import (
    SHIPPED,
    BenchmarkError,
    contaminated,
    fingerprints_of,
    load_fingerprints,
    matches,
)
from cortex_pipelines.datasets.settings import Benchmark, DatasetSettings

TASK = (
    "def interleave(first, second):\n"
    '    """Take from both lists in turn until the shorter one is used up."""\n'
    "    result = []\n    for left, right in zip(first, second):\n"
    "        result.append(left)\n        result.append(right)\n    return result\n"
)
OTHER = "def total(prices):\n    return sum(price.amount * price.count for price in prices)\n"


def benchmark(root: Path, name: str, data: bytes) -> Benchmark:
    (root / name).write_bytes(data)
    return Benchmark(path=name, sha256=hashlib.sha256(data).hexdigest())


def of_jsonl(root: Path) -> Benchmark:
    rows = [{"id": 7, "text": TASK}, "a plain string", {"text": None}]
    return benchmark(root, "own.jsonl", "\n\n".join(map(json.dumps, rows)).encode())


def of_parquet(root: Path) -> Benchmark:
    pl.DataFrame({"n": [1], "text": [TASK]}).write_parquet(root / "own.parquet")
    return benchmark(root, "own.parquet", (root / "own.parquet").read_bytes())


def of_text(root: Path) -> Benchmark:
    return benchmark(root, "own.txt", TASK.encode())


@pytest.mark.parametrize("make", [of_jsonl, of_parquet, of_text])
def test_a_users_list_is_kept_out(make: object, tmp_path: Path, settings: DatasetSettings) -> None:
    user_list = make(tmp_path)  # type: ignore[operator]
    with_own = settings.model_copy(update={"decontaminate": (user_list,)})
    benchmarks = load_fingerprints(tmp_path, with_own)
    inside = f"class A:\n    x = 1\n\n{TASK}\n{OTHER}"
    assert contaminated([OTHER, TASK, inside, ""], benchmarks).to_list() == [False, True, True, False]


def test_what_counts_is_half_of_an_item_that_is_long_enough(settings: DatasetSettings) -> None:
    words = [f"word{n}" for n in range(109)]
    benchmarks = [fingerprints_of([" ".join(words)], 10, settings.contamination_share)]
    half = " ".join(words[:59])
    less = " ".join(words[:58])
    assert contaminated([half, less], benchmarks).to_list() == [True, False]
    benchmarks = [fingerprints_of(["def is_even(n): return n % 2 == 0"], 10, settings.contamination_share)]
    assert not contaminated(["def is_even(n): return n % 2 == 0"], benchmarks).any()
    assert not contaminated([TASK], [fingerprints_of([], 10, settings.contamination_share)]).any()


def test_the_shipped_benchmarks_are_there_and_hold_no_text(tmp_path: Path, settings: DatasetSettings) -> None:
    humaneval, mbpp = load_fingerprints(tmp_path, settings)
    assert len(humaneval.sets) > 450
    assert len(mbpp.sets) > 1800
    for path in SHIPPED.glob("*.parquet"):
        assert pl.read_parquet_schema(path) == {"item": pl.UInt32, "shingle": pl.UInt64}


def test_each_shipped_item_is_recognised(tmp_path: Path, settings: DatasetSettings) -> None:
    """By its hashes, as no text of a benchmark lies here."""
    for shipped in load_fingerprints(tmp_path, settings):
        matched = set(matches(shipped.sets, shipped))
        assert matched == set(range(len(shipped.sets)))


@pytest.mark.parametrize(
    ("user_list", "words"),
    [
        (Benchmark(path="gone.txt", sha256="0" * 64), "cannot be read"),
        (Benchmark(path="here.txt", sha256="0" * 64), f"sha256 {hashlib.sha256(b'x').hexdigest()}"),
        (Benchmark(path="bad.jsonl", sha256=hashlib.sha256(b"\n{oh").hexdigest()), "line 2 is not valid JSON"),
    ],
)
def test_an_unreadable_list_is_named(
    user_list: Benchmark, words: str, tmp_path: Path, settings: DatasetSettings
) -> None:
    (tmp_path / "here.txt").write_bytes(b"x")
    (tmp_path / "bad.jsonl").write_bytes(b"\n{oh")
    with pytest.raises(BenchmarkError, match=words):
        load_fingerprints(tmp_path, settings.model_copy(update={"decontaminate": (user_list,)}))
