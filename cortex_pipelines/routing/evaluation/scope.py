"""Out-of-scope detection: abstention on requests that belong to no master."""

from collections.abc import Sequence
from pathlib import Path

from cortex_pipelines.routing.selection.out_of_scope import read_requests
from cortex_pipelines.routing.serving.router import Decision
from cortex_pipelines.routing.settings import RoutingSettings
from cortex_pipelines.statistics.intervals import wilson

_REQUESTS = Path(__file__).parent / "out_of_scope_requests.txt"


def held_out_requests() -> list[str]:
    return read_requests(_REQUESTS)


def scope_metrics(
    tasks: Sequence[Decision], requests: Sequence[Decision], limit: float, settings: RoutingSettings
) -> dict[str, float]:
    """Shares of requests left to a person (``out_of_scope_abstained``) and of tasks in scope (``in_scope_kept``)."""
    from sklearn.metrics import roc_auc_score

    in_scope = sum(decision.in_scope >= limit for decision in tasks)
    abstained = sum(decision.abstained for decision in requests)
    metrics = {
        "out_of_scope_items": float(len(requests)),
        "scope_auroc": float(
            roc_auc_score(
                [True] * len(tasks) + [False] * len(requests), [decision.in_scope for decision in (*tasks, *requests)]
            )
        ),
    }
    for name, interval in (
        ("in_scope_kept", wilson(in_scope, len(tasks), settings.confidence)),
        ("out_of_scope_abstained", wilson(abstained, len(requests), settings.confidence)),
    ):
        metrics |= interval.as_metrics(name)
    return metrics
