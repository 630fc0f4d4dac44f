import gzip
import json
import random
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from itertools import combinations_with_replacement, product
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from cortex_pipelines.cli.main import main
from cortex_pipelines.monitoring.drift.compare import compare, compare_texts
from cortex_pipelines.monitoring.drift.kinds import Drift, Feature
from cortex_pipelines_tests.parameters import load_cases

WORDS = load_cases(__file__)["WORDS"]


def sentences(random_: random.Random, topic: str, count: int) -> list[str]:
    words = WORDS[topic].split()
    return [
        f"please tell me about the {random_.choice(words)} and {random_.choice(words)} {number}"
        for number in range(count)
    ]


def encode(texts: Sequence[str]) -> np.ndarray:
    """A stand-in for the sentence encoder: which words are in a text, and a bit of noise."""
    vocabulary = " ".join(WORDS.values()).split()
    rows = np.array([[word in text for word in vocabulary] for text in texts], dtype=float)
    rows += np.random.default_rng(len(texts)).normal(0, 0.05, rows.shape)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def features_by_name(result: Drift) -> dict[str, Feature]:
    return {feature.name: feature for feature in result.features}


def rows(**columns: Sequence[Any]) -> list[dict[str, Any]]:
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


@pytest.mark.parametrize("duplicated", [False, True])
def test_p_values_of_texts_of_one_distribution_are_uniform(duplicated: bool) -> None:
    chances = []
    for seed in range(80):
        draw = random.Random(seed)
        texts = [text for topic in WORDS for text in sentences(draw, topic, 12)]
        texts = draw.choices(texts[:15], k=60) if duplicated else draw.sample(texts, 60)
        chances.append(compare_texts(texts, encode(texts), 30, 99, seed).p_value)
    shares = [float(np.mean(np.array(chances) <= level)) for level in (0.1, 0.5)]
    assert (shares[0], shares[1]) == (pytest.approx(0.1, abs=0.08), pytest.approx(0.5, abs=0.13))


def test_a_topic_that_is_new_is_found_among_known_ones() -> None:
    draw = random.Random(1)
    texts = [text for topic in list(WORDS)[:4] for text in sentences(draw, topic, 70)]
    draw.shuffle(texts)
    before = rows(text=texts[:150])
    after = rows(text=texts[150:270] + sentences(draw, "sport", 30))
    unchanged = rows(text=texts[150:280])
    feature = features_by_name(compare(before, after, encode))["text"]
    assert (feature.kind, feature.drift) == ("text", True)
    assert feature.p_value is not None
    assert feature.p_value <= 0.001
    assert not compare(before, unchanged, encode).drift


def test_a_comparison_repeats_and_does_not_depend_on_the_machine() -> None:
    texts = sentences(random.Random(2), "code", 80)
    tests = [compare_texts(texts, encode(texts), 40, 199, 1) for _ in range(2)]
    assert tests[0] == tests[1]


def test_each_kind_of_column_is_recognised() -> None:
    draw = random.Random(3)
    size = 200

    def sample() -> list[dict[str, Any]]:
        return rows(
            key=[f"task-{draw.randrange(10**9)}" for _ in range(size)],
            number=[draw.gauss(0, 1) for _ in range(size)],
            grade=[draw.randint(1, 5) for _ in range(size)],
            right=[draw.random() < 0.5 for _ in range(size)],
            city=[draw.choice(["Bern", "Oslo", "Rome"]) for _ in range(size)],
            at=[f"2026-01-{draw.randint(10, 28)}T10:00:00Z" for _ in range(size)],
            row=range(size),
            same=["x"] * size,
            none=[None] * size,
            nested=[{"depth": draw.random(), "tags": ["a"]} for _ in range(size)],
            mixed=[draw.choice([1, "one", True, None]) for _ in range(size)],
            text=sentences(draw, "bank", size),
        )

    result = compare(sample(), sample(), encode)
    assert not result.drift
    kinds: dict[str, set[str]] = {}
    for feature in result.features:
        kinds.setdefault(feature.kind, set()).add(feature.name)
    assert kinds == {
        **{"time": {"at"}, "text": {"text"}, "number": {"number", "nested.depth"}, "identifier": {"key", "row"}},
        **{"category": {"city", "grade", "mixed", "right"}, "constant": {"nested.tags", "none", "same"}},
    }


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([0.1 * n for n in range(100)], [0.1 * n + 5 for n in range(100)]),
        (["a", "b"] * 50, ["a", "a", "a", "b"] * 25),
        (["a", "b"] * 50, ["a", "b", "new", "a"] * 25),
        ([True, False] * 50, [True] * 90 + [False] * 10),
        ([1.5 * n for n in range(100)], [None, *(1.5 * n for n in range(1, 50))] * 2),
        (["x"] * 100, ["y"] * 100),
    ],
)
def test_a_change_of_each_kind_is_found(before: list[Any], after: list[Any]) -> None:
    after = after if len(after) == 100 or None not in after else [None] * 30 + after[:70]
    result = compare(rows(value=before), rows(value=after), encode)
    assert result.drift
    assert result.share == 1


