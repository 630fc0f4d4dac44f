"""Out-of-scope detection: abstention on requests that belong to no master."""

from collections.abc import Sequence
from pathlib import Path

from cortex_pipelines.routing.selection.out_of_scope import read_requests
from cortex_pipelines.routing.serving.router import Decision
from cortex_pipelines.routing.settings import RoutingSettings
from cortex_pipelines.statistics.intervals import wilson

_REQUESTS = Path(__file__).parent / "out_of_scope_requests.txt"


def held_out_requests() -> list[str]:
    """Everyday requests that no router is trained or selected on."""
    return read_requests(_REQUESTS)


def scope_metrics(
    tasks: Sequence[Decision], requests: Sequence[Decision], limit: float, settings: RoutingSettings
) -> dict[str, float]:
    """Abstention metrics by name.

    ``out_of_scope_abstained`` is the share of the requests that is left to a person,
    ``in_scope_kept`` that of the tasks that count as like known ones, ``scope_auroc`` the chance
    that a task scores above a request.

    Args:
        tasks: Decisions on held-out tasks.
        requests: Decisions on requests that belong to no master.
        limit: Score from which the router counts a task as in scope.
        settings: Confidence of the intervals.
    """
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
