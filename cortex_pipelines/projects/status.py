"""``cortex status`` and ``cortex summary``: outputs of every asset and project, sizes and scores."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from textwrap import dedent, shorten
from typing import TYPE_CHECKING, Any

import polars as pl

from cortex_pipelines.ingestion.entries import SourceError
from cortex_pipelines.ingestion.git.command import run_git
from cortex_pipelines.monitoring.policy import last_decisions
from cortex_pipelines.pages import heading, listing, page, paragraph, table
from cortex_pipelines.release.ledger import ledger, project_models
from cortex_pipelines.release.promotion import model_roles
from cortex_pipelines.schemas.evaluation import GENERATIONS
from cortex_pipelines.schemas.feedback import INTERACTIONS
from cortex_pipelines.tracking.leaderboard import HEAD, leaderboard, rendered
from cortex_pipelines.tracking.lineage import LineageNode
from cortex_pipelines.tracking.recorded_versions import known_versions, run_ends
from cortex_pipelines.tracking.registry import evolution
from cortex_pipelines.versioning.dvc.yaml_files import read_json
from cortex_pipelines.versioning.lock_file import locked_stages, locked_version, stage_address
from cortex_pipelines.versioning.project import Project

if TYPE_CHECKING:
    import dagster as dg


def status_rows(project: Project, instance: "dg.DagsterInstance") -> Iterator[dict[str, Any]]:
    """A row for each asset and partition, in topological order.

    ``data_version`` is Dagster's, ``dvc_md5`` that of dvc.lock, ``mlflow_digest, run_id`` are MLflow's of that version;
    ``fresh``: DVC and Dagster agree that nothing is to be done, ``reason`` says why not; ``agree``: there is nothing
    that `cortex sync` would report.
    """
    from cortex_pipelines.versioning.dagster.staleness import NOTHING, Staleness
    from cortex_pipelines.versioning.dvc.reconcile import dvc_views

    dagster = Staleness(instance, project).snapshot()
    recorded = known_versions(project.root)
    for view in dvc_views(project):
        name, partition = view.asset.name, view.partition
        word, causes = dagster.status(name, partition)
        version = dagster.version(name, partition)
        run_id, digest = recorded.get((name, partition or "", view.locked or ""), (None, None))
        reasons = list(view.reasons) or [cause for cause in causes if word != "FRESH"]
        if not view.changed and version != view.locked:
            reasons.append("Dagster has another version: run `cortex sync`")
        current = None if version == NOTHING else version
        yield {
            "asset": name,
            "partition": partition,
            "data_version": current,
            "dvc_md5": view.locked,
            "mlflow_digest": digest,
            "run_id": run_id,
            "fresh": not view.changed and word == "FRESH" and version == view.locked,
            "reason": "; ".join(reasons) if view.locked else "never made",
            "agree": current == view.version and (view.version != view.locked or digest == view.locked),
        }


def count_rows(project: Project, name: str, partition: str | None) -> int | None:
    """Rows of the main table with its splits, as `cortex run` and Dagster count them; None without a table."""
    tables = (project.output(name, partition) / f"{table.name}.parquet" for table in project.graph.assets[name].splits)
    counts = [table_rows(path) for path in tables if path.exists()]
    return sum(counts) if counts else None


def node_facts(project: Project) -> Callable[[LineageNode], str]:
    """Of a version in a lineage, when and from which commit it was made, and the rows if it is the one in data/."""
    made_at = run_ends(project.root)
    stages = locked_stages(project.root)

    def describe(node: LineageNode) -> str:
        end = made_at.get(node.run_id or "")
        facts = [f"{end:%Y-%m-%d %H:%M}" if end else "", _commit_words(project.root, node.git_commit)]
        is_current = locked_version(stages, stage_address(node.name, node.partition)) == node.version
        if is_current and node.name in project.graph.assets:
            rows = count_rows(project, node.name, node.partition)
            facts.append(f"{rows:,} rows" if rows else "")
        return ", ".join(filter(None, facts))

    return describe


@cache
def _commit_words(root: Path, commit: str) -> str:
    """A commit with its subject, if git has it."""
    if not commit:
        return ""
    try:
        subject = run_git(root / ".git", "log", "-1", "--format=%s", commit, "--").strip()
    except SourceError:  # made in another clone
        subject = ""
    return f"commit {commit[:8]}" + (f" ({shorten(subject, 60, placeholder='…')})" if subject else "")


def table_rows(path: Path) -> int:
    try:
        return int(pl.scan_parquet(path).select(pl.len()).collect().item())
    except (pl.exceptions.PolarsError, OSError):
        return 0  # edited or truncated: the status shows it as stale


_LINES = 20
"""Maximum number of ledger lines and of open tasks shown."""


def status_page(project: Project, rows: Sequence[Mapping[str, Any]], summary: str) -> str:
    from cortex_pipelines.serving.reviews import WAITING, waiting_rows

    stale = [(row["asset"], row["partition"] or "all projects", row["reason"]) for row in rows if not row["fresh"]]
    parts = [
        heading("Outputs"),
        paragraph(summary),
        table(("output", "project", "why it is not fresh"), stale),
        heading("Models"),
        table(("model", "champion", "canary", "verdict", "why"), _models(project)),
        heading("Their versions"),
        table(
            ("version", "registered", "continues", "gain when it was judged", "stage or verdict"),
            [row for model in project_models(project) for row in evolution(project, model)],
        ),
        heading("Training"),
        listing(last_decisions(project.root) or ["Nothing was decided yet."]),
        heading("Candidates of learned models"),
        table(HEAD, rendered(leaderboard(project))),
        heading("What moved since the champions were trained"),
        table(("report", "new", "drifting features", "does worse", "corrections"), _drift_rows(project)),
        heading("What people do with completions"),
        table(("project", "by", "completions", "taken", "corrected"), _interactions(project)),
        heading("Tasks that wait for a person"),
        table(WAITING, waiting_rows(project.root)[:_LINES]),
        heading("Ledger"),
        table(("at", "model", "what", "version", "why"), _ledger_rows(project)),
        heading("Deletions"),
        table(("id", "asked for at", "removed", "models made with it", "purges"), _deletion_rows(project)),
    ]
    return page("Status of the project", parts)


def _models(project: Project) -> Iterator[tuple[str, ...]]:
    for model in project_models(project):
        roles = model_roles(project.root, model)
        versions = (roles[role] for role in ("champion", "canary"))
        labels = (f"{roles['numbers'].get(v, '')} {v}".strip() if v else "–" for v in versions)
        yield model.name, *labels, roles["verdict"] or "none yet", roles["reason"] or ""


def _drift_rows(project: Project) -> Iterator[tuple[str, ...]]:
    for asset in project.graph.order:
        for partition in project.partitions_of(asset) if asset.watches else ():
            metrics = read_json(project.output(asset.name, partition) / "metrics.json")
            values = (metrics.get(name) for name in ("new", "drifting", "worse", "corrections"))
            counts = ("–" if value is None else f"{value:.0f}" for value in values)
            yield project.address(asset, partition), *counts


def _interactions(project: Project) -> list[tuple[str | int, ...]]:
    path = project.output(INTERACTIONS.name, None) / f"{INTERACTIONS.name}.parquet"
    if not path.exists():
        return []
    by = pl.when("simulated").then(pl.lit("simulation")).otherwise(pl.lit("people")).alias("by")
    counts = (
        pl.len().cast(pl.Int64).alias("completions"),
        (pl.col("accepted") | pl.col("partly_accepted")).sum().cast(pl.Int64).alias("taken"),
        pl.col("corrected").is_not_null().sum().cast(pl.Int64),
    )
    return pl.read_parquet(path).group_by("project", by).agg(*counts).sort("project", "by").rows()


def _ledger_rows(project: Project) -> Iterator[tuple[str, ...]]:
    for line in reversed(ledger(project.root)[-_LINES:]):
        version = f"{line.number or ''} {line.version or 'baseline'}".strip()
        yield line.at, line.model, line.action, version, line.why


def _deletion_rows(project: Project) -> Iterator[tuple[str, ...]]:
    from cortex_pipelines.projects.certificate import read_deletions

    for record in read_deletions(project):
        removed = ", ".join(f"{count} {kind}" for kind, count in record["removed"].items())
        models = ", ".join(f"{model['name']}/{model['number']}" for model in record["models"])
        purged = ", ".join(purge["at"] for purge in record["purges"])
        yield record["id"], record["requested"], removed or "–", models or "–", purged or "none yet"


@dataclass(frozen=True)
class ModelScores:
    name: str
    verdict: str | None
    reason: str | None
    scores: tuple[tuple[str, ...], ...]  # what, model, compared with, improvement (95 % interval), items
    report: str | None


def project_data(project: Project) -> Iterator[tuple[str, ...]]:
    """Of each project: name, files, units of code, training examples, report."""
    datasets = [name for name, asset in project.graph.assets.items() if asset.room == "datasets" and asset.partitioned]
    for name in project.partitions:
        examples = sum(
            int(read_json(project.output(dataset, name) / "metrics.json").get("rows_train", 0)) for dataset in datasets
        )
        files = table_rows(project.output("repository_files", name) / "files.parquet")
        units = table_rows(project.output("code_units", name) / "units.parquet")
        report = _report(project, "completion_dataset", name) or "not made yet"
        yield name, f"{files:,}", f"{units:,}", f"{examples:,}", report


def model_scores(project: Project) -> Iterator[ModelScores]:
    for model in project_models(project):
        evaluation = f"{model.asset}_evaluation"
        metrics = read_json(project.output(evaluation, model.partition) / "metrics.json")
        if metrics:
            roles = model_roles(project.root, model)
            scores = (_router_scores if model.partition is None else _adapter_scores)(metrics)
            reports = (_report(project, asset, model.partition) for asset in (f"{model.asset}_release", evaluation))
            report = next(filter(None, reports), None)
            yield ModelScores(model.name, roles["verdict"], roles["reason"], tuple(scores), report)


SHOWN = 3
_SHOWN_LINES = 7  # of a prompt, and of an answer


@dataclass(frozen=True)
class ShownAnswer:
    """A held-out completion: where it is, the end of its prompt from the last definition on, what was written with and
    without the adapter, and the text in the repository.
    """

    path: str
    prompt: str
    base: str
    adapter: str
    expected: str


@dataclass(frozen=True)
class AdapterOutcome:
    """Of a project's adapter: answers beside its base's, what it gained, and what ``cortex serve`` answers with."""

    project: str
    answers: tuple[ShownAnswer, ...]
    gain: str | None
    served: str


def outcome(project: Project, name: str) -> AdapterOutcome | None:
    """None if the project's adapter is not evaluated. The answers are the first by the hash of the example."""
    folder = project.output("code_adapter_evaluation", name)
    metrics = read_json(folder / "metrics.json")
    if not metrics:
        return None
    answers: list[ShownAnswer] = []
    if (folder / "generations.parquet").exists():
        rows = GENERATIONS.read(folder).filter(task="completion", sample=0)
        base, challenger = (rows.filter(role=role).sort("example_id").head(SHOWN) for role in ("base", "challenger"))
        for base_row, adapter_row in zip(base.iter_rows(named=True), challenger.iter_rows(named=True), strict=True):
            lines = base_row["prompt"].rstrip().splitlines()
            start = max((number for number, line in enumerate(lines) if line[:1].isidentifier()), default=0)
            lines = lines[start:][-_SHOWN_LINES:]
            texts = (base_row["output"], adapter_row["output"], base_row["expected"])
            answers.append(
                ShownAnswer(base_row["path"], "\n".join(lines), *(_first_lines(dedent(text)) for text in texts))
            )
    gain = None
    if metrics.get(_COMPLETION_GAIN) is not None:
        gain = _interval(metrics, _COMPLETION_GAIN, "bits_per_byte")
        if metrics.get("foreign_improvement") is not None:
            gain += f"; on other code, the control: {_interval(metrics, 'foreign_improvement', 'bits_per_byte')}"
    (model,) = (model for model in project_models(project) if model.partition == name)
    return AdapterOutcome(name, tuple(answers), gain, _served(name, model_roles(project.root, model)))


