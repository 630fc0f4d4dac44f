import json
import math
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import polars as pl
import pytest
from click.testing import Result
from fastapi import FastAPI
from fastapi.testclient import TestClient

from cortex_pipelines.routing.outcomes import explanation
from cortex_pipelines.routing.outcomes.assets import outcome_evaluation, outcome_predictors
from cortex_pipelines.routing.outcomes.explanation import explain_outcomes
from cortex_pipelines.routing.outcomes.predict import expect, shown_outcomes
from cortex_pipelines.routing.outcomes.predictors import PredictorError
from cortex_pipelines.schemas.learned import LEADERBOARD
from cortex_pipelines.serving.http.errors import add_error_handlers
from cortex_pipelines.serving.http.project_routes import services_router
from cortex_pipelines.serving.project_services import project_services
from cortex_pipelines.versioning.content import content_md5
from cortex_pipelines_tests.command import cortex
from cortex_pipelines_tests.messages import refusal
from cortex_pipelines_tests.routing.logs import PARAMETERS, ROOT, SAMPLE_LOGS, write_tables

FOLDERS = ("coordination_tables", "outcome_predictors", "outcome_evaluation")
WHEN = datetime(2030, 1, 7, 9, tzinfo=UTC)
Ask = Callable[..., Result]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tables and predictors of the sample logs, laid out as a project's data."""
    root = tmp_path_factory.mktemp("project")
    tables, out, evaluation = (root / "data" / name for name in FOLDERS)
    for folder in (tables, out, evaluation):
        folder.mkdir(parents=True)
    write_tables(tables, SAMPLE_LOGS)
    for name, frame in outcome_predictors(tables, PARAMETERS.predictors, out, lambda *_: None).items():
        frame.write_parquet(out / f"{name}.parquet")
    settings = (PARAMETERS.predictors, PARAMETERS.evaluation, PARAMETERS.coordination)
    for name, frame in outcome_evaluation(out, *settings, evaluation).items():
        frame.write_parquet(evaluation / f"{name}.parquet")
    shutil.copy(ROOT / "params.yaml", root)
    stage = {"outs": [{"md5": content_md5(out)}]}
    (root / "dvc.lock").write_text(json.dumps({"stages": {out.name: stage}}))
    return root / "data"


