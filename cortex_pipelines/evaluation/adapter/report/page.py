"""Self-contained HTML report of an adapter evaluation."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from cortex_pipelines import pages
from cortex_pipelines.evaluation.adapter.measures.bits_per_byte import ROLES, WRITERS, bits_per_byte
from cortex_pipelines.evaluation.adapter.measures.written_tests import TEST_WRITERS
from cortex_pipelines.evaluation.adapter.report.quality import QualityReports
from cortex_pipelines.evaluation.adapter.report.sections import (
    ReportInputs,
    baselines_section,
    choices_section,
    comparisons_section,
    foreign_code_section,
    forgetting_section,
    interval,
    memorised_section,
    percents,
    specialisations_section,
)
from cortex_pipelines.evaluation.metrics.style import FEATURES
from cortex_pipelines.prompts.examples import DATASETS, Example

_OUTPUT_PROMPT_END = 500
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
            count = generations.filter(task=task, role=role, asked="plain", sample=0).height
            values = [metrics.get(f"{task}_{role}_{name}") for name in _METRICS]
            if count:
                rows.append([task, role, str(count), *map(_format_metric, values)])
    parts += [
        pages.paragraph(
            "Greedy outputs for items whose true completion is short enough to be generated, cut where the answer "
            "ends. So few say little by themselves: read them. Green is what was written and not expected, red what "
            "was expected and is missing."
        ),
        pages.table(["task", "model", "items", *_METRICS.values()], rows),
    ]
    if overall := _overall(metrics):
        parts.append(pages.table(["over all tasks", *WRITERS], overall))
    if "documentation_others_word_f1" in metrics:
        label = "F1 of the words (without function words) of these true docstrings among each other"
        chance = metrics["documentation_others_word_f1"]
        parts.append(pages.paragraph(f"Documentation: {label} is {chance:.3f}; less says nothing."))
    if "tests_difference" in metrics:
        template = "The tests pass with {} more of the challenger's bodies than of the base's."
        parts.append(pages.paragraph(template.format(percents(metrics, "tests_difference", sign="+"))))
    if "patterns_items" in metrics:
        shares = {role: metrics[f"patterns_{role}_broken"] for role in (*WRITERS, "truth")}
        template = "Of {} outputs of code, {:.0%} of the base's and {:.0%} of the challenger's break a "
        template += "pattern of the project; of the true answers {:.0%}, which should be least."
        parts.append(pages.paragraph(template.format(round(metrics["patterns_items"]), *shares.values())))
    parts += _written_tests(tables["written_tests"], metrics)
    groups = generations.filter(sample=0).group_by(["task", "example_id", "asked"], maintain_order=True)
    parts += [_output({row["role"]: row for row in group.iter_rows(named=True)}) for _, group in groups]
    return parts + _problems(tables["problems"])


def _written_tests(tests: pl.DataFrame, metrics: Mapping[str, float]) -> list[str]:
    if tests.is_empty():
        return []
    rows = [
        [role, *(_format_metric(metrics.get(f"written_tests_{role}_{name}")) for name in ("pass", "kill"))]
        for role in TEST_WRITERS
    ]
    test_rows = [
        [*(row["path"], row["role"], _passed(row["passes"])), *(f"{row['killed']} of {row['mutants']}", row["detail"])]
        for row in tests.iter_rows(named=True)
    ]
    return [
        pages.heading("Tests that the models wrote"),
        pages.paragraph(
            "Each was run in the place of the repository's own test: first with the right code, then with errors put "
            "into the unit. A test that asserts nothing finds no error, and one that fails with the right code counts "
            f"as finding none. The figures are of {metrics.get('written_tests_items', 0):.0f} tests that could be run "
            "for all three."
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


def _output(rows: Mapping[str, Mapping[str, Any]]) -> str:
    row = rows["challenger"]
    grade = "right" if row["right"] else f"similar by {row['edit_similarity']:.2f}"
    phrasing = " · in other words" if row["asked"] == "rephrased" else ""
    broken = ", ".join(row["broken_patterns"] or ())
    grade += f" · breaks {broken}" if broken else ""
    summary = f"{row['task']} · {row['path']} · {row['kind']}{phrasing}: {grade}"
    prompt = pages.code("prompt (its end)", row["prompt"][-_OUTPUT_PROMPT_END:])
    texts = [prompt, pages.code("in the repository", row["expected"])]
    for role in WRITERS:
        tests, detail = rows[role]["tests"], rows[role]["tests_detail"]
        title = f"{role} wrote" + (f" (tests {tests or 'not run'}: {detail})" if tests or detail else "")
        texts.append(pages.changed_code(title, rows[role]["output"], row["expected"]))
    return pages.collapsible(summary, [pages.side_by_side(texts)], "good" if row["right"] else "bad")


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


_EXAMPLES_PER_LIST = 5
_PROMPT_END = 600
_FORGETTING = 0.02
_TERMS = {
    "syntax_correctness": "outputs that parse with no error that the truth has not",
    "semantic_accuracy": "right: outputs equal but for layout, or that pass tests, and choices",
    "style_consistency": "1 minus the distance from the style of the true answers",
    "test_pass_rate": "written functions with which the repository's related tests pass",
}


def render_report(inputs: ReportInputs) -> str:
    parts = [pages.paragraph(_comparison_summary(inputs.comparison))]
    scores = inputs.tables["scores"]
    if scores.height:
        examples = {(item.task, item.example_id): item for item in inputs.items}
        parts += [
            *_verdicts(inputs),
            *_quality(inputs.quality),
            *_likelihood(inputs.metrics),
            *choices_section(inputs),
            *comparisons_section(inputs),
            *forgetting_section(inputs),
            *foreign_code_section(inputs),
            *baselines_section(inputs),
            *memorised_section(inputs),
            *outputs_section(inputs.tables, inputs.metrics),
            *_languages(scores),
            *specialisations_section(inputs),
            *_items("Gained most", scores, examples, gained=True),
            *_items("Lost most", scores, examples, gained=False),
        ]
    else:
        parts.append(pages.paragraph("Nothing was measured: the test splits hold no item. Add sources to the project."))
    return pages.page(str(inputs.comparison["title"]), parts)


def _comparison_summary(comparison: Mapping[str, Any]) -> str:
    reference = comparison["reference"]
    reference_name = f"adapter {reference['version']}" if reference["version"] else "the base alone"
    note = f" {reference['note']}" if reference["note"] else ""
    return (
        f"Challenger: adapter {comparison['challenger']['version']} on base {comparison['base']['name']}. Reference: "
        f"{reference_name}.{note} Intervals are at {comparison['settings']['confidence']:.0%} confidence: of "
        "differences by a paired bootstrap over clusters of near-duplicates, of shares by Wilson's formula. The "
        "default base is an instruct model that was quantised to 4 bits and unpacked; as far as is known it has no "
        "fill-in-the-middle tokens."
    )


def _verdicts(inputs: ReportInputs) -> list[str]:
    learnt: list[str] = []
    missed: list[str] = []
    for task in inputs.comparison["tasks"]:
        low = inputs.metrics.get(f"{task}_improvement_over_base_low")
        if low is None:
            missed.append(f"{task}: no held-out item, so nothing is known.")
        elif low == inputs.metrics[f"{task}_improvement_over_base_high"]:
            missed.append(f"{task}: a single cluster of items, which shows nothing.")
        elif low > 0:
            gain = interval(inputs.metrics, f"{task}_improvement_over_base")
            learnt.append(f"{task}: {gain} bits per byte saved over the base.")
        else:
            missed.append(f"{task}: not shown to be better than the base.")
    accuracy = inputs.metrics.get("team_challenger_accuracy")
    if accuracy is not None:
        base, chance = (inputs.metrics[f"team_{name}"] for name in ("base_accuracy", "chance"))
        sentence = (
            f"team tasks: {accuracy:.0%} right ({base:.0%} by the base, {chance:.0%} by chance); 85 % are the aim."
        )
        (learnt if accuracy >= 0.85 else missed).append(sentence)
    forgotten = inputs.metrics.get("forgetting_high")
    if forgotten is not None:
        less = forgotten < _FORGETTING
        sentence = f"other code: {'' if less else 'not shown to be '}forgotten by less than 2 %."
        (learnt if less else missed).append(sentence)
    scores = inputs.tables["scores"]
    worse = scores.filter(pl.col("challenger_bits") >= pl.col("base_bits")).height
    missed.append(f"{worse} of {scores.height} items are not better than with the base.")
    missed += [f"{name}: not measured, {reason}." for name, reason in inputs.quality.missing.items()]
    return [
        pages.heading("What it learnt"),
        pages.listing(learnt or ["Nothing that could be shown."]),
        pages.heading("What it did not learn"),
        pages.listing(missed),
    ]


def _quality(quality: QualityReports) -> list[str]:
    rows = []
    for name, meaning in _TERMS.items():
        values = [getattr(quality.by_role[role], name) for role in ("base", "challenger")]
        rows.append([name, *map(_share, values), quality.missing.get(name, meaning)])
    features = [
        [name, *(_share(quality.features[role].get(name)) for role in ("base", "challenger")), description]
        for name, description in FEATURES.items()
    ]
    return [
        pages.heading("Quality of what was written"),
        pages.table(["term", "base", "challenger", "meaning, or why it is missing"], rows),
        pages.paragraph("Distance from the true answers' style, feature by feature: 0 is alike."),
        pages.table(["feature", "base", "challenger", "what is compared"], features),
    ]


def _likelihood(metrics: Mapping[str, float]) -> list[str]:
    rows = []
    for label, prefix in (("all", ""), *((task, f"{task}_") for task in DATASETS)):
        if f"{prefix}base_bits_per_byte" not in metrics:
            continue
        cells = [f"{metrics[f'{prefix}items']:.0f}"]
        cells += [f"{metrics[f'{prefix}{role}_bits_per_byte']:.4f}" for role in ROLES]
        cells += [f"{metrics[f'{prefix}{role}_perplexity']:.2f}" for role in ("base", "challenger")]
        cells += [interval(metrics, f"{prefix}{name}") for name in ("improvement", "improvement_over_base")]
        rows.append([label, *cells])
    head = ["task", "items", *ROLES, "perplexity: base", "challenger"]
    return [
        pages.heading("Held-out code by likelihood"),
        pages.paragraph(
            "Bits per byte of the true completion, less is better; perplexity is of a token. An improvement is the "
            "reference's (or the base's) bits minus the challenger's."
        ),
        pages.table([*head, "improvement", "over base"], rows),
    ]


def _languages(scores: pl.DataFrame) -> list[str]:
    rows = [
        [str(language), str(subset.height), *(f"{bits_per_byte(subset, role):.4f}" for role in ROLES)]
        for (language,), subset in scores.sort("language").group_by("language", maintain_order=True)
    ]
    return [pages.heading("By language"), pages.table(["language", "items", *ROLES], rows)]


def _items(title: str, scores: pl.DataFrame, examples: Mapping[tuple[str, str], Example], *, gained: bool) -> list[str]:
    saved = (pl.col("base_bits") - pl.col("challenger_bits")) / pl.col("bytes")
    changed = scores.with_columns(saved=saved).filter(pl.col("saved") > 0 if gained else pl.col("saved") < 0)
    ranked = changed.sort("saved", "task", "example_id", descending=[gained, False, False]).head(_EXAMPLES_PER_LIST)
    parts = [pages.heading(title)]
    for row in ranked.iter_rows(named=True):
        example = examples[row["task"], row["example_id"]]
        role_values = ", ".join(f"{role} {row[f'{role}_bits'] / row['bytes']:.3f}" for role in ROLES)
        summary = f"{row['task']} · {row['path']} · {row['language']} · {row['kind']}: {role_values}"
        prompt = pages.code("prompt (its end)", example.prompt[-_PROMPT_END:])
        texts = [prompt, pages.code("in the repository", example.completion)]
        parts.append(pages.collapsible(summary, [pages.side_by_side(texts)], "good" if gained else "bad"))
    return parts if ranked.height else [*parts, pages.paragraph("None.")]


def _share(value: float | None) -> str:
    return "missing" if value is None else f"{value:.3f}"
