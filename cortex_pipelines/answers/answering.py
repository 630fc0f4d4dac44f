"""The supported tasks, and how HTTP, agents, the command line and the web page have them answered."""

from collections.abc import Mapping

from cortex_pipelines.answers.answer import Answer, Means, Task, best_answer
from cortex_pipelines.answers.question import Question, TaskContext, TaskError, parse_question, require_texts
from cortex_pipelines.answers.tasks import (
    architecture,
    completion,
    documentation,
    naming,
    refactoring,
    review,
    tests,
    translation,
)
from cortex_pipelines.config import Parameters

TASKS: Mapping[str, Task] = {
    "completion": completion.TASK,
    "refactoring": refactoring.TASK,
    "naming": naming.TASK,
    "architecture": architecture.TASK,
    "documentation": documentation.TASK,
    "tests": tests.TASK,
    "review": review.TASK,
    "translation": translation.TASK,
}


def question_of(name: str, text: str, context: TaskContext, parameters: Parameters) -> Question:
    """Validate a task's input and context; TaskError names what is missing or wrong."""
    if name not in TASKS:
        raise TaskError(f"task: {name[:40]} is not a task; there is {', '.join(TASKS)}")
    task = TASKS[name]
    for field, sentence in (task.needs or {}).items():
        if not getattr(context, field).strip():
            raise TaskError(f"context.{field}: {sentence}")
    require_texts(name, text, context)
    return parse_question(name, text, context, task.code(text, context, parameters) if task.code is not None else None)


def answer(question: Question, means: Means) -> Answer:
    return best_answer(question.task, TASKS[question.task], question, means)
