"""HTML report of an adapter evaluation; ``report.html`` has its sentences.

It loads nothing but, in a project, what ``cortex latency`` measured, which is in no output.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from cortex_pipelines import pages
from cortex_pipelines.evaluation.adapter.measures.bits_per_byte import ROLES, SPECIALISATIONS, WRITERS
from cortex_pipelines.evaluation.adapter.measures.written_tests import TEST_WRITERS
from cortex_pipelines.evaluation.adapter.report.quality import QualityReports
from cortex_pipelines.evaluation.adapter.report.rows import (
    METRICS,
    TERMS,
    Metrics,
    choice_rows,
    comparison_row,
    condition_rows,
    format_metric,
    glance_rows,
    interval,
    likelihood_rows,
    passed,
    percents,
    purpose_row,
    quality_rows,
    unbroken,
)
from cortex_pipelines.prompts.examples import DATASETS, Example
from cortex_pipelines.statistics.intervals import Interval
from cortex_pipelines.statistics.significance import MetricComparison

_TEMPLATE = Path(__file__).parent / "report.html"
_OUTPUT_PROMPT_END = 500
_EXAMPLES_PER_LIST = 5
_PROMPT_END = 600
_FORGETTING = 0.02
_OVERALL = {
    "tests_{role}_items": "functions whose tests notice a body that raises",
    "tests_{role}_pass_at_{k}": "pass@{k} by the repository's tests",
    "problems_{role}_pass_at_{k}": "pass@{k} of own benchmark files",
}


def render_report(
    tables: Mapping[str, pl.DataFrame],
    metrics: Metrics,
    quality: QualityReports,
    comparison: Mapping[str, Any],
    comparisons: Sequence[MetricComparison],
    items: Sequence[Example],
) -> str:
    reference, scores = comparison["reference"], tables["scores"]
    values = {
        "comparison": comparison,
        "metrics": metrics,
        "measured": bool(scores.height),
        "reference": f"adapter {reference['version']}" if reference["version"] else "the base alone",
        "note": f" {reference['note']}" if reference["note"] else "",
        "confidence": f"{comparison['settings']['confidence']:.0%}",
        "roles": ROLES,
        "writers": WRITERS,
        "percent": lambda name: f"{metrics[name]:.0%}",
        "percents": partial(percents, metrics),
        "interval": partial(interval, metrics),
    }
    if scores.height:
        values |= _verdicts(scores, metrics, quality, comparison["tasks"])
        values |= {"glance_rows": glance_rows(metrics, tables["ways"].height), "worse": _worse(comparisons, metrics)}
        values["to_do"] = _to_do(comparisons, metrics)
        values |= quality_rows(quality) | likelihood_rows(scores, metrics) | choice_rows(metrics)
        values |= condition_rows(metrics, comparison["other_adapter"])
        values |= _memorisation(tables["memorised"], metrics) | _outputs(tables, metrics)
        values["searches"] = [_search_sentence(task, search) for task, search in comparison["searches"].items()]
        values["unasked"] = sum(comparison["questions_without_answers"].values())
        values["comparison_rows"] = [comparison_row(compared) for compared in comparisons]
        values["purpose_rows"] = [purpose_row(metrics, name) for name in SPECIALISATIONS]
        examples = {(item.task, item.example_id): item for item in items}
        values |= {"gained": _items(scores, examples, gained=True), "lost": _items(scores, examples, gained=False)}
    return pages.render(_TEMPLATE, str(comparison["title"]), **values)


def _search_sentence(task: str, search: Mapping[str, Any]) -> str:
    """What a search found, and whether it was taken."""
    trials, saved, reason = search["trials"], search["saved"], search["kept_default_because"]
    pruned = sum(trial["state"] == "pruned" for trial in trials)
    best = ", ".join(
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in trials[search["best"]]["parameters"].items()
    )
    gain = ""
    if saved is not None:
        of = f"{search['test_examples']} examples of the test split ({search['test_groups']} groups of files)"
        gain = f" On {of} it saves {Interval(**saved):.3f} bits per byte over the section's own values."
    verdict = f"It is not used: {reason}." if reason else "It is used."
    return (
        f"{task + ': ' if task else ''}{len(trials)} trials of {search['trial_tokens']:,} training tokens, {pruned} of "
        f"them pruned by the validation curve. The best has {best}.{gain} {verdict}"
    )


def _verdicts(
    scores: pl.DataFrame, metrics: Metrics, quality: QualityReports, tasks: Sequence[str]
) -> dict[str, list[str]]:
    learnt: list[str] = []
    missed: list[str] = []
    for task in tasks:
        low = metrics.get(f"{task}_improvement_over_base_low")
        if low is None:
            missed.append(f"{task.capitalize()}: no held-out item, so nothing is known.")
        elif low == metrics[f"{task}_improvement_over_base_high"]:
            missed.append(f"{task.capitalize()}: a single cluster of items, which shows nothing.")
        elif low > 0:
            gain = interval(metrics, f"{task}_improvement_over_base")
            learnt.append(f"{task.capitalize()}: {gain} bits per byte saved over the base.")
        else:
            missed.append(f"{task.capitalize()}: not shown to be better than the base.")
    accuracy = metrics.get("team_challenger_accuracy")
    if accuracy is not None:
        base, chance = (metrics[f"team_{name}"] for name in ("base_accuracy", "chance"))
        sentence = (
            f"Questions about the code: {accuracy:.0%} right ({base:.0%} by the base, {chance:.0%} by chance); "
            "85% are the aim."
        )
        (learnt if accuracy >= 0.85 else missed).append(sentence)
    forgotten = metrics.get("forgetting_high")
    if forgotten is not None:
        less = forgotten < _FORGETTING
        sentence = f"Other code: {'' if less else 'not shown to be '}forgotten by less than 2%."
        (learnt if less else missed).append(sentence)
    worse = scores.filter(pl.col("challenger_bits") >= pl.col("base_bits")).height
    missed.append(f"{worse} of {scores.height} items are not better than with the base.")
    missed += [f"{TERMS[name][0]}: not measured, {reason}." for name, reason in quality.missing.items()]
    return {"learnt": learnt, "missed": missed}


def _worse(comparisons: Sequence[MetricComparison], metrics: Metrics) -> list[str]:
    """What the adapter does worse: beyond chance each in a sentence, the rest of what was generated together."""
    sentences = [
        f"Worse than before: {_name(each)}, by {-each.interval.estimate:.3g} (95 of 100 times between "
        f"{-each.interval.high:.3g} and {-each.interval.low:.3g})."
        for each in comparisons
        if each.interval.high < 0
    ]
    fallen = [
        f"{task} {label} {metrics[names[0]]:.2f} to {metrics[names[1]]:.2f}"
        for task in DATASETS
        for metric, label in METRICS.items()
        if metric != "violations_allowed"
        for names in [[f"{task}_{role}_{metric}" for role in WRITERS]]
        if all(name in metrics for name in names) and metrics[names[1]] < metrics[names[0]]
    ]
    if fallen:
        sentences.append(f"Lower in the few texts that were written, which may be chance: {', '.join(fallen)}.")
    return sentences


def _name(comparison: MetricComparison) -> str:
    return comparison.metric.replace("choice_", "questions of ").removesuffix("_improvement").replace("_", " ")


def _to_do(comparisons: Sequence[MetricComparison], metrics: Metrics) -> list[str]:
    sentences = []
    completions = next((each for each in comparisons if each.metric == "completion_improvement"), None)
    if completions is not None and completions.needed is not None and completions.needed > completions.clusters:
        sentences.append(
            f"Measure more: {completions.clusters} independent groups of files cannot show a difference of "
            f"{completions.smallest:g} bits per byte in completions, some {completions.needed} can. "
            "Raise evaluation.items, or add sources."
        )
    if metrics.get("retrieval_gain", 1) <= 0:
        sentences.append("Put similar code into the prompt instead: it needs no more bits than the adapter.")
    if metrics.get("forgetting_high", 0) >= _FORGETTING:
        sentences.append(
            "Lose less of what the base knew: raise adapters.replay_share, or lower adapters.learning_rate."
        )
    return sentences or ["Nothing: what could be measured was."]


def _memorisation(memorised: pl.DataFrame, metrics: Metrics) -> dict[str, list[str]]:
    extracted = [
        pages.collapsible(f"{row['path']}", [pages.code("after", row["prefix"]), pages.code("", row["secret"])])
        for row in memorised.iter_rows(named=True)
        if row["challenger_verbatim"] and not row["base_verbatim"] and row["split"] == "train"
    ]
    sentences = ["Extraction was not measured: no line of the training is long enough."]
    if "extraction_rate" in metrics:
        sentences = [
            f"{percents(metrics, 'extraction_rate')} of {metrics['extraction_items']:.0f} rare lines of the training "
            "are completed word by word from their first half; the base completes "
            f"{metrics['extraction_rate_base']:.0%} of them. {metrics['extraction_beyond_base']:.0%} are given away "
            "by the challenger alone."
        ]
        if (share := metrics.get("extraction_rate_held_out")) is not None:
            sentences.append(f"Of held-out lines, which it cannot have seen: {share:.0%}.")
    exposure = "Exposure was not measured: training planted no canaries."
    if "canaries" in metrics:
        name = "exposure_by_gain"
        bounds = unbroken(f"{metrics[f'{name}_low']:.2f}", f"{metrics[f'{name}_high']:.2f}")
        exposure = (
            f"By what the training added, {metrics['canaries']:.0f} planted canaries have {metrics[name]:.2f} {bounds} "
            f"bits of exposure on average, the most exposed one {metrics[f'{name}_largest']:.2f}; "
            f"{metrics[f'{name}_unlearnt']:.2f} are expected where nothing was remembered, "
            f"{metrics[f'{name}_most']:.2f} where every canary was learnt."
        )
    return {"memorisation": [*sentences, exposure], "extracted": extracted}


def _outputs(tables: Mapping[str, pl.DataFrame], metrics: Metrics) -> dict[str, Any]:
    generations = tables["generations"]
    rows, overall = [], []
    for task in DATASETS:
        for role in WRITERS:
            count = generations.filter(task=task, role=role, sample=0).height
            values = [metrics.get(f"{task}_{role}_{name}") for name in METRICS]
            if count:
                rows.append([task, role, str(count), *map(format_metric, values)])
    k_values = sorted({int(name.rpartition("_")[2]) for name in metrics if "_pass_at_" in name} or {1})
    for pattern, label in _OVERALL.items():
        for k in k_values if "{k}" in pattern else [0]:
            values = [metrics.get(pattern.format(role=role, k=k)) for role in WRITERS]
            if any(value is not None for value in values):
                overall.append([label.format(k=k), *map(format_metric, values)])
    groups = generations.filter(sample=0).group_by(["task", "example_id"], maintain_order=True)
    return {
        "generated": generations.height,
        "output_head": ["task", "model", "items", *METRICS.values()],
        "output_rows": rows,
        "overall_rows": overall,
        "outputs": [_output({row["role"]: row for row in group.iter_rows(named=True)}) for _, group in groups],
        "test_writer_rows": [
            [role, *(format_metric(metrics.get(f"written_tests_{role}_{name}")) for name in ("pass", "kill"))]
            for role in TEST_WRITERS
        ],
        "test_rows": [
            [row["path"], row["role"], passed(row["passes"]), f"{row['killed']} of {row['mutants']}", row["detail"]]
            for row in tables["written_tests"].iter_rows(named=True)
        ],
        "problem_rows": [
            [row["problem"], row["role"], str(row["sample"]), passed(row["passed"]), row["detail"]]
            for row in tables["problems"].iter_rows(named=True)
        ],
    }


def _output(rows: Mapping[str, Mapping[str, Any]]) -> str:
    row = rows["challenger"]
    grade = "right" if row["right"] else f"similar by {row['edit_similarity']:.2f}"
    broken = ", ".join(row["broken_patterns"] or ())
    grade += f" · breaks {broken}" if broken else ""
    summary = f"{row['task']} · {row['path']} · {row['kind']}: {grade}"
    prompt = pages.code("prompt (its end)", row["prompt"][-_OUTPUT_PROMPT_END:])
    texts = [prompt, pages.code("in the repository", row["expected"])]
    for role in WRITERS:
        tests, detail = rows[role]["tests"], rows[role]["tests_detail"]
        title = f"{role} wrote" + (f" (tests {tests or 'not run'}: {detail})" if tests or detail else "")
        texts.append(pages.changed_code(title, rows[role]["output"], row["expected"]))
    return pages.collapsible(summary, [pages.side_by_side(texts)], "good" if row["right"] else "bad")


def _items(scores: pl.DataFrame, examples: Mapping[tuple[str, str], Example], *, gained: bool) -> list[str]:
    """The items whose bits changed most."""
    saved = (pl.col("base_bits") - pl.col("challenger_bits")) / pl.col("bytes")
    changed = scores.with_columns(saved=saved).filter(pl.col("saved") > 0 if gained else pl.col("saved") < 0)
    ranked = changed.sort("saved", "task", "example_id", descending=[gained, False, False]).head(_EXAMPLES_PER_LIST)
    parts = []
    for row in ranked.iter_rows(named=True):
        example = examples[row["task"], row["example_id"]]
        role_values = ", ".join(f"{role} {row[f'{role}_bits'] / row['bytes']:.3f}" for role in ROLES)
        summary = f"{row['task']} · {row['path']} · {row['language']} · {row['kind']}: {role_values}"
        prompt = pages.code("prompt (its end)", example.prompt[-_PROMPT_END:])
        texts = [prompt, pages.code("in the repository", example.completion)]
        parts.append(pages.collapsible(summary, [pages.side_by_side(texts)], "good" if gained else "bad"))
    return parts
