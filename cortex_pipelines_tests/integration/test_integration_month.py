"""A month in which the loop closes, from the first answer to a certificate of deletion.

The history is alpha's: real modules of this package, which the test commits room by room over the
month, since without a network there is no other to be had. Who types them is the simulated
developer, under the names of a team; corrections and votes come from people whom the test plays,
so no figure of this story says anything of people. The clock is moved by days, and nothing waits.

Each step is looked up where somebody would look for it: in Dagster's event log, in MLflow's runs
and registry, in releases.lock, on the page of `cortex status` and in the gateway's answers.
"""

import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from fastapi.testclient import TestClient

from cortex_pipelines.adapters.model.lora import SEEN
from cortex_pipelines.feedback.git_history import file_history
from cortex_pipelines.feedback.project_feedback import git_folder
from cortex_pipelines.release.ledger import ledger
from cortex_pipelines.serving.http.server import create_app
from cortex_pipelines.serving.open_gateway import open_gateway
from cortex_pipelines.serving.project_services import project_services
from cortex_pipelines.tracking.store import open_client
from cortex_pipelines_tests.integration.miniproject import REPOSITORY, MiniProject
from cortex_pipelines_tests.integration.month import Clock, Team, commit_as, room
from cortex_pipelines_tests.integration.nights import checked, materialised, nightly, step_metadata
from cortex_pipelines_tests.integration.planted import holding
from cortex_pipelines_tests.messages import missing

pytestmark = pytest.mark.slow
MODEL = "code_adapter-alpha"
KEEPER = "wombat.keeper@example.org"
OTHER = "emu.keeper@example.org"
TEAM = [f"developer-{number}" for number in range(60)]
CORRECTIONS = {KEEPER: "return numbatledger(total)", OTHER: "return emuledger(total)"}
PAGE = REPOSITORY / "cortex_pipelines" / "serving" / "http" / "page" / "page.js"


@dataclass(frozen=True)
class Month:
    """A project, the clock that it goes by, and its gateway, which is open all the time."""

    mini: MiniProject
    clock: Clock
    client: TestClient

    def night(self, day: float) -> dg.ExecuteInProcessResult:
        """The nightly run of a day, after which somebody commits the locks."""
        self.clock.to_day(day)
        result = nightly(self.mini, jobs=1)
        assert result.success
        self.mini.commit(f"night {day}")
        return result

    def status_page(self) -> str:
        path = self.mini.root.parent / "status.html"
        self.mini.cortex("status", "--page", str(path))
        _, _, body = path.read_text().partition("<h1>")
        return " ".join(unescape(re.sub("<[^>]*>", " ", body)).split())

    def moves(self) -> list[tuple[str, str | None]]:
        """What the ledger says of alpha's adapter; what it says of deletions is left out."""
        lines = [line for line in ledger(self.mini.root) if line.model == MODEL]
        return [(line.action, line.number) for line in lines if line.action != "forget"]

    def aliases(self) -> dict[str, str]:
        numbers = open_client(self.mini.root).get_registered_model(MODEL).aliases
        return {alias: str(number) for alias, number in numbers.items()}

    def page_state(self) -> dict[str, Any]:
        rows = self.client.get("/overview").json()["models"]
        return next(dict(row) for row in rows if row["name"] == "alpha")

    def answered_by(self) -> str:
        request = {"model": "alpha", "prompt": "def f():\n", "max_tokens": 2}
        answer = self.client.post("/v1/completions", json=request, headers={"x-cortex-user": "x"})
        return str(answer.headers["x-cortex-version"])


@pytest.fixture
def month(finished_copy: MiniProject, monkeypatch: pytest.MonkeyPatch) -> Iterator[Month]:
    first_release(finished_copy)
    app = create_app(open_gateway(finished_copy.root), project_services(finished_copy.root))
    with TestClient(app) as client:
        yield Month(finished_copy, Clock(monkeypatch), client)


