import random
from typing import Any

import polars as pl
import pytest

from cortex_pipelines.evaluation.adapter.measures.bits_per_byte import condition_metrics, cross_selected_bits
from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.schemas.evaluation import CONDITION_SCORES, TRAINED_CONDITIONS, UNTRAINED_CONDITIONS
from cortex_pipelines_tests.parameters import sections

CHOSEN = EvaluationSettings.model_validate(sections()["evaluation"])


def table(bits: dict[str, list[float]], clusters: list[str], lines: dict[str, Any] | None = None) -> pl.DataFrame:
    lines = {way: [False] * len(clusters) for way in ("base", "adapter")} | (lines or {})
    bits = {way: [20.0] * len(clusters) for way in ("base", "adapter")} | bits
    rows = [
        {"example_id": str(index), "path": cluster, "cluster": cluster, "gap": cluster == "gap"}
        | {"language": "python", "bytes": 10}
        | {f"{way}_bits": values[index] for way, values in bits.items()}
        | {f"{way}_line": values[index] for way, values in lines.items()}
        for index, cluster in enumerate(clusters)
    ]
    return CONDITION_SCORES.frame(rows)


def test_a_way_is_chosen_on_other_files_and_first_lines_have_figures_of_their_own() -> None:
    # context is better only in group a, the base only in group b
    scores = table({"base": [9.0, 8.0, 1.0], "context": [1.0, 2.0, 9.0]}, ["a", "a", "b"])
    assert cross_selected_bits(scores, UNTRAINED_CONDITIONS) == [9.0, 8.0, 9.0]
    # all other groups choose, of which one outweighs the rest
    scores = table({"base": [5.0, 5.0, 1.0], "context": [4.0, 4.0, 9.0]}, ["a", "b", "c"])
    assert cross_selected_bits(scores, UNTRAINED_CONDITIONS) == [5.0, 5.0, 9.0]
    scores = table({"base": [5.0, 5.0], "adapter": [4.0, 3.0]}, ["a", "b"])
    assert cross_selected_bits(scores, TRAINED_CONDITIONS) == [4.0, 3.0]
    assert condition_metrics(scores, CHOSEN)["gain_over_untrained"] == pytest.approx(0.15)
    bits = {"base": [9.0, 8.0, 4.0], "adapter": [7.0, 8.0, 2.0]}
    lines = {"base": [False, True, False], "adapter": [True, True, False]}
    metrics = condition_metrics(table(bits, ["a", "b", "gap"], lines), CHOSEN)
    assert (metrics["line_base"], metrics["line_adapter"]) == (pytest.approx(1 / 3), pytest.approx(2 / 3))
    assert "line_context" not in metrics
    assert (metrics["gap_items"], metrics["gap_adapter_bits_per_byte"]) == (1, pytest.approx(0.2))
    none = condition_metrics(table(bits, ["a", "b", "c"], lines), CHOSEN)
    assert none["gap_items"] == 0
    assert "gap_base_bits_per_byte" not in none


def test_equal_ways_show_no_gain_nor_does_one_where_context_does_as_well() -> None:
    """Four equal conditions: the best of each pair, selected on its own items, would win."""
    generator = random.Random(3)
    gains, flattered = [], []
    for _ in range(40):
        clusters = [str(index // 2) for index in range(24)]
        bits: dict[str, list[float]] = {
            way: [generator.gauss(10, 3) for _ in clusters] for way in (*UNTRAINED_CONDITIONS, *TRAINED_CONDITIONS)
        }
        bits["base"] = [generator.gauss(10, 3) for _ in clusters]
        metrics = condition_metrics(table(bits, clusters), CHOSEN.model_copy(update={"resamples": 200}))
        gains.append(metrics["gain_over_untrained"])
        flattered.append(sum(bits["base"]) - min(sum(bits[way]) for way in TRAINED_CONDITIONS))
    assert abs(sum(gains) / len(gains)) < 0.04
    assert sum(flattered) / len(flattered) / 240 > 0.02
    generator = random.Random(1)
    plain = [generator.gauss(10, 1) for _ in range(30)]
    bits = {"base": [value + 3 for value in plain], "context": plain}
    bits |= {way: [value + generator.gauss(0, 0.5) for value in plain] for way in ("adapter", "both")}
    metrics = condition_metrics(table(bits, [str(index) for index in range(30)]), CHOSEN)
    assert metrics["gain_over_untrained_low"] < 0 < metrics["gain_over_untrained_high"]
    assert metrics["retrieval_gain"] == pytest.approx(0, abs=0.05)
