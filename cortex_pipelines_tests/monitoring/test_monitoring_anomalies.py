"""Series that a generator drew state properties; no figure from them is evidence. One test has real measurements."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from cortex_pipelines.config import load_parameters
from cortex_pipelines.coordination.assets import coordination_tables
from cortex_pipelines.coordination.logs import read_logs, take_coordination_pin
from cortex_pipelines.monitoring.anomalies.detect import fit_and_score
from cortex_pipelines.monitoring.anomalies.detector_store import (
    DetectorError,
    load_detectors,
    save_detectors,
    score_records,
)
from cortex_pipelines.monitoring.anomalies.detectors import (
    DetectorEnsemble,
    IsolationForestDetector,
    choose_detector,
    disturbed,
    fit_detectors,
    outscored_shares,
)
from cortex_pipelines.monitoring.anomalies.windows import Scale, all_series, divide
from cortex_pipelines.monitoring.assets import worker_anomalies
from cortex_pipelines.schemas.coordination import WORKER_METRICS
from cortex_pipelines.serving.http.errors import add_error_handlers
from cortex_pipelines.serving.http.project_routes import services_router
from cortex_pipelines.serving.project_services import project_services
from cortex_pipelines.versioning.content import content_md5
from cortex_pipelines_tests.command import cortex

ROOT = Path(__file__).parents[2]
PARAMETERS = load_parameters(ROOT)
SETTINGS = PARAMETERS.anomalies.model_copy(update={"epochs": 100, "trees": 50})
START = datetime(2026, 3, 2, tzinfo=UTC)


def generated(records: int, workers: int = 2, seed: int = 0) -> pl.DataFrame:
    """Metrics of workers whose load and memory go up and down together; drawn by a generator."""
    random = np.random.default_rng(seed)
    rows = []
    for worker in range(workers):
        load = 50 + 10 * np.sin(np.arange(records) / 5) + random.normal(size=records)
        memory = 4 * load + random.normal(size=records)
        for n in range(records):
            record = dict.fromkeys(WORKER_METRICS.schema) | {"file": "worker-health.jsonl", "worker": f"w{worker}"}
            record |= {"event_id": f"{worker}-{n:05}", "byte_offset": n * 10 + worker, "counter": False}
            record |= {"occurred_at": START + timedelta(seconds=10 * n)}
            for metric, value in (("load", load[n]), ("memory", memory[n])):
                rows.append(record | {"metric": metric, "value": float(value)})
    return WORKER_METRICS.frame(rows)


def with_a_stuck_worker(metrics: pl.DataFrame, first: int) -> pl.DataFrame:
    """The memory of w1 stands still from a record on, far from where its load would have it."""
    struck = (pl.col("worker") == "w1") & (pl.col("metric") == "memory") & (pl.col("byte_offset") >= first * 10)
    return metrics.with_columns(pl.when(struck).then(600.0).otherwise("value").alias("value"))


def write_log_tables(logs: Path, folder: Path) -> None:
    pin = take_coordination_pin(logs, logs, PARAMETERS.privacy)
    read_logs(logs, pin, PARAMETERS.coordination, PARAMETERS.privacy).events.write_parquet(folder / "events.parquet")
    for name, frame in coordination_tables(folder, PARAMETERS.coordination, PARAMETERS.log_tables).items():
        frame.write_parquet(folder / f"{name}.parquet")


def test_an_alert_names_worker_window_and_metric() -> None:
    _, tables = fit_and_score(with_a_stuck_worker(generated(200), 185), SETTINGS)
    alerts = tables["alerts"]
    stuck = alerts.filter(pl.col("subject") == "w1")
    assert stuck.height >= 10
    assert (set(stuck["metric"]), set(stuck["observed"])) == ({"memory"}, {600.0})
    assert stuck["usual"].is_between(150, 250).all()
    assert stuck["start"].min() >= START + timedelta(seconds=10 * 179)
    assert (stuck["score"] > stuck["threshold"]).all()
    assert alerts.filter(pl.col("subject") == "w0").height < stuck.height / 2


def test_what_comes_later_changes_neither_detector_nor_threshold() -> None:
    before, after = (fit_and_score(m, SETTINGS)[1] for m in (generated(200), with_a_stuck_worker(generated(200), 185)))
    assert before["series"].equals(after["series"])
    early = pl.col("part") != "latest"
    assert before["windows"].filter(early).equals(after["windows"].filter(early))


def test_watching_repeats_byte_for_byte() -> None:
    metrics = generated(120)
    first, second = (fit_and_score(rows, SETTINGS)[1] for rows in (metrics, metrics.reverse()))
    assert all(first[name].equals(second[name]) for name in first)


def test_no_window_reaches_over_the_end_of_a_part() -> None:
    (log,) = all_series(generated(100), SETTINGS.metrics_present)
    parts = divide(log, SETTINGS)
    assert [len(parts[name]) for name in ("train", "threshold", "latest")] == [110, 30, 30]
    assert max(parts["train"].ends) < min(parts["threshold"].starts)
    assert max(parts["threshold"].ends) < min(parts["latest"].starts)


def test_counters_are_looked_at_as_rates_and_gaps_are_filled() -> None:
    metrics = generated(4, workers=1)
    load = pl.col("metric") == "load"
    gap = metrics.with_columns(
        pl.when(load).then(pl.lit(value=True)).otherwise("counter").alias("counter"),
        pl.when(load & (pl.col("byte_offset") != 0)).then(2.5).otherwise("rate").alias("rate"),
    ).filter((pl.col("metric") != "memory") | (pl.col("byte_offset") != 20))
    ((series,),) = all_series(gap, 0.5)
    assert (series.metrics, series.values[:, 0].tolist()) == (("load", "memory"), [2.5] * 4)
    assert series.values[2, 1] == series.values[1, 1]
    assert all_series(metrics.with_columns(value=None), 0.5) == []
    ((rare,),) = all_series(gap.filter((pl.col("metric") == "load") | (pl.col("byte_offset") < 10)), 0.5)
    assert rare.metrics == ("load",)


def test_a_scale_is_finite_whatever_never_varies() -> None:
    values = np.array([[1.0, 5.0], [1.0, 5.0], [1.0, 5.0], [1.0, 5.0], [1.0, 9.0]] * 3)
    scale = Scale.fit(values)
    assert np.isfinite(scale.apply(values)).all()
    assert (scale.spread > 0).all()
    assert np.abs(scale.apply(np.array([[1e300, -1e300]]))).max() == 50


@pytest.mark.parametrize(("usual", "later"), [(0.0, 0.01), (0.0, -300.0), (0.1, 0.1001)])
def test_any_movement_of_a_metric_that_never_moved_is_at_its_clip(usual: float, later: float) -> None:
    scale = Scale.fit(np.full((600, 1), usual))
    assert np.abs(scale.apply(np.array([[later]]))).item() == 4
    assert scale.apply(np.array([[usual + 1e-17]])).item() == pytest.approx(0, abs=1e-3)


def test_each_window_is_disturbed_in_one_metric_only() -> None:
    windows = np.random.default_rng(1).normal(size=(40, 6, 3))
    changed = disturbed(windows, SETTINGS)
    touched = (changed != windows).any(axis=1)
    assert (touched.sum(axis=1) == 1).all()
    assert set(touched.argmax(axis=1)) == {0, 1, 2}
    assert np.array_equal(changed, disturbed(windows, SETTINGS))
    assert np.abs(changed - windows).max() < SETTINGS.disturbance + 8


def test_the_share_found_is_the_area_under_the_roc_curve() -> None:
    from sklearn.metrics import roc_auc_score

    class Sums:
        def score(self, windows: np.ndarray) -> np.ndarray:
            return windows.sum(axis=(1, 2)).round(1)

        def blame(self, windows: np.ndarray) -> np.ndarray:
            return windows.sum(axis=1)

    random = np.random.default_rng(2)
    usual, odd = random.normal(size=(50, 2, 2)), random.normal(1, 1, size=(40, 2, 2))
    expected = roc_auc_score([0] * 50 + [1] * 40, np.concatenate([Sums().score(usual), Sums().score(odd)]))
    assert outscored_shares(Sums(), usual, odd).mean() == pytest.approx(expected)


def test_the_mean_gives_way_only_to_a_detector_that_is_clearly_better() -> None:
    class Blind:
        def score(self, windows: np.ndarray) -> np.ndarray:
            return np.zeros(len(windows))

        def blame(self, windows: np.ndarray) -> np.ndarray:
            return np.zeros((len(windows), windows.shape[2]))

    windows = np.random.default_rng(4).normal(size=(200, 6, 2))
    scaled = Scale.fit(windows.reshape(-1, 2)).apply(windows)
    single = fit_detectors(scaled[:100], SETTINGS)
    selected, criterion = choose_detector({"mean": Blind(), "pca": single["pca"]}, scaled[100:], SETTINGS)
    assert (selected, criterion["mean"]) == ("pca", 0.5)
    assert choose_detector({"mean": single["pca"], "pca": single["pca"]}, scaled[100:], SETTINGS)[0] == "mean"


def test_on_real_measurements_the_sick_stand_out() -> None:
    """Tumours that come with scikit-learn: learnt from benign ones, each a window of one record."""
    from sklearn.datasets import load_breast_cancer
    from sklearn.metrics import roc_auc_score

    values, benign = load_breast_cancer(return_X_y=True)
    usual = values[benign == 1]
    learnt, calibration, later = usual[:150], usual[150:220], usual[220:]
    scale = Scale.fit(learnt)
    scaled = [scale.apply(part)[:, None, :] for part in (learnt, calibration, later, values[benign == 0])]
    single = fit_detectors(scaled[0], SETTINGS)
    detectors = {"mean": DetectorEnsemble.fit(list(single.values()), scaled[1]), **single}
    both, labels = np.concatenate(scaled[2:]), [0] * len(scaled[2]) + [1] * len(scaled[3])
    found_share = {name: roc_auc_score(labels, detector.score(both)) for name, detector in detectors.items()}
    assert found_share["mean"] > 0.9
    assert min(found_share.values()) > 0.8
    for detector in detectors.values():
        assert detector.blame(scaled[2]).shape == (len(later), 30)
        assert (detector.blame(scaled[2]) >= 0).all()


def test_the_sample_is_watched_as_far_as_it_goes_and_claims_nothing(tmp_path: Path) -> None:
    write_log_tables(ROOT / PARAMETERS.coordination.logs, tmp_path)
    observed: dict[str, float] = {}
    tables = worker_anomalies(tmp_path, SETTINGS, PARAMETERS.coordination, tmp_path, observed.__setitem__)
    series = {row["file"]: row for row in tables["series"].iter_rows(named=True)}
    assert "anomalies.min_windows" in series["worker-health-metrics.jsonl"]["left_out"]
    assert series["metrics/heartbeat-history.jsonl"]["chosen"] is not None
    report = (tmp_path / "report.html").read_text()
    assert "hand-written sample" in report
    assert "Not watched" in report
    figures = json.loads((tmp_path / "metrics.json").read_text())
    assert (figures["watched_logs"], figures["alerts"]) == (2, tables["alerts"].height)
    assert observed["watch_seconds"] > 0


def test_a_forest_in_arrays_scores_as_scikit_learn_does() -> None:
    from sklearn.ensemble import IsolationForest

    random = np.random.default_rng(6)
    windows, shifted = random.normal(size=(300, 6, 2)), random.normal(1, 2, size=(50, 6, 2))
    ours = IsolationForestDetector.fit(windows, SETTINGS)
    reference = IsolationForest(n_estimators=SETTINGS.trees, random_state=SETTINGS.seed)
    reference.fit(windows.reshape(300, -1))
    for part in (windows, shifted):
        expected = -reference.score_samples(part.reshape(len(part), -1))
        assert ours.score(part) == pytest.approx(expected, abs=1e-12)


def test_detectors_are_kept_whole_and_say_the_same_when_loaded(tmp_path: Path) -> None:
    watchers, tables = fit_and_score(with_a_stuck_worker(generated(200), 185), SETTINGS)
    save_detectors(tmp_path, watchers, SETTINGS.window)
    window, loaded = load_detectors(tmp_path)
    assert window == SETTINGS.window
    (file,) = loaded
    windows = np.random.default_rng(8).normal(size=(9, window, 2))
    for name, detector in watchers[file].detectors.items():
        assert (loaded[file].detectors[name].score(windows) == detector.score(windows)).all()
        assert (loaded[file].detectors[name].blame(windows) == detector.blame(windows)).all()
    late = with_a_stuck_worker(generated(200), 185).filter(pl.col("byte_offset") >= 1600)
    count, alerts = score_records(late, file, loaded[file], window)
    assert count == 2 * (40 - window + 1)
    keys = ["subject", "start", "score", "metric"]
    assert alerts.select(keys).sort(keys).equals(tables["alerts"].select(keys).sort(keys))


def test_a_metric_that_is_missing_in_new_records_is_as_usual(tmp_path: Path) -> None:
    watchers, _ = fit_and_score(generated(200), SETTINGS)
    ((file, watcher),) = watchers.items()
    only_load = generated(30, seed=3).filter(pl.col("metric") == "load")
    count, alerts = score_records(only_load, file, watcher, SETTINGS.window)
    assert count == 50
    assert alerts["score"].is_finite().all()
    assert score_records(WORKER_METRICS.empty(), file, watcher, SETTINGS.window)[0] == 0


@pytest.mark.parametrize("file", ["detectors.json", "detectors.safetensors"])
@pytest.mark.parametrize("content", [None, "", "[]"])
def test_damaged_detectors_are_a_clear_error(tmp_path: Path, file: str, content: str | None) -> None:
    save_detectors(tmp_path, fit_and_score(generated(60), SETTINGS)[0], SETTINGS.window)
    (tmp_path / file).unlink()
    if content is not None:
        (tmp_path / file).write_text(content)
    with pytest.raises(DetectorError, match="cortex run worker_anomalies"):
        load_detectors(tmp_path)


def test_the_command_scores_new_records_of_a_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logs = tmp_path / "logs"
    (logs / "metrics").mkdir(parents=True)
    sample = (ROOT / PARAMETERS.coordination.logs / "metrics/heartbeat-history.jsonl").read_text()
    (logs / "metrics/heartbeat-history.jsonl").write_text(sample)
    write_log_tables(logs, tmp_path)
    out = tmp_path / "data" / "worker_anomalies"
    out.mkdir(parents=True)
    for name, frame in worker_anomalies(tmp_path, SETTINGS, PARAMETERS.coordination, out, lambda *_: None).items():
        frame.write_parquet(out / f"{name}.parquet")
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    lock = {"stages": {"worker_anomalies": {"outs": [{"md5": content_md5(out)}]}}}
    (tmp_path / "dvc.lock").write_text(json.dumps(lock))
    monkeypatch.setenv("CORTEX_ROOT", str(tmp_path))
    new = tmp_path / "new"
    new.mkdir()
    start, total = datetime(2026, 3, 9, tzinfo=UTC), 90_000
    lines = []
    for number in range(12):
        total += 4 if number < 6 else 4_000  # it counts a thousand times as fast
        when = (start + timedelta(seconds=10 * number)).isoformat()
        lines.append({"timestamp": when, "total_checked": total, "healthy": total, "missed": 0})
    file = new / "heartbeat-history.jsonl"
    file.write_text("\n".join(json.dumps(line) for line in lines))
    result = cortex("anomalies", str(file))
    summary, *alerts = [json.loads(line) for line in result.stdout.splitlines()]
    assert (summary["model_version"], summary["windows"]) == (content_md5(out), 7)
    assert summary["alerts"] == len(alerts) > 0
    assert {row["metric"] for row in alerts} <= {"healthy", "total_checked"}

    app = FastAPI()
    add_error_handlers(app)
    app.include_router(services_router(project_services(tmp_path)))
    client = TestClient(app)
    request = {"log": "heartbeat-history.jsonl", "records": lines}
    answer = client.post("/anomalies/score", json=request)
    assert answer.headers["x-cortex-version"] == answer.json()["version"] == content_md5(out)
    assert (answer.json()["windows"], answer.json()["alerts"]) == (7, alerts)
    unknown = client.post("/anomalies/score", json=request | {"log": "../nothing.jsonl"})
    assert unknown.status_code == 404
    assert "metrics/heartbeat-history.jsonl" in unknown.json()["error"]["message"]

    file.rename(new / "other.jsonl")
    result = cortex("anomalies", str(new / "other.jsonl"), status=1)
    assert "--log: metrics/heartbeat-history.jsonl" in result.output
    (out / "detectors.json").write_text("{}")
    result = cortex("anomalies", str(file), status=1)
    assert "changed since it was made" in result.output


def test_no_metrics_give_empty_tables() -> None:
    watchers, tables = fit_and_score(WORKER_METRICS.empty(), SETTINGS)
    assert watchers == {}
    assert {name: frame.height for name, frame in tables.items()} == dict.fromkeys(tables, 0)