def first_release(mini: MiniProject) -> None:
    def edit(values: Any) -> None:
        values["feedback"].update(consent=["alpha"])
        values["serving"].update(threads=1)
        rule = {"new_items": 10, "drift": True, "error_budget": 1.0}
        values["retraining"].update(code_adapter=rule)
        analysis = {"least_answers": 12, "most_answers": 400, "margin": 0.35}
        values["deployment"].update(strategy="canary", share=0.5, analysis=analysis)
        gate = {"figure": "completion_improvement_over_base", "smallest_improvement": 0.0}
        values["evaluation"].update(items=12)  # of fewer, the smallest file alone would end the interval
        values["release"]["code_adapter"] = gate | {"smallest_items": 2, "guards": {}}

    mini.edit_params(edit)
    mini.cortex("run")
    mini.commit("a canary first")
    for model in ("task_router", MODEL):
        mini.cortex("promote", model, "--strategy", "immediate", "--why", "first release")
    mini.commit("released")


def test_the_loop_closes_in_half_a_month(month: Month) -> None:
    first_half(month)


@pytest.mark.long
def test_a_month_ends_with_a_rollback_and_a_certificate_of_deletion(month: Month, tmp_path: Path) -> None:
    first_half(month)
    is_made_worse(month)
    is_rolled_back(month)
    forgets_somebody(month, tmp_path / "certificate.json")


def first_half(month: Month) -> None:
    is_served(month)
    is_collected(month)
    drifts_and_is_trained_again(month)
    is_tried_and_promoted(month)


def is_served(month: Month) -> None:
    """Days 1 to 6: the team types with the first release, and two people correct it."""
    mini = month.mini
    first = mini.version("code_adapter@alpha")
    overview = month.page_state()
    assert (overview["version"], overview["number"], overview["verdict"]) == (first, "1.0.0", "promoted")
    assert month.answered_by() == first
    month.clock.to_day(3)
    team = Team(month.client, TEAM)
    typed = list(team.types(file_history(git_folder(mini.root / "sources" / "alpha"), ".py", 1)))
    assert len(typed) > 20
    assert {version for _, version in team.asked.values()} == {first}
    path = trained_file(mini)
    for person, correction in CORRECTIONS.items():
        Team(month.client, [person]).corrects(path, "def ledger(total):\n    ", correction)
    assert (month.moves(), month.aliases()) == ([("promote", "1.0.0")], {"champion": "1", "challenger": "1"})


def is_collected(month: Month) -> None:
    """The night of day 7 takes in what the gateway has logged, and trains nothing."""
    mini, result = month.mini, month.night(7)
    assert "interactions" in materialised(result)
    assert not [step for step in materialised(result) if step.startswith("code_adapter[")]
    assert corrections_of_the_month(mini) == set(CORRECTIONS.values())
    by_asset = {row["asset"]: row["run_id"] for row in mini.status()}
    run = open_client(mini.root).get_run(by_asset["interactions"])
    rows = run.data.metrics["rows/interactions"]
    groups = json.loads(mini.cortex("feedback", "show", "--json").stdout)
    counts = {g["simulated"]: g["interactions"] for g in groups if g["by"] == "project"}
    assert counts == {False: 2, True: rows - 2}
    page = month.status_page()
    assert missing(page, "alpha people 2 2 2", f"alpha simulation {rows - 2:.0f}") == []


def corrections_of_the_month(mini: MiniProject) -> set[str]:
    table = pl.read_parquet(mini.root / "data" / "interactions" / "interactions.parquet")
    people = table.filter(~pl.col("simulated"), pl.col("corrected").is_not_null())
    return set(people["corrected"])


def trained_file(mini: MiniProject) -> str:
    splits = pl.read_parquet(mini.root / "data" / "unit_splits" / "alpha" / "splits.parquet")
    return str(splits.filter(split="train")["path"].sort()[0])


def taught_corrections(mini: MiniProject) -> dict[str, str]:
    table = pl.read_parquet(mini.root / "data" / "feedback_dataset" / "alpha" / "train.parquet")
    return {identity: text.strip() for identity, text in table.select("example_id", "completion").rows()}


