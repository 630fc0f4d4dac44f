"""Corrections become examples on their file's side; what a model wrote is marked and bounded."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cortex_pipelines.datasets.assets import feedback_dataset
from cortex_pipelines.datasets.decontamination import fingerprints_of
from cortex_pipelines.datasets.settings import DatasetSettings, FeedbackExampleSettings
from cortex_pipelines.datasets.tasks.changes import splits_by_file
from cortex_pipelines.datasets.tasks.feedback import feedback_tables
from cortex_pipelines.feedback.events import FeedbackEvent
from cortex_pipelines.feedback.retention import build_interactions
from cortex_pipelines.feedback.store import open_store
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.feedback import INTERACTIONS
from cortex_pipelines.schemas.ingestion import REPOSITORY_FILES
from cortex_pipelines.schemas.vocabulary import SPLITS
from cortex_pipelines_tests.parameters import sections

PROJECT = "shop"
STANDARD = FeedbackExampleSettings.model_validate(sections()["feedback_examples"])
Tables = dict[str, pl.DataFrame]
Paths = dict[str, list[str]]


def event(identity: str, kind: str, **fields: Any) -> FeedbackEvent:
    of_people = "git" if kind == "retained" else "corrections"
    source = "simulation" if fields.get("simulated") else of_people
    return FeedbackEvent(**{"completion_id": identity, "kind": kind, "source": source, "project": PROJECT, **fields})


def correction(path: str | None, identity: str = "", **fields: Any) -> FeedbackEvent:
    name = Path(path or "none").stem
    words = {
        "original": f"    return self.{name}_total(rate)",
        "corrected": f"    return round(self.{name}_total(rate), {len(name)})",
    }
    return event(identity or f"c-{name}", "corrected", path=path, **words | fields)


def retained(text: str, path: str, identity: str, **fields: Any) -> list[FeedbackEvent]:
    """A completion that was taken whole and stood unchanged in the next commit."""
    size, location = len(text), {"path": path, **fields}
    return [
        event(identity, "offered", characters=size, original=text, **location),
        event(identity, "accepted", characters=size, **location),
        event(identity, "retained", characters=size, **location),
    ]


@pytest.fixture(scope="session")
def settings(settings: DatasetSettings) -> DatasetSettings:
    """With a seed for which each split has a Python file."""
    return settings.model_copy(update={"seed": 27})


@pytest.fixture
def make(example_project: Any, files: pl.DataFrame, settings: DatasetSettings) -> Any:
    def tables(
        events: list[FeedbackEvent],
        consent: tuple[str, ...] = (PROJECT,),
        benchmarks: tuple[Any, ...] = (),
        **changed: Any,
    ) -> Tables:
        examples = STANDARD.model_copy(update=changed)
        interactions = build_interactions(events, consent)
        return feedback_tables(interactions, files, example_project.splits, benchmarks, PROJECT, examples, settings)

    return tables


@pytest.fixture
def files_by_split(example_project: Any, settings: DatasetSettings) -> Paths:
    """Python files of each side."""
    file_splits = splits_by_file(example_project.splits, settings)
    return {
        split: sorted(
            path
            for (_, path), (of, _) in file_splits.items()
            if of == split and path.startswith("shop/") and "errors" not in path
        )
        for split in SPLITS
    }


def rows(tables: Tables) -> pl.DataFrame:
    return pl.concat([tables[split] for split in SPLITS])


def reasons(tables: Tables) -> dict[str, int]:
    excluded = tables["manifest"].drop_nulls("left_out")
    return dict(excluded.group_by("left_out").agg(pl.col("count").sum()).iter_rows())


def test_a_correction_is_a_refactoring_on_the_side_of_its_file(make: Any, files_by_split: Paths) -> None:
    tables = make([correction(path) for split in SPLITS for path in files_by_split[split]])
    for split in SPLITS:
        assert files_by_split[split]
        assert sorted(tables[split]["path"]) == files_by_split[split]
        assert set(tables[split]["origin"]) == {"person"}
    (path,) = files_by_split["test"][:1]
    row = tables["test"].row(by_predicate=pl.col("path") == path, named=True)
    name = Path(path).stem
    assert row["prompt"] == (
        f"# {path}\n# A person corrected this code.\n    return self.{name}_total(rate)\n\n# The code as corrected:\n"
    )
    assert row["completion"] == f"    return round(self.{name}_total(rate), {len(name)})"
    entry = tables["manifest"].row(by_predicate=pl.col("entry_id") == row["example_id"], named=True)
    assert (entry["licence"], entry["split"], entry["left_out"]) == ("MIT", "test", None)


def test_a_correction_without_a_path_belongs_to_a_file_that_holds_it(
    make: Any, files_by_split: Paths, files: pl.DataFrame
) -> None:
    texts = dict(files.select("path", "text").iter_rows())
    unique_line = texts[files_by_split["test"][0]].splitlines()[8]
    shared = next(  # stands in a train file as well
        line
        for line in texts[files_by_split["test"][0]].splitlines()
        if len(line) > 8 and line in texts[files_by_split["train"][0]]
    )
    tables = make(
        [
            correction(None, "own", original="x = 1", corrected=unique_line),
            correction(None, "shared", original="y = 1", corrected=shared),
            correction(None, "nowhere", corrected="return a_file_that_is_not_there()"),
            correction("elsewhere/gone.py", "gone"),
            correction(files_by_split["train"][0], "unsaid", original=None),
        ]
    )
    assert tables["train"].is_empty()
    assert sorted(tables["test"]["completion"]) == sorted([unique_line, shared])
    assert reasons(tables) == {"feedback_without_file": 2, "feedback_without_original": 1}


def test_what_may_not_be_trained_on_is_left_out_and_counted(
    make: Any, files_by_split: Paths, settings: DatasetSettings
) -> None:
    path, other = files_by_split["train"][:2]
    benchmark_code = "\n".join(f"total_{n} = price_{n} * rate_{n} - discount_{n}" for n in range(12))
    benchmarks = (fingerprints_of([benchmark_code], settings.contamination_tokens, settings.contamination_share),)
    tables = make(
        [
            correction("vendor/lib.py"),
            correction(path, "benchmark", corrected=benchmark_code),
            correction(path, "same", original="a = 1", corrected="a = 1"),
            correction(path, "long", corrected="x" * (settings.max_change_bytes + 1)),
            correction(other, "first"),
            correction(other, "again"),
        ],
        benchmarks=benchmarks,
    )
    assert rows(tables)["path"].to_list() == [other]
    expected = {"licence": 1, "contaminated": 1, "answer_in_prompt": 1, "body_size": 1, "repeated": 1}
    assert reasons(tables) == expected


def test_what_is_held_out_or_repeated_is_not_trained_on(make: Any, files_by_split: Paths) -> None:
    words = {"original": "total = 0", "corrected": "\n".join(f"total += price_{n} * rate_{n}" for n in range(9))}
    tables = make([correction(files_by_split[split][0], split, **words) for split in ("train", "test")])
    assert (tables["train"].height, tables["test"].height) == (0, 1)
    assert reasons(tables) == {"near_duplicate_elsewhere": 1}
    path = files_by_split["train"][0]
    tables = make([correction(path, name, unit=name) for name in ("ann", "bob")])
    assert rows(tables).height == 1
    assert sum(reasons(tables).values()) == 1


def test_what_a_model_wrote_and_people_kept_is_marked_and_bounded(
    make: Any, files_by_split: Paths, files: pl.DataFrame
) -> None:
    texts = dict(files.select("path", "text").iter_rows())
    path, test_path = files_by_split["train"][0], files_by_split["test"][0]
    bodies = [part.rstrip("\n") for part in texts[path].split("\n\n    def ")[1:4]]
    events = [event for number, text in enumerate(bodies) for event in retained(text, path, f"k{number}")]
    events += retained(texts[test_path].split("\n\n")[2], test_path, "held")
    events += retained("nothing like it", path, "lost")
    none = make(events)
    assert rows(none).is_empty()
    assert reasons(none) == {"feedback_by_model": 5}
    assert set(none["manifest"]["origin"]) == {"model"}
    two = make(events, max_retained=2)
    assert reasons(two) == {"feedback_by_model": 1, "feedback_without_file": 1, "sample": 1}
    assert two["train"].select("kind", "origin").unique().rows() == [("retained", "model")]
    assert two["train"].height == rows(two).height == 2
    row = two["train"].row(0, named=True)
    before = row["prompt"].removeprefix(f"# {path}\n")
    assert before
    assert before + row["completion"] in texts[path]
    corrected = [*events, correction(path, "k0", original=bodies[0])]
    assert make(corrected)["train"]["origin"].to_list() == ["person"], "corrected, so not kept"


def test_a_simulation_is_left_out_or_in_train_alone(make: Any, files_by_split: Paths) -> None:
    events = [correction(files_by_split[split][0], split, simulated=True) for split in SPLITS]
    assert rows(make(events)).is_empty()
    assert reasons(make(events)) == {"feedback_simulated": 3}
    tables = make(events, simulated=True)
    assert rows(tables)["origin"].to_list() == tables["train"]["origin"].to_list() == ["simulation"]
    assert reasons(tables) == {"feedback_simulated": 2}


def test_rows_go_with_consent_and_with_what_is_forgotten(make: Any, files_by_split: Paths, tmp_path: Path) -> None:
    forgotten, vault, other = files_by_split["train"][:3]
    events = [
        correction(forgotten, "a", unit="anna"),
        correction(vault, "b", unit="ben"),
        correction(other, "c", unit="ben"),
    ]
    assert make(events, consent=("other",))["train"].is_empty()
    assert reasons(make(events, consent=())) == {"feedback_none": 0}

    def remaining_paths() -> list[str]:
        lines = (tmp_path / "2026-01.jsonl").read_text().splitlines()
        stored = [FeedbackEvent.model_validate_json(line) for line in lines]
        return sorted(rows(make(stored))["path"])

    with open_store(tmp_path) as store:
        store.add(events, datetime(2026, 1, 9, tzinfo=UTC))
        assert remaining_paths() == sorted([forgotten, vault, other])
        store.forget(lambda fields: fields.get("unit") == "anna")
        assert remaining_paths() == sorted([vault, other])
        store.forget(lambda fields: fields.get("path") == vault)
        assert remaining_paths() == [other]


@pytest.mark.parametrize("events", [[], [correction("shop/ledger.py")]])
def test_the_asset_works_without_feedback_and_says_so(
    events: list[FeedbackEvent], example_project: Any, files: pl.DataFrame, settings: DatasetSettings, tmp_path: Path
) -> None:
    interaction_rows = build_interactions(events, (PROJECT,))
    for name, frame in (
        (INTERACTIONS.name, interaction_rows),
        (REPOSITORY_FILES.name, files),
        ("splits", example_project.splits),
    ):
        frame.write_parquet(tmp_path / f"{name}.parquet")
    cache = RowCache(tmp_path / "cache", "1")
    inputs = (tmp_path, tmp_path, tmp_path, STANDARD, settings, PROJECT, tmp_path, tmp_path, cache)
    tables = feedback_dataset(*inputs)
    assert rows(tables).height == len(events)
    says_nothing = "There is no feedback yet" in (tmp_path / "card.md").read_text()
    assert says_nothing == (reasons(tables) == {"feedback_none": 0}) == (not events)
    again = feedback_dataset(*inputs)
    assert all(again[name].equals(tables[name]) for name in tables)
