"""What the router's first tier costs and saves: ``python -m benchmarks.cascade ROUTER HELD_OUT.csv STRANGERS.csv…``.

ROUTER is a folder of ``cortex router train``; HELD_OUT has the columns ``text`` and ``master``, a file of strangers the
column ``text``: requests that belong to no master. Accuracy, calibration error (ECE), the area under the ROC curve of
``in_scope`` and the share left to a person, with and without the first tier; times are processor milliseconds.
"""

import argparse
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl
from rich.console import Console
from rich.table import Table
from sklearn.metrics import roc_auc_score

from benchmarks.routing import encoder_folder
from benchmarks.timing import timed
from benchmarks.workspace import CHECKOUT
from cortex_pipelines.embeddings.query_encoder import QueryEncoder
from cortex_pipelines.routing.selection.ensemble import expected_calibration_error
from cortex_pipelines.routing.serving.bundle import RouterBundle, load_router
from cortex_pipelines.routing.serving.router import FIRST_TIER, Decision, Router
from cortex_pipelines.serving.engines.task_encoder import embed_alone

_ALONE = 300
"""Tasks that are timed one by one."""


def main(arguments: list[str]) -> None:
    """Print a row for the whole router, one for the cascade, and one for single requests."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cascade", description=__doc__)
    parser.add_argument("router", type=Path)
    parser.add_argument("held_out", type=Path)
    parser.add_argument("strangers", type=Path, nargs="*")
    options = parser.parse_args(arguments)
    tasks = pl.read_csv(options.held_out)
    strangers = {path.stem: pl.read_csv(path)["text"].to_list() for path in options.strangers}
    bundle = load_router(options.router)
    columns = ("tasks", "first tier", "accuracy", "ECE", "ms alone", "ms in a batch", "in scope")
    table = Table("", *columns, *(f"{name}: AUROC, to a person, first tier" for name in strangers))
    alone = replace(bundle, config=replace(bundle.config, first_tier=None))
    table.add_row("all models", *_row(_router(alone), tasks, strangers))
    table.add_row("cascade", *_row(_router(bundle), tasks, strangers))
    table.add_row(
        "all models, one by one as in the gateway", *_row(_OneByOne(_router(alone, in_gateway=True)), tasks, strangers)
    )
    Console(width=None if sys.stdout.isatty() else 170).print(table)


class _OneByOne:
    """Decides each task as a request of its own."""

    def __init__(self, router: Router) -> None:
        self._router, self.in_scope = router, router.in_scope

    def route(self, texts: Sequence[str]) -> list[Decision]:
        return [decision for text in texts for decision in self._router.route([text])]


def _router(bundle: RouterBundle, in_gateway: bool = False) -> Router:
    config = bundle.config
    folder = encoder_folder(CHECKOUT)
    encoder = QueryEncoder(folder, config.max_tokens, config.batch, config.threads, config.precision, in_gateway)
    if in_gateway:
        encoder.open_alone = embed_alone
    return Router(bundle, encoder, bundle.rules, config.fallback_master)


def _row(router: Router | _OneByOne, tasks: pl.DataFrame, strangers: dict[str, list[str]]) -> list[str]:
    texts = tasks["text"].to_list()
    router.route(texts[:512])
    decisions: list[Decision] = []
    batch = timed(lambda: decisions.extend(router.route(texts)))
    alone = sorted(timed(lambda text=text: router.route([text])).cpu for text in texts[:_ALONE])
    right = [decision.master == master for decision, master in zip(decisions, tasks["master"], strict=True)]
    confidence = [decision.confidence for decision in decisions]
    known = [decision.in_scope for decision in decisions]
    cells = [
        f"{len(texts):,}",
        _share(decision.tier == FIRST_TIER for decision in decisions),
        f"{sum(right) / len(right):.4f}",
        f"{expected_calibration_error(confidence, right):.4f}",
        f"{alone[len(alone) // 2] * 1000:.2f}",
        f"{batch.cpu * 1000 / len(texts):.2f}",
        _share(value >= router.in_scope for value in known),
    ]
    for requests in strangers.values():
        answers = router.route(requests)
        scores = known + [answer.in_scope for answer in answers]
        area = roc_auc_score([True] * len(known) + [False] * len(answers), scores)
        abstained, first = _share(a.abstained for a in answers), _share(a.tier == FIRST_TIER for a in answers)
        cells.append(f"{area:.4f}, {abstained}, {first}")
    return cells


def _share(values: Iterable[bool]) -> str:
    listed = list(values)
    return f"{sum(listed) / len(listed):.3f}"


if __name__ == "__main__":
    main(sys.argv[1:])
