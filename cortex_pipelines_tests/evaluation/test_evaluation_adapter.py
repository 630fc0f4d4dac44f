import json
import os
import shutil
from html.parser import HTMLParser
from math import log2
from pathlib import Path
from typing import Any
from unittest import mock

import polars as pl
import pytest
import torch

from cortex_pipelines.adapters.data.packing import divide
from cortex_pipelines.config import load_parameters
from cortex_pipelines.evaluation.adapter.measures import likelihood
from cortex_pipelines.evaluation.adapter.measures.bits_per_byte import (
    LEAST_GROUPS,
    score_metrics,
    specialisation_metrics,
)
from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.schemas.datasets import MANIFEST
from cortex_pipelines.schemas.evaluation import ADAPTER_SCORES
from cortex_pipelines.tracking.latencies import PAGES
from cortex_pipelines.versioning.champions import ReferenceModel
from cortex_pipelines_tests.adapters import tinymodel
from cortex_pipelines_tests.evaluation.workshop import SETTINGS, Workshop


def test_an_adapter_of_the_projects_code_needs_fewer_bits_than_the_base(workshop: Workshop) -> None:
    scores, metrics = workshop.evaluate(workshop.trained)
    assert scores.height == metrics["items"] == 48
    assert metrics["clusters"] == scores["cluster"].n_unique()
    assert metrics["improvement_low"] > 0
    assert metrics["improvement"] == pytest.approx(metrics["base_bits_per_byte"] - metrics["challenger_bits_per_byte"])
    assert metrics["improvement"] == metrics["improvement_over_base"]
    tasks = ("completion", "refactoring", "naming", "architecture")
    assert {metrics[f"{task}_items"] for task in tasks} == {12}
    assert set(scores["task"]) == set(tasks)  # tasks without training cost nothing
    report = workshop.read()
    lines = report[report.index("By purpose") :]
    for name in ("components", "endpoints", "queries", "tests"):
        assert f"<td>{name}</td>" in lines
    assert "the project has none that may be trained on" in lines
    assert "trained with the settings as they are" in report


def test_an_update_of_zero_scores_as_the_base_and_an_adapter_against_itself_as_itself(workshop: Workshop) -> None:
    scores, metrics = workshop.evaluate(workshop.untouched)
    assert scores["challenger_bits"].to_list() == scores["base_bits"].to_list()
    assert metrics["improvement_low"] == metrics["improvement_high"] == 0
    champion = ReferenceModel("same", workshop.trained)
    _, metrics = workshop.evaluate(workshop.trained, champion)
    assert metrics["improvement_low"] == metrics["improvement_high"] == 0
    assert metrics["improvement_over_base_low"] > 0


def test_bits_are_those_of_the_completion_by_the_textbook(workshop: Workshop) -> None:
    from transformers import AutoModelForCausalLM

    scores, _ = workshop.evaluate(workshop.trained, items=1)
    row = scores.filter(pl.col("task") == "naming").row(0, named=True)
    test = pl.read_parquet(workshop.datasets["naming"] / "test.parquet")
    item = test.row(by_predicate=pl.col("example_id") == row["example_id"], named=True)
    tokenizer = tinymodel.byte_tokenizer()
    context, space = divide(item["prompt"])
    prompt, name = (tokenizer(text)["input_ids"] for text in (context, space + item["completion"]))
    model = AutoModelForCausalLM.from_pretrained(workshop.root / "base", dtype=torch.float32)
    with torch.no_grad():
        chances = model(input_ids=torch.tensor([prompt + name])).logits[0].softmax(-1)
    bits = [-log2(float(chances[len(prompt) - 1 + n, token])) for n, token in enumerate(name)]
    assert row["base_bits"] == pytest.approx(sum(bits), rel=1e-4)
    assert (row["bytes"], row["tokens"]) == (len(space + item["completion"]), len(name))