def drifts_and_is_trained_again(month: Month) -> None:
    """Code in another language comes; the night of day 14 notices, trains, judges and tries."""
    mini = month.mini
    commit_as(mini, "nobody@example.org", 9, [PAGE], "page")
    commit_as(mini, KEEPER, 10, room("feedback"), "feedback")
    commit_as(mini, "nobody@example.org", 12, room("adapters"), "adapters")
    result = month.night(14)
    assert step_metadata(result)["move_pins"]["pins moved"] == "projects.alpha"
    assert not checked(result)["drift_report[alpha]", "drifting"]
    assert step_metadata(result)["task_router"]["retraining"].startswith("rest: 0 new")
    assert {"code_adapter[alpha]", "code_adapter_release[alpha]"} <= materialised(result)
    untouched = {"task_router", *(f"{name}[beta]" for name in ("repository_files", "code_units", "completion_dataset"))}
    assert not untouched & materialised(result)
    assert checked(result)["code_adapter_release[alpha]", "verdict"]
    assert step_metadata(result)["promote_code_adapter[alpha]"]["promoted"] == MODEL
    learnt = taught_corrections(mini)
    assert set(learnt.values()) == set(CORRECTIONS.values())
    seen_units = json.loads((mini.root / "data" / "code_adapter" / "alpha" / SEEN).read_text())
    assert learnt.keys() <= {identity for identities in seen_units.values() for identity in identities}
    trained = mini.version("code_adapter@alpha")
    assert month.moves()[-1] == ("canary", "1.1.0")
    assert month.aliases() == {"champion": "1", "challenger": "2", "canary": "2"}
    client = open_client(mini.root)
    version = client.get_model_version(MODEL, "2")
    assert (version.tags["dvc_md5"], version.tags["verdict"]) == (trained, "promoted")
    experiment = client.get_experiment_by_name(MODEL)
    (run,) = client.search_runs([experiment.experiment_id], f"tags.dvc_md5 = '{trained}'")
    assert run.data.metrics["validation/loss"] > 0
    page = month.status_page()
    assert missing(page, f"{MODEL}: train: ", "task_router: rest: 0 new") == []
    assert f"1.1.0 {trained} promoted" in page


def is_tried_and_promoted(month: Month) -> None:
    """Days 15 and 16: half of the team is answered by the canary, until the analysis ends."""
    mini = month.mini
    first, second = (version_of(mini, number) for number in ("1.0.0", "1.1.0"))
    month.clock.to_day(15)
    team = asks_until(month, "promote")
    assert {version for _, version in team.asked.values()} == {first, second}
    last = ledger(mini.root)[-1]
    assert (last.action, last.number, last.version) == ("promote", "1.1.0", second)
    assert last.why.startswith("success: fails in 0 of ")
    assert (month.answered_by(), month.page_state()["number"]) == (second, "1.1.0")
    assert month.aliases() == {"champion": "2", "challenger": "2"}
    assert last.why in month.status_page()


def is_made_worse(month: Month) -> None:
    """A changed setting: the night of day 18 trains one that passes its gate all the same."""
    mini = month.mini
    mini.edit_params(lambda values: values["projects"]["alpha"].update(adapters={"seed": 21}))
    result = month.night(18)
    assert checked(result)["code_adapter_release[alpha]", "verdict"]
    assert step_metadata(result)["promote_code_adapter[alpha]"]["promoted"] == MODEL
    assert month.moves()[-1] == ("canary", "1.2.0")
    assert month.aliases() == {"champion": "2", "challenger": "3", "canary": "3"}


def is_rolled_back(month: Month) -> None:
    """Day 19: whoever is answered by the canary votes its answers down, and it is withdrawn."""
    mini = month.mini
    second = version_of(mini, "1.1.0")
    month.clock.to_day(19)
    asks_until(month, "rollback", unlike=second)
    last = ledger(mini.root)[-1]
    assert (last.action, last.version) == ("rollback", second)
    assert re.match(r"failure: fails in \d+ of \d+ answers, the champion 0 of ", last.why)
    assert (month.answered_by(), month.aliases()) == (second, {"champion": "2", "challenger": "3"})
    page = month.status_page()
    assert missing(page, f"{MODEL}: train: settings changed: adapters", last.why) == []
    mini.edit_params(lambda values: values["projects"]["alpha"].pop("adapters"))
    mini.commit("as it was")


