"""JSON lines that ``cortex route`` writes."""

import random
from collections.abc import Sequence

from cortex_pipelines.routing.serving.exploration import send
from cortex_pipelines.routing.serving.router import Router
from cortex_pipelines.routing.serving.tasks import Task

_CHANCE = random.SystemRandom()
"""System randomness, so that exploration is unpredictable."""


def answers(
    router: Router, tasks: Sequence[Task], explore: float = 0.0, chance: random.Random = _CHANCE
) -> list[str]:
    """One JSON line per task, in order; an error object where a line holds no task.

    Put among the logs, the lines are read as decisions with their propensity.

    Args:
        router: What decides.
        tasks: Tasks and bad lines.
        explore: Share of the tasks that are sent to a master drawn at random (see ``policy``).
        chance: What is drawn from.
    """
    texts = [task.text for task in tasks if task.text is not None]
    decisions = iter(router.route(texts))
    lines = []
    for task in tasks:
        if task.text is None:
            lines.append(task.line({"error": task.error}))
            continue
        decision = next(decisions)
        sent = send(decision, explore, chance)
        lines.append(task.line({**decision.as_json(), **sent.as_json()}))
    return lines
