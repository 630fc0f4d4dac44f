import json
import shutil
from pathlib import Path

import pytest

from cortex_pipelines.config import Parameters, load_parameters
from cortex_pipelines.coordination.logs import CoordinationError
from cortex_pipelines.ingestion.pretrained_models import ModelSource
from cortex_pipelines.routing.router_from_logs import open_model, train_on_logs
from cortex_pipelines.routing.serving.bundle import RouterError
from cortex_pipelines.routing.train import TooFewMastersError
from cortex_pipelines_tests.command import cortex
from cortex_pipelines_tests.embeddings.tinyencoder import make_tiny_encoder
from cortex_pipelines_tests.messages import missing, refusal

ROOT = Path(__file__).parents[2]
SAYS = {
    "billing_questions": "list all repositories {}",
    "Lost card?": "fix the bug in {}",
    "top-up": "scan {} for secrets",
}


@pytest.fixture(scope="module")
def tiny_router_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))


@pytest.fixture
def params(tmp_path: Path, tiny_router_encoder: Path) -> Parameters:
    parameters = load_parameters(ROOT)
    shutil.copytree(tiny_router_encoder, tmp_path / "encoder")
    source = ModelSource(directory=str(tmp_path / "encoder"))
    quick = {"trials": 1, "epochs": 2, "max_tokens": 32, "kernel_features": 64, "folds": 3}
    models = parameters.models.model_copy(update={"encoder": source})
    return parameters.model_copy(update={"models": models, "routing": parameters.routing.model_copy(update=quick)})


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    folder = tmp_path / "logs"
    folder.mkdir()
    usual = {"outcome": "completed", "timestamp": "2026-01-01T00:00:00Z"}
    rows = [
        usual | {"task_id": f"t-{label}-{n}", "task_title": text.format("abcdefghijkl"[n]), "routed_to": label}
        for label, text in SAYS.items()
        for n in range(8)
    ]
    half = len(rows) // 2
    for name, part in (("a.jsonl", rows[:half]), ("deep/b.ndjson", rows[half:])):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in part))
    return folder


def test_a_router_from_logs_or_one_log_to_decisions(logs: Path, tmp_path: Path, params: Parameters) -> None:
    trained = train_on_logs(logs, tmp_path / "out", params)
    assert (trained.tasks, trained.masters) == (24, 3)
    assert next(step["model"] for step in trained.steps) == "lexical"  # no rules file, no such rung
    router = open_model(tmp_path / "out")
    assert set(router.masters) == set(SAYS)
    assert router.route(["fix the bug in a"])[0].master in SAYS
    # where it is trained again, the bytes are the same, with embeddings out of the cache
    shutil.rmtree(tmp_path / "home" / "cortex-pipelines" / ".cortex", ignore_errors=True)
    train_on_logs(logs, tmp_path / "again", params)
    for file in (tmp_path / "out").iterdir():
        assert file.read_bytes() == (tmp_path / "again" / file.name).read_bytes()
    trained = train_on_logs(logs / "a.jsonl", tmp_path / "one", params)
    assert trained.tasks == 12


def test_rules_beside_the_logs_become_a_candidate(logs: Path, tmp_path: Path, params: Parameters) -> None:
    rules = {
        "thresholds": {"single_expert": 0.8, "multi_expert": 0.6, "minimum_activation": 0.3},
        "experts": {"top-up": {"activation_keywords": ["scan"]}},
    }
    (logs / "routing-patterns.json").write_text(json.dumps(rules))
    trained = train_on_logs(logs, tmp_path / "out", params)
    assert trained.steps[0]["model"] == "rules"
    assert open_model(tmp_path / "out").rules is not None


def test_logs_of_another_form_train_the_same_router(logs: Path, tmp_path: Path, params: Parameters) -> None:
    """A table of three columns, whose keys are guessed; one master of one task is left out."""
    rows = [json.loads(line) for file in sorted(logs.rglob("*.*")) for line in file.read_text().splitlines()]
    table = "".join(f"{row['task_title']};{row['routed_to']};{row['outcome']}\n" for row in rows)
    (tmp_path / "agents.csv").write_text(f"summary;agent;status\n{table}look after it;typo;done\n")
    assert train_on_logs(tmp_path / "agents.csv", tmp_path / "all", params).masters == 4
    trained = train_on_logs(tmp_path / "agents.csv", tmp_path / "out", params, keep_rare=False)
    assert (trained.tasks, trained.masters) == (24, 3)
    assert {score.master for score in trained.held_out.masters} == set(SAYS)
    assert all(score.tasks and 0 <= score.recall <= 1 for score in trained.held_out.masters)
    with pytest.raises(CoordinationError, match="did you mean master=agent"):
        train_on_logs(tmp_path / "agents.csv", tmp_path / "out", params, {"master": "agnt"})


def test_tasks_that_name_their_master_are_counted_apart(logs: Path, tmp_path: Path, params: Parameters) -> None:
    """A label that stands in the text, as of a form that adds it, is learnt whatever the task is."""
    held_out = train_on_logs(logs, tmp_path / "out", params).held_out
    assert (held_out.naming, "name their master" in held_out.sentence()) == (0, False)
    for file in logs.rglob("*.*"):
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        titles = [f"[{row['routed_to'].upper()}] {row['task_title']}" for row in rows]
        lines = [json.dumps(row | {"task_title": title}) for row, title in zip(rows, titles, strict=True)]
        file.write_text("\n".join(lines))
    held_out = train_on_logs(logs, tmp_path / "out", params).held_out
    assert held_out.naming == held_out.tasks
    assert "name their master; so the share says nothing about tasks that do not" in held_out.sentence()


def test_what_is_missing_is_said(logs: Path, tmp_path: Path, params: Parameters) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "few").mkdir()
    (tmp_path / "few" / "x.jsonl").write_text("{}\n")
    for name, error, words in (
        ("none", CoordinationError, "no file or folder"),
        ("empty", CoordinationError, "no log in"),
        ("few", TooFewMastersError, "0 tasks"),
    ):
        with pytest.raises(error, match=words):
            train_on_logs(tmp_path / name, tmp_path / "out", params)
    assert "router train" in refusal(RouterError, open_model, tmp_path / "none")
    assert "config.json" in refusal(RouterError, open_model, logs)


def test_outside_a_project(logs: Path, tmp_path: Path, params: Parameters, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CORTEX_ROOT", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("cortex_pipelines.config.load_parameters", lambda _: params)
    (logs / "older.log").write_text("not read, which is said")
    trained = cortex("router", "train", "logs", "--out", "model")
    words = (
        "not read: 1 .log",
        "ensemble",
        "24 tasks, 3 masters",
        "held-out tasks (95 % interval",
        "where always",
        "precision recall",
    )
    assert missing(trained.output, *words) == []
    answer = cortex("route", "--model", "model", "fix the bug in a")
    assert json.loads(answer.stdout)["master"] in SAYS
    assert "unlike all known ones: a person decides" in cortex("route", "--model", "model", "!").stderr
    (tmp_path / "tasks.jsonl").write_text('{"task_id": 1, "title": "scan a"}\n{"id": "b7", "text": "scan b"}\nbad\n')
    cortex("route", "--model", "model", "--file", "tasks.jsonl", "--out", "decisions.jsonl")
    first, second, bad = map(json.loads, (tmp_path / "decisions.jsonl").read_text().splitlines())
    assert (first["task_id"], second["task_id"]) == (1, "b7")
    assert "error" in bad
    cortex("route", "--model", "nowhere", "x", status=1)