def test_the_reference_is_the_champion_where_there_is_one(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("cuda.is_available", "cpu._is_amx_tile_supported", "cpu._is_avx512_bf16_supported"):
        monkeypatch.setattr(f"torch.{name}", lambda: False)
    weak = workshop.adapter("weak", max_tokens=600)
    champion = ReferenceModel("version-of-weak", weak)
    scores, metrics = workshop.evaluate(workshop.trained, champion, precision="auto")
    assert scores["reference_bits"].to_list() != scores["base_bits"].to_list()
    assert metrics["improvement"] != metrics["improvement_over_base"]
    comparison = json.loads(workshop.read("comparison.json"))
    assert comparison["reference"] == {"version": "version-of-weak", "note": ""}
    assert comparison["challenger"] == {"version": "version-of-trained"}
    assert comparison["settings"]["precision"] == "fp32"
    assert "adapter version-of-weak" in workshop.read()
    stranger = shutil.copytree(weak, weak.with_name("stranger"))
    record = json.loads((stranger / "training.json").read_text())
    record["base"] = {"name": "another-base", "digest": "0"}
    (stranger / "training.json").write_text(json.dumps(record))
    champion = ReferenceModel("old", stranger)
    scores, _ = workshop.evaluate(workshop.trained, champion)
    assert scores["reference_bits"].to_list() == scores["base_bits"].to_list()
    comparison = json.loads(workshop.read("comparison.json"))
    assert comparison["reference"]["version"] is None
    assert "another-base" in comparison["reference"]["note"]


def test_the_report_says_what_a_search_gained(workshop: Workshop) -> None:
    search = tinymodel.SETTINGS["search"] | {"trials": 2, "max_tokens": 400, "learning_rate": [1e-7, 1e-6]}
    searched = workshop.adapter("searched", max_tokens=600, search=search)
    record = json.loads((searched / "trials.json").read_text())
    saved = {"estimate": 0.5, "low": 0.25, "high": 0.75, "confidence": 0.95}
    for written, sentence in (
        (record, "It is not used: no trial was better by validation."),
        (
            record | {"kept_default_because": "", "saved": saved},
            "it saves 0.500 (0.250 to 0.750) bits per byte over the section&#39;s own values. It is used.",
        ),
    ):
        (workshop.trained / "trials.json").write_text(json.dumps(written))
        workshop.evaluate(workshop.trained)
        assert json.loads(workshop.read("comparison.json"))["searches"] == {"": written}
        assert f"2 trials of {record['trial_tokens']} training tokens" in workshop.read()
        assert sentence in workshop.read()
    (workshop.trained / "trials.json").unlink()


def test_a_comparison_gives_the_same_bytes_and_loads_no_known_model(workshop: Workshop, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    first, _ = workshop.evaluate(workshop.trained, cache=cache, items=6)
    # partly cached, partly new: must equal a fresh computation of everything
    mixed, _ = workshop.evaluate(workshop.trained, cache=cache)
    fresh, _ = workshop.evaluate(workshop.trained, cache=tmp_path / "nothing")
    assert mixed.equals(fresh)
    assert first.height < mixed.height
    for name in ("comparison.json", "metrics.json", "quality.json", "report.html"):
        assert (workshop.outs[-2] / name).read_bytes() == (workshop.outs[-1] / name).read_bytes()
    other = workshop.untouched
    with mock.patch.object(likelihood, "load_causal_model", side_effect=AssertionError):
        again, _ = workshop.evaluate(workshop.trained, cache=cache)
        assert again.equals(mixed)
        with pytest.raises(AssertionError):  # another model misses the cache
            workshop.evaluate(other, cache=cache)


def test_without_items_or_bytes_or_with_one_cluster_there_is_no_figure(workshop: Workshop, tmp_path: Path) -> None:
    nothing = tinymodel.write_datasets(tmp_path / "nothing", rows=0)
    scores, metrics = workshop.evaluate(workshop.trained, datasets=nothing)
    assert (scores.height, metrics) == (0, {"items": 0, "clusters": 0})
    assert "Nothing was measured" in workshop.read()
    datasets = workshop.datasets | {"naming": nothing["naming"]}
    _, metrics = workshop.evaluate(workshop.trained, datasets=datasets)
    assert not [name for name in metrics if name.startswith("naming_")]
    assert "Naming: no held-out item" in workshop.read()
    folder = tinymodel.write_datasets(tmp_path / "data", rows=6)
    for dataset in folder.values():
        frame = pl.read_parquet(dataset / "test.parquet")
        frame.with_columns(completion=pl.lit("")).write_parquet(dataset / "test.parquet")
    scores, _ = workshop.evaluate(workshop.trained, datasets=folder)
    assert scores.height == 0
    scarce = tinymodel.write_datasets(tmp_path / "scarce", rows=3)
    datasets = workshop.datasets | {"naming": scarce["naming"]}
    _, metrics = workshop.evaluate(workshop.trained, datasets=datasets)
    assert metrics["naming_items"] == 1
    learnt, _, missed = workshop.read().partition("What is wrong")
    assert "Naming: a single cluster" in missed
    assert "Naming: " not in learnt
    assert "Completion: " in learnt


def test_held_out_corrections_have_figures_of_their_own(workshop: Workshop, tmp_path: Path) -> None:
    taught = tinymodel.write_datasets(tmp_path / "data", rows=6, feedback=30)
    _, metrics = workshop.evaluate(workshop.trained, datasets=taught, generated_items=1)
    assert metrics["feedback_items"] == 10
    for name in ("improvement", "improvement_over_base"):
        low, high = (metrics[f"feedback_{name}_{end}"] for end in ("low", "high"))
        assert low <= metrics[f"feedback_{name}"] <= high
    assert (metrics["choice_correction_items"], metrics["choice_correction_chance"]) == (4, 0.5)
    assert 0 <= metrics["choice_correction_challenger_accuracy"] <= 1
    page = workshop.read()
    assert '<td>feedback</td><td class="n">10</td>' in page
    assert '<td>correction</td><td class="n">4</td><td class="n">50%</td>' in page
    _, metrics_without = workshop.evaluate(workshop.trained)
    assert not [name for name in metrics_without if "feedback" in name or "correction" in name]
    report = workshop.read()
    assert "Feedback: no held-out item, so nothing is known." in report


def test_bits_a_byte_are_all_bits_over_all_bytes() -> None:
    row = {"path": "a.py", "language": "python", "kind": "function", "tokens": 1, "task": "naming"}
    columns = ("example_id", "cluster", "bytes", "base_bits", "challenger_bits", "reference_bits")
    values = ("a", "1", 90, 90.0, 45.0, 90.0), ("b", "2", 10, 40.0, 40.0, 40.0)
    scores = ADAPTER_SCORES.frame([row | dict(zip(columns, scored, strict=True)) for scored in values])
    metrics = score_metrics(scores, EvaluationSettings.model_validate(SETTINGS))
    assert (metrics["base_bits_per_byte"], metrics["improvement"]) == (pytest.approx(1.3), pytest.approx(0.45))


class _Page(HTMLParser):
    """Open tags of the page, and external resources that it would load."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.loaded: list[str | None] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.loaded += [value for name, value in attrs if name in ("src", "href", "data")]


def test_code_in_the_report_is_text_and_only_latencies_are_loaded(workshop: Workshop, tmp_path: Path) -> None:
    folder = tinymodel.write_datasets(tmp_path / "data", rows=9)
    hostile = "<script>alert('&')</script>"
    frame = pl.read_parquet(folder["completion"] / "test.parquet")
    frame = frame.with_columns(*(pl.lit(hostile).alias(name) for name in ("prompt", "completion", "path", "kind")))
    frame.write_parquet(folder["completion"] / "test.parquet")
    workshop.evaluate(workshop.trained, datasets=folder, generated_items=1)
    text = workshop.read()
    page = _Page()
    page.feed(text)
    assert "script" not in page.tags
    version = json.loads((workshop.outs[-1] / "comparison.json").read_text())["challenger"]["version"]
    folder_in_project = Path("data", "code_adapter_evaluation", "shop")
    (loaded,) = page.loaded
    assert os.path.normpath(folder_in_project / str(loaded)) == str(PAGES / f"{version}.html")
    assert "cortex latency MODEL measures them" in text
    assert "&lt;script&gt;alert(&#39;&amp;&#39;)&lt;/script&gt;" in text
    assert str(workshop.root) not in text


EVALUATION = load_parameters(Path(__file__).parents[2]).evaluation


def _figures(folder: Path, entries: list[tuple[str, str, str | None]], saved: dict[str, float]) -> dict[str, float]:
    """Metrics of completions in one file each, by the bits saved."""
    manifest = [
        {**dict.fromkeys(MANIFEST.schema), "entry_id": name, "category": category, "split": split, "count": 1}
        | {"left_out": None if split else "too_long"}
        for name, category, split in entries
    ]
    pl.DataFrame(manifest, schema=MANIFEST.schema).write_parquet(folder / "manifest.parquet")
    rows: list[dict[str, Any]] = [
        {"example_id": name, "task": "completion", "path": f"{name}.py", "language": "python"}
        | {"kind": "function", "cluster": f"{name}.py", "bytes": 100, "tokens": 30}
        | {"base_bits": 80.0, "challenger_bits": 80.0 - less, "reference_bits": 80.0}
        for name, less in saved.items()
    ]
    return specialisation_metrics(ADAPTER_SCORES.frame(rows), {"completion": folder}, EVALUATION)


def test_each_purpose_is_measured_on_its_own_items_of_enough_files(tmp_path: Path) -> None:
    endpoints = {f"e{number}": 20.0 + number for number in range(LEAST_GROUPS)}
    entries: list[tuple[str, str, str | None]] = [
        *((name, "api-endpoint", "test") for name in endpoints),
        *(("other", "utility", "test"), ("first", "database-query", "train")),
        *(("second", "data-access", "train"), ("long", "data-access", None)),
    ]
    metrics = _figures(tmp_path, entries, {**endpoints, "other": -70.0})
    assert metrics["for_endpoints_items"] == metrics["for_endpoints_groups"] == LEAST_GROUPS
    assert metrics["for_endpoints_base_bits_per_byte"] == pytest.approx(0.8)
    assert metrics["for_endpoints_improvement_over_base"] == pytest.approx(0.225)
    assert 0.2 <= metrics["for_endpoints_improvement_over_base_low"] < 0.225
    assert metrics["for_queries_train_examples"] == 2
    assert metrics["for_queries_items"] == metrics["for_tests_items"] == 0
    assert "for_queries_base_bits_per_byte" not in metrics
    names = [f"t{number}" for number in range(LEAST_GROUPS - 1)]
    metrics = _figures(tmp_path, [(name, "test-case", "test") for name in names], dict.fromkeys(names, 10.0))
    assert metrics["for_tests_challenger_bits_per_byte"] == pytest.approx(0.7)
    assert "for_tests_improvement_over_base" not in metrics
