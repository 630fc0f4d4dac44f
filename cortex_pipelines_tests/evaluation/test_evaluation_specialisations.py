from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cortex_pipelines.config import load_parameters
from cortex_pipelines.evaluation.adapter.measures.bits_per_byte import LEAST_GROUPS, specialisation_metrics
from cortex_pipelines.schemas.datasets import MANIFEST
from cortex_pipelines.schemas.evaluation import ADAPTER_SCORES
from cortex_pipelines_tests.evaluation.workshop import Workshop

EVALUATION = load_parameters(Path(__file__).parents[2]).evaluation


def _figures(folder: Path, entries: list[tuple[str, str, str | None]], saved: dict[str, float]) -> dict[str, float]:
    """Metrics of completions in one file each, by the bits saved."""
    manifest = pl.DataFrame(
        [
            {"entry_id": name, "category": category, "split": split, "count": 1}
            | {"left_out": None if split else "too_long"}
            for name, category, split in entries
        ]
    )
    empty = [pl.lit(None, kind).alias(name) for name, kind in MANIFEST.schema.items()]
    full_manifest = manifest.with_columns(
        [column for column in empty if column.meta.output_name() not in manifest.columns]
    )
    full_manifest.select(list(MANIFEST.schema)).write_parquet(folder / "manifest.parquet")
    rows: list[dict[str, Any]] = [
        {"example_id": name, "task": "completion", "path": f"{name}.py", "language": "python"}
        | {"kind": "function", "cluster": f"{name}.py", "bytes": 100, "tokens": 30}
        | {"base_bits": 80.0, "challenger_bits": 80.0 - less, "reference_bits": 80.0}
        for name, less in saved.items()
    ]
    return specialisation_metrics(ADAPTER_SCORES.frame(rows), {"completion": folder}, EVALUATION)


def test_each_purpose_is_measured_on_its_own_items_alone(tmp_path: Path) -> None:
    endpoints = {f"e{number}": 20.0 + number for number in range(LEAST_GROUPS)}
    entries: list[tuple[str, str, str | None]] = [
        *((name, "api-endpoint", "test") for name in endpoints),
        ("other", "utility", "test"),
        ("first", "database-query", "train"),
        ("second", "data-access", "train"),
        ("long", "data-access", None),
    ]
    metrics = _figures(tmp_path, entries, {**endpoints, "other": -70.0})
    assert metrics["for_endpoints_items"] == metrics["for_endpoints_groups"] == LEAST_GROUPS
    assert metrics["for_endpoints_base_bits_per_byte"] == pytest.approx(0.8)
    assert metrics["for_endpoints_improvement_over_base"] == pytest.approx(0.225)
    assert 0.2 <= metrics["for_endpoints_improvement_over_base_low"] < 0.225
    assert metrics["for_queries_train_examples"] == 2
    assert metrics["for_queries_items"] == metrics["for_tests_items"] == 0
    assert "for_queries_base_bits_per_byte" not in metrics


def test_too_few_files_get_no_interval(tmp_path: Path) -> None:
    names = [f"t{number}" for number in range(LEAST_GROUPS - 1)]
    metrics = _figures(tmp_path, [(name, "test-case", "test") for name in names], dict.fromkeys(names, 10.0))
    assert metrics["for_tests_challenger_bits_per_byte"] == pytest.approx(0.7)
    assert "for_tests_improvement_over_base" not in metrics


def test_the_report_gives_each_purpose_a_line_or_a_reason(workshop: Workshop, tmp_path: Path) -> None:
    workshop.evaluate(tmp_path / "out", workshop.trained)
    report = (tmp_path / "out" / "report.html").read_text()
    lines = report[report.index("By purpose") :]
    for name in ("components", "endpoints", "queries", "tests"):
        assert f"<td>{name}</td>" in lines
    assert "the project has none that may be trained on" in lines
