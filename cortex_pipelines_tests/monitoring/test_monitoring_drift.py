import json
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from cortex_pipelines.config import load_parameters
from cortex_pipelines.monitoring.assets import NothingToCompareError, champions_data, drift_report
from cortex_pipelines.monitoring.code_drift import (
    compare_code,
    original_examples,
    summarise_interactions,
    unseen_corrections,
)
from cortex_pipelines.monitoring.drift_evidence import detect_changes
from cortex_pipelines.monitoring.task_drift import compare_tasks, logged_tasks
from cortex_pipelines.release.ledger import LedgerEntry, ReleasedModel, record
from cortex_pipelines.routing.serving.router import Decision, UnreadableChampionError
from cortex_pipelines.routing.settings import RoutingSettings
from cortex_pipelines.schemas.datasets import COMPLETION_DATASET
from cortex_pipelines.schemas.feedback import INTERACTIONS
from cortex_pipelines.schemas.ingestion import REPOSITORY_COMMITS
from cortex_pipelines.schemas.routing import ROUTING_DATASET
from cortex_pipelines.schemas.vocabulary import SPLITS
from cortex_pipelines.versioning.champions import ChampionPin
from cortex_pipelines.versioning.project import ProjectError
from cortex_pipelines_tests.adapters import tinymodel

START = datetime(2026, 1, 1, tzinfo=UTC)
TOPICS = {
    "security": ["rotate", "audit", "leak", "key", "certificate", "token", "password", "login"],
    "cicd": ["pipeline", "deploy", "build", "runner", "stage", "image", "cache", "release"],
    "garden": ["lawn", "compost", "hedge", "tomato", "seed", "rake", "spade", "flower"],
}


@pytest.fixture
def settings() -> RoutingSettings:
    return load_parameters(Path(__file__).parents[2]).routing


def encode(texts: Sequence[str]) -> np.ndarray:
    vocabulary = [word for words in TOPICS.values() for word in words]
    rows = np.array([[word in text for word in vocabulary] for text in texts], dtype=float) + 0.01
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def write_tasks(folder: Path, count: int, topics: Sequence[str] = ("security", "cicd")) -> Path:
    """A data set whose first tasks do not depend on how many follow."""
    draw, splits = random.Random(0), {split: list[dict[str, Any]]() for split in SPLITS}
    for number in range(count):
        topic = topics[number % len(topics)] if number >= 150 else ("security", "cicd")[number % 2]
        words = " and ".join(draw.sample(TOPICS[topic], 3))
        splits[SPLITS[number % 3]].append(
            {"example_id": f"{number:05}", "text": f"please {words} item {number}", "master": topic}
            | {"label_source": "outcome" if number % 5 else "decision", "weight": 1.0, "origin": "log"}
            | {"occurred_at": START + timedelta(hours=number)}
        )
    folder.mkdir()
    for split, table in zip(SPLITS, ROUTING_DATASET, strict=True):
        table.frame(splits[split]).write_parquet(folder / f"{split}.parquet")
    return folder


def router(texts: Sequence[str], confident_masters: Sequence[str] = ("security", "cicd")) -> list[Decision]:
    """Knows the words of some topics; guesses the first for anything else, as sure as ever."""
    names = [
        next((name for name in confident_masters if any(w in text for w in TOPICS[name])), confident_masters[0])
        for text in texts
    ]
    return [Decision(name, 0.9, 0.5, (), (), "lexical", (), False, 1.0, "v", {name: 0.9}) for name in names]


def test_more_of_the_same_tasks_is_no_drift(tmp_path: Path, settings: RoutingSettings) -> None:
    then = logged_tasks(write_tasks(tmp_path / "then", 150))
    figures, parts = compare_tasks(then, logged_tasks(write_tasks(tmp_path / "now", 300)), router, encode, settings)
    assert (figures["known"], figures["new"], figures["new_share"]) == (150, 150, 1.0)
    assert (figures["drifting"], figures["worse"]) == (0, 0)
    assert (figures["accuracy_since"], figures["calibration_error_since"]) == (1.0, pytest.approx(0.1))
    assert 0 < figures["estimated"] <= 1
    assert "the first on 2026-01-07" in "".join(parts)