def _first_lines(text: str) -> str:
    lines = text.strip("\n").splitlines()
    return "\n".join(lines[:_SHOWN_LINES] + ["…"] * (len(lines) > _SHOWN_LINES))


def _served(name: str, roles: Mapping[str, Any]) -> str:
    champion, challenger = roles["champion"], roles["challenger"]
    if champion is not None and champion == challenger:
        number = roles["numbers"].get(champion)
        decision = f" ({roles['despite_gate']})" if roles["despite_gate"] else ""
        return f"promoted{f' as {number}' if number else ''}{decision}; `cortex serve` answers with it as `{name}`"
    stays = f"the champion {champion} stays `{name}`" if champion else f"`{name}` is answered without an adapter"
    verdict = roles["verdict"] or "missing"
    return f"not promoted, its verdict is `{verdict}`: {stays}, and the adapter is `{name}@challenger`"


_COMPLETION_GAIN = "completion_improvement_over_base"
_FORMS = {
    "accuracy": ("{:.0%}", 100, "{:+.0f}", " points"),
    "bits_per_byte": ("{:.3f}", 1, "{:+.3f}", ""),
    "perplexity": ("{:.2f}", 1, "{:+.1f}", " %"),
}
"""Of each measure the form of a value; factor, form and unit of a difference."""


