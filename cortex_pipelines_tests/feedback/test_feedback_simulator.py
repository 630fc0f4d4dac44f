"""The table of interactions, the simulated developer, what commits retain, and figures of all."""

import json
import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from cortex_pipelines.feedback.events import FeedbackEvent, parse_event, read_events
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
ADDED = CASES["ADDED"]
CHANGE = FileRevision("src/cart.py", NOW - timedelta(days=2), BEFORE, BEFORE + ADDED)


@pytest.mark.parametrize(("suggested", "actual", "does"), CASES["the_rule_of_acceptance"])
def test_the_rule_of_acceptance(suggested: str, actual: str, does: str) -> None:
    assert reaction(suggested, actual) == does


def interactions(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    read = [event for line in events for event in read_events(line, None, str)]
    return [dict(row) for row in build_interactions(read, ("shop",)).to_dicts()]


def test_a_simulated_day_is_marked_and_the_same_each_time() -> None:
    events = list(simulate([CHANGE], from_before, "shop", "baseline"))
    assert events == list(simulate([CHANGE], from_before, "shop", "baseline"))
    rows = interactions(events)
    assert len(rows) == 4
    assert all(row["simulated"] and row["sources"] == ["simulation"] for row in rows)
    assert sorted(row["outcome"] for row in rows) == ["accepted", "dismissed", "dismissed", "dismissed"]
    (corrected,) = [row for row in rows if row["corrected"]]
    assert (corrected["original"], corrected["corrected"]) == ("    for item in items:", "    for part in items:")
    assert corrected["edited"]
    assert corrected["retained_1h"] < corrected["accepted_characters"]


def test_figures_of_people_never_contain_a_simulation() -> None:
    events = list(simulate([CHANGE], from_before, "shop", "baseline"))
    person = {"at": (NOW - timedelta(days=1)).isoformat(), "completion_id": "c"}
    events += [person | line for line in CASES["a_person"]]
    groups = compute_metrics(INTERACTIONS.frame(interactions(events)))
    assert [(group["simulated"], group["by"]) for group in groups] == [
        (simulated, by) for simulated in (False, True) for by in GROUPS
    ]
    people = groups[0]["figures"]
    assert (set(people), people["acceptance"]) == (set(METRICS), {"value": 1.0, "low": None, "high": None, "count": 1})
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
            rows.append(common | {"type": "offered", "project": "shop", "characters": 10} | {"unit": f"u{user}"})
            rows.append(common | {"type": "select" if user % 3 else "dismiss"})
    group = compute_metrics(INTERACTIONS.frame(interactions(rows)))[0]
    acceptance = group["figures"]["acceptance"]
    assert (group["users"], acceptance["count"], acceptance["value"]) == (12, 60, pytest.approx(2 / 3))
    assert acceptance["low"] < 2 / 3 < acceptance["high"]
    assert acceptance["high"] - acceptance["low"] > 0.4  # of 60 independent ones it would be .24


def test_of_interactions_without_users_there_is_no_interval() -> None:
    rows = []
    for number in range(9):
        common = {"completion_id": f"c{number}", "at": NOW.isoformat()}
        rows.append(common | {"type": "offered", "project": "shop", "characters": 10})
        rows.append(common | {"type": "select" if number % 3 else "dismiss"})
    group = compute_metrics(INTERACTIONS.frame(interactions(rows)))[0]
    acceptance = group["figures"]["acceptance"]
    assert (group["users"], acceptance["count"], acceptance["value"]) == (0, 9, pytest.approx(2 / 3))
    assert (acceptance["low"], acceptance["high"]) == (None, None)


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
    assert (surviving_characters("b = 1\nb = 1\nd = 3\nc = 2", text), surviving_characters("1\n", text)) == (11, 2)
    assert (surviving_characters("x = 9", ""), surviving_characters("b = 1\nc = 2\n", text, "b = 1\n")) == (0, 6)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    write_yaml(folder / "params.yaml", read_yaml(ROOT / "params.yaml") | CASES["project"])
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
    assert "1 completions were committed; 1 new events" in cortex("feedback", "commits", "shop", str(repository)).stdout
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
    rows = interactions([json.loads(line) for line in (state / FILE).read_text().splitlines()])
    assert len(rows) == 4
    assert all(row["simulated"] and row["shown"] for row in rows)
    assert all(row["version"] and row["latency_ms"] > 0 for row in rows)


START = datetime(2026, 3, 1, 12, tzinfo=UTC)
CONSENT = ("shop",)


def event(kind: str, seconds: float | None = 0, **fields: Any) -> FeedbackEvent:
    moment = None if seconds is None else START + timedelta(seconds=seconds)
    return FeedbackEvent(kind=kind, **{"completion_id": "c1", "source": "gateway", "at": moment, **fields})


def offer(**fields: Any) -> FeedbackEvent:
    return event("offered", -1, **{"project": "shop", "version": "v1", "characters": 100} | fields)


def row(*events: FeedbackEvent) -> dict[str, Any]:
    (only,) = build_interactions(events, CONSENT).to_dicts()
    return dict(only)


def test_one_completion_logged_as_rejected_and_accepted_counts_once_as_accepted() -> None:
    for order in ((0, 5), (5, 0)):
        settled = row(offer(), event("dismissed", order[0]), event("accepted", order[1]))
        assert settled["outcome"] == "accepted"
        assert settled["contradictory"]
        assert settled["accepted_characters"] == 100


def test_a_client_s_claims_replace_neither_the_gateway_s_words_nor_the_commits() -> None:
    settled = row(event("shown", -900, version="v9", project="other", characters=7), offer())
    assert (settled["version"], settled["project"], settled["characters"]) == ("v1", "shop", 100)
    assert row(offer(), event("accepted"), event("retained", characters=9))["retained_commit"] is None
    retained_in_git = event("retained", characters=9, source="git")
    assert row(offer(), event("accepted"), retained_in_git)["retained_commit"] == 9


def test_retained_characters_never_grow_and_never_exceed_what_was_taken() -> None:
    settled = row(offer(), *(event(kind, second, **fields) for kind, second, fields in CASES["RETAINED"]))
    assert [settled[f"retained_{name}"] for name in ("30s", "5min", "1h", "commit")] == [80, 80, 80, 100]
    assert settled["edited"]


def test_a_part_is_bounded_by_the_whole_and_outdone_by_it() -> None:
    part = event("partly_accepted", 1, characters=40)
    assert (row(offer(), part)["accepted_characters"], row(offer(), part)["outcome"]) == (40, "partly_accepted")
    assert row(offer(), event("partly_accepted", characters=400))["accepted_characters"] == 100
    accepted_in_full = row(offer(), part, event("accepted", 2))
    assert (accepted_in_full["accepted_characters"], accepted_in_full["partly_accepted"]) == (100, False)


def test_a_clock_that_went_back_or_stood_still_gives_no_time_to_accept() -> None:
    assert row(offer(), event("shown", 9), event("accepted", 4))["seconds_to_accept"] is None
    assert row(offer(), event("shown", 4), event("accepted", 9))["seconds_to_accept"] == 5
    measured = event("accepted", 4, elapsed_ms=700.0)
    assert row(offer(), event("shown", 9), measured)["seconds_to_accept"] == 0.7
    assert row(offer(), event("shown", 4), event("accepted", 4))["seconds_to_accept"] is None
    continues = [event(kind, second, source="continue") for kind, second in (("shown", 1), ("accepted", 9))]
    assert row(offer(), *continues)["seconds_to_accept"] is None


def test_the_last_word_counts_of_votes_and_corrections() -> None:
    settled = row(offer(), *(event(kind, second, **fields) for kind, second, fields in CASES["LAST_WORD"]))
    assert (settled["rating"], settled["original"], settled["corrected"], settled["events"]) == ("down", "a", "b", 7)


def test_votes_and_corrections_alone_do_not_say_that_it_could_be_taken() -> None:
    vote = event("rated", 8, rating="up")
    correction = event("corrected", 9, corrected="b", original="a")
    for events in ((offer(), vote, correction), (event("rated", project="shop", rating="up"),)):
        settled = row(*events)
        assert (settled["shown"], settled["outcome"]) == (False, "offered")
    for kind in ("shown", "accepted", "typed_instead", "dismissed", "edited", "retained"):
        assert row(offer(), vote, event(kind))["shown"]
    # who is not taken into account as a reader of it still says how much was wrong
    group = compute_metrics(build_interactions([offer(), vote, correction], CONSENT))[0]["figures"]
    assert group["acceptance"] is None
    assert group["correction_distance"]["count"] == 1


def test_without_consent_there_is_no_row() -> None:
    assert build_interactions([offer(project="other"), event("accepted")], CONSENT).is_empty()
    assert build_interactions([event("accepted")], CONSENT).is_empty()


EVENTS = st.builds(
    lambda name, kind, at, text, number, rating, project: FeedbackEvent(
        completion_id=name,
        kind=kind,
        source="gateway",
        at=at and START + timedelta(seconds=at),
        project=project,
        characters=number,
        after=30 if kind == "retained" else None,
        rating=rating,
        corrected=text,
        original=text and text[::-1],
        unit=text or None,
    ),
    st.sampled_from(["c1", "c2"]),
    st.sampled_from(["offered", "shown", "accepted", "partly_accepted", "dismissed", "retained", "corrected"]),
    st.none() | st.integers(-5, 5),
    st.none() | st.sampled_from(["x", "yy"]),
    st.none() | st.integers(0, 5),
    st.none() | st.sampled_from(["up", "down"]),
    st.none() | st.sampled_from(["shop", "other"]),
)


@given(st.lists(EVENTS, max_size=12), st.data())
def test_order_and_repetition_change_nothing(events: list[FeedbackEvent], data: st.DataObject) -> None:
    again = data.draw(st.permutations(events + data.draw(st.lists(st.sampled_from(events)) if events else st.just([]))))
    assert build_interactions(again, CONSENT).equals(build_interactions(events, CONSENT))
