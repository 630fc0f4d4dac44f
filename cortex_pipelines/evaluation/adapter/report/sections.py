"""Report sections: choices, comparisons, forgetting, baselines, memorisation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from cortex_pipelines import pages
from cortex_pipelines.evaluation.adapter.measures.bits_per_byte import LEAST_GROUPS, ROLES, SPECIALISATIONS
from cortex_pipelines.evaluation.adapter.measures.multiple_choice import KINDS
from cortex_pipelines.evaluation.adapter.report.quality import QualityReports
from cortex_pipelines.prompts.examples import Example
from cortex_pipelines.statistics.significance import MetricComparison, detectable_difference


@dataclass(frozen=True)
class ReportInputs:
    tables: Mapping[str, pl.DataFrame]
    metrics: Mapping[str, float]
    quality: QualityReports
    comparison: Mapping[str, Any]
    comparisons: Sequence[MetricComparison]
    items: tuple[Example, ...]


def choices_section(inputs: ReportInputs) -> list[str]:
    metrics, rows = inputs.metrics, []
    for label, prefix in (("all", "team_"), *((kind, f"choice_{kind}_") for kind in KINDS)):
        if f"{prefix}items" in metrics:
            shares = [percents(metrics, f"{prefix}{role}_accuracy") for role in ROLES]
            chance = f"{metrics[f'{prefix}chance']:.0%}"
            difference = percents(metrics, f"{prefix}difference", sign="+")
            rows.append([label, f"{metrics[f'{prefix}items']:.0f}", chance, *shares, difference])
    control = (
        "Not measured: how many an adapter of another project answers (evaluation.other_adapter names none). Of "
        "what the challenger answers more than the base, a part may be the form of the questions."
    )
    if "team_own_difference" in metrics:
        control = (
            "Control: an adapter of another project, which knows the form of the questions but not this project, "
            f"answers {percents(metrics, 'team_other_adapter_accuracy')} of them; the challenger answers "
            f"{percents(metrics, 'team_own_difference', sign='+')} more."
        )
    unasked = sum(inputs.comparison["questions_without_answers"].values())
    return [
        pages.heading("Team tasks: choices by likelihood"),
        pages.paragraph(
            "naming: the true name among four; fix: code against the same code with an error; statement: the true next "
            "statement among four of the project; correction: code as a person put it against what a model had "
            "written. Of names and statements the answer counts that the prompt makes likelier most, of two versions "
            "of the same code the one with the highest log-likelihood a byte; a tie is wrong. "
            f"{unasked} left out for want of others to ask about beside them, or because the longer of two versions "
            "would be right more often."
        ),
        pages.table(["question", "items", "chance", *ROLES, "difference to reference"], rows),
        pages.paragraph(control),
    ]


def comparisons_section(inputs: ReportInputs) -> list[str]:
    rows = []
    for comparison in inputs.comparisons:
        low, high = comparison.interval.low, comparison.interval.high
        if comparison.p_corrected < 1 - comparison.interval.confidence:
            verdict = "better" if comparison.interval.estimate > 0 else "worse"
            verdict += " by enough" if low >= comparison.smallest else ""
        else:
            verdict = "not shown"
        detectable = detectable_difference(comparison.clusters, comparison.needed, comparison.smallest)
        difference = f"{comparison.interval.estimate:+.4f} {_unbroken(f'{low:+.4f}', f'{high:+.4f}')}"
        row = [comparison.metric.replace("_", " "), difference, f"{comparison.p:.4f}", f"{comparison.p_corrected:.4f}"]
        row += [verdict, f"{comparison.smallest:g}", str(comparison.clusters)]
        rows.append(row + (["–", "–"] if comparison.needed is None else [str(comparison.needed), f"{detectable:.3g}"]))
    head = ["metric", "difference", "p", "p (Holm)", "verdict", "smallest worth shipping"]
    head += ["clusters", "needed to see it", "seen with these"]
    return [
        pages.heading("Challenger against reference, corrected for several metrics"),
        pages.paragraph(
            "p by flipping the signs of clusters, then Holm's correction over all rows. Needed: clusters that show the "
            "smallest difference worth shipping in 8 of 10 experiments, by the spread seen here; the last column: the "
            "difference that the clusters at hand show."
        ),
        pages.table(head, rows),
    ]


def forgetting_section(inputs: ReportInputs) -> list[str]:
    general, metrics = inputs.comparison["general"], inputs.metrics
    title = pages.heading("Forgetting: code of another project")
    if "forgetting" not in metrics:
        return [title, pages.paragraph(f"Not measured: {general['missing']}.")]
    increase = percents(metrics, "forgetting", sign="+", digits=2)
    row = [f"{metrics['general_items']:.0f}"]
    row += [f"{metrics[f'general_{role}_perplexity']:.3f}" for role in ROLES]
    return [
        title,
        pages.paragraph(
            f"Relative rise of perplexity on held-out code of {general['project']} over the base: {increase}; under "
            f"2 % is aimed at. {general['near_duplicates_left_out']} items were left out because the train split has a "
            "near-duplicate of them."
        ),
        pages.table(["items", *(f"perplexity: {role}" for role in ROLES)], [row]),
    ]


def foreign_code_section(inputs: ReportInputs) -> list[str]:
    metrics = inputs.metrics
    title = pages.heading("Control: the same adapter on another project's code")
    if "own_improvement" not in metrics:
        return [title, pages.paragraph(f"Not measured: {inputs.comparison['general']['missing']}.")]
    return [
        title,
        pages.paragraph(
            "An adapter that learnt only how answers begin gains as much on code that it has no reason to know. On "
            f"{metrics['foreign_items']:.0f} completions of {inputs.comparison['general']['project']} it saves "
            f"{interval(metrics, 'foreign_improvement')} bits per byte over the base, on the project's own "
            f"{interval(metrics, 'completion_improvement_over_base')}: {interval(metrics, 'own_improvement')} more."
        ),
    ]


def specialisations_section(inputs: ReportInputs) -> list[str]:
    head = ["purpose", "training examples", "items", "groups of files", "base", "challenger"]
    head.append("saved over the base, or why it is not known")
    metrics, rows = inputs.metrics, []
    for name in SPECIALISATIONS:
        counts = [metrics.get(f"for_{name}_{count_name}", 0) for count_name in ("train_examples", "items", "groups")]
        bits = [metrics.get(f"for_{name}_{role}_bits_per_byte") for role in ("base", "challenger")]
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
        cells += ["–" if value is None else f"{value:.4f}" for value in bits]
        rows.append([name, *cells, gain])
    return [
        pages.heading("By purpose"),
        pages.paragraph("Bits per byte of the held-out items of all tasks whose unit is for it."),
        pages.table(head, rows),
    ]


def baselines_section(inputs: ReportInputs) -> list[str]:
    labels = {
        "retrieval": "base with similar training examples before the prompt (completion)",
        "adapter_with_retrieval": "the challenger with the same examples before the prompt",
        "other_adapter": f"adapter {inputs.comparison['other_adapter']} of another project",
        "base_file": "base with a memory of the open file",
        "base_memory": "base with memories of the open file and the project",
        "base_other_memory": "base with memories of the open file and of other code, the control",
        "adapter_memory": "the challenger with memories of the open file and the project",
        "context_memory": "the base with similar training examples and the memories",
        "both_memory": "the challenger with both",
    }
    rows = [
        [
            label,
            f"{inputs.metrics[f'{name}_items']:.0f}",
            f"{inputs.metrics[f'{name}_bits_per_byte']:.4f}",
            interval(inputs.metrics, f"{name}_gain"),
        ]
        for name, label in labels.items()
        if f"{name}_gain" in inputs.metrics
    ]
    head = ["instead of training", "items", "bits per byte", "challenger saves"]
    return [
        pages.heading("What could be done instead"),
        pages.paragraph("Held-out completions, by each way to answer them."),
        pages.table(head, rows),
        *_line_accuracy(inputs.metrics),
        *_questions_with_context(inputs.metrics),
    ]


_CONDITION_LABELS = {
    "base": "base",
    "context": "base with similar training examples",
    "adapter": "challenger",
    "both": "challenger with similar training examples",
}


def _line_accuracy(metrics: Mapping[str, float]) -> list[str]:
    rows = [
        [
            label,
            f"{metrics[f'line_{condition}']:.0%}",
            f"{metrics[gap]:.4f}" if (gap := f"gap_{condition}_bits_per_byte") in metrics else "",
        ]
        for condition, label in _CONDITION_LABELS.items()
        if f"line_{condition}" in metrics
    ]
    if not rows:
        return []
    text = "How many of the completions' first lines are written exactly right, and what "
    text += f"{metrics['gap_items']:.0f} of them need that fill a gap before other code."
    return [pages.paragraph(text), pages.table(["way", "first lines written right", "bits per byte of gaps"], rows)]


def _questions_with_context(metrics: Mapping[str, float]) -> list[str]:
    if "shown_items" not in metrics:
        return []
    rows = []
    for condition, label in _CONDITION_LABELS.items():
        name = f"shown_{'challenger' if condition == 'adapter' else condition}"
        difference = "" if condition == "base" else percents(metrics, f"{name}_difference", sign="+")
        rows.append([label, f"{metrics[f'{name}_accuracy']:.0%}", difference])
    text = f"{metrics['shown_items']:.0f} questions, each asked with and without such examples."
    head = ["way", "answered correctly", "difference to the base"]
    return [pages.paragraph(text), pages.table(head, rows)]


def memorised_section(inputs: ReportInputs) -> list[str]:
    extracted = [
        pages.collapsible(f"{row['path']}", [pages.code("after", row["prefix"]), pages.code("", row["secret"])])
        for row in inputs.tables["memorised"].iter_rows(named=True)
        if row["challenger_verbatim"] and not row["base_verbatim"] and row["split"] == "train"
    ]
    metrics = inputs.metrics
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
        bounds = _unbroken(f"{metrics[f'{name}_low']:.2f}", f"{metrics[f'{name}_high']:.2f}")
        exposure = (
            f"By what the training added, {metrics['canaries']:.0f} planted canaries have {metrics[name]:.2f} {bounds} "
            f"bits of exposure on average, the most exposed one {metrics[f'{name}_largest']:.2f}; "
            f"{metrics[f'{name}_unlearnt']:.2f} are expected where nothing was remembered, "
            f"{metrics[f'{name}_most']:.2f} where every canary was learnt."
        )
    return [pages.heading("Memorisation"), pages.listing([*sentences, exposure]), *extracted]


def percents(metrics: Mapping[str, float], name: str, sign: str = "", digits: int = 0) -> str:
    ends = [metrics[f"{name}{end}"] for end in ("", "_low", "_high")]
    bounds = [f"{value:{sign}.{digits}%}" for value in ends]
    return f"{bounds[0]} {_unbroken(bounds[1], bounds[2])}"


def interval(metrics: Mapping[str, float], name: str) -> str:
    low, high = metrics[f"{name}_low"], metrics[f"{name}_high"]
    return f"{metrics[name]:+.4f} {_unbroken(f'{low:+.4f}', f'{high:+.4f}')}"


def _unbroken(low: str, high: str) -> str:
    return f"({low} to {high})".replace(" ", "\N{NO-BREAK SPACE}")
