import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cortex_pipelines.catalog import open_project
from cortex_pipelines.config import load_parameters
from cortex_pipelines.ingestion.pretrained_models import ModelSource, PinnedModel
from cortex_pipelines.prompts.examples import DATASETS as NAMES
from cortex_pipelines.release.answering import Release, read_release
from cortex_pipelines.release.card import CARD, TrainingDataSet, write_card
from cortex_pipelines.schemas.datasets import MANIFEST
from cortex_pipelines_tests.messages import missing
from cortex_pipelines_tests.parameters import load_cases
from cortex_pipelines_tests.release.tinyadapter import release_adapter

CASES = load_cases(__file__)
ROOT = Path(__file__).parents[2]
DATASETS = tuple(f"{task}_dataset" for task in NAMES)
METRICS = CASES["METRICS"]


def dataset(folder: Path, licences: list[str | None]) -> Path:
    folder.mkdir(parents=True)
    usual = {**dict.fromkeys(MANIFEST.schema), "count": 1, "filters": []}
    rows = [
        usual | {"entry_id": str(number), "split": "train" if number else "test", "licence": licence}
        for number, licence in enumerate(["GPL-3.0-only", *licences])
    ]
    pl.DataFrame(rows, schema=MANIFEST.schema).write_parquet(folder / "manifest.parquet")
    return folder


def card(root: Path, verdict: dict[str, Any] | None = None, parent: str | None = None) -> str:
    base, settings = {"name": "pypi:base==1", "digest": "abc"}, {"rank": 8, "target_modules": "all-linear"}
    for name, files in {
        "adapter": {"training.json": {"base": base, "settings": settings, "parent": parent}},
        "evaluation": {"metrics.json": METRICS, "comparison.json": {"reference": {"version": "old.dir", "note": ""}}},
        "out": {"verdict.json": verdict or {"verdict": "promoted", "reason": "better"}},
    }.items():
        (root / name).mkdir(parents=True)
        for file, value in files.items():
            (root / name / file).write_text(json.dumps(value))
    completion = dataset(root / "completion_dataset", ["MIT", "MIT", None])
    naming = dataset(root / "naming_dataset", ["Apache-2.0"])
    data = [
        TrainingDataSet("completion_dataset", "d1.dir", completion, "completion"),
        TrainingDataSet("naming_dataset", "d2.dir", naming, "naming"),
    ]
    write_card("code_adapter-demo", "v.dir", root / "adapter", root / "evaluation", data, root / "out")
    return (root / "out" / CARD).read_text()


def test_a_card_names_data_licences_base_settings_and_scores(tmp_path: Path) -> None:
    lines = card(tmp_path).splitlines()
    assert lines[0] == "# code_adapter-demo"
    for line in (
        "| version | `v.dir` |",
        "| base | pypi:base==1 |",
        "| parent | none: the training started afresh |",
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
    assert missing(part, "- pass_at_1: not measured.", "- naming: trained on, not measured separately.") == []


def test_a_card_names_the_parent_of_a_warm_start_and_is_the_same_again(tmp_path: Path) -> None:
    assert "| parent | `p.dir` |" in card(tmp_path / "warm", parent="p.dir").splitlines()
    assert card(tmp_path / "one") == card(tmp_path / "two")


@pytest.mark.parametrize(("metrics", "is_listed"), CASES["a_card_lists_the_licences_of_replayed_code"])
def test_a_card_lists_the_licences_of_replayed_code(tmp_path: Path, metrics: dict[str, float], is_listed: bool) -> None:
    folders = {name: dataset(tmp_path / name, ["MIT"]) for name in (*DATASETS, "general_code")}
    trained = {"base": {"digest": "b"}, "settings": {"task_shares": {"naming": 0.5, "tests": 0.5}}}
    for name, files in {
        "code_adapter": {"metrics.json": metrics, "training.json": trained},
        "code_adapter_evaluation": {
            "metrics.json": {**METRICS, "general_items": 9},
            "comparison.json": {"comparisons": []},
            "report.html": "<h1>Adapter</h1>",
        },
    }.items():
        folders[name] = tmp_path / name
        folders[name].mkdir()
        for file, value in files.items():
            (folders[name] / file).write_text(json.dumps(value))
    (tmp_path / "out").mkdir()
    parameters = load_parameters(ROOT)
    release_adapter(
        tmp_path,
        tmp_path / "out",
        **folders,
        base_model=PinnedModel(ModelSource(directory="base"), {}),
        adapters=parameters.adapters.model_copy(update={"refit": True}),
        **{name: getattr(parameters, name) for name in ("evaluation", "general", "release")},
        versions=dict.fromkeys(folders, "v.dir"),
    )
    text = (tmp_path / "out" / CARD).read_text()
    assert "| naming_dataset | `v.dir` | 1 | MIT (1) |" in text
    assert ("| general_code | `v.dir` | 1 | MIT (1) |" in text) == is_listed
    assert "- general: trained on, no figure" not in text
    assert "| tests_dataset |" in text
    assert "documentation_dataset" not in text
    # too few items for a verdict: the base answers alone, as similar code was not measured
    assert read_release(tmp_path / "out") == Release("base", "b")


def test_the_release_reads_the_data_sets_that_the_adapter_is_trained_on() -> None:
    graph = open_project(ROOT).graph

    def data(name: str) -> set[str]:
        read = {other.name for other in graph.wiring(name).assets}
        return {asset for asset in read if asset.endswith("_dataset") or asset == "general_code"}

    assert data("code_adapter_release") == data("code_adapter")
