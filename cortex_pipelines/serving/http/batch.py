"""Requests of ``/predict`` from a file, one a line, and an answer a line."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import ValidationError

from cortex_pipelines.prompts.templates import PromptFileError
from cortex_pipelines.serving.catalogue import UnknownModelError
from cortex_pipelines.serving.engines.engine import EngineError
from cortex_pipelines.serving.gateway import Gateway
from cortex_pipelines.serving.http.errors import sentences_of
from cortex_pipelines.serving.http.tasks import PredictForm, predicted
from cortex_pipelines.serving.tasks import TaskError


def answer_lines(gateway: Gateway, lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """Answer each line; what is wrong with one keeps none of the others from its answer.

    Args:
        gateway: What answers.
        lines: Bodies of ``POST /predict``, UTF-8; empty lines are passed over.

    Returns:
        For each line its number (``line``, from 1) with what ``/predict`` answers, or ``error``.
    """
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield {"line": number, **_answer(gateway, line)}


def _answer(gateway: Gateway, line: bytes) -> dict[str, Any]:
    try:
        form = PredictForm.model_validate(json.loads(line))
        return predicted(gateway, form).as_json()
    except ValidationError as error:
        return {"error": sentences_of(error.errors())}
    except (ValueError, RecursionError) as error:
        if isinstance(error, TaskError | PromptFileError):
            return {"error": str(error)}
        return {"error": f"the line is no JSON in UTF-8: {error}"}
    except (UnknownModelError, EngineError) as error:
        return {"error": str(error.args[0])}