def test_outcomes_that_are_still_to_come_are_no_drift(tmp_path: Path, settings: RoutingSettings) -> None:
    then = logged_tasks(write_tasks(tmp_path / "then", 150))
    current = logged_tasks(write_tasks(tmp_path / "now", 300)).with_columns(
        label_source=pl.when(pl.int_range(pl.len()) >= 200).then(pl.lit("decision")).otherwise("label_source")
    )
    figures, _ = compare_tasks(then, current, router, encode, settings)
    assert (figures["new"], figures["drifting"]) == (150, 0)


def test_a_new_topic_is_found_shown_and_costs_accuracy(tmp_path: Path, settings: RoutingSettings) -> None:
    then = logged_tasks(write_tasks(tmp_path / "then", 150))
    current = logged_tasks(write_tasks(tmp_path / "now", 300, ("security", "garden")))
    figures, parts = compare_tasks(then, current, router, encode, settings)
    page = "".join(parts)
    assert figures["drifting"] >= 2  # its words, and its label
    assert (figures["accuracy_then"], figures["accuracy_since"]) == (1.0, pytest.approx(0.5, abs=0.02))
    assert figures["difference_high"] < 0
    assert figures["errors_since_low"] < figures["errors_since"] == 1 - figures["accuracy_since"]
    assert figures["worse"] == 1
    for part in ("compost", "garden 0%", "garden 50%"):
        assert part in page


def test_nothing_new_needs_neither_champion_nor_encoder(tmp_path: Path, settings: RoutingSettings) -> None:
    tasks = logged_tasks(write_tasks(tmp_path / "then", 150))

    def never(texts: Sequence[str]) -> Any:
        raise AssertionError

    figures, parts = compare_tasks(tasks, tasks, never, never, settings)
    assert (figures["new"], figures["drifting"]) == (0, 0)
    assert "No task was logged since" in "".join(parts)


def test_a_champion_that_cannot_run_leaves_the_rest_of_the_page(tmp_path: Path, settings: RoutingSettings) -> None:
    def raise_unreadable(texts: Sequence[str]) -> list[Decision]:
        raise UnreadableChampionError("The champion x is gone")

    then = logged_tasks(write_tasks(tmp_path / "then", 150))
    current = logged_tasks(write_tasks(tmp_path / "now", 300, ("garden",)))
    figures, parts = compare_tasks(then, current, raise_unreadable, encode, settings)
    assert figures["drifting"] > 0
    assert "accuracy_since" not in figures
    assert "The champion x is gone, so its decisions are not known." in "".join(parts)


def test_tasks_that_nobody_logged_are_not_compared(tmp_path: Path) -> None:
    folder = write_tasks(tmp_path / "then", 30)
    frame = pl.read_parquet(folder / "train.parquet")
    weak = frame.with_columns(pl.lit("weak:commit").alias("label_source"), text=pl.col("text") + " weak")
    pl.concat([frame, weak]).write_parquet(folder / "train.parquet")
    assert logged_tasks(folder).height == 30


def test_streams_without_a_change_seldom_raise_an_alarm_and_a_deep_fall_does() -> None:
    alarms = detected = 0
    for seed in range(100):
        draw = random.Random(seed)
        steady = [float(draw.random() < 0.8) for _ in range(400)]
        fallen = [float(draw.random() < 0.4) for _ in range(100)]
        alarms += bool(detect_changes(steady))
        late = [change for change in detect_changes(steady + fallen) if change.noticed >= 400]
        detected += any(change.since < change.before for change in late)
    assert alarms <= 5
    assert detected >= 85


def examples(folder: Path, files: dict[str, int], topic: str = "cicd") -> Path:
    draw, rows = random.Random(1), []
    for path, count in files.items():
        words = TOPICS["garden" if "new" in path else topic]
        rows += [
            {"example_id": f"{path}-{number}", "unit_id": "u", "source": "s", "path": path, "language": "python"}
            | {"kind": "function", "origin": "original" if number else "renamed", "prompt": "def f():"}
            | {"completion": f"return {' + '.join(draw.sample(words, 3))} + {number}", "suffix": ""}
            | {"cluster": "c", "split_reason": "r", "weight": 1.0, "task": "completion"}
            for number in range(count)
        ]
    folder.mkdir()
    for index, (split, table) in enumerate(zip(SPLITS, COMPLETION_DATASET, strict=False)):
        table.frame(rows[index::3]).write_parquet(folder / f"{split}.parquet")
    return folder