@pytest.fixture
def ask(data: Path, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """The command in a project with these tables."""
    monkeypatch.setenv("CORTEX_ROOT", str(data.parent))
    return partial(cortex, "predict")


def expected(data: Path, text: str, master: str | None, when: datetime = WHEN) -> list[dict]:
    return expect(text, master, when, *(data / name for name in FOLDERS), PARAMETERS.log_tables)


def test_every_target_is_predicted_or_its_absence_explained_for_each_master(data: Path) -> None:
    (prediction,) = expected(data, "Fix the login bug", "development")
    targets = pl.read_parquet(data / "outcome_predictors" / "targets.parquet")
    assert {*prediction} - {"master", "models", "left_out"} | {*prediction["left_out"]} == {*targets["target"]}
    assert not {*prediction} & {*prediction["left_out"]}
    assert 0 <= prediction["success"] <= 1
    for amount in (value for value in prediction.values() if isinstance(value, dict)):
        if "median" in amount:
            assert amount["low"] <= amount["median"] <= amount["high"]
    assert expected(data, "Fix the login bug", "development") == [prediction]
    predictions = expected(data, "Fix the login bug", None)
    names = [row["master"] for row in predictions]
    assert names == sorted(set(names))
    assert {"development", "security"} <= set(names)
    (alone,) = expected(data, "Fix the login bug", "security")
    assert alone == next(row for row in predictions if row["master"] == "security")


def test_unknown_masters_and_missing_predictors(data: Path, tmp_path: Path) -> None:
    tables, predictors, evaluation = (data / name for name in FOLDERS)
    with pytest.raises(PredictorError, match=r"no master 'nobody'; known masters: .*development"):
        expected(data, "Fix it", "nobody")
    for absent, folders in (
        ("outcome_predictors", (tables, tmp_path, evaluation)),
        ("coordination_tables", (tmp_path / "coordination_tables", predictors, evaluation)),
        ("outcome_evaluation", (tables, predictors, tmp_path / "outcome_evaluation")),
    ):
        errors = refusal(PredictorError, expect, "x", None, WHEN, *folders, PARAMETERS.log_tables)
        assert f"cortex run {absent}" in errors


def test_only_heads_that_beat_the_mean_are_shown_with_a_decision(data: Path, tmp_path: Path) -> None:
    folders = [data / name for name in FOLDERS]
    (prediction,) = expected(data, "Fix it", "security")
    assert set(prediction["models"].values()) == {"mean"}
    assert set(shown_outcomes(prediction)) == {"left_out"}
    assert "no candidate is shown to beat the mean" in shown_outcomes(prediction)["left_out"]["success"]
    evaluation = adopted(data, tmp_path, success="lightgbm", duration="linear")
    (prediction,) = expect("Fix it", "security", WHEN, *folders[:2], evaluation, PARAMETERS.log_tables)
    shown = shown_outcomes(prediction)
    assert set(shown) == {"success", "duration_s", "left_out"}
    assert 0 <= shown["success"] <= 1
    assert shown["duration_s"]["p10"] <= shown["duration_s"]["p50"] <= shown["duration_s"]["p90"]
    assert {"tokens", "complexity", "complexity_score"} == set(shown["left_out"])


def adopted(data: Path, folder: Path, **candidates: str) -> Path:
    """The evaluation's folder with other candidates adopted."""
    used = pl.col("task").replace_strict(candidates, default="mean") == pl.col("candidate")
    LEADERBOARD.read(data / "outcome_evaluation").with_columns(adopted=used).write_parquet(
        folder / "leaderboard.parquet"
    )
    return folder


def test_what_features_add_makes_up_the_prediction(data: Path, tmp_path: Path) -> None:
    tables, predictors, _ = (data / name for name in FOLDERS)
    evaluation = adopted(data, tmp_path, success="lightgbm", duration="linear", tokens="mean_by_master")
    explained = explain_outcomes("Fix the login bug", "security", WHEN, tables, predictors, evaluation, PARAMETERS)
    targets = explained["targets"]
    for name, predicted in (("success", lambda x: 1 / (1 + math.exp(-x))), ("duration_seconds", math.expm1)):
        total = targets[name]["base"] + sum(row["weight"] for row in targets[name]["attributions"])
        assert predicted(total) == pytest.approx(targets[name]["predicted"])
        assert targets[name]["deletion"]["low"] > 0
    assert (targets["tokens"]["attributions"], targets["tokens"]["deletion"]) == (None, None)
    assert "does not read the task" in targets["tokens"]["why"]
    similarities = [row["similarity"] for row in explained["evidence"]]
    assert similarities == sorted(similarities, reverse=True)
    learnt_later = pl.read_parquet(predictors / "predictions.parquet")["attempt_id"].to_list()
    texts = pl.read_parquet(tables / "features.parquet").filter(pl.col("attempt_id").is_in(learnt_later))["text"]
    assert not {row["text"] for row in explained["evidence"]} & set(texts)


def test_weights_dealt_out_anew_pass_no_deletion_test_and_are_not_shown(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables, predictors, _ = (data / name for name in FOLDERS)
    evaluation = adopted(data, tmp_path, success="lightgbm")
    monkeypatch.setattr(explanation, "deletion_test", partial(explanation.deletion_test, dealt=True))
    said = explain_outcomes("Fix it", "security", WHEN, tables, predictors, evaluation, PARAMETERS)["targets"][
        "success"
    ]
    assert said["deletion"]["low"] < 0 < said["deletion"]["high"]
    assert said["attributions"] is None
    assert "not shown" in said["why"]


def test_predictors_that_were_changed_since_are_refused(ask: Ask, data: Path) -> None:
    path = data / "outcome_predictors" / "predictors.json"
    before = path.read_bytes()
    path.write_bytes(before.replace(b"linear", b"Linear", 1))
    try:
        assert "changed since it was made" in ask("Fix it", status=1).output
    finally:
        path.write_bytes(before)


def test_the_command_writes_a_line_a_master(ask: Ask, data: Path) -> None:
    lines = ask("Fix the login bug").stdout.splitlines()
    assert len(lines) == len({json.loads(line)["master"] for line in lines}) > 1
    answer = json.loads(ask("Fix \ud83d it", "--master", "security").stdout)
    assert (answer["master"], answer["model_version"]) == ("security", content_md5(data / "outcome_predictors"))
    # what the sample supports: no figure that reads the task
    assert set(answer["models"].values()) <= {"mean", "mean_by_master"}
    assert "no master 'nobody'" in ask("Fix it", "--master", "nobody", status=1).output


def test_the_command_explains_and_says_why_it_shows_nothing(ask: Ask) -> None:
    said = cortex("explain", "predict", "Fix the login bug", "--master", "security").output
    assert "mean does not read the task" in said
    assert json.loads(cortex("explain", "predict", "Fix it", "--master", "security", "--json").stdout)["evidence"]


def test_the_gateway_answers_what_the_command_prints(ask: Ask, data: Path) -> None:
    app = FastAPI()
    add_error_handlers(app)
    app.include_router(services_router(project_services(data.parent)))
    client = TestClient(app)
    answer = client.post("/outcomes/predict", json={"task": "Fix it", "master": "security"})
    body = answer.json()
    printed = json.loads(ask("Fix it", "--master", "security").stdout)
    assert answer.headers["x-cortex-version"] == body["version"] == printed.pop("model_version")
    assert body["expected"] == [printed]
    unknown = client.post("/outcomes/predict", json={"task": "Fix it", "master": "nobody"})
    assert unknown.status_code == 404
    assert "no master 'nobody'" in unknown.json()["error"]["message"]
