"""The simulated developer, what commits retain, and figures of both."""

import json
import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from cortex_pipelines.feedback.events import EventReader, parse_event
from cortex_pipelines.feedback.git_history import (
    FileRevision,
    from_before,
    from_gateway,
    reaction,
    send,
    simulate,
    surviving_characters,
)
from cortex_pipelines.feedback.metrics import GROUPS, METRICS, compute_metrics, report
from cortex_pipelines.feedback.project_feedback import gateway_log
from cortex_pipelines.feedback.retention import build_interactions
from cortex_pipelines.feedback.store import FILE, EventLog
from cortex_pipelines.schemas.feedback import INTERACTIONS
from cortex_pipelines.serving.http.server import create_app
from cortex_pipelines.versioning.project import read_yaml, write_yaml
from cortex_pipelines_tests.command import cortex
from cortex_pipelines_tests.parameters import load_cases
from cortex_pipelines_tests.serving import tinygateway

CASES = load_cases(__file__)
ROOT = Path(__file__).parents[2]
NOW = datetime.now(UTC)
BEFORE = CASES["BEFORE"]
ADDED = """\
def mean(items):
    result = 0
    for part in items:
        result = result + part.price
"""
CHANGE = FileRevision("src/cart.py", NOW - timedelta(days=2), BEFORE, BEFORE + ADDED)


@pytest.mark.parametrize(("suggested", "actual", "does"), CASES["the_rule_of_acceptance"])
def test_the_rule_of_acceptance(suggested: str, actual: str, does: str) -> None:
    assert reaction(suggested, actual) == does


