"""Lines of JSON for tasks: what ``cortex route`` writes."""

from collections.abc import Sequence

from cortex_pipelines.routing.router import Router
from cortex_pipelines.routing.tasks import Task


def answers(router: Router, tasks: Sequence[Task]) -> list[str]:
    """A line of JSON for each task, in order; an error object where a line holds no task."""
    texts = [task.text for task in tasks if task.text is not None]
    decisions = iter(router.route(texts))
    return [
        task.line({"error": task.error} if task.text is None else next(decisions).as_json())
        for task in tasks
    ]