def forgets_somebody(month: Month, paper: Path) -> None:
    """Day 24: whoever wrote a part of alpha leaves, and with them what was made from it."""
    mini = month.mini
    before = version_of(mini, "1.1.0")
    assert holding(mini.root, b"numbatledger")
    month.clock.to_day(24)
    mini.cortex("forget", "--author", KEEPER)
    result = month.night(25)
    assert {"repository_files[alpha]", "interactions", "code_adapter[alpha]"} <= materialised(result)
    page = month.status_page()
    assert f"{MODEL}: train: something that it was made from is to be forgotten" in page
    files = pl.read_parquet(mini.root / "data" / "repository_files" / "alpha" / "files.parquet")
    assert not files.filter(pl.col("path").str.starts_with("feedback/")).height
    assert corrections_of_the_month(mini) == {CORRECTIONS[OTHER]}
    assert (set(taught_corrections(mini).values()), month.moves()[-1]) == ({CORRECTIONS[OTHER]}, ("canary", "1.3.0"))

    mini.cortex("forget", "--certificate", str(paper))
    outstanding = json.loads(paper.read_text())["outstanding"]
    assert f"{MODEL}/2: made with it, and still champion; promote what was rebuilt or roll back" in (outstanding)
    month.clock.to_day(26)
    asks_until(month, "promote")
    after = version_of(mini, "1.3.0")
    assert month.answered_by() == after != before
    month.night(27)
    mini.cortex("forget", "--purge", "--weights")
    mini.cortex("forget", "--certificate", str(paper))
    assert "as it was signed" in mini.cortex("verify", str(paper)).stderr
    content = json.loads(paper.read_text())
    assert content["outstanding"] == []
    models = {(row["model"], row["number"]): row for row in content["models"]}
    assert models[MODEL, "2"]["champion"] == models[MODEL, "2"]["now"] == after
    assert {models[MODEL, number]["weights"] for number in "123"} == {"deleted"}
    assert month.aliases() == {"champion": "4", "challenger": "4"}
    for trace in (KEEPER.encode(), b"numbatledger"):
        assert not holding(mini.root, trace)
    assert holding(mini.root, b"emuledger"), "what was not asked for stays"
    assert month.answered_by() == after, "the gateway was not disturbed"
    rows = {(row["asset"], row["partition"]): row for row in mini.status()}
    assert all(row["fresh"] for row in rows.values())
    adapter = rows["code_adapter", "alpha"]
    assert adapter["data_version"] == adapter["mlflow_digest"] == after
    assert content["id"] in month.status_page()
    assert month.moves() == [
        *(("promote", "1.0.0"), ("canary", "1.1.0"), ("promote", "1.1.0")),
        *(("canary", "1.2.0"), ("rollback", "1.1.0"), ("canary", "1.3.0"), ("promote", "1.3.0")),
    ]


def asks_until(month: Month, action: str, unlike: str | None = None) -> Team:
    """The team asks until the ledger says how the analysis of the canary has ended.

    Answers of another version than ``unlike`` are voted down by whoever got them. No trial asks
    what another asked: an answer that is given again is not counted.
    """
    team, begun = Team(month.client, TEAM), len(ledger(month.mini.root))
    for number in range(300):
        request = {"model": "alpha", "prompt": f"part_{begun}_{number} = ", "max_tokens": 1}
        answer = team.post("/v1/completions", request)["id"]
        if unlike is not None and team.asked[answer][1] != unlike:
            team.votes_down(answer)
        if number == 9:
            assert sum(count["answered"] for count in month.page_state()["trial"].values()) == 10
        if number % 10 == 9 and len(ledger(month.mini.root)) > begun:
            break
    for thread in threading.enumerate():
        if thread.name == "rollout":
            thread.join()  # the registry follows the ledger
    assert [line.action for line in ledger(month.mini.root)[begun:]] == [action]
    month.mini.commit(action)
    return team


def version_of(mini: MiniProject, number: str) -> str:
    (version,) = {line.version for line in ledger(mini.root) if (line.model, line.number) == (MODEL, number)}
    assert version is not None
    return version
