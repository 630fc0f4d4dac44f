"""Batch of ``/predict`` requests as JSON lines."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import ValidationError

from cortex_pipelines.prompts.templates import PromptFileError
from cortex_pipelines.serving.catalogue import UnknownModelError
from cortex_pipelines.serving.engines.engine import EngineError
from cortex_pipelines.serving.gateway import Gateway
from cortex_pipelines.serving.http.errors import sentences_of
from cortex_pipelines.serving.http.tasks import PredictForm, answer_task
from cortex_pipelines.serving.tasks import TaskError


def answer_lines(gateway: Gateway, lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """Answer each line; an invalid line does not affect the others.

    Args:
        gateway: The gateway.
        lines: Bodies of ``POST /predict``, UTF-8; empty lines are skipped.

    Yields:
        The line number (``line``, from 1) with the answer of ``/predict``, or ``error``.
    """
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield {"line": number, **_answer(gateway, line)}


def _answer(gateway: Gateway, line: bytes) -> dict[str, Any]:
    try:
        form = PredictForm.model_validate(json.loads(line))
        return answer_task(gateway, form).as_json()
    except ValidationError as error:
        return {"error": sentences_of(error.errors())}
    except (ValueError, RecursionError) as error:
        if isinstance(error, TaskError | PromptFileError):
            return {"error": str(error)}
        return {"error": f"the line is not JSON in UTF-8: {error}"}
    except (UnknownModelError, EngineError) as error:
        return {"error": str(error.args[0])}