@pytest.mark.parametrize("convert", [str, lambda n: Decimal(str(n)), lambda n: f" {n:.3e}"])
def test_numbers_are_compared_as_numbers_however_they_are_written(convert: Any) -> None:
    before = rows(value=[convert(1000 + n * 7 % 997) for n in range(300)])
    after = rows(value=[convert(1400 + n * 7 % 997) for n in range(300)])
    feature = features_by_name(compare(before, after, encode))["value"]
    assert (feature.kind, feature.drift) == ("number", True)
    as_text = rows(value=[str(n) for n in range(300)])
    assert features_by_name(compare(as_text, as_text, encode))["value"].kind == "identifier"
    codes = rows(value=[f"0{n * 7919 % 10_007:05}" for n in range(300)])
    assert features_by_name(compare(codes, codes, encode))["value"].kind == "identifier"


WRITERS: dict[str, Any] = {
    "number": int,
    "text": str,
    "half": lambda n: n if n % 2 else str(n),
    "float": float,
    "padded": lambda n: f" {n}.0 " if n % 3 else n,
    "exported": lambda n: "" if n % 50 == 0 else str(n),
}


@pytest.mark.parametrize(("reference_form", "current_form"), list(product(WRITERS, repeat=2)))
def test_a_number_here_and_text_there_are_compared_as_numbers(reference_form: str, current_form: str) -> None:
    draw = random.Random(5)
    before = [draw.randrange(1000) for _ in range(400)]
    after = [draw.randrange(200, 1200) for _ in range(400)]
    numbers = [draw.randrange(1000) for _ in range(400)]
    reference = rows(n=[WRITERS[reference_form](n) for n in before])
    feature = features_by_name(compare(reference, rows(n=[WRITERS[current_form](n) for n in after]), encode))["n"]
    stayed = features_by_name(compare(reference, rows(n=[WRITERS[current_form](n) for n in numbers]), encode))["n"]
    assert (feature.kind, feature.test, feature.drift) == ("number", "Kolmogorov-Smirnov", True)
    assert stayed.kind == "number"
    # what an export leaves empty is missing, as it is
    assert not stayed.drift or (reference_form == "exported") != (current_form == "exported")


@pytest.mark.parametrize(
    ("reference_form", "current_form"),
    [
        (lambda n: bool(n % 2), lambda n: str(bool(n % 2)).lower()),
        (lambda n: n % 4, lambda n: str(n % 4)),
        (lambda n: float(n % 4), lambda n: n % 4),
    ],
)
def test_a_category_that_is_written_otherwise_does_not_drift(reference_form: Any, current_form: Any) -> None:
    before, after = (rows(c=[write(n) for n in range(300)]) for write in (reference_form, current_form))
    result = compare(before, after, encode)
    assert (features_by_name(result)["c"].kind, result.drift) == ("category", False)


_BEGAN = 1_760_000_000
TIMES: dict[str, Any] = {
    "seconds": lambda n: _BEGAN + n * 37 % 9_000,
    "milliseconds": lambda n: (_BEGAN + n * 37 % 9_000) * 1_000,
    "digits": lambda n: str(_BEGAN + n * 37 % 9_000),
    "iso": lambda n: datetime.fromtimestamp(_BEGAN + n * 37 % 9_000, UTC).isoformat(),
    "moment": lambda n: datetime.fromtimestamp(_BEGAN + n * 37 % 9_000, UTC),
    "mixed": lambda n: TIMES["iso" if n % 2 else "seconds"](n),
}


@pytest.mark.parametrize(("reference_form", "current_form"), list(combinations_with_replacement(TIMES, 2)))
def test_a_time_here_and_a_number_there_are_times(reference_form: str, current_form: str) -> None:
    result = compare(
        *[rows(ts=[TIMES[name](n) for n in range(300)]) for name in (reference_form, current_form)], encode
    )
    assert (features_by_name(result)["ts"].kind, result.drift) == ("time", False)


