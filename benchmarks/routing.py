"""What it costs to train a router on ten thousand tasks and to decide with it, beside scikit-learn.

The tasks are made up, of about a dozen words: they stand for the size of real ones, and no accuracy
is measured on them. The encoder is the default one; without it nothing is measured.
"""

import json
import os
import random
from pathlib import Path

from benchmarks.timing import BenchmarkError, Spent, Timing, timed
from benchmarks.workspace import CHECKOUT, Workspace
from cortex_pipelines.automation.standalone import open_model, train_on_logs
from cortex_pipelines.config import load_parameters
from cortex_pipelines.ingestion.weights import WeightsError

LABELS, TASKS, WORDS = 77, 10_000, 12
ALONE, BATCH = 500, 5_000
"""Decisions one at a time, and in a batch."""

_LEXICAL = "TF-IDF + logistic regression"


def measure(work: Workspace, repeats: int) -> list[Timing]:
    """Training with and without known embeddings, decisions alone and in batches, and the peer."""
    texts, labels = made_up_tasks(TASKS)
    logs, model = work.root / "logs", work.root / "router"
    write_log(logs, texts, labels)
    cache = work.root / "cache"
    first = _training(logs, model, cache)
    again = tuple(_training(logs, model, cache) for _ in range(repeats))
    router = open_model(model)
    some, _ = made_up_tasks(BATCH, seed=2)
    router.route(some[:50])
    alone = tuple(timed(lambda text=text: router.route([text])) for text in some[:ALONE])
    slowest = sorted(spent.wall for spent in alone)[int(ALONE * 0.99)]
    batch = tuple(timed(lambda: router.route(some)) for _ in range(repeats))
    return [
        Timing("train, first time", (first,), 300.0, _LEXICAL, amount=TASKS, unit="tasks"),
        Timing("train, embeddings known", again, 60.0, _LEXICAL, amount=TASKS, unit="tasks"),
        Timing("one decision", alone, 0.005, note=f"p99 {slowest * 1000:.1f} ms; at most 20"),
        Timing("a batch", batch, BATCH / 1000, amount=BATCH, unit="tasks"),
        *_peer(texts, labels, some, repeats),
    ]


def _training(logs: Path, model: Path, cache: Path) -> Spent:
    before = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(cache)
    try:
        return timed(lambda: train_on_logs(logs, model, load_parameters(CHECKOUT)))
    except WeightsError as error:
        raise BenchmarkError(f"the default encoder is not installed: {error}") from error
    finally:
        if before is None:
            del os.environ["XDG_CACHE_HOME"]
        else:
            os.environ["XDG_CACHE_HOME"] = before


def _peer(texts: list[str], labels: list[str], some: list[str], repeats: int) -> list[Timing]:
    """What one would write in ten minutes: words and letters, logistic regression."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline, make_union

    plain = make_pipeline(
        make_union(
            TfidfVectorizer(ngram_range=(1, 2)),
            TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), min_df=2),
        ),
        LogisticRegression(max_iter=50),
    )
    fitted = timed(lambda: plain.fit(texts, labels))
    note = "neither compared, calibrated, nor with evidence or a scope"
    alone = tuple(timed(lambda text=text: plain.predict_proba([text])) for text in some[:ALONE])
    batch = tuple(timed(lambda: plain.predict_proba(some)) for _ in range(repeats))
    return [
        Timing(_LEXICAL, (fitted,), peer=True, note=note, amount=TASKS, unit="tasks"),
        Timing("the same, one decision", alone, peer=True),
        Timing("the same, a batch", batch, peer=True, amount=BATCH, unit="tasks"),
    ]


def made_up_tasks(count: int, seed: int = 1) -> tuple[list[str], list[str]]:
    """Texts of a dozen made-up words, half of them the label's own, and their labels."""
    chance = random.Random(seed)  # nosec B311: nothing secret
    common = [f"{a}{b}" for a in ["work", "run", "make", "send", "task", "file"] for b in "aeiouy"]
    own = {n: [f"{chr(97 + n % 26)}word{n}{k}" for k in range(8)] for n in range(LABELS)}
    labels = [number % LABELS for number in range(count)]
    texts = [
        " ".join(chance.choice(own[label] if word % 2 else common) for word in range(WORDS))
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
