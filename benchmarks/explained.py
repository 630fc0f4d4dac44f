"""Deletion test of a router's explanations: ``python -m benchmarks.explained PROJECT``.

On the held-out tasks of a made project, the words with the highest weights are taken out, one to five of them, and as
many random ones; the master's probability has to fall further. As a control, the weights are dealt out to the words
anew, which must gain nothing. Means over tasks, with bootstrap intervals of 95 %.
"""

import random
import sys
from pathlib import Path

import numpy as np
import polars as pl

from cortex_pipelines.routing.serving.explanation import WORD, explain, without
from cortex_pipelines.routing.serving.router import Decision, Router, open_trained

TASKS, DRAWS, REMOVED, SEED = 200, 5, 5, 20


def main(project: str) -> None:
    root, chance = Path(project).resolve(), random.Random(SEED)
    router = open_trained(root / "data" / "task_router", root)
    texts = sorted(set(pl.read_parquet(root / "data" / "routing_dataset" / "test.parquet")["text"]))
    gains, controls = [], []
    for text in chance.sample(texts, min(TASKS, len(texts))):
        spans = [match.span() for match in WORD.finditer(text)]
        explanation = explain(router, text)
        weights = [weight for _, weight in explanation.attributions]
        most = min(REMOVED, len(spans) - 1)
        if most < 1 or len(weights) != len(spans):
            continue
        order = sorted(range(len(spans)), key=lambda index: -weights[index])
        dealt = chance.sample(range(len(spans)), len(spans))
        draws = [chance.sample(range(len(spans)), len(spans)) for _ in range(DRAWS)]
        falls = [_fall(router, explanation.decision, text, spans, each, most) for each in (order, dealt, *draws)]
        at_random = float(np.mean(falls[2:]))
        gains.append(falls[0] - at_random)
        controls.append(falls[1] - at_random)
    for name, values in (("by weight", gains), ("control", controls)):
        drawn = np.random.default_rng(SEED).choice(values, (2000, len(values))).mean(axis=1)
        low, high = np.quantile(drawn, [0.025, 0.975])
        interval = f"({low:+.4f} to {high:+.4f}), {len(values)} tasks"
        print(f"{name}: falls {np.mean(values):+.4f} further than at random {interval}")


def _fall(
    router: Router, decision: Decision, text: str, spans: list[tuple[int, int]], order: list[int], most: int
) -> float:
    shorter = [without(text, [spans[index] for index in order[:count]]) for count in range(1, most + 1)]
    chances = [other.probabilities[decision.master] for other in router.route_by_all(shorter)]
    return decision.probabilities[decision.master] - float(np.mean(chances))


if __name__ == "__main__":
    main(sys.argv[1])
