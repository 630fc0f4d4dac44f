import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import somersd

from cortex_pipelines.routing.outcomes import training
from cortex_pipelines.routing.outcomes.assets import outcome_evaluation, outcome_predictors
from cortex_pipelines.routing.outcomes.attempts import attempts
from cortex_pipelines.routing.outcomes.encoding import COLUMNS, Columns, Encoding
from cortex_pipelines.routing.outcomes.evaluation import CandidateScore, outcome_metrics, score_predictions
from cortex_pipelines.routing.outcomes.predictors import (
    FILE,
    PredictorError,
    build_predictors,
    load_predictors,
    predict_outcomes,
    save_predictors,
)
from cortex_pipelines.schemas.routing import PREDICTIONS
from cortex_pipelines_tests.messages import missing, refusal
from cortex_pipelines_tests.routing.logs import PARAMETERS, SAMPLE_LOGS, write_tables

SETTINGS = PARAMETERS.predictors
SUCCESS, DURATION = training.TARGETS[0], training.TARGETS[1]
START = datetime(2026, 3, 2, tzinfo=UTC)


def attempts_of(folder: Path, *records: dict[str, Any]) -> pl.DataFrame:
    (folder / "a.jsonl").write_text("\n".join(json.dumps(record) for record in records))
    tables = write_tables(folder, folder)
    return attempts(tables["decisions"], tables["outcomes"], tables["features"], SETTINGS.complexity_words)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The predictors of the sample logs, in a folder."""
    folder = tmp_path_factory.mktemp("predictors")
    write_tables(folder, SAMPLE_LOGS)
    observed: dict[str, float] = {}
    for name, frame in outcome_predictors(folder, SETTINGS, folder, observed.__setitem__).items():
        frame.write_parquet(folder / f"{name}.parquet")
    assert observed["success/lightgbm/seconds"] > 0
    assert observed["success/lightgbm/megabytes"] > 10
    return folder


def test_a_task_that_was_taken_away_has_failed_there(tmp_path: Path) -> None:
    def decision_line(minute: int, master: str, task: str = "t1", **more: Any) -> dict[str, Any]:
        when = (START + timedelta(minutes=minute)).isoformat()
        return {"task_id": task, "title": f"Do {task}", "routed_to": master, "timestamp": when, **more}

    rows = attempts_of(
        tmp_path,
        decision_line(0, "a"),
        decision_line(1, "b", outcome="completed"),
        *(decision_line(minute, master, "t2") for minute, master in enumerate("aba")),
        decision_line(0, "a", "t3", duration=0, tokens=0, complexity="High"),
        decision_line(0, "a", "moe-test-4", outcome="completed"),
        {"task_id": "t3", "model": "m", "provider": "p", "complexity_score": 7},
        {"task_id": "t5", "routed_to": "a", "outcome": "completed"},
    )
    attempts_by_key = {(row["task_id"], row["master"]): row for row in rows.iter_rows(named=True)}
    successes = {" ".join(key): row["success"] for key, row in attempts_by_key.items()}
    assert successes == {"t1 a": 0.0, "t1 b": 1.0, "t2 a": None, "t2 b": 0.0, "t3 a": None}
    last = attempts_by_key["t3", "a"]
    assert (last["duration_seconds"], last["tokens"]) == (None, None)
    assert (last["complexity"], last["complexity_score"]) == (3.0, 7.0)


def test_what_is_missing_is_no_feature() -> None:
    rows = pl.DataFrame({"n": [1.0, None, 3.0, 2.0], "c": ["x", None, "y", "x"], "t": ["a b", None, "", "zz"]})
    columns = Columns(numbers=("n",), amounts=(), categories=("c",), text="t")
    encoding = Encoding.fit(rows, columns, vocabulary=10, min_documents=1)
    matrix = encoding.matrix(rows).toarray()
    assert (matrix[1].any(), matrix.shape) == (False, (4, 1 + 2 + len(encoding.words)))
    assert Encoding.fit(rows, columns, vocabulary=10, min_documents=9).words == ()


@given(st.lists(st.floats(0, 100), min_size=1, max_size=60), st.floats(0.05, 0.95))
def test_the_reach_holds_its_share_of_the_errors_it_was_made_from(errors: list[float], coverage: float) -> None:
    reach = training.conformal_reach(np.array(errors), coverage)
    assert reach in errors
    covered = sum(error <= reach for error in errors)
    assert covered >= min(len(errors), (len(errors) + 1) * coverage)


def with_targets(rows: pl.DataFrame, columns: Columns, **values: np.ndarray) -> pl.DataFrame:
    """Real measurements laid out as attempts; the targets that they lack are not known."""
    numbers = [str(n) for n in range(rows.height)]
    shared = {"attempt_id": numbers, "cluster": numbers, "master": ["one"] * rows.height}
    frame = rows.with_columns(**{name: pl.Series(value) for name, value in shared.items()})
    unknown = pl.Series([None] * rows.height, dtype=pl.Float64)
    return frame.with_columns(pl.Series(t.name, values.get(t.name, unknown)) for t in training.TARGETS)


def real(name: str) -> tuple[pl.DataFrame, np.ndarray, Columns]:
    """Measurements that come with scikit-learn, in an order that a seed drew."""
    from sklearn import datasets

    data, values = getattr(datasets, f"load_{name}")(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(values))
    names = tuple(f"x{n:02}" for n in range(data.shape[1]))
    rows = pl.DataFrame(data[order], schema=list(names))
    return rows, values[order].astype(float), Columns(names, (), (), None)


def scored(predictions: pl.DataFrame) -> list[CandidateScore]:
    return score_predictions(predictions, PARAMETERS.evaluation, SETTINGS.coverage)


def test_real_measurements_give_calibrated_intervals_and_probabilities() -> None:
    rows, values, columns = real("diabetes")
    _, tables = build_predictors(with_targets(rows, columns, duration_seconds=values), SETTINGS, columns)
    scores = {s.candidate: s for s in scored(tables["predictions"])}
    assert [name for name, score in scores.items() if score.adopted] == ["linear"]
    assert scores["linear"].row["difference_low"] > 0
    for score in scores.values():
        assert abs(score.coverage.estimate - SETTINGS.coverage) < 0.08
    assert scores["linear"].measures["width"] < scores["mean"].measures["width"]
    assert scores["lightgbm"].measures["pinball"] < scores["mean"].measures["pinball"]
    rows, values, columns = real("breast_cancer")
    _, tables = build_predictors(with_targets(rows, columns, success=values), SETTINGS, columns)
    scores = {s.candidate: s for s in scored(tables["predictions"])}
    for name in training.LEARNED:
        assert scores[name].row["difference_low"] > 0.1
        assert scores[name].measures["auroc"] > 0.98
        assert scores[name].measures["ece"] < 0.05
    (adopted,) = (score for score in scores.values() if score.adopted)
    metrics = outcome_metrics(list(scores.values()), sample=False)
    assert (metrics["success_f1"], metrics["success_gain_low"]) == (
        adopted.measures["f1"],
        adopted.row["difference_low"],
    )
    assert metrics["success_loss"] < metrics["success_baseline_loss"]


def test_columns_that_give_the_answer_away_are_not_read_and_named() -> None:
    rows, values, columns = real("diabetes")
    rows = rows.with_columns(
        finished_after=pl.Series(values) * 2,
        task_number=pl.Series([f"T-{n}" for n in range(rows.height)]),
        kind=pl.Series(["bug", "feature"] * (rows.height // 2)),
    )
    columns = Columns((*columns.numbers, "finished_after"), (), ("task_number", "kind"), None)
    frame = with_targets(rows, columns, duration_seconds=values)
    allowed, leaks = training.without_leaks(frame, DURATION, columns)
    assert set(leaks) == {"finished_after", "task_number"}
    assert (allowed.numbers, allowed.categories) == (columns.numbers[:-1], ("kind",))
    models, tables = build_predictors(frame, SETTINGS, columns)
    (named,) = tables["targets"].filter(pl.col("target") == "duration_seconds")["leaks"].to_list()
    assert (
        missing(
            " ".join(named),
            "finished_after: tells duration_seconds",
            "task_number: 309 values in 309 tasks: an identifier",
        )
        == []
    )
    assert models["duration_seconds"]["linear"].model.encoding.columns == allowed


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9)), min_size=3, max_size=30))
def test_rank_correlation_is_that_of_a_table_of_all_values(pairs: list[tuple[int, int]]) -> None:
    columns = np.array(pairs, dtype=float).T
    assume(all(len(set(column)) > 1 for column in columns))
    expected = somersd(*columns).statistic
    assert training.somers_d(*columns) == pytest.approx(expected, abs=1e-12)


def test_rank_correlation_of_many_tasks_that_all_differ() -> None:
    numbers = np.arange(30_000.0)
    assert training.somers_d(numbers, np.sqrt(numbers)) == pytest.approx(1.0)
    assert training.somers_d(numbers, -numbers) == pytest.approx(-1.0)


def test_without_a_pattern_or_tasks_nothing_is_guessed() -> None:
    """Values drawn by a generator: what is tested is that nothing is found in noise."""
    random = np.random.default_rng(3)
    rows = pl.DataFrame(random.normal(size=(200, 5)), schema=[f"x{n}" for n in range(5)])
    columns = Columns(tuple(rows.columns), (), (), None)
    frame = with_targets(rows, columns, duration_seconds=np.exp(random.normal(size=200)))
    _, tables = build_predictors(frame, SETTINGS, columns)
    assert [score.candidate for score in scored(tables["predictions"]) if score.adopted] == ["mean"]
    rows, values, columns = real("breast_cancer")
    frame = with_targets(rows, columns, success=values, tokens=values * 0 + 5)
    few, tables = build_predictors(frame.head(SETTINGS.min_items - 1), SETTINGS, columns)
    assert few == {}
    assert tables["predictions"].is_empty()
    assert "predictors.min_items" in tables["targets"].row(0, named=True)["left_out"]
    all_succeeded = frame.with_columns(success=1.0)
    predictors, tables = build_predictors(all_succeeded, SETTINGS, columns)
    left_out = dict(tables["targets"].select("target", "left_out").rows())
    assert "predictors.min_of_each" in left_out["success"]
    assert list(predictors) == ["tokens"]  # always the same, so foretold exactly
    tokens = tables["predictions"].filter(pl.col("model") == "mean")
    assert tokens["predicted"].to_list() == pytest.approx([5.0] * tokens.height)


def test_the_sample_gives_a_report_that_claims_nothing(outputs: Path, tmp_path: Path) -> None:
    tables = outcome_evaluation(outputs, SETTINGS, PARAMETERS.evaluation, PARAMETERS.coordination, tmp_path)
    board = tables["leaderboard"]
    report = (tmp_path / "report.html").read_text()
    assert missing(report, "hand-written sample", "24 tasks are too few to compare by") == []
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["hand_written_sample"] == 1.0
    predictions = pl.read_parquet(outputs / "predictions.parquet").filter(target="success", model="mean")
    assert metrics["success_items"] == predictions.height
    # a control: what the sample's durations and tokens are made of knows nothing of the tasks
    assert board.filter(pl.col("task") != "success", "adopted")["candidate"].unique().to_list() == ["mean"]
    assert set(board["task"]) == {"success", "duration", "tokens"}
    assert (metrics["complexity_gain"], "complexity" in report) == (0.0, True)


def test_later_tasks_change_no_prediction_and_training_repeats(outputs: Path, tmp_path: Path) -> None:
    again = outcome_predictors(outputs, SETTINGS, tmp_path, lambda *_: None)
    assert again["predictions"].equals(pl.read_parquet(outputs / "predictions.parquet"))
    name = "predictors.json"
    assert (tmp_path / name).read_bytes() == (outputs / name).read_bytes()
    parts = [pl.read_parquet(outputs / f"{n}.parquet") for n in ("decisions", "outcomes", "features")]
    rows = attempts(*parts, SETTINGS.complexity_words).filter(pl.col("success").is_not_null())
    past = rows.height - round(rows.height * SETTINGS.test_share)
    turned = rows.with_row_index().with_columns(
        pl.when(pl.col("index") < past).then("success").otherwise(1 - pl.col("success")).alias("success")
    )
    flipped, _ = build_predictors(turned, SETTINGS)
    for name, predictor in load_predictors(outputs)["success"].items():
        assert np.array_equal(flipped["success"][name].predict(rows)[0], predictor.predict(rows)[0])


def test_predictors_are_kept_as_json_and_say_the_same_when_loaded(outputs: Path) -> None:
    features = pl.read_parquet(outputs / "features.parquet")
    predictions = pl.read_parquet(outputs / "predictions.parquet")
    for candidate in ("mean", "mean_by_master", *training.LEARNED):
        loaded = {target: models[candidate] for target, models in load_predictors(outputs).items()}
        predicted = predict_outcomes(loaded, features)
        assert (predicted.height, predicted["success"].is_between(0, 1).all()) == (features.height, True)
        assert (predicted["duration_seconds_low"] <= predicted["duration_seconds"]).all()
        assert (predicted["duration_seconds"] <= predicted["duration_seconds_high"]).all()
        for target in ("success", "duration_seconds"):
            target_rows = predictions.filter(target=target, model=candidate).join(
                features.with_columns(said=predicted[target]), on="attempt_id"
            )
            assert target_rows.height
            assert target_rows["predicted"].to_list() == pytest.approx(target_rows["said"].to_list())


def test_a_linear_model_is_loaded_with_its_words(tmp_path: Path) -> None:
    texts = ["list the repositories", "fix the failing build"] * 40
    rows = pl.DataFrame({"text": texts}).with_columns(
        pl.lit(None, dtype=pl.Float64).alias(name) for name in (*COLUMNS.numbers, *COLUMNS.amounts)
    )
    rows = rows.with_columns(pl.lit(None, dtype=pl.String).alias(n) for n in COLUMNS.categories)
    frame = with_targets(rows, COLUMNS, duration_seconds=np.array([10.0, 1000.0] * 40))
    models, _ = build_predictors(frame, SETTINGS)
    save_predictors(models, tmp_path)
    linear, loaded = (all_models["duration_seconds"]["linear"] for all_models in (models, load_predictors(tmp_path)))
    predicted = loaded.predict(frame)[0]
    assert np.array_equal(predicted, linear.predict(frame)[0])
    assert predicted[0] < predicted[1]
    stored = json.loads((tmp_path / FILE).read_text())
    model = stored["duration_seconds"]["linear"]
    for damaged in (
        1,
        {"duration_seconds": 1},
        {"duration_seconds": {"linear": model | {"slope": "steep"}}},
        {"duration_seconds": {"linear": model | {"model": model["model"] | {"weights": []}}}},
    ):
        (tmp_path / FILE).write_text(json.dumps(damaged))
        with pytest.raises(PredictorError, match=r"predictors\.json: .*cortex run"):
            load_predictors(tmp_path)


def test_without_predictors_an_error_says_what_to_run_and_there_are_no_scores(tmp_path: Path) -> None:
    assert "cortex run outcome_predictors" in refusal(PredictorError, load_predictors, tmp_path)
    assert (scored(PREDICTIONS.empty()), SUCCESS.kind) == ([], "probability")
