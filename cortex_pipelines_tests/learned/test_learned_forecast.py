import json
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from cortex_pipelines.learned.forecast.assets import performance_analyser
from cortex_pipelines.learned.forecast.collections import all_series, own_series
from cortex_pipelines.learned.forecast.methods import METHODS
from cortex_pipelines.learned.forecast.network import ForecastNetwork
from cortex_pipelines.learned.forecast.predict import against_random, forecast_series
from cortex_pipelines.learned.forecast.rolling import COMBINATION, backtest, forecast
from cortex_pipelines.learned.forecast.series import Series, Step, read_series, seasons
from cortex_pipelines.schemas.coordination import SYSTEM_METRICS, WORKER_METRICS
from cortex_pipelines.schemas.feedback import INTERACTIONS
from cortex_pipelines.schemas.ingestion import REPOSITORY_COMMITS
from cortex_pipelines_tests.command import cortex
from cortex_pipelines_tests.messages import missing
from cortex_pipelines_tests.parameters import load_cases
from cortex_pipelines_tests.routing.logs import PARAMETERS

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = Step(0, 3600)


def hours(values: np.ndarray | list[float], name: str = "series") -> Series:
    return Series(name, START, HOUR, np.asarray(values, dtype=np.float64))


def waves(count: int) -> np.ndarray:
    """A day and a week with noise; drawn, as what is tested is that both are found."""
    index, noise = np.arange(count), np.random.default_rng(1).normal(size=count)
    return 50 + 10 * np.sin(index * np.pi / 12) + 15 * (index // 24 % 7 >= 5) + noise


@pytest.mark.parametrize(("name", "case"), load_cases(__file__)["refused"].items())
def test_series_that_cannot_be_forecast_are_refused_with_a_sentence(tmp_path: Path, name: str, case: dict) -> None:
    path = tmp_path / "series.csv"
    path.write_text(case["text"])
    done = cortex("forecast", str(path), *case.get("options", []), status=1)
    assert case["words"] in done.output


def test_gaps_are_filled_in_and_said_and_steps_may_be_months(tmp_path: Path) -> None:
    path = tmp_path / "series.csv"
    days = [START + timedelta(days=n) for n in range(30) if n not in (5, 6)]
    path.write_text("date,load\n" + "".join(f"{day.date()},{'' if day.day == 20 else day.day}\n" for day in days))
    series = read_series(path)
    assert series.values.tolist() == pytest.approx([float(n) for n in range(1, 31)])
    assert series.notes == ("3 of 30 values were missing and are filled in",)
    path.write_text("time,value\n" + "".join(f"20{20 + n // 12}-{n % 12 + 1:02d}-01,{n % 12}\n" for n in range(48)))
    series = read_series(path)
    assert (series.step, seasons(series)) == (Step(1, 0), (12,))
    assert series.time(49) == datetime(2024, 2, 1, tzinfo=UTC)


def test_seasons_are_found_and_noise_has_none() -> None:
    assert seasons(hours(waves(24 * 7 * 5))) == (24, 168)
    assert seasons(hours(np.random.default_rng(2).normal(size=500))) == ()
    assert seasons(hours(np.arange(100.0))) == ()
    assert seasons(hours([1.0, 2.0, 3.0, 4.0, 5.0] * 20)) == (5,)
    walk = np.cumsum(np.random.default_rng(3).normal(size=500))
    assert seasons(hours(walk)) == ()  # it wanders, and seems to come back
    outliers = waves(24 * 7 * 5)
    outliers[::97] += 500
    assert seasons(hours(outliers)) == (24, 168)


def test_bands_hold_what_they_say_and_a_season_beats_no_season() -> None:
    values = waves(24 * 12)
    found = forecast(hours(values[:-24]), 24, {})
    assert np.abs(found.mean - values[-24:]).mean() < 1.5
    inside = ((found.low <= values[-24:]) & (values[-24:] <= found.high)).mean()
    assert 0.6 <= inside <= 1
    assert found.errors[COMBINATION] < found.errors["seasonal_naive"]


@pytest.mark.parametrize(
    "values", [[5.0] * 40, [0, 0, 3, 0, 0, 0, 1, 0] * 6, list(range(12)), [1, 2, 1, 3, 2, 4, 2, 9]], ids=len
)
def test_constant_intermittent_and_short_series_work(values: list[float]) -> None:
    found = forecast(hours(values), 6, {})
    assert np.isfinite([found.mean, found.low, found.high]).all()
    assert (found.low <= found.mean).all()
    assert (found.mean <= found.high).all()
    assert found.low.min() >= 0  # it was never negative
    if len(set(values)) == 1:
        assert (found.low == pytest.approx(5.0), found.high == pytest.approx(5.0)) == (True, True)


def test_no_method_reads_what_comes_after_its_origin() -> None:
    values = waves(24 * 5)
    turned = values.copy()
    first = backtest(hours(values), 24, METHODS)
    turned[first.ends[0] :] = 1e6
    second = backtest(hours(turned), 24, METHODS)
    for name, forecasts in first.forecasts.items():
        assert forecasts[0] == pytest.approx(second.forecasts[name][0])


def test_commits_are_counted_by_week_and_the_last_is_not_over() -> None:
    times = [START + timedelta(days=3 * n) for n in range(200)]
    commits = pl.DataFrame({"committed_at": times})
    hours_of_work = [START + timedelta(hours=n) for n in range(67) for _ in range(n % 7)]
    written = pl.DataFrame({"project": "shop", "first_at": hours_of_work})
    by_machine = written.with_columns(project=pl.lit("other"), simulated=True)
    interactions = pl.concat([written.with_columns(simulated=False), by_machine])
    (collection, series), (gateway, hourly) = own_series({"shop": commits}, interactions)
    assert (collection, series.step, gateway, hourly.step) == ("commits", Step(0, 604_800), "gateway", HOUR)
    assert series.values.sum() == sum(time < START + timedelta(weeks=len(series.values)) for time in times)
    assert hourly.values.tolist() == [n % 7 for n in range(66)]


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two metrics of a log as the coordination tables have them."""
    folder = tmp_path_factory.mktemp("tables")
    rows = [
        {
            "event_id": f"{n:03d}",
            "file": "load.jsonl",
            "byte_offset": n,
            "occurred_at": START + n * timedelta(hours=1),
            "metric": name,
            "value": float(value),
            "counter": False,
        }
        for name, series in (("queue", waves(90)), ("cpu", np.cumsum(waves(90) - 50)))
        for n, value in enumerate(series)
    ]
    WORKER_METRICS.frame([dict.fromkeys(WORKER_METRICS.schema) | row for row in rows]).write_parquet(
        folder / "worker_metrics.parquet"
    )
    SYSTEM_METRICS.empty().write_parquet(folder / "system_metrics.parquet")
    INTERACTIONS.empty().write_parquet(folder / "interactions.parquet")
    REPOSITORY_COMMITS.empty().write_parquet(folder / "commits.parquet")
    return folder


def test_the_analyser_is_made_twice_the_same_and_forecasts_with_its_network(tables: Path, tmp_path: Path) -> None:
    settings = PARAMETERS.forecasts.model_copy(
        update={"collections": ["coordination"], "epochs": 1, "trials": 1, "windows": 8, "hidden": 8, "horizon": 6}
    )
    outputs = []
    for name in "ab":
        out = tmp_path / name
        out.mkdir()
        made = performance_analyser(
            tables,
            {"shop": tables},
            tables,
            settings,
            PARAMETERS.evaluation,
            PARAMETERS.coordination,
            out,
            lambda *_: None,
        )
        outputs.append({path.name: path.read_bytes() for path in out.iterdir()} | {"errors": made["errors"].to_dicts()})
    assert outputs[0] == outputs[1]
    assert set(made["errors"]["candidate"]) == {*METHODS, "lstm_attention", COMBINATION}
    assert made["series"]["series"].to_list() == ["load.jsonl: cpu", "load.jsonl: queue"]
    assert made["leaderboard"].is_empty()  # two series are no comparison
    network = ForecastNetwork.load(tmp_path / "a")
    low, middle, high = network.quantiles(hours(waves(60)), (24,), 15)
    assert (low <= middle).all()
    assert (middle <= high).all()
    found = forecast_series(hours(waves(60)), 15, tmp_path / "a")
    assert "lstm_attention" in found["mase"]
    assert [row["time"] for row in found["forecast"][:2]] == ["2026-01-03T12:00:00+00:00", "2026-01-03T13:00:00+00:00"]


def test_public_series_come_inside_packages() -> None:
    no_interactions = INTERACTIONS.empty()
    names = {
        (collection, series.name)
        for collection, series in all_series(
            ["statsmodels", "river", "matplotlib"], WORKER_METRICS.empty(), {}, no_interactions
        )
    }
    expected = {
        ("statsmodels", "co2"),
        ("statsmodels", "elnino"),
        ("river", "airline_passengers"),
        ("river", "water_flow"),
        ("matplotlib", "IBM"),
    }
    assert expected <= names


def test_the_command_prints_a_table_or_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CORTEX_ROOT", raising=False)
    lines = [f"{(START + timedelta(hours=n)).isoformat()},{10 + 5 * math.sin(n * math.pi / 12)}" for n in range(24 * 5)]
    (tmp_path / "series.csv").write_text("\n".join(["time,value", *lines]))
    found = json.loads(cortex("forecast", "series.csv", "--horizon", "3", "--json").stdout)
    assert [set(row) for row in found["forecast"]] == [{"time", "mean", "low", "high"}] * 3
    assert found["winner"] in found["mase"]
    said = cortex("forecast", "series.csv", "--horizon", "3")
    assert missing(said.output, "2026-01-06T00:00:00", f"by {found['winner']}", "seasons of 24 steps") == []


def test_a_value_outside_its_band_is_explained_by_parts_that_add_up(tmp_path: Path) -> None:
    values = waves(24 * 8)
    values[-20] += 40
    path = tmp_path / "load.csv"
    times = [START + timedelta(hours=n) for n in range(len(values))]
    path.write_text("time,value\n" + "".join(f"{t.isoformat()},{v}\n" for t, v in zip(times, values, strict=True)))
    found = json.loads(cortex("explain", "anomaly", str(path), "--time", times[-20].isoformat(), "--json").stdout)
    assert (found["time"], found["outside"]) == (times[-20].isoformat(), "above")
    assert found["value"] > found["high"] > found["mean"] > found["low"]
    (day,) = found["seasons"]
    assert found["level"] + day["value"] + found["rest"] == pytest.approx(found["mean"])
    weekend = 15 * 20 / 24 / 5  # begins on one of the five days before, four hours earlier
    assert day["value"] == pytest.approx(10 * math.sin((len(values) - 20) * math.pi / 12) + weekend, abs=1)
    assert found["chance"] < 0.05
    assert "no value at 2030" in cortex("explain", "anomaly", str(path), "--time", "2030-01-01", status=1).output


def test_seasons_that_are_not_there_are_no_better_than_a_random_lag() -> None:
    noise = np.random.default_rng(5).normal(size=1400)
    day = 10 * np.sin(np.arange(1400) * np.pi / 12) + noise
    assert against_random(day, 24, 24).low > 0
    assert against_random(waves(1400), 168, 24).low > 0
    assert not against_random(day, 168, 24).low > 0
    assert not against_random(noise, 24, 24).low > 0
    assert not against_random(waves(1400)[:800], 168, 24).low > 0  # too short to say
