"""Rows of the tables in the report of an adapter evaluation."""

from collections.abc import Mapping

import polars as pl

from cortex_pipelines.evaluation.adapter.measures.bits_per_byte import LEAST_GROUPS, ROLES, WRITERS, bits_per_byte
from cortex_pipelines.evaluation.adapter.measures.multiple_choice import KINDS
from cortex_pipelines.evaluation.adapter.report.quality import QualityReports
from cortex_pipelines.evaluation.metrics.style import FEATURES
from cortex_pipelines.prompts.examples import DATASETS
from cortex_pipelines.statistics.significance import MetricComparison, detectable_difference

Metrics = Mapping[str, float]

METRICS = {
    "exact_match": "exact match",
    "edit_similarity": "edit similarity",
    "syntax_correct": "syntax correct",
    "subtoken_f1": "sub-token F1",
    "word_f1": "F1 of the words",
    "fix_rate": "bugs fixed",
    "rule_accuracy": "imports judged rightly",
    "violations_allowed": "forbidden imports allowed",
}
TERMS = {
    "syntax_correctness": ("Syntax correct", "outputs that parse with no error that the truth has not"),
    "semantic_accuracy": ("Right", "outputs equal but for layout, or that pass tests, and choices"),
    "style_consistency": ("Style kept", "1 minus the distance from the style of the true answers"),
    "test_pass_rate": ("Tests passed", "written functions with which the repository's related tests pass"),
}
_CONDITION_LABELS = {
    "base": "base",
    "context": "base with similar training examples",
    "adapter": "challenger",
    "both": "challenger with similar training examples",
}
_BASELINES = {
    "retrieval": "base with similar training examples before the prompt (completion)",
    "adapter_with_retrieval": "the challenger with the same examples before the prompt",
    "other_adapter": "adapter {} of another project",
}
"""What could be done instead of training, by the prefix of its metrics."""
_BITS = {
    "base": "completion_base_bits_per_byte",
    "context": "retrieval_bits_per_byte",
    "adapter": "completion_challenger_bits_per_byte",
    "both": "adapter_with_retrieval_bits_per_byte",
}
_ANSWERED = {"base": "team_base_accuracy", "adapter": "team_challenger_accuracy"}


def glance_rows(metrics: Metrics, lines: int) -> list[list[str]]:
    rows = []
    for condition, label in _CONDITION_LABELS.items():
        bits, right = metrics.get(_BITS[condition]), metrics.get(f"line_{condition}")
        answered = metrics.get(_ANSWERED.get(condition, ""))
        if bits is not None or right is not None:
            cells = "–" if right is None else f"{right * lines:.0f} of {lines}"
            answer_count = (
                "–" if answered is None else f"{answered * metrics['team_items']:.0f} of {metrics['team_items']:.0f}"
            )
            rows.append(
                [label.replace("challenger", "adapter"), cells, answer_count, "–" if bits is None else f"{bits:.3f}"]
            )
    return rows


def quality_rows(quality: QualityReports) -> dict[str, list[list[str]]]:
    rows = []
    for name, (label, meaning) in TERMS.items():
        values = [getattr(quality.by_role[role], name) for role in WRITERS]
        rows.append([label, *map(_share, values), quality.missing.get(name, meaning)])
    features = [
        [name, *(_share(quality.features[role].get(name)) for role in WRITERS), description]
        for name, description in FEATURES.items()
    ]
    return {"quality_rows": rows, "feature_rows": features}


def likelihood_rows(scores: pl.DataFrame, metrics: Metrics) -> dict[str, list[list[str]]]:
    rows = []
    for label, prefix in (("all", ""), *((task, f"{task}_") for task in DATASETS)):
        if f"{prefix}base_bits_per_byte" not in metrics:
            continue
        cells = [f"{metrics[f'{prefix}items']:.0f}"]
        cells += [f"{metrics[f'{prefix}{role}_bits_per_byte']:.4f}" for role in ROLES]
        cells += [f"{metrics[f'{prefix}{role}_perplexity']:.2f}" for role in WRITERS]
        cells += [interval(metrics, f"{prefix}{name}") for name in ("improvement", "improvement_over_base")]
        rows.append([label, *cells])
    languages = [
        [str(language), str(subset.height), *(f"{bits_per_byte(subset, role):.4f}" for role in ROLES)]
        for (language,), subset in scores.sort("language").group_by("language", maintain_order=True)
    ]
    forgetting = []
    if "forgetting" in metrics:
        perplexities = [f"{metrics[f'general_{role}_perplexity']:.3f}" for role in ROLES]
        forgetting.append([f"{metrics['general_items']:.0f}", *perplexities])
    return {"likelihood_rows": rows, "language_rows": languages, "forgetting_rows": forgetting}


