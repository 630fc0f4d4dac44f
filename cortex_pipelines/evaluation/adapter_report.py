"""The evaluation of an adapter as one HTML page that needs nothing else."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import polars as pl

from cortex_pipelines.adapters.examples import TASKS, Example
from cortex_pipelines.evaluation.adapter_scores import ROLES, bits_per_byte

_SHOWN = 5
_PROMPT_END = 600
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0 }
th, td { border-bottom: 1px solid #ccc; padding: .3rem .8rem; text-align: right }
th:first-child, td:first-child { text-align: left }
pre { background: #f4f4f4; padding: .6rem; overflow-x: auto; font-size: 13px; margin: .2rem 0 }
.item { border-left: 4px solid #bbb; padding-left: 1rem; margin: 1.5rem 0 }
.gained { border-color: #2a7d4f } .lost { border-color: #b3403a }
.sides { display: grid; grid-template-columns: 1fr 1fr; gap: 1rem }
"""


def render_report(
    scores: pl.DataFrame,
    metrics: Mapping[str, float],
    comparison: Mapping[str, Any],
    items: Sequence[Example],
) -> str:
    """The page: what was compared, the figures, what was not learnt, items gained and lost.

    Args:
        scores: Table ``ADAPTER_SCORES``.
        metrics: Its figures.
        comparison: What was compared with what.
        items: The examples that were scored, for their text.
    """
    parts = [f"<h1>{escape(str(comparison['title']))}</h1>", _compared(comparison)]
    if scores.height:
        examples = {(item.task, item.example_id): item for item in items}
        parts += [
            _figures(metrics),
            _not_learnt(scores, metrics),
            _languages(scores),
            _items("Gained most", "gained", _ranked(scores, descending=True), examples),
            _items("Lost most", "lost", _ranked(scores, descending=False), examples),
        ]
    else:
        parts.append(
            "<p>Nothing was measured: the test splits hold no item. Add sources to the project.</p>"
        )
    body = "\n".join(parts)
    return (
        '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">'
        f"<title>{escape(str(comparison['title']))}</title><style>{_STYLE}</style></head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def _compared(comparison: Mapping[str, Any]) -> str:
    opponent = comparison["opponent"]
    words = f"adapter {opponent['version']}" if opponent["version"] else "the base alone"
    note = f" {escape(opponent['note'])}" if opponent["note"] else ""
    return (
        f"<p>Challenger: adapter {escape(str(comparison['challenger']['version']))} on base "
        f"{escape(comparison['base']['name'])}. Opponent: {escape(words)}.{note} "
        "A figure is bits per byte of held-out code, less is better; improvements are the "
        "opponent's minus the challenger's, with intervals at "
        f"{comparison['settings']['confidence']:.0%} confidence by a paired bootstrap over "
        "clusters of near-duplicates. The default base is an instruct model that was quantised to "
        "4 bits and unpacked; as far as is known it has no fill-in-the-middle tokens.</p>"
    )


def _figures(metrics: Mapping[str, float]) -> str:
    rows = []
    for label, prefix in (("all", ""), *((task, f"{task}_") for task in TASKS)):
        if f"{prefix}base_bits_per_byte" not in metrics:
            continue
        cells = [f"{metrics[f'{prefix}items']:.0f}"]
        cells += [f"{metrics[f'{prefix}{role}_bits_per_byte']:.4f}" for role in ROLES]
        cells += [_interval(metrics, f"{prefix}{name}") for name in _IMPROVEMENTS]
        rows.append([label, *cells])
    head = ["task", "items", *ROLES, "improvement", "improvement over base"]
    return _table(head, rows) + _outputs(metrics)


_IMPROVEMENTS = ("improvement", "improvement_over_base")


def _outputs(metrics: Mapping[str, float]) -> str:
    rows = [
        [task, role, *(f"{metrics[f'{task}_{role}_{name}']:.3f}" for name in names)]
        for names in [("exact_match", "edit_similarity")]
        for task in TASKS
        for role in ("base", "challenger")
        if f"{task}_{role}_exact_match" in metrics
    ]
    if not rows:
        return "<p>No output was generated (evaluation.generated_items is 0).</p>"
    return _table(["task", "model", "exact match", "edit similarity"], rows)


def _not_learnt(scores: pl.DataFrame, metrics: Mapping[str, float]) -> str:
    """What the adapter did not learn, in sentences: as much a result as what it did."""
    worse = scores.filter(pl.col("challenger_bits") >= pl.col("base_bits")).height
    found = [f"{worse} of {scores.height} items are no better than with the base."]
    for task in TASKS:
        low = metrics.get(f"{task}_improvement_over_base_low")
        if low is None:
            found.append(f"{task}: no held-out item, so nothing is known.")
        elif low <= 0:
            found.append(f"{task}: not shown to be better than the base.")
    if "completion_challenger_exact_match" not in metrics:
        found.append("Whether generated code is right was not measured, only likelihood.")
    found.append("Code outside this project (forgetting) and running code were not measured.")
    listed = "".join(f"<li>{escape(sentence)}</li>" for sentence in found)
    return f"<h2>What it did not learn</h2><ul>{listed}</ul>"


def _languages(scores: pl.DataFrame) -> str:
    rows = []
    for language in sorted(scores["language"].unique()):
        part = scores.filter(pl.col("language") == language)
        figures = [f"{bits_per_byte(part, role):.4f}" for role in ROLES]
        rows.append([language, str(part.height), *figures])
    return "<h2>By language</h2>" + _table(["language", "items", *ROLES], rows)


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
) -> str:
    shown = [
        _item(kind, row, examples[row["task"], row["example_id"]])
        for row in rows.iter_rows(named=True)
    ]
    return f"<h2>{title}</h2>" + ("".join(shown) or "<p>None.</p>")


def _item(kind: str, row: Mapping[str, Any], example: Example) -> str:
    per_byte = {role: row[f"{role}_bits"] / row["bytes"] for role in ROLES}
    figures = ", ".join(f"{role} {value:.3f}" for role, value in per_byte.items())
    where = f"{row['task']} · {row['path']} · {row['language']} · {row['kind']}"
    written = [
        f"<div>{role} wrote<pre>{escape(row[f'{role}_output'])}</pre></div>"
        for role in ("base", "challenger")
        if row[f"{role}_output"] is not None
    ]
    sides = f'<div class="sides">{"".join(written)}</div>' if written else ""
    return (
        f'<div class="item {kind}"><strong>{escape(where)}</strong><br>bits per byte: {figures}'
        '<div class="sides">'
        f"<div>prompt (its end)<pre>{escape(example.prompt[-_PROMPT_END:])}</pre></div>"
        f"<div>in the repository<pre>{escape(example.completion)}</pre></div></div>{sides}</div>"
    )


def _interval(metrics: Mapping[str, float], name: str) -> str:
    low, high = metrics[f"{name}_low"], metrics[f"{name}_high"]
    return f"{metrics[name]:+.4f} ({low:+.4f} to {high:+.4f})"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    heads = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    lines = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><tr>{heads}</tr>{lines}</table>"
