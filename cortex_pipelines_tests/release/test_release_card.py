"""The model card says what is known of an adapter, and what was not shown."""

import json
from pathlib import Path
from typing import Any

import polars as pl

from cortex_pipelines.catalog import open_project
from cortex_pipelines.release.card import CARD, Training, write_card
from cortex_pipelines.schemas import MANIFEST

ROOT = Path(__file__).parents[2]
METRICS = {
    "improvement": 0.2,
    "improvement_low": 0.1,
    "improvement_high": 0.3,
    "completion_improvement": 0.01,
    "completion_improvement_low": -0.1,
    "completion_improvement_high": 0.1,
    "pass_at_1": None,
    "items": 40.0,
}


def dataset(folder: Path, licences: list[str | None]) -> Path:
    folder.mkdir(parents=True)
    rows = [
        {
            **dict.fromkeys(MANIFEST.schema),
            "entry_id": str(number),
            "split": "train" if number else "test",
            "count": 1,
            "licence": licence,
            "filters": [],
        }
        for number, licence in enumerate(["GPL-3.0-only", *licences])
    ]
    pl.DataFrame(rows, schema=MANIFEST.schema).write_parquet(folder / "manifest.parquet")
    return folder


def card(root: Path, verdict: dict[str, Any] | None = None) -> str:
    for name, files in {
        "adapter": {
            "training.json": {
                "base": {"name": "pypi:base==1", "digest": "abc"},
                "settings": {"rank": 8, "target_modules": "all-linear"},
            }
        },
        "evaluation": {
            "metrics.json": METRICS,
            "comparison.json": {"opponent": {"version": "old.dir", "note": ""}},
        },
        "out": {"verdict.json": verdict or {"verdict": "promoted", "reason": "better"}},
    }.items():
        (root / name).mkdir(parents=True)
        for file, value in files.items():
            (root / name / file).write_text(json.dumps(value))
    completion = dataset(root / "completion_dataset", ["MIT", "MIT", None])
    naming = dataset(root / "naming_dataset", ["Apache-2.0"])
    data = [
        Training("completion_dataset", "d1.dir", completion),
        Training("naming_dataset", "d2.dir", naming),
    ]
    write_card(
        "code_adapter-demo", "v.dir", root / "adapter", root / "evaluation", data, root / "out"
    )
    return (root / "out" / CARD).read_text()


def test_a_card_names_data_licences_base_settings_and_scores(tmp_path: Path) -> None:
    lines = card(tmp_path).splitlines()
    assert lines[0] == "# code_adapter-demo"
    for line in (
        "| version | `v.dir` |",
        "| base | pypi:base==1 |",
        "| verdict | promoted: better |",
        "| completion_dataset | `d1.dir` | 3 | MIT (2), not known (1) |",
        "| naming_dataset | `d2.dir` | 1 | Apache-2.0 (1) |",
        "rank: 8",
        'target_modules: "all-linear"',
        "| improvement | 0.2 | 0.1 to 0.3 |",
        "| items | 40 |  |",
    ):
        assert line in lines, line
    assert "the champion `old.dir`" in "\n".join(lines)
    assert "improvement_low" not in "\n".join(lines)


def test_a_card_says_what_was_not_shown(tmp_path: Path) -> None:
    text = card(tmp_path, {"verdict": "kept", "reason": "too few items"})
    part = text.split("## What it was not shown to do\n")[1].split("\n## ")[0]
    assert "- To be worth promoting: too few items." in part
    assert "- completion_improvement: the interval -0.1 to 0.1 has zero in it." in part
    assert "- improvement: the interval" not in part
    assert "- pass_at_1: not measured." in part
    assert "- naming: trained on, no figure of its own." in part


def test_a_card_is_the_same_the_second_time(tmp_path: Path) -> None:
    assert card(tmp_path / "one") == card(tmp_path / "two")


def test_the_release_reads_the_data_sets_that_the_adapter_is_trained_on() -> None:
    graph = open_project(ROOT).graph

    def data(name: str) -> set[str]:
        return {other.name for other in graph.wiring(name).assets if "_dataset" in other.name}

    assert data("code_adapter_release") == data("code_adapter")
