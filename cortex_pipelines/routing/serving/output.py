"""JSON lines that ``cortex route`` writes."""

import random
from collections.abc import Sequence

from cortex_pipelines.routing.serving.exploration import send
from cortex_pipelines.routing.serving.router import Router
from cortex_pipelines.routing.serving.tasks import Task

_RANDOM = random.SystemRandom()
"""System randomness, so that exploration is unpredictable."""


def route_lines(router: Router, tasks: Sequence[Task], explore: float = 0.0, rng: random.Random = _RANDOM) -> list[str]:
    """One JSON line per task, in order; an error object where a line holds no task.

    Put among the logs, the lines are read as decisions with their propensity.
    """
    texts = [task.text for task in tasks if task.text is not None]
    decisions = iter(router.route(texts))
    lines = []
    for task in tasks:
        if task.text is None:
            lines.append(task.line({"error": task.error}))
            continue
        decision = next(decisions)
        routing = send(decision, explore, rng)
        lines.append(task.line({**decision.as_json(), **routing.as_json()}))
    return lines
