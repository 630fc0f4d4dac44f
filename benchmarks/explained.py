"""Deletion test of explanations: ``python -m benchmarks.explained PROJECT [--defects]``.

On the held-out tasks of a made project, the words with the highest weights are taken out, one to five of them, and as
many random ones; the master's probability has to fall further. As a control, the weights are dealt out to the words
anew, which must gain nothing. Means over tasks, with bootstrap intervals of 95 %.

``--defects``: in the hand-written programs with a defect, the measured edit that gains most is made, and one of the
others drawn at random. What the base model then finds of the whole function, read anew, has to fall further. Gains
dealt out to the edits anew are the control.
"""

import argparse
import random
from pathlib import Path

import numpy as np
import polars as pl
import yaml

from benchmarks.defects import PROGRAMS
from cortex_pipelines.catalog import open_project
from cortex_pipelines.config import load_parameters
from cortex_pipelines.learned.defects.likelihood import CodeModel
from cortex_pipelines.learned.defects.scores import possible_edits
from cortex_pipelines.learned.defects.statements import regions
from cortex_pipelines.progress import track
from cortex_pipelines.release.open_model import pinned_base
from cortex_pipelines.routing.serving.explanation import WORD, explain, without
from cortex_pipelines.routing.serving.router import Decision, Router, open_trained
from cortex_pipelines.syntax.grammars import grammar_for, parse

TASKS, DRAWS, REMOVED, SEED = 200, 5, 5, 20


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.explained", description=__doc__)
    parser.add_argument("project", type=Path)
    parser.add_argument("--defects", action="store_true")
    given = parser.parse_args()
    (explained_defects if given.defects else explained_routes)(given.project.resolve())


def explained_routes(root: Path) -> None:
    chance = random.Random(SEED)
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
    _report("probability falls {} further than at random", {"by weight": gains, "control": controls}, "tasks")


def explained_defects(root: Path) -> None:
    chance, parameters = random.Random(SEED), load_parameters(root)
    model = CodeModel(pinned_base(open_project(root)), root, parameters.defects.threads)
    falls: dict[str, list[float]] = {"by gain": [], "control": []}
    mended: dict[str, list[float]] = {"by gain": [], "at random": []}
    for program in track(yaml.safe_load(PROGRAMS.read_text(encoding="utf-8")), "Programs"):
        for right, wrong in program["defects"]:
            code, mends = program["code"].replace(right, wrong).encode(), program["code"].encode()
            parts = regions(parse(code, grammar_for(program["language"])).root_node, code, program["language"])
            region = max(parts, key=lambda part: len(part.statements))
            places = [(edit.start, edit.end, edit.replacement) for _, edit in possible_edits(region)]
            _, gains = model.read(region.code, places, parameters.defects.edits)
            measured = [(gain, place) for gain, place in zip(gains, places, strict=True) if gain is not None]
            if len(measured) < 2:
                continue
            drawn, dealt = (chance.choice(measured)[1] for _ in range(2))
            best, at_random, control = (_made(region.code, place) for place in (max(measured)[1], drawn, dealt))
            surprise = [float(model.read(each, [], 0)[0].nats.sum()) for each in (best, at_random, control)]
            falls["by gain"].append(surprise[1] - surprise[0])
            falls["control"].append(surprise[1] - surprise[2])
            for name, each in (("by gain", best), ("at random", at_random)):
                mended[name].append(float(code.replace(region.code, each) == mends))
    _report("surprise falls {} nats further than by a random edit", falls, "defects")
    _report("the edit is the one that mends: {}", mended, "defects")


def _made(code: bytes, place: tuple[int, int, str]) -> bytes:
    start, end, replacement = place
    return code[:start] + replacement.encode() + code[end:]


def _report(words: str, values: dict[str, list[float]], items: str) -> None:
    for name, each in values.items():
        drawn = np.random.default_rng(SEED).choice(each, (2000, len(each))).mean(axis=1)
        low, high = np.quantile(drawn, [0.025, 0.975])
        figure = f"{np.mean(each):+.4f} ({low:+.4f} to {high:+.4f})"
        print(f"{name}: {words.format(figure)}, {len(each)} {items}")


def _fall(
    router: Router, decision: Decision, text: str, spans: list[tuple[int, int]], order: list[int], most: int
) -> float:
    shorter = [without(text, [spans[index] for index in order[:count]]) for count in range(1, most + 1)]
    chances = [other.probabilities[decision.master] for other in router.route_by_all(shorter)]
    return decision.probabilities[decision.master] - float(np.mean(chances))


if __name__ == "__main__":
    main()
