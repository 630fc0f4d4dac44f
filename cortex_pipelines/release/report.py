"""The report of a judged adapter: the verdict in words, before what its evaluation measured."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cortex_pipelines.pages import code, collapsible, heading, listing, paragraph, table
from cortex_pipelines.release.answering import Condition, Release, best_condition, measured_conditions
from cortex_pipelines.release.gates import MEANINGS, GuardResult, Verdict

FILE = "report.html"
_END_OF_TITLE = "</h1>"
_VERDICTS = {"promoted": "passed", "kept": "kept back", "refused": "refused"}
WAYS: Mapping[Condition, str] = {
    "base": "the base model alone",
    "context": "the base model with similar code in its prompt",
    "adapter": "the adapter",
    "both": "the adapter with similar code in its prompt",
}


def write_adapter_report(
    project: str,
    verdict: Verdict,
    answering: Release,
    metrics: Mapping[str, float | None],
    training: Mapping[str, float | None],
    train_rows: int,
    evaluation: Path,
    out: Path,
) -> None:
    """``train_rows``: rows that the adapter could have been trained on."""
    model = f"cortex promote code_adapter-{project}"
    more = [code("To serve it:", model)]
    if verdict.verdict != "promoted":
        comparison: dict[str, Any] = json.loads((evaluation / "comparison.json").read_text(encoding="utf-8"))
        evidence = [*_more_items(comparison), *_more_training(project, training, train_rows)]
        more = [
            heading("What would tell", 3),
            listing(evidence),
            heading("What serves as well today", 3),
            paragraph(_today(metrics)),
            code("To serve it all the same, marked in every answer:", f'{model} --despite-gate --why "…"'),
        ]
    write_report(verdict, _consequence(project, verdict, answering), evaluation, out, more)


def write_report(verdict: Verdict, consequence: str, evaluation: Path, out: Path, more: Sequence[str] = ()) -> None:
    """Write the evaluation's report with the verdict, and more parts about it, on top."""
    parts = [
        heading(f"Verdict: {_VERDICTS[verdict.verdict]}"),
        paragraph(consequence, warning=verdict.verdict != "promoted"),
        heading("Why", 3),
        listing(_sentence(reason) for reason in verdict.reason.split("; ")),
        *more,
    ]
    if verdict.guards:
        limits = table(("limit", "found", "asked for", "met"), map(_row, verdict.guards))
        parts.append(collapsible("Limits that it was held to", [limits]))
    head, end, body = (evaluation / FILE).read_text(encoding="utf-8").partition(_END_OF_TITLE)
    (out / FILE).write_text("\n".join((head + end, *parts, body)), encoding="utf-8")


def _consequence(project: str, verdict: Verdict, answering: Release) -> str:
    if verdict.verdict == "promoted":
        return f"It is better by more than chance explains. Promoted, it answers as {project}."
    begin = "Its worth is not shown" if verdict.verdict == "kept" else "It is worse, or breaks a limit"
    return (
        f"{begin}, so nothing changes: without a champion, {project} is answered by {WAYS[answering.way]}. "
        f"To try it, ask for {project}@challenger."
    )


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _more_items(comparison: Mapping[str, Any]) -> list[str]:
    first = next((row for row in comparison["comparisons"] if row["metric"] == "completion_improvement"), None)
    if first is None or not first["needed"] or first["needed"] <= first["clusters"]:
        return []
    return [
        f"More held-out items: completions of {first['clusters']} independent groups of files were compared, and "
        f"some {first['needed']} show a difference of {first['smallest']:g} bits per byte. A higher evaluation.items "
        "or more sources give more."
    ]


def _more_training(project: str, training: Mapping[str, float | None], train_rows: int) -> list[str]:
    used, tokens = (
        int(sum(value or 0 for key, value in training.items() if key.rpartition("/")[2] == name))  # one adapter a task
        for name in ("train_examples", "train_tokens")
    )
    if used >= train_rows:
        return ["More code: it has learnt from every training example that there is."]
    return [
        f"More training: it learnt from {used:,} of {train_rows:,} training examples ({tokens:,} tokens); "
        f"projects.{project}.adapters.max_tokens raises that."
    ]


def _today(metrics: Mapping[str, float | None]) -> str:
    measured = measured_conditions(metrics)
    if not measured:
        return "Not measured: the evaluation held no completion."
    best, free = best_condition(metrics, tuple(measured)), best_condition(metrics, ("base", "context"))
    words = f"Without training, {WAYS[free]} does best: {measured[free]:.3f} bits per byte of completions"
    if best == free:
        return f"{words}, which no way with the adapter undercuts."
    return f"{words}; {WAYS[best]} needs {measured[best]:.3f}, less by {measured[free] - measured[best]:.3f}."


def _row(guard: GuardResult) -> tuple[str, ...]:
    value = "not measured" if guard.value is None else f"{guard.value:.3g}"
    return _label(guard), value, guard.limits, "yes" if guard.passed else "no"


def _label(guard: GuardResult) -> str:
    words = MEANINGS.get(guard.name, guard.name.replace("_", " "))
    return f"shown {words}" if guard.name.endswith("_low") and guard.name in MEANINGS else words
