"""The evaluation of an adapter as one HTML page that needs nothing else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from cortex_pipelines import pages
from cortex_pipelines.adapters.examples import TASKS, Example
from cortex_pipelines.evaluation.adapter_scores import bits_per_byte
from cortex_pipelines.evaluation.comparisons import Comparison, seen_with
from cortex_pipelines.evaluation.contestants import ROLES
from cortex_pipelines.evaluation.outputs_report import outputs_part
from cortex_pipelines.evaluation.quality_report import QualityReports
from cortex_pipelines.evaluation.style import FEATURES

_SHOWN = 5
_PROMPT_END = 600
_FORGETTING = 0.02
_TERMS = {
    "syntax_correctness": "outputs that parse with no error that the truth has not",
    "semantic_accuracy": "right answers: outputs equal but for layout and comments, and choices",
    "style_consistency": "1 minus the distance from the style of the project's train split",
    "test_pass_rate": "written functions with which the repository's related tests pass",
}


@dataclass(frozen=True)
class Findings:
    """All that the page tells.

    Args:
        tables: The tables of the evaluation by name.
        metrics: Flat figures.
        quality: The quality reports.
        comparison: What was compared with what.
        comparisons: Challenger against opponent, metric by metric.
        items: The examples that were scored, for their text.
    """

    tables: Mapping[str, pl.DataFrame]
    metrics: Mapping[str, float]
    quality: QualityReports
    comparison: Mapping[str, Any]
    comparisons: Sequence[Comparison]
    items: tuple[Example, ...]


def render_report(found: Findings) -> str:
    """The page: what was compared, what was learnt and what not, the figures, the outputs."""
    parts = [pages.paragraph(_compared(found.comparison))]
    scores = found.tables["scores"]
    if scores.height:
        examples = {(item.task, item.example_id): item for item in found.items}
        parts += [
            *_verdicts(found),
            *_quality(found.quality),
            *_likelihood(found.metrics),
            *_choices(found),
            *_comparisons(found),
            *_forgetting(found),
            *_baselines(found),
            *_memorised(found),
            *outputs_part(found.tables, found.metrics),
            *_languages(scores),
            *_items("Gained most", "good", _ranked(scores, descending=True), examples),
            *_items("Lost most", "bad", _ranked(scores, descending=False), examples),
        ]
    else:
        parts.append(
            pages.paragraph(
                "Nothing was measured: the test splits hold no item. Add sources to the project."
            )
        )
    return pages.page(str(found.comparison["title"]), parts)


def _compared(comparison: Mapping[str, Any]) -> str:
    opponent = comparison["opponent"]
    words = f"adapter {opponent['version']}" if opponent["version"] else "the base alone"
    note = f" {opponent['note']}" if opponent["note"] else ""
    return (
        f"Challenger: adapter {comparison['challenger']['version']} on base "
        f"{comparison['base']['name']}. Opponent: {words}.{note} Intervals are at "
        f"{comparison['settings']['confidence']:.0%} confidence: of differences by a paired "
        "bootstrap over clusters of near-duplicates, of shares by Wilson's formula. The default "
        "base is an instruct model that was quantised to 4 bits and unpacked; as far as is known "
        "it has no fill-in-the-middle tokens."
    )


def _verdicts(found: Findings) -> list[str]:
    """What was learnt and what was not, in sentences: the one as much a result as the other."""
    learnt: list[str] = []
    missed: list[str] = []
    for task in TASKS:
        low = found.metrics.get(f"{task}_improvement_over_base_low")
        if low is None:
            missed.append(f"{task}: no held-out item, so nothing is known.")
        elif low > 0:
            gain = _interval(found.metrics, f"{task}_improvement_over_base")
            learnt.append(f"{task}: {gain} bits per byte fewer than the base.")
        else:
            missed.append(f"{task}: not shown to be better than the base.")
    accuracy = found.metrics.get("team_challenger_accuracy")
    if accuracy is not None:
        sentence = (
            f"team tasks: {accuracy:.0%} right ({found.metrics['team_base_accuracy']:.0%} by the "
            f"base, {found.metrics['team_chance']:.0%} by chance); 85 % are aimed at."
        )
        (learnt if accuracy >= 0.85 else missed).append(sentence)
    forgotten = found.metrics.get("forgetting_high")
    if forgotten is not None and forgotten >= _FORGETTING:
        missed.append("other code: not shown to be forgotten by less than 2 %.")
    elif forgotten is not None:
        learnt.append("other code: forgotten by less than 2 %.")
    scores = found.tables["scores"]
    worse = scores.filter(pl.col("challenger_bits") >= pl.col("base_bits")).height
    missed.append(f"{worse} of {scores.height} items are no better than with the base.")
    missed += [f"{name}: not measured, {why}." for name, why in found.quality.missing.items()]
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
    truth = quality.truth_style
    words = "" if truth is None else f" The true answers to the same questions reach {truth:.3f}."
    features = [
        [name, *(_share(quality.features[role].get(name)) for role in ("base", "challenger")), what]
        for name, what in FEATURES.items()
    ]
    return [
        pages.heading("Quality of what was written"),
        pages.table(["term", "base", "challenger", "meaning, or why it is missing"], rows),
        pages.paragraph("Distance from the team's style, feature by feature: 0 is alike." + words),
        pages.table(["feature", "base", "challenger", "what is compared"], features),
    ]


def _likelihood(metrics: Mapping[str, float]) -> list[str]:
    rows = []
    for label, prefix in (("all", ""), *((task, f"{task}_") for task in TASKS)):
        if f"{prefix}base_bits_per_byte" not in metrics:
            continue
        cells = [f"{metrics[f'{prefix}items']:.0f}"]
        cells += [f"{metrics[f'{prefix}{role}_bits_per_byte']:.4f}" for role in ROLES]
        cells += [f"{metrics[f'{prefix}{role}_perplexity']:.2f}" for role in ("base", "challenger")]
        cells += [
            _interval(metrics, f"{prefix}{name}")
            for name in ("improvement", "improvement_over_base")
        ]
        rows.append([label, *cells])
    head = ["task", "items", *ROLES, "perplexity: base", "challenger"]
    return [
        pages.heading("Held-out code by likelihood"),
        pages.paragraph(
            "Bits per byte of the true completion, less is better; perplexity is of a token. An "
            "improvement is the opponent's (or the base's) bits minus the challenger's."
        ),
        pages.table([*head, "improvement", "over base"], rows),
    ]


def _choices(found: Findings) -> list[str]:
    metrics, rows = found.metrics, []
    for label, prefix in (
        ("all", "team_"),
        *((kind, f"choice_{kind}_") for kind in ("naming", "fix", "statement")),
    ):
        if f"{prefix}items" in metrics:
            shares = [_percents(metrics, f"{prefix}{role}_accuracy") for role in ROLES]
            chance = f"{metrics[f'{prefix}chance']:.0%}"
            difference = _percents(metrics, f"{prefix}difference", sign="+")
            rows.append([label, f"{metrics[f'{prefix}items']:.0f}", chance, *shares, difference])
    unasked = sum(found.comparison["questions_without_answers"].values())
    return [
        pages.heading("Team tasks: choices by likelihood"),
        pages.paragraph(
            "naming: the true name among four; fix: code against the same code with an error; "
            "statement: the true next statement among four of the project. The answer with the "
            "highest log-likelihood a byte counts, a tie is wrong. "
            f"{unasked} items were too few of a kind to ask about."
        ),
        pages.table(["question", "items", "chance", *ROLES, "difference to opponent"], rows),
    ]


def _comparisons(found: Findings) -> list[str]:
    rows = []
    for one in found.comparisons:
        low, high = one.interval.low, one.interval.high
        if one.p_corrected < 1 - one.interval.confidence:
            verdict = "better" if one.interval.estimate > 0 else "worse"
            verdict += " by enough" if low >= one.smallest else ""
        else:
            verdict = "not shown"
        seen = seen_with(one.clusters, one.needed, one.smallest)
        rows.append(
            [
                one.metric.replace("_", " "),
                f"{one.interval.estimate:+.4f} ({low:+.4f} to {high:+.4f})",
                f"{one.p:.4f}",
                f"{one.p_corrected:.4f}",
                verdict,
                f"{one.smallest:g}",
                str(one.clusters),
                "–" if one.needed is None else str(one.needed),
                "–" if one.needed is None else f"{seen:.3g}",
            ]
        )
    head = ["metric", "difference", "p", "p (Holm)", "verdict", "smallest worth shipping"]
    head += ["clusters", "needed to see it", "seen with these"]
    return [
        pages.heading("Challenger against opponent, corrected for several metrics"),
        pages.paragraph(
            "p by the bootstrap, then Holm's correction over all rows. Needed: clusters of items "
            "that show the smallest difference worth shipping in 8 of 10 experiments, by the "
            "spread seen here; the last column is the difference that the clusters at hand show."
        ),
        pages.table(head, rows),
    ]


def _forgetting(found: Findings) -> list[str]:
    general, metrics = found.comparison["general"], found.metrics
    title = pages.heading("Forgetting: code of another project")
    if "forgetting" not in metrics:
        return [title, pages.paragraph(f"Not measured: {general['missing']}.")]
    rise = _percents(metrics, "forgetting", sign="+", digits=2)
    row = [f"{metrics['general_items']:.0f}"]
    row += [f"{metrics[f'general_{role}_perplexity']:.3f}" for role in ROLES]
    return [
        title,
        pages.paragraph(
            f"Relative rise of perplexity on held-out code of {general['project']} over the base: "
            f"{rise}; under 2 % is aimed at. {general['near_twins_left_out']} items were left out "
            "because the train split has a near twin of them."
        ),
        pages.table(["items", *(f"perplexity: {role}" for role in ROLES)], [[*row]]),
    ]


def _baselines(found: Findings) -> list[str]:
    named = {
        "retrieval": "base with similar training code before the prompt (completion)",
        "other_adapter": f"adapter {found.comparison['other_adapter']} of another project",
    }
    rows = [
        [
            words,
            f"{found.metrics[f'{name}_items']:.0f}",
            f"{found.metrics[f'{name}_bits_per_byte']:.4f}",
            _interval(found.metrics, f"{name}_gain"),
        ]
        for name, words in named.items()
        if f"{name}_gain" in found.metrics
    ]
    head = ["instead of training", "items", "bits per byte", "challenger saves"]
    return [pages.heading("What could be done instead"), pages.table(head, rows)]


def _memorised(found: Findings) -> list[str]:
    metrics = found.metrics
    title = pages.heading("Memorisation")
    if "extraction_rate" not in metrics:
        return [title, pages.paragraph("Not measured: no line of the train split is long enough.")]
    sentences = [
        f"{_percents(metrics, 'extraction_rate')} of {metrics['extraction_items']:.0f} rare lines "
        f"of the train split are completed word by word from their first half; the base completes "
        f"{metrics['extraction_rate_base']:.0%} of them.",
        f"{metrics['extraction_beyond_base']:.0%} are given away by the challenger alone.",
    ]
    if "extraction_rate_held_out" in metrics:
        share = metrics["extraction_rate_held_out"]
        sentences.append(f"Of held-out lines, which it cannot have seen: {share:.0%}.")
    if "exposure" in metrics:
        sentences.append(
            f"{metrics['canaries']:.0f} planted canaries: the most exposed one has "
            f"{metrics['exposure']:.2f} bits ({metrics['exposure_base']:.2f} under the base)."
        )
    else:
        sentences.append("Exposure was not measured: training planted no canaries.")
    shown = [
        pages.folded(
            f"{row['path']}", [pages.code("after", row["prefix"]), pages.code("", row["secret"])]
        )
        for row in found.tables["memorised"].iter_rows(named=True)
        if row["challenger_verbatim"] and not row["base_verbatim"] and row["split"] == "train"
    ]
    return [title, pages.listing(sentences), *shown]


def _languages(scores: pl.DataFrame) -> list[str]:
    rows = []
    for language in sorted(scores["language"].unique()):
        part = scores.filter(pl.col("language") == language)
        figures = [f"{bits_per_byte(part, role):.4f}" for role in ROLES]
        rows.append([language, str(part.height), *figures])
    return [pages.heading("By language"), pages.table(["language", "items", *ROLES], rows)]


def _ranked(scores: pl.DataFrame, *, descending: bool) -> pl.DataFrame:
    """The items that won or lost most per byte against the base."""
    saved = (pl.col("base_bits") - pl.col("challenger_bits")) / pl.col("bytes")
    ordered = scores.with_columns(saved=saved).sort(
        ["saved", "task", "example_id"], descending=[descending, False, False]
    )
    wanted = pl.col("saved") > 0 if descending else pl.col("saved") < 0
    return ordered.filter(wanted).head(_SHOWN)


def _items(
    title: str, kind: str, rows: pl.DataFrame, examples: Mapping[tuple[str, str], Example]
) -> list[str]:
    shown = [
        _item(kind, row, examples[row["task"], row["example_id"]])
        for row in rows.iter_rows(named=True)
    ]
    return [pages.heading(title), *(shown or [pages.paragraph("None.")])]


def _item(kind: str, row: Mapping[str, Any], example: Example) -> str:
    per_byte = {role: row[f"{role}_bits"] / row["bytes"] for role in ROLES}
    figures = ", ".join(f"{role} {value:.3f}" for role, value in per_byte.items())
    where = f"{row['task']} · {row['path']} · {row['language']} · {row['kind']}: {figures}"
    texts = [
        pages.code("prompt (its end)", example.prompt[-_PROMPT_END:]),
        pages.code("in the repository", example.completion),
    ]
    return pages.folded(where, [pages.sides(texts)], kind)


def _share(value: float | None) -> str:
    return "missing" if value is None else f"{value:.3f}"


def _percents(metrics: Mapping[str, float], name: str, sign: str = "", digits: int = 0) -> str:
    ends = [metrics[f"{name}{end}"] for end in ("", "_low", "_high")]
    told = [f"{value:{sign}.{digits}%}" for value in ends]
    return f"{told[0]} ({told[1]} to {told[2]})"


def _interval(metrics: Mapping[str, float], name: str) -> str:
    low, high = metrics[f"{name}_low"], metrics[f"{name}_high"]
    return f"{metrics[name]:+.4f} ({low:+.4f} to {high:+.4f})"
