"""Report section on generated outputs: metrics, and outputs side by side."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from cortex_pipelines import pages
from cortex_pipelines.evaluation.adapter.measures.generations import WRITERS
from cortex_pipelines.evaluation.adapter.measures.written_tests import ROLES
from cortex_pipelines.evaluation.adapter.report.sections import percents
from cortex_pipelines.prompts.examples import DATASETS

_PROMPT_END = 500
_METRICS = {
    "exact_match": "exact match",
    "edit_similarity": "edit similarity",
    "codebleu": "CodeBLEU without data flow",
    "syntax_correct": "syntax correct",
    "subtoken_f1": "sub-token F1",
    "word_f1": "F1 of the words",
    "fix_rate": "bugs put right",
    "rule_accuracy": "imports judged rightly",
    "violations_allowed": "forbidden imports allowed",
}
_OVERALL = {
    "tests_{role}_items": "functions whose tests notice a body that raises",
    "{role}_consistency": "same answer to the question in other words",
    "tests_{role}_pass_at_{k}": "pass@{k} by the repository's tests",
    "problems_{role}_pass_at_{k}": "pass@{k} of own benchmark files",
}


def outputs_section(tables: Mapping[str, pl.DataFrame], metrics: Mapping[str, float]) -> list[str]:
    generations = tables["generations"]
    parts = [pages.heading("What the models wrote")]
    if not generations.height:
        return [*parts, pages.paragraph("No output was generated (evaluation.generated_items).")]
    rows = []
    for task in DATASETS:
        for role in WRITERS:
            role_rows = generations.filter((pl.col("task") == task) & (pl.col("role") == role))
            count = role_rows.filter((pl.col("asked") == "plain") & (pl.col("sample") == 0)).height
            values = [metrics.get(f"{task}_{role}_{name}") for name in _METRICS]
            if count:
                rows.append([task, role, str(count), *map(_format_metric, values)])
    parts.append(
        pages.paragraph(
            "Greedy outputs for items whose true completion is short enough to be generated, cut "
            "where the answer ends. So few say little by themselves: read them. Green is what was "
            "written and not expected, red what was expected and is missing."
        )
    )
    parts.append(pages.table(["task", "model", "items", *_METRICS.values()], rows))
    overall = _overall(metrics)
    if overall:
        parts.append(pages.table(["over all tasks", *WRITERS], overall))
    if "tests_difference" in metrics:
        template = "The tests pass with {} more of the challenger's bodies than of the base's."
        parts.append(pages.paragraph(template.format(percents(metrics, "tests_difference", sign="+"))))
    parts += _patterns(metrics) + _documentation_chance(metrics) + _written_tests(tables["written_tests"], metrics)
    return parts + _output_items(generations) + _problems(tables["problems"])


def _patterns(metrics: Mapping[str, float]) -> list[str]:
    if "patterns_items" not in metrics:
        return []
    shares = {role: metrics[f"patterns_{role}_broken"] for role in (*WRITERS, "truth")}
    template = "Of {} outputs of code, {:.0%} of the base's and {:.0%} of the challenger's break a "
    template += "pattern of the project; of the true answers {:.0%}, which should be least."
    return [pages.paragraph(template.format(round(metrics["patterns_items"]), *shares.values()))]


def _documentation_chance(metrics: Mapping[str, float]) -> list[str]:
    chance = metrics.get("documentation_others_word_f1")
    if chance is None:
        return []
    label = "F1 of the words (without function words) of these true docstrings among each other"
    return [pages.paragraph(f"Documentation: {label} is {chance:.3f}; less says nothing.")]


def _written_tests(tests: pl.DataFrame, metrics: Mapping[str, float]) -> list[str]:
    if tests.is_empty():
        return []
    rows = [
        [role, *(_format_metric(metrics.get(f"written_tests_{role}_{name}")) for name in ("pass", "kill"))]
        for role in ROLES
    ]
    test_rows = [
        [*(row["path"], row["role"], _passed(row["passes"])), *(f"{row['killed']} of {row['mutants']}", row["detail"])]
        for row in tests.iter_rows(named=True)
    ]
    return [
        pages.heading("Tests that the models wrote"),
        pages.paragraph(
            "Each was run in the place of the repository's own test: first with the right code, "
            "then with errors put into the unit. A test that asserts nothing finds no error, and "
            "one that fails with the right code counts as finding none. The figures are of "
            f"{metrics.get('written_tests_items', 0):.0f} tests that could be run for all three."
        ),
        pages.table(["written by", "pass with the right code", "share of errors found"], rows),
        pages.table(["file", "written by", "right code", "errors found", "why"], test_rows),
    ]


def _overall(metrics: Mapping[str, float]) -> list[list[str]]:
    k_values = sorted({int(name.rpartition("_")[2]) for name in metrics if "_pass_at_" in name} or {1})
    rows = []
    for pattern, label in _OVERALL.items():
        for k in k_values if "{k}" in pattern else [0]:
            values = [metrics.get(pattern.format(role=role, k=k)) for role in WRITERS]
            if any(value is not None for value in values):
                rows.append([label.format(k=k), *map(_format_metric, values)])
    return rows


def _output_items(generations: pl.DataFrame) -> list[str]:
    first = generations.filter(pl.col("sample") == 0)
    items = []
    for _, group in first.group_by(["task", "example_id", "asked"], maintain_order=True):
        rows = {row["role"]: row for row in group.iter_rows(named=True)}
        items.append(_item(rows))
    return items


def _item(rows: Mapping[str, Mapping[str, Any]]) -> str:
    row = rows["challenger"]
    grade = "right" if row["right"] else f"similar by {row['edit_similarity']:.2f}"
    phrasing = " · in other words" if row["asked"] == "rephrased" else ""
    broken = ", ".join(row["broken_patterns"] or ())
    grade += f" · breaks {broken}" if broken else ""
    summary = f"{row['task']} · {row['path']} · {row['kind']}{phrasing}: {grade}"
    texts = [
        pages.code("prompt (its end)", row["prompt"][-_PROMPT_END:]),
        pages.code("in the repository", row["expected"]),
        *(pages.changed_code(_title(role, rows[role]), rows[role]["output"], row["expected"]) for role in WRITERS),
    ]
    return pages.collapsible(summary, [pages.side_by_side(texts)], "good" if row["right"] else "bad")


def _title(role: str, row: Mapping[str, Any]) -> str:
    if row["tests"]:
        return f"{role} wrote (tests {row['tests']}: {row['tests_detail']})"
    if row["tests_detail"]:
        return f"{role} wrote (tests not run: {row['tests_detail']})"
    return f"{role} wrote"


def _problems(problems: pl.DataFrame) -> list[str]:
    rows = [
        [row["problem"], row["role"], str(row["sample"]), _passed(row["passed"]), row["detail"]]
        for row in problems.iter_rows(named=True)
    ]
    if not rows:
        return []
    head = ["problem", "model", "sample", "tests", "why"]
    return [pages.heading("Own benchmark files"), pages.table(head, rows)]


def _passed(value: bool | None) -> str:
    return "not run" if value is None else "passed" if value else "failed"


def _format_metric(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.0f}" if value > 1 else f"{value:.3f}"