def test_new_code_is_counted_by_file_and_compared(tmp_path: Path) -> None:
    then = original_examples(examples(tmp_path / "then", {"a.py": 81, "gone.py": 11}))
    current = original_examples(examples(tmp_path / "now", {"a.py": 91, "new.py": 41}))
    assert (then.height, current.height) == (90, 130)  # a variant in each file does not count
    commits = REPOSITORY_COMMITS.frame(
        [
            {"source": "s", "commit": f"{day}", "committed_at": START + timedelta(days=day), "paths": paths}
            | {"parents": [], "author": None, "subject": "x", "body": ""}
            for day, paths in ((1, ["a.py"]), (5, ["a.py", "new.py"]), (9, ["new.py"]))
        ]
    )
    figures, parts = compare_code(then, current, commits, encode)
    page = "".join(parts)
    assert (figures["known"], figures["new"], figures["gone"]) == (90, 50, 10)
    assert figures["new_share"] == pytest.approx(50 / 130)
    assert figures["drifting"] == 2  # the texts and their length; language and kind are alike
    assert "hedge" in page
    assert "2 files, 1 of which did not exist then" in page
    assert "The earliest of these files&#39; last commits is of 2026-01-06" in page
    assert page.index("s/new.py") < page.index("s/a.py")
    figures, parts = compare_code(current, current, commits, encode)
    assert (figures["new"], figures["drifting"], figures["new_share"]) == (0, 0, 0)


def interactions(shares: Sequence[float], **changed: Any) -> pl.DataFrame:
    flags = ("simulated", "partly_accepted", "typed_instead", "edited", "contradictory")
    columns = dict.fromkeys(column.name for column in INTERACTIONS.columns) | dict.fromkeys(flags, False)
    columns |= {"sources": ["tabby"], "project": "p", "version": "v1", "shown": True, "characters": 100, "events": 1}
    rows = [
        {"completion_id": f"{number:05}", "user": f"u{number % 7}", "first_at": START + timedelta(hours=6 * number)}
        | {"outcome": "accepted" if share else "dismissed", "accepted": share > 0, "dismissed": not share}
        | {"accepted_characters": 100 if share else 0, "retained_5min": round(100 * share) if share else None}
        for number, share in enumerate(shares)
    ]
    return INTERACTIONS.frame([columns | row | changed for row in rows])


def test_what_people_keep_is_followed_over_time() -> None:
    figures, parts = summarise_interactions(interactions([0.8, 0.0] * 150), "p", "v1")
    assert figures["errors_since"] == pytest.approx(0.6)
    assert figures["errors_since_low"] < 0.6
    assert figures["worse"] == 0
    assert "2026-03" in "".join(parts)
    fallen = interactions([0.9] * 200 + [0.0] * 100)
    figures, parts = summarise_interactions(fallen, "p", "v1")
    assert figures["worse"] == 1
    assert "<td>2026-02-2" in "".join(parts)  # ADWIN noticed what began on the 20th
    figures, _ = summarise_interactions(fallen, "p", "another champion")
    assert "errors_since" not in figures


def test_editors_that_never_look_again_spend_no_error_budget() -> None:
    shares = [0.9] * 90 + [0.0] * 10
    figures, _ = summarise_interactions(interactions(shares).with_columns(retained_5min=None), "p", "v1")
    assert "errors_since" not in figures
    assert figures["worse"] == 0

    def looked_at(count: int) -> dict[str, float]:
        retained = pl.when(pl.int_range(pl.len()) < count).then("retained_5min")
        return summarise_interactions(interactions(shares * 3).with_columns(retained_5min=retained), "p", "v1")[0]

    assert "errors_since" not in looked_at(9)
    assert (looked_at(10)["errors_since"], looked_at(10)["worse"]) == (pytest.approx(1 - 0.9 * 0.9), 0)
    none_taken, _ = summarise_interactions(interactions([0.0] * 10), "p", "v1")
    assert none_taken["errors_since"] == 1


