import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score

from cortex_pipelines.monitoring.anomalies.table_scores import raise_alarms, score_series
from cortex_pipelines_tests.command import cortex

RECORDS, LEARNT = 1500, 225


def beat(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A periodic signal in which one beat is flattened."""
    random = np.random.default_rng(seed)
    time = np.arange(RECORDS)
    values = np.sin(time / 6) + 0.5 * np.sin(time / 3 + 1) + random.normal(0, 0.1, RECORDS)
    labels = np.zeros(RECORDS, dtype=bool)
    labels[900:930] = True
    values[labels] *= 0.3
    return values[:, None], labels


def pump(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Sensors that hang together; in a stretch two of them shift."""
    random = np.random.default_rng(seed)
    values = random.normal(size=(RECORDS, 2)) @ random.normal(size=(2, 6))
    values += random.normal(0, 0.5, values.shape)
    labels = np.zeros(RECORDS, dtype=bool)
    labels[800:1100] = True
    values[800:1100, :2] += 2
    return values, labels


def drifting(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Nothing is wrong: level and noise move after what was learnt."""
    random = np.random.default_rng(seed)
    slope = np.clip((np.arange(RECORDS) - 400) / 600, 0, 1)
    return (random.normal(size=RECORDS) * (1 + slope) + 5 * slope)[:, None], np.zeros(RECORDS, dtype=bool)


def alarms_of(values: np.ndarray) -> np.ndarray:
    scores, began = score_series(values, LEARNT)
    return raise_alarms(scores[began:], LEARNT - began)[LEARNT - began :]


@pytest.mark.parametrize("family", [beat, pump])
def test_it_ranks_above_a_windowed_isolation_forest(family: Any) -> None:
    gained = []
    for seed in range(3):
        values, labels = family(seed)
        windows = np.lib.stride_tricks.sliding_window_view(values, 10, axis=0).reshape(-1, 10 * values.shape[1])
        plain = -IsolationForest(random_state=0).fit(windows[: LEARNT - 9]).score_samples(windows)[LEARNT - 9 :]
        ours = score_series(values, LEARNT)[0][LEARNT:]
        precision = [average_precision_score(labels[LEARNT:], scores) for scores in (ours, plain)]
        assert precision[0] > 0.5
        gained.append(precision[0] - precision[1])
    assert np.mean(gained) > 0


ODD = (400, 750, 1100, 1400)


def beside_noise(column: np.ndarray, noise: int) -> np.ndarray:
    return np.column_stack([np.random.default_rng(9).normal(100, 10, (RECORDS, noise)), column])


@pytest.mark.parametrize("noise", [1, 10])
def test_what_never_moved_and_then_does_raises_an_alarm(noise: int) -> None:
    errors = np.zeros(RECORDS)
    for start in (500, 1200):
        errors[start : start + 10] = 0.01
    alarms = alarms_of(beside_noise(errors, noise))
    assert all(alarms[start - LEARNT : start - LEARNT + 10].any() for start in (500, 1200))
    assert alarms.mean() < 0.02


def test_what_moves_now_and_then_from_then_on_does_not_hide_another_column() -> None:
    errors = np.random.default_rng(10).poisson(0.02, RECORDS).astype(float)
    errors[:LEARNT] = 0
    values = beside_noise(errors, 3)
    values[list(ODD), 0] += 100
    alarms = alarms_of(values)
    assert sum(alarms[start - LEARNT : start - LEARNT + 3].any() for start in ODD) >= 3


@pytest.mark.parametrize("family", [beat, pump, drifting])
def test_usual_records_seldom_raise_an_alarm(family: Any) -> None:
    values, labels = family(4)
    assert alarms_of(values)[~labels[LEARNT:]].mean() <= 0.02


@given(st.lists(st.floats(-1e6, 1e6), min_size=300, max_size=600), st.booleans())
def test_the_share_of_alarms_is_bounded_whatever_the_scores(scores: list[float], rising: bool) -> None:
    values = np.array(sorted(scores) if rising else scores)
    later = len(values) - 50
    assert raise_alarms(values, 50).sum() <= 0.01 * later + (0.01 + 0.002) / 0.002 + 1


def test_exchangeable_scores_raise_alarms_at_the_rate() -> None:
    assert raise_alarms(np.random.default_rng(1).normal(size=20_000), 200).mean() == pytest.approx(0.01, abs=0.002)


@pytest.mark.parametrize("noise", [0.0, 1e-3])
def test_records_that_are_alike_raise_no_alarm_however_many_there_are(noise: float) -> None:
    scores = np.zeros(60_000)
    scores[:300] = np.random.default_rng(2).normal(0, noise, 300) if noise else 0
    alarms = raise_alarms(scores, 300)
    assert not alarms[2_300:].any()
    assert alarms.sum() <= 6
    scores[-1] = 1
    assert raise_alarms(scores, 300)[-1]


def test_later_records_do_not_change_earlier_scores() -> None:
    values, _ = pump(5)
    expected, _ = score_series(values, LEARNT)
    assert np.allclose(expected[:1000], score_series(values[:1000], LEARNT)[0], atol=1e-4)


def table(folder: Path, columns: dict[str, Any], separator: str = ",") -> Path:
    path = folder / "table.csv"
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator)
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    path.write_text(text.getvalue())
    return path


def scored(path: Path, *options: str) -> tuple[list[dict[str, str]], str]:
    out = path.with_name("scores.csv")
    result = cortex("anomalies", "score", str(path), "--out", str(out), *options)
    return list(csv.DictReader(io.StringIO(out.read_text()))), result.stderr


def test_the_command_writes_a_line_for_a_line(tmp_path: Path) -> None:
    values, labels = beat(6)
    times = [f"2026-01-01 {n // 60 % 24:02}:{n % 60:02}:00" for n in range(RECORDS)]
    path = table(tmp_path, {"timestamp": times, "x": values[:, 0], "unit": ["bar"] * RECORDS}, ";")
    rows, notes = scored(path)
    assert (list(rows[0]), [row["timestamp"] for row in rows]) == (["timestamp", "score", "alarm"], times)
    assert {row["alarm"] for row in rows} == {"0", "1"}
    assert any(row["alarm"] == "1" for row, odd in zip(rows, labels, strict=True) if odd)
    assert not any(row["alarm"] == "1" for row in rows[:LEARNT])
    assert "ignored, as they hold no numbers: unit" in notes
    assert scored(path)[0] == rows


def test_records_are_judged_in_order_of_time_and_written_in_their_own(tmp_path: Path) -> None:
    values, _ = beat(7)
    forward, _ = scored(table(tmp_path, {"timestamp": range(RECORDS), "x": values[:, 0]}))
    backward, _ = scored(table(tmp_path, {"timestamp": range(RECORDS - 1, -1, -1), "x": values[::-1, 0]}))
    assert backward == forward[::-1]


def test_a_table_is_not_overwritten_by_its_scores(tmp_path: Path) -> None:
    path = table(tmp_path, {"timestamp": range(400), "x": range(400)})
    link, before = tmp_path / "link.csv", path.read_bytes()
    link.symlink_to(path)
    assert "is the table itself" in cortex("anomalies", "score", str(path), "--out", str(link), status=1).stderr
    assert path.read_bytes() == before


def test_gaps_constants_and_enormous_values_are_scored(tmp_path: Path) -> None:
    values = np.random.default_rng(8).normal(size=400)
    x: list[Any] = [*values[:300], "", "NaN", "inf", "1e300", *values[304:]]
    columns = {"timestamp": ["?"] * 400, "x": x, "same": [3] * 400, "late": [""] * 200 + [1] * 200}
    rows, _ = scored(table(tmp_path, columns))
    assert all(np.isfinite(float(row["score"])) for row in rows)


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ({"time": [1, 2], "x": [1, 2]}, "has no column timestamp; it has time, x"),
        ({"timestamp": [1, 2], "x": ["a", "b"]}, "no column of numbers besides timestamp"),
        ({"timestamp": [1, 2], "x": [1, 2]}, "0 records to learn from; at least 40"),
        ({"timestamp": [], "x": []}, "no column of numbers"),
    ],
)
def test_what_is_no_such_table_is_a_sentence(tmp_path: Path, columns: dict[str, Any], problem: str) -> None:
    path, out = table(tmp_path, columns), tmp_path / "out.csv"
    assert problem in cortex("anomalies", "score", str(path), "--out", str(out), status=1).stderr
    assert not out.exists()
    missing = ["anomalies", "score", str(tmp_path / "none.csv"), "--out", str(out)]
    assert "no such file" in cortex(*missing, status=1).stderr