def choice_rows(metrics: Metrics) -> dict[str, list[list[str]]]:
    rows = []
    for label, prefix in (("all", "team_"), *((kind, f"choice_{kind}_") for kind in KINDS)):
        if f"{prefix}items" in metrics:
            shares = [percents(metrics, f"{prefix}{role}_accuracy") for role in ROLES]
            chance = f"{metrics[f'{prefix}chance']:.0%}"
            difference = percents(metrics, f"{prefix}difference", sign="+")
            rows.append([label, f"{metrics[f'{prefix}items']:.0f}", chance, *shares, difference])
    return {"choice_rows": rows}


def comparison_row(comparison: MetricComparison) -> list[str]:
    low, high = comparison.interval.low, comparison.interval.high
    verdict = "not shown"
    if comparison.p_corrected < 1 - comparison.interval.confidence:
        verdict = "better" if comparison.interval.estimate > 0 else "worse"
        verdict += " by enough" if low >= comparison.smallest else ""
    difference = f"{comparison.interval.estimate:+.4f} {unbroken(f'{low:+.4f}', f'{high:+.4f}')}"
    row = [comparison.metric.replace("_", " "), difference, f"{comparison.p:.4f}", f"{comparison.p_corrected:.4f}"]
    row += [verdict, f"{comparison.smallest:g}", str(comparison.clusters)]
    if comparison.needed is None:
        return [*row, "–", "–"]
    detectable = detectable_difference(comparison.clusters, comparison.needed, comparison.smallest)
    return [*row, str(comparison.needed), f"{detectable:.3g}"]


def condition_rows(metrics: Metrics, other_adapter: str | None) -> dict[str, list[list[str]]]:
    """By each way to answer: bits of held-out completions, and accuracy of questions."""
    baselines, shown_rows = [], []
    for name, label in _BASELINES.items():
        if f"{name}_gain" in metrics:
            cells = [f"{metrics[f'{name}_items']:.0f}", f"{metrics[f'{name}_bits_per_byte']:.4f}"]
            baselines.append([label.format(other_adapter), *cells, interval(metrics, f"{name}_gain")])
    for condition, label in _CONDITION_LABELS.items():
        if "shown_items" in metrics:
            name = f"shown_{'challenger' if condition == 'adapter' else condition}"
            difference = "" if condition == "base" else percents(metrics, f"{name}_difference", sign="+")
            shown_rows.append([label, f"{metrics[f'{name}_accuracy']:.0%}", difference])
    return {"baseline_rows": baselines, "shown_rows": shown_rows}


def purpose_row(metrics: Metrics, name: str) -> list[str]:
    counts = [metrics.get(f"for_{name}_{count_name}", 0) for count_name in ("train_examples", "items", "groups")]
    bits = [metrics.get(f"for_{name}_{role}_bits_per_byte") for role in WRITERS]
    if f"for_{name}_improvement_over_base" in metrics:
        gain = interval(metrics, f"for_{name}_improvement_over_base")
        gain += "" if counts[0] else "; none of its kind was there to train on"
    elif counts[1]:
        gain = f"fewer than {LEAST_GROUPS} groups of files show nothing"
    elif counts[0]:
        gain = "no such item among those that were scored"
    else:
        gain = "the project has none that may be trained on"
    cells = [f"{count:,.0f}" for count in counts]
    return [name, *cells, *("–" if value is None else f"{value:.4f}" for value in bits), gain]


def percents(metrics: Metrics, name: str, sign: str = "", digits: int = 0) -> str:
    ends = [metrics[f"{name}{end}"] for end in ("", "_low", "_high")]
    bounds = [f"{value:{sign}.{digits}%}" for value in ends]
    return f"{bounds[0]} {unbroken(bounds[1], bounds[2])}"


def interval(metrics: Metrics, name: str) -> str:
    low, high = metrics[f"{name}_low"], metrics[f"{name}_high"]
    return f"{metrics[name]:+.4f} {unbroken(f'{low:+.4f}', f'{high:+.4f}')}"


def unbroken(low: str, high: str) -> str:
    return f"({low} to {high})".replace(" ", "\N{NO-BREAK SPACE}")


def _share(value: float | None) -> str:
    return "missing" if value is None else f"{value:.3f}"


def passed(value: bool | None) -> str:
    return "not run" if value is None else "passed" if value else "failed"


def format_metric(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.0f}" if value > 1 else f"{value:.3f}"