def test_corrections_that_the_champion_has_not_seen_call_for_a_training(tmp_path: Path) -> None:
    folders = {
        name: tinymodel.write_datasets(tmp_path / name, rows=0, feedback=count)["feedback"]
        for name, count in (("then", 12), ("now", 40))
    }
    frame = pl.read_parquet(folders["now"] / "train.parquet")
    marked = pl.int_range(frame.height)
    frame.with_columns(
        kind=pl.when(marked == 39).then(pl.lit("retained")).otherwise("kind"),
        origin=pl.when(marked == 38).then(pl.lit("simulation")).otherwise("origin"),
    ).write_parquet(folders["now"] / "train.parquet")
    assert (unseen_corrections(None, folders["now"]), unseen_corrections(folders["then"], folders["now"])) == (38, 26)
    assert unseen_corrections(folders["now"], folders["now"]) == 0
    assert unseen_corrections(folders["now"], folders["then"]) == 0

    model, version_folder = ReleasedModel("code_adapter", "p"), {"feedback_dataset": "f", "completion_dataset": "lost"}
    (tmp_path / "releases.lock").write_text("champions: {}\nledger: []\n")
    line = LedgerEntry("t", "a", "promote", model.name, "v", None, "w", inputs=version_folder)
    record(tmp_path, model, ChampionPin("v"), line)
    interactions([]).write_parquet(tmp_path / "interactions.parquet")

    silent = LedgerEntry("t", "a", "promote", model.name, "old", None, "w", inputs=None)
    record(tmp_path, model, ChampionPin("old"), silent)
    entry = LedgerEntry("t", "a", "promote", model.name, "new", None, "w", inputs=dict.fromkeys(version_folder, "lost"))
    record(tmp_path, model, ChampionPin("new"), entry)

    def load(asset: str, project: str | None, version: str) -> Path:
        if version == "lost":
            raise ProjectError("version lost is not in the DVC cache")
        return folders["then"]

    for champion, unseen, words in (
        (None, 38, "38."),
        ("v", 26, "26."),
        ("old", None, "unknown. releases.lock does not say which feedback_dataset"),
        ("new", None, "unknown. The data that the champion new was trained on cannot be read"),
    ):
        folder, nothing = tmp_path, Any
        drift_report(
            *(folder, folders["now"], folder, folder, ChampionPin(champion), nothing, nothing),
            *(load, "p", folder, folder, nothing),
        )
        figures = json.loads((tmp_path / "metrics.json").read_text())
        assert figures == {"drifting": 0} | ({} if unseen is None else {"corrections": unseen})
        sentence = f"Corrections by people that the champion was not trained on: {words}"
        assert sentence in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize("changed", [{"simulated": True}, {"project": "other"}])
def test_simulations_and_other_projects_do_not_count(changed: dict[str, Any]) -> None:
    figures, parts = summarise_interactions(interactions([0.5] * 9, **changed), "p", "v1")
    assert figures == {}
    assert "None yet." in "".join(parts)


def test_without_a_champion_or_its_data_there_is_a_sentence(tmp_path: Path) -> None:
    model = ReleasedModel("code_adapter", "p")
    requests: list[tuple[str, str | None, str]] = []

    def load(asset: str, project: str | None, version: str) -> Path:
        requests.append((asset, project, version))
        if version == "lost":
            raise ProjectError("version lost is not in the DVC cache")
        return tmp_path

    def data(pin: ChampionPin) -> tuple[str, Path]:
        return champions_data(tmp_path, model, pin, "completion_dataset", load)

    (tmp_path / "releases.lock").write_text("champions: {}\nledger: []\n")
    with pytest.raises(NothingToCompareError, match="code_adapter-p has no champion yet"):
        data(ChampionPin())
    for number, inputs in enumerate((None, {"completion_dataset": "lost"}, {"x": "y"})):
        pin = ChampionPin(f"v{number}")
        line = LedgerEntry("t", "a", "promote", model.name, pin.champion, None, "w", inputs=inputs)
        record(tmp_path, model, pin, line)
    with pytest.raises(NothingToCompareError, match="promoted before promotions noted that"):
        data(ChampionPin("v0"))
    with pytest.raises(NothingToCompareError, match="v1 was trained on cannot be read"):
        data(ChampionPin("v1"))
    assert requests == [("completion_dataset", "p", "lost")]
    line = LedgerEntry("t", "a", "promote", model.name, "v3", None, "w", inputs={"completion_dataset": "kept"})
    record(tmp_path, model, ChampionPin("v3"), line)
    assert data(ChampionPin("v3")) == ("v3", tmp_path)