def interactions(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    reader = EventReader(None, lambda user: user)
    read = [event for line in events for event in reader.read(line)]
    return [dict(row) for row in build_interactions(read, ("shop",)).to_dicts()]


def test_a_simulated_day_is_marked_and_the_same_each_time() -> None:
    events = list(simulate([CHANGE], from_before, "shop", "baseline"))
    assert events == list(simulate([CHANGE], from_before, "shop", "baseline"))
    rows = interactions(events)
    assert len(rows) == 4
    assert all(row["simulated"] and row["sources"] == ["simulation"] for row in rows)
    outcomes = sorted(row["outcome"] for row in rows)
    assert outcomes == ["accepted", "dismissed", "dismissed", "dismissed"]
    (corrected,) = [row for row in rows if row["corrected"]]
    assert corrected["original"] == "    for item in items:"
    assert corrected["corrected"] == "    for part in items:"
    assert corrected["edited"]
    assert corrected["retained_1h"] < corrected["accepted_characters"]


def test_figures_of_people_never_contain_a_simulation() -> None:
    events = list(simulate([CHANGE], from_before, "shop", "baseline"))
    timestamp = (NOW - timedelta(days=1)).isoformat()
    person = {"at": timestamp, "completion_id": "c"}
    events += [
        person | {"type": "offered", "project": "shop", "characters": 10, "version": "v1"},
        person | {"type": "select", "elapsed": 2000},
        person | {"type": "retained", "after": 30, "characters": 10},
        person | {"type": "retained", "after": 3600, "characters": 4},
    ]
    groups = compute_metrics(INTERACTIONS.frame(interactions(events)))
    assert [(group["simulated"], group["by"]) for group in groups] == [
        (simulated, by) for simulated in (False, True) for by in GROUPS
    ]
    people = groups[0]["figures"]
    assert set(people) == set(METRICS)
    assert people["acceptance"] == {"value": 1.0, "low": None, "high": None, "count": 1}
    assert people["retained_of_shown"]["value"] == 0.4
    assert (people["retained_30s"]["value"], people["retained_1h"]["value"]) == (1.0, 0.4)
    assert people["seconds_to_accept"]["value"] == pytest.approx(2)
    assert people["retained_commit"] is None
    page = report(groups)
    assert "<h2>Simulation</h2>" in page
    assert "no promotion may rest on it" in page
    assert "no promotion" not in report(groups[: len(GROUPS)])


def test_intervals_draw_whole_users_and_cover_the_value() -> None:
    rows = []
    for user in range(12):
        for number in range(5):
            common = {"completion_id": f"u{user}-{number}", "at": NOW.isoformat()}
            offer = {"type": "offered", "project": "shop", "characters": 10}
            rows.append(common | offer | {"unit": f"u{user}"})
            rows.append(common | {"type": "select" if user % 3 else "dismiss"})
    group = compute_metrics(INTERACTIONS.frame(interactions(rows)))[0]
    acceptance = group["figures"]["acceptance"]
    assert (group["users"], acceptance["count"]) == (12, 60)
    assert acceptance["value"] == pytest.approx(2 / 3)
    assert acceptance["low"] < 2 / 3 < acceptance["high"]
    assert acceptance["high"] - acceptance["low"] > 0.4  # of 60 independent ones it would be .24


def retained_of_shown(accepted: int, observed: int, dismissed: int, **fields: Any) -> Any:
    """The figure where a part of what was taken was looked at again, and half of it stands."""
    rows: list[dict[str, Any]] = []
    for number in range(accepted + dismissed):
        common = {"completion_id": f"c{number}", "at": NOW.isoformat(), "unit": f"u{number % 5}"}
        rows.append(common | {"type": "offered", "project": "shop", "characters": 10})
        rows.append(common | {"type": "select" if number < accepted else "dismiss"})
        if number < observed:
            rows.append(common | {"type": "retained", "characters": 5} | fields)
    return compute_metrics(INTERACTIONS.frame(interactions(rows)))[0]["figures"]["retained_of_shown"]


def test_editors_that_never_look_again_do_not_make_the_retained_share_zero() -> None:
    assert retained_of_shown(90, 0, 10) is None
    all_observed = retained_of_shown(90, 90, 10, after=300)
    part = retained_of_shown(90, 18, 10, after=300)
    assert all_observed["value"] == part["value"] == pytest.approx(0.45)
    assert (all_observed["count"], part["count"]) == (100, 28)
    assert part["low"] < 0.45 < part["high"]
    assert retained_of_shown(0, 0, 10)["value"] == 0


def test_what_stands_in_a_text_counts_by_lines_as_often_as_it_is_there() -> None:
    text = "if a:\n        b = 1\n    c = 2\n"
    assert surviving_characters("b = 1\nc = 2\n", text) == 12
    assert surviving_characters("b = 1\nb = 1\nd = 3\nc = 2", text) == 11
    assert surviving_characters("1\n", text) == 2
    assert surviving_characters("x = 9", "") == 0
    assert surviving_characters("b = 1\nc = 2\n", text, "b = 1\n") == 6


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    write_yaml(
        folder / "params.yaml",
        read_yaml(ROOT / "params.yaml")
        | {"projects": {"shop": {"sources": [{"pypi": "flask==3.1.3"}]}}}
        | {"general": {"project": None}, "feedback": {"consent": ["shop"]}},
    )
    monkeypatch.setenv("CORTEX_ROOT", str(folder))
    return folder


def write_interactions(root: Path) -> list[dict[str, Any]]:
    lines = sorted((root / ".cortex" / "feedback").glob("*.jsonl"))
    records = [json.loads(line) for path in lines for line in path.read_text().splitlines()]
    frame = build_interactions(map(parse_event, records), ("shop",))
    (root / "data" / "interactions").mkdir(parents=True, exist_ok=True)
    frame.write_parquet(root / "data" / "interactions" / "interactions.parquet")
    return [dict(row) for row in frame.to_dicts()]


def commit(repository: Path, text: str, committed_at: datetime) -> None:
    (repository / "cart.py").write_text(text)
    git = ("git", "-C", str(repository), "-c", "user.name=a", "-c", "user.email=a@example.com")
    when = {"GIT_COMMITTER_DATE": committed_at.isoformat(), "GIT_AUTHOR_DATE": committed_at.isoformat()}
    for words in (("init", "-q"), ("add", "."), ("commit", "-qm", "change")):
        subprocess.run([*git, *words], check=True, env=os.environ | when)


def test_from_history_to_figures_on_the_command_line(root: Path, tmp_path: Path) -> None:
    repository = tmp_path / "shop"
    repository.mkdir()
    commit(repository, BEFORE, NOW - timedelta(days=3))
    commit(repository, BEFORE + ADDED, NOW - timedelta(days=1))
    out = tmp_path / "simulated.jsonl"
    cortex("feedback", "simulate", str(repository), "--project", "shop", "--out", str(out))
    assert "no data/interactions yet" in cortex("feedback", "show", status=1).output
    refused = tmp_path / "refused.jsonl"
    out.write_text(out.read_text() + '{"x": 1}\n')
    imported = cortex("feedback", "import", str(out), "--refused", str(refused))
    count = len(out.read_text().splitlines())
    assert f"{count} lines: {count - 1} taken, 1 refused" in imported.stdout
    assert json.loads(refused.read_text())["line"] == count
    assert "0 new events" in cortex("feedback", "import", str(out)).stdout
    write_interactions(root)
    committed = cortex("feedback", "commits", "shop", str(repository)).stdout
    assert "1 completions were committed; 1 new events" in committed
    (row,) = [row for row in write_interactions(root) if row["retained_commit"] is not None]
    assert row["retained_commit"] == 0  # the only one taken was corrected
    assert "1 known already" in cortex("feedback", "commits", "shop", str(repository)).stdout
    page = tmp_path / "page.html"
    groups = json.loads(cortex("feedback", "show", "--json", "--html", str(page)).stdout)
    assert {group["simulated"] for group in groups} == {True}
    assert "Simulation" in page.read_text()
    output = cortex("feedback", "show", "--project", "shop").stdout
    assert "no promotion may rest on it" in output
    assert all(name in output for name in METRICS), "no name is cut"
    nobody = cortex("feedback", "show", "--project", "other", status=1).output
    assert "no interaction of other yet; there are some of shop" in nobody


def test_a_simulation_says_what_it_lacks(root: Path, tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    empty = ("feedback", "simulate", str(tmp_path), "--project", "shop", "--out", "x")
    assert "has no commit yet, or is not a git repository" in cortex(*empty, status=1).output
    commit(tmp_path, BEFORE, NOW - timedelta(days=3))
    words = ("feedback", "simulate", str(tmp_path), "--project", "shop")
    assert "give either --out or --url" in cortex(*words, status=2).output
    nowhere = cortex(*words, "--url", "http://127.0.0.1:9", status=1).output
    assert "http://127.0.0.1:9/v1/completions" in nowhere
    assert "is a gateway there?" in nowhere


def test_without_a_file_the_gateways_log_is_imported(root: Path) -> None:
    assert "no such file" in cortex("feedback", "import", status=1).output
    log = EventLog(gateway_log(root).parent, lambda user: f"pseudonym-{len(user)}")
    log.add({"type": "offered", "completion_id": "c", "project": "shop", "arm": None}, "ann")
    log.add({"type": "view", "completion_id": "c"}, "ann")
    assert "2 lines: 2 taken, 0 refused" in cortex("feedback", "import").stdout
    (row,) = write_interactions(root)
    assert (row["outcome"], row["user"]) == ("shown", "pseudonym-3")


def test_a_simulated_developer_at_a_gateway(tmp_path: Path) -> None:
    home = tinygateway.write(tmp_path / "home")
    state = tmp_path / "state"
    with TestClient(create_app(tinygateway.open_tiny(home, state))) as client:

        def post(path: str, body: dict[str, Any]) -> dict[str, Any]:
            answer = client.post(path, json=body)
            answer.raise_for_status()
            return dict(answer.json()) if answer.content else {}

        events = list(simulate([CHANGE], lambda _: from_gateway(post, "shop"), "shop", "tiny"))
        assert send(events, post) == len(events)
    lines = [json.loads(line) for line in (state / FILE).read_text().splitlines()]
    rows = interactions(lines)
    assert len(rows) == 4
    assert all(row["simulated"] and row["shown"] for row in rows)
    assert all(row["version"] and row["latency_ms"] > 0 for row in rows)