def _adapter_scores(metrics: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    # forgetting is a rise; improvement has the opposite sign, which swaps the interval's ends
    ends = {"": "forgetting", "_low": "forgetting_high", "_high": "forgetting_low"}
    measured = {end: metrics[name] for end, name in ends.items() if metrics.get(name) is not None}
    metrics = {**metrics, **{f"other_code{end}": -100 * value for end, value in measured.items()}}
    for label, items, measure, difference in (
        ("questions answered correctly", "team", "accuracy", "team_difference"),
        ("bits per byte of completions (less is better)", "completion", "bits_per_byte", _COMPLETION_GAIN),
        ("perplexity on other code (less is better)", "general", "perplexity", "other_code"),
    ):
        if count := metrics.get(f"{items}_items"):
            values = (metrics[f"{items}_{model}_{measure}"] for model in ("challenger", "base"))
            ours, base = map(_FORMS[measure][0].format, values)
            yield label, ours, f"base model {base}", _interval(metrics, difference, measure), f"{int(count):,}"


def _router_scores(metrics: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for against, name in ((router_baseline(metrics), "baseline"), ("TF-IDF", "tfidf")):
        if metrics.get(name) is not None:
            shares = (f"{metrics['challenger']:.0%}", f"{against} {metrics[name]:.0%}")
            difference = _interval(metrics, f"{name}_difference", "accuracy")
            yield "tasks sent to the right master", *shares, difference, f"{int(metrics['items']):,}"


def router_baseline(metrics: Mapping[str, Any]) -> str:
    """What a router's evaluation calls ``baseline``: only rules know some masters and others not."""
    return "keyword rules" if "known_items" in metrics else "always the commonest master"


def _interval(metrics: Mapping[str, Any], name: str, measure: str) -> str:
    _, factor, form, unit = _FORMS[measure]
    low, high = metrics.get(f"{name}_low"), metrics.get(f"{name}_high")
    text = form.format(factor * metrics[name])
    if low is not None and high is not None:
        text += f" ({form} to {form})".format(factor * low, factor * high)
    return text + unit


def _report(project: Project, asset: str, partition: str | None) -> str | None:
    path = project.output(asset, partition) / "report.html"
    return path.relative_to(project.root).as_posix() if path.exists() else None
