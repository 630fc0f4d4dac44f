"""Evaluation of the task router in the asset graph."""

import json
from pathlib import Path

import polars as pl

from cortex_pipelines.coordination.settings import CoordinationSettings
from cortex_pipelines.ingestion.pretrained_models import PinnedModel, weights_folder
from cortex_pipelines.jsonl import write_json
from cortex_pipelines.routing.assets import judged_attempts
from cortex_pipelines.routing.dataset.labels import shares_words
from cortex_pipelines.routing.evaluation.report import routing_report
from cortex_pipelines.routing.evaluation.scores import (
    HELD_OUT_REQUESTS,
    area_under_risk,
    best_masters,
    candidate_rows,
    coverage_risk,
    joint_predictions,
    learning_curve,
    likelier_than_tfidf_p,
    outcome_rows,
    routing_metrics,
    scope_metrics,
    score_tasks,
    tfidf_scores,
    voter_metrics,
)
from cortex_pipelines.routing.selection.ensemble import combine
from cortex_pipelines.routing.selection.out_of_scope import read_requests
from cortex_pipelines.routing.serving.router import FIRST_TIER, Router, UnreadableChampionError, champion_decisions
from cortex_pipelines.routing.settings import RoutingSettings
from cortex_pipelines.routing.train import asked_at
from cortex_pipelines.schemas.learned import LEADERBOARD
from cortex_pipelines.schemas.routing import ROUTING_SCORES
from cortex_pipelines.statistics.leaderboard import leaderboard_table
from cortex_pipelines.versioning import versioned_asset
from cortex_pipelines.versioning.champions import ReferenceModel


@versioned_asset(
    tables=(ROUTING_SCORES, LEADERBOARD), partitioned=False, determinism="machine", champion_of="task_router"
)
def task_router_evaluation(
    task_router: Path,
    routing_dataset: Path,
    coordination_tables: Path,
    sentence_encoder: PinnedModel,
    routing: RoutingSettings,
    coordination: CoordinationSettings,
    reference: ReferenceModel | None,
    versions: dict[str, str],
    out: Path,
    root: Path,
) -> dict[str, pl.DataFrame]:
    """Compare the router with rules, TF-IDF and the champion on held-out tasks."""
    test = pl.read_parquet(routing_dataset / "test.parquet")
    texts = test["text"].to_list()
    attempts = judged_attempts(coordination_tables, routing)
    asked = asked_at(texts, attempts)
    encoder = weights_folder(sentence_encoder.source, dict(sentence_encoder.pin), root)
    router = Router.load(task_router, encoder, versions["task_router"])
    notes = [f"Version {router.version}."]
    train, validation = (pl.read_parquet(routing_dataset / f"{split}.parquet") for split in ("train", "validation"))
    named = "keyword rules" if router.rules is not None else "commonest master"
    if router.rules is not None:
        baseline, known_masters = [router.by_rules(text).master for text in texts], router.rules.masters
    else:
        commonest = str(train["master"].value_counts(sort=True).sort("count", "master")["master"][-1])
        baseline, known_masters = [commonest] * len(texts), ()
        notes.append(f"The logs hold no keyword rules; in their place stands the commonest master, {commonest}.")
    champion = None
    if reference is not None:
        try:
            answers = champion_decisions(reference.folder, reference.version, root, texts, asked)
            champion = [decision.master for decision in answers]
        except UnreadableChampionError as error:
            notes.append(f"{error}; the router is compared with the rules instead.")
    train = pl.concat([train, validation])
    if count := sum(shares_words(texts, train["text"].to_list())):
        notes.append(f"{count} of {len(texts)} tasks share most words with a learnt one.")
    decisions, requests = router.route(texts, asked), read_requests(HELD_OUT_REQUESTS)
    scope_decisions = router.route(requests)
    names, tfidf = tfidf_scores(router, train, test, routing)
    tfidf_masters = best_masters(names, tfidf)
    scores = score_tasks(test, decisions, baseline, tfidf_masters, champion)
    risk = coverage_risk(scores["confidence"].to_list(), scores["challenger_right"].to_list())
    embeddings = router.encode(texts)
    steps = json.loads((task_router / "candidates.json").read_text(encoding="utf-8"))
    (weight,) = [step.get("weight", 1.0) for step in steps if step["model"] == "lexical"]
    is_tfidf = set(router.weights) == {"lexical"}
    likelier_p = likelier_than_tfidf_p(decisions, test["master"].to_list(), names, combine([tfidf], [weight]))
    metrics = {
        **routing_metrics(scores, known_masters, routing, coordination.sample, is_tfidf, likelier_p),
        **scope_metrics(decisions, scope_decisions, router.in_scope, routing),
        **voter_metrics(router, test, embeddings, asked),
        "aurc": area_under_risk(risk),
        "first_tier": sum(decision.tier == FIRST_TIER for decision in decisions) / len(decisions),
    }
    write_json(out / "metrics.json", metrics)
    page = routing_report(
        scores,
        metrics,
        named,
        known_masters,
        notes,
        steps,
        learning_curve(router, train, test, routing),
        [
            (text, str(decision.master))
            for text, decision in zip(requests, scope_decisions, strict=True)
            if not decision.abstained
        ],
    )
    (out / "report.html").write_text(page, encoding="utf-8")
    rows = [
        *candidate_rows(scores, named, joint_predictions(router, texts, embeddings, asked), routing),
        *outcome_rows(router, attempts, routing),
    ]
    return {ROUTING_SCORES.name: scores, LEADERBOARD.name: leaderboard_table(rows)}
