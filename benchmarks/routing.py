"""Cost of training a router on ten thousand tasks and of its decisions, compared with baselines.

The tasks are made up of a dozen words that the encoder's vocabulary holds, so they are as long as
real titles; no accuracy is measured on them. The encoder is the default one; without it nothing is
measured.
"""

import json
import os
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.plainrouting import PlainEncoder, lexical
from benchmarks.timing import BenchmarkError, Spent, Timing, repeat, timed
from benchmarks.workspace import CHECKOUT, Workspace
from cortex_pipelines.config import load_parameters
from cortex_pipelines.ingestion.pretrained_models import WeightsError, resolve_model_pin, weights_folder
from cortex_pipelines.routing.router_from_logs import open_model, train_on_logs
from cortex_pipelines.routing.serving.router import Router

LABELS, TASKS, WORDS = 77, 10_000, 12
ALONE, BATCH = 500, 2_000
"""Decisions one at a time, and in a batch."""

_OWN, _COMMON = 8, 40
"""Words that only one label's tasks have, and words that all have."""

_ENCODED = "encoder + logistic regression"


def measure(work: Workspace, repeats: int) -> list[Timing]:
    """Training, single and batched decisions: ours, the keyword rules, and simple alternatives.

    Rates are for a second of processor time, so that other work on the machine does not show.
    """
    folder = encoder_folder(work.root)
    words = router_words(folder)
    texts, labels = made_up_tasks(TASKS, words)
    logs, model = work.root / "logs", work.root / "router"
    write_log(logs, texts, labels)
    cache = work.root / "cache"
    first = _training(logs, model, cache)
    again = tuple(_training(logs, model, cache) for _ in range(repeats))
    tasks, _ = made_up_tasks(BATCH, words, seed=2)
    router = open_model(model)
    rules = Router.from_rules(_write_rules(work.root / "routing-patterns.json", words), None)
    plain, encoded = lexical(), PlainEncoder(folder)
    by_words = timed(lambda: plain.fit(texts, labels))
    by_meaning = timed(lambda: encoded.fit(texts, labels))
    return [
        *_decisions("rules", rules.route, tasks, repeats),
        _train("TF-IDF + logistic regression", (by_words,), None, peer=True),
        *_decisions("TF-IDF + logistic regression", plain.predict_proba, tasks, repeats),
        _train(_ENCODED, (by_meaning,), None, peer=True),
        *_decisions(_ENCODED, encoded.predict_proba, tasks, repeats),
        _train("the router, first time", (first,), 300.0),
        _train("the router, embeddings known", again, 60.0),
        *_decisions("the router", router.route, tasks, repeats),
    ]


def _train(way: str, runs: tuple[Spent, ...], target: float | None, peer: bool = False) -> Timing:
    note = "neither compared nor calibrated; no evidence, no scope" if peer else ""
    peer_title = None if peer else f"{_ENCODED}: training"
    return Timing(f"{way}: training", runs, target, peer_title, peer, note, TASKS, "tasks")


def _decisions(way: str, decide: Callable[[list[str]], Any], tasks: Sequence[str], repeats: int) -> list[Timing]:
    """One decision (median and 99th percentile) and a batch."""
    decide(list(tasks[:50]))
    alone = tuple(timed(lambda text=text: decide([text])) for text in tasks[:ALONE])
    slowest = sorted(spent.wall for spent in alone)[int(ALONE * 0.99)]
    ours = way == "the router"
    note = f"p99 {slowest * 1000:.1f} ms{'; at most 20' if ours else ''}"
    batch = repeat(repeats, lambda: decide(list(tasks)))
    return [
        Timing(
            f"{way}: one decision",
            alone,
            0.005 if ours else None,
            f"{_ENCODED}: one decision" if ours else None,
            not ours,
            note,
        ),
        Timing(
            f"{way}: a batch",
            batch,
            BATCH / 1000 if ours else None,
            f"{_ENCODED}: a batch" if ours else None,
            not ours,
            amount=BATCH,
            unit="tasks",
        ),
    ]


def encoder_folder(root: Path) -> Path:
    """The default encoder's weights."""
    source = load_parameters(CHECKOUT).models.encoder
    try:
        return weights_folder(source, resolve_model_pin(source, root), root)
    except WeightsError as error:
        raise BenchmarkError(f"the default encoder is not installed: {error}") from error


def router_words(encoder: Path) -> list[str]:
    """Words that are one token each: first the common ones, then each label's own."""
    vocabulary = json.loads((encoder / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    terms = sorted(word for word in vocabulary["vocab"] if word.isalpha() and len(word) > 3)
    return random.Random(0).sample(terms, _COMMON + LABELS * _OWN)  # nosec B311: nothing secret


def _label_words(words: list[str], label: int) -> list[str]:
    start = _COMMON + label * _OWN
    return words[start : start + _OWN]


def _write_rules(path: Path, words: list[str]) -> Path:
    """Keyword rules that know half of each label's own words."""
    experts = {f"label-{n}": {"activation_keywords": _label_words(words, n)[::2]} for n in range(LABELS)}
    thresholds = {"single_expert": 0.8, "multi_expert": 0.6, "minimum_activation": 0.3}
    path.write_text(json.dumps({"thresholds": thresholds, "experts": experts}), encoding="utf-8")
    return path


def _training(logs: Path, model: Path, cache: Path) -> Spent:
    before = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(cache)
    try:
        return timed(lambda: train_on_logs(logs, model, load_parameters(CHECKOUT)))
    finally:
        if before is None:
            del os.environ["XDG_CACHE_HOME"]
        else:
            os.environ["XDG_CACHE_HOME"] = before


def made_up_tasks(count: int, words: list[str], seed: int = 1) -> tuple[list[str], list[str]]:
    """Texts of a dozen words, half of them the label's own, and their labels."""
    chance = random.Random(seed)  # nosec B311: nothing secret
    labels = [number % LABELS for number in range(count)]
    texts = [
        " ".join(chance.choice(_label_words(words, label) if word % 2 else words[:_COMMON]) for word in range(WORDS))
        + f" {number}"
        for number, label in enumerate(labels)
    ]
    return texts, [f"label-{label}" for label in labels]


def write_log(folder: Path, texts: list[str], labels: list[str]) -> None:
    """The tasks as a log of the agent system."""
    folder.mkdir(parents=True)
    lines = [
        json.dumps(
            {
                "task_id": f"t-{number}",
                "task_title": text,
                "routed_to": label,
                "outcome": "completed",
                "timestamp": "2026-01-01T00:00:00Z",
            }
        )
        for number, (text, label) in enumerate(zip(texts, labels, strict=True))
    ]
    (folder / "log.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