@pytest.mark.parametrize(
    ("name", "timestamp"),
    [
        ("ts", lambda n: 1_760_000_000 + n * 37 % 9_000 + 0.25),
        ("createdAt", lambda n: 1_760_000_000_000 + n * 37_001 % 9_000_000),
        ("ts", lambda n: str(1_760_000_000 + n * 37 % 9_000)),
        ("moment", lambda n: 1_760_000_000_000 + n // 2),
        ("said", lambda n: f"Mon, {1 + n % 28:02} Nov 2026 03:{n % 60:02}:15 +0100"),
        ("seen", lambda n: f"[{1 + n % 28:02}/Nov/2026:03:{n % 60:02}:15 +0000]"),
        ("sold", lambda n: f"11/{1 + n % 28}/2026 3:{n % 60:02} PM"),
    ],
)
def test_time_stamps_are_no_numbers_to_compare(name: str, timestamp: Any) -> None:
    before = rows(**{name: [timestamp(n) for n in range(300)]})
    result = compare(before, rows(**{name: [timestamp(n + 100_000) for n in range(300)]}), encode)
    assert (features_by_name(result)[name].kind, result.drift) == ("time", False)


def test_large_numbers_are_no_time_stamps_by_their_size_alone() -> None:
    before = rows(size=[1_500_000_000 + n * 7919 % 10_007 for n in range(300)])
    after = rows(size=[1_500_020_000 + n * 7919 % 10_007 for n in range(300)])
    feature = features_by_name(compare(before, after, encode))["size"]
    assert (feature.kind, feature.drift) == ("number", True)


def test_a_column_of_one_file_only_is_one_of_missing_values() -> None:
    before = rows(a=[0.1 * n for n in range(50)], b=[0.3 * n for n in range(50)])
    result = features_by_name(compare(before, [{"a": row["a"]} for row in before], encode))
    assert result["b"].drift
    assert str(result["b"].test).startswith("missing values")
    assert not result["a"].drift


def test_many_columns_of_one_distribution_seldom_raise_an_alarm() -> None:
    alarms = 0
    for seed in range(60):
        random_ = np.random.default_rng(seed)
        samples = [
            [dict(zip("abcdefghij", row, strict=True)) for row in random_.normal(size=(40, 10))] for _ in range(2)
        ]
        alarms += compare(*samples, encode).drift
    assert alarms <= 3


TEXTS = st.text(max_size=20) | st.sampled_from(["the cat sat", "a dog ran", "2026-01-01"])
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=4,
)
SAMPLE = st.lists(st.dictionaries(st.sampled_from("ab"), ANY), min_size=1, max_size=6)


@given(SAMPLE, SAMPLE)
def test_any_records_can_be_compared(before: list[dict[str, Any]], after: list[Any]) -> None:
    result = compare(before, after, lambda texts: np.full((len(texts), 2), 0.5**0.5))
    assert json.loads(json.dumps([feature.p_value for feature in result.features])) is not None
    assert all(0 <= f.p_value <= 1 for f in result.features if f.p_value is not None)


def drift_command(*arguments: Path | str) -> Any:
    return CliRunner().invoke(main, ["drift", *map(str, arguments)])


def test_the_command_compares_json_lines_with_parquet(tmp_path: Path) -> None:
    before, after = tmp_path / "before.jsonl", tmp_path / "after.parquet"
    values = [{"x": n * 0.5, "kind": "ab"[n % 2]} for n in range(60)]
    before.write_text("\n".join(json.dumps(row) for row in values) + "\n\n")
    pl.DataFrame([row | {"x": row["x"] + 20} for row in values]).write_parquet(after)
    result = drift_command(before, after, "--json")
    assert result.exit_code == 0, result.output
    output = json.loads(result.stdout)
    assert output["drift"]
    assert (output["share"], [feature["name"] for feature in output["features"] if feature["drift"]]) == (0.5, ["x"])
    assert set(output["features"][0]) == {"name", "kind", "test", "statistic", "p_value", "drift"}
    packed = tmp_path / "before.jsonl.gz"
    packed.write_bytes(gzip.compress(before.read_bytes()))
    packed_result = drift_command(before, packed)
    assert packed_result.exit_code == 0
    assert "0% of the compared columns drift" in packed_result.stdout


@pytest.mark.slow
def test_the_command_finds_new_topics_with_the_sentence_encoder(tmp_path: Path) -> None:
    draw = random.Random(4)
    topic_texts = [text for topic in list(WORDS)[:4] for text in sentences(draw, topic, 70)]
    draw.shuffle(topic_texts)
    for name, texts in {"before": topic_texts[:140], "after": topic_texts[140:] + sentences(draw, "sport", 35)}.items():
        (tmp_path / f"{name}.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in texts))
    assert json.loads(drift_command(tmp_path / "before.jsonl", tmp_path / "after.jsonl", "--json").stdout)["drift"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "holds no record"),
        (gzip.compress(b'{"a": 1}\n', mtime=0)[:-9], "cannot be unpacked"),
        (b'{"a": 1}\n[1]\n', "line 2 is not a JSON object"),
        (b"a,b\n1,2\n", "line 1 is not JSON"),
        (b"\xff\xfe\x00", "line 1 is not JSON"),
        (b"PAR1 and nothing more", "begins like Parquet but cannot be read"),
    ],
)
def test_a_file_that_is_no_sample_is_a_sentence(tmp_path: Path, content: bytes, problem: str) -> None:
    path, good = tmp_path / "bad", tmp_path / "good.jsonl"
    path.write_bytes(content)
    good.write_text('{"a": 1}\n')
    result = drift_command(good, path)
    assert result.exit_code == 1
    assert problem in result.stderr
    assert "no such file" in drift_command(good, tmp_path / "none").stderr
