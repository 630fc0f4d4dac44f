"""Errors in the form that OpenAI's clients read: a sentence, a type, the parameter, a code."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from cortex_pipelines.prompts.chat_rendering import ChatError
from cortex_pipelines.prompts.templates import PromptFileError
from cortex_pipelines.serving.catalogue import ForbiddenModelError, UnknownModelError
from cortex_pipelines.serving.engines.engine import BusyError, EngineError, UnavailableError
from cortex_pipelines.serving.routing import NoRouterError
from cortex_pipelines.serving.services import ServiceError

_LOG = logging.getLogger("cortex_pipelines")
_SHOWN = 3
_CLOSED = 499
"""What nginx says where the client closed the connection; nobody reads it but the metrics."""


class ClientGoneError(RuntimeError):
    """Nobody waits for the answer any more."""


class RequestError(ValueError):
    """A request cannot be answered.

    Args:
        message: Why, in a sentence.
        param: The field that it is about.
        status: HTTP's.
        code: A word that programs can go by.
    """

    def __init__(
        self, message: str, param: str | None = None, status: int = 400, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.param, self.status, self.code = param, status, code


def error_body(
    message: str, status: int, param: str | None = None, code: str | None = None
) -> dict[str, Any]:
    """The object that an error is."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    if status == 429:
        kind = "rate_limit_error"
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def error_response(
    message: str,
    status: int,
    param: str | None = None,
    code: str | None = None,
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    """The same as an answer."""
    return JSONResponse(error_body(message, status, param, code), status, headers)


def add_error_handlers(app: FastAPI) -> None:
    """Let every failure end in that form."""

    @app.exception_handler(RequestError)
    async def refused(_: Request, error: RequestError) -> JSONResponse:
        return error_response(str(error), error.status, error.param, error.code)

    @app.exception_handler(UnknownModelError)
    async def unknown(_: Request, error: UnknownModelError) -> JSONResponse:
        return error_response(str(error.args[0]), 404, "model", "model_not_found")

    @app.exception_handler(ForbiddenModelError)
    async def forbidden(_: Request, error: ForbiddenModelError) -> JSONResponse:
        return error_response(str(error), 403, "model", "model_not_allowed")

    @app.exception_handler(BusyError)
    async def busy(_: Request, error: BusyError) -> JSONResponse:
        return error_response(str(error), 429, code="busy", headers={"retry-after": "1"})

    @app.exception_handler(NoRouterError)
    async def no_router(_: Request, error: NoRouterError) -> JSONResponse:
        return error_response(str(error), 404, code="no_router")

    @app.exception_handler(ServiceError)
    async def unavailable(_: Request, error: ServiceError) -> JSONResponse:
        return error_response(str(error), 404, code="not_available")

    @app.exception_handler(ChatError)
    async def unrendered(_: Request, error: ChatError) -> JSONResponse:
        return error_response(str(error), 400, "messages", "chat_template")

    @app.exception_handler(PromptFileError)
    async def misprompted(_: Request, error: PromptFileError) -> JSONResponse:
        return error_response(str(error), 503, code="template_failed")

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        wrong = error.errors()
        cause = _cause(wrong[0])
        parts = (_place(wrong[0]), cause.param if cause else None)
        param = ".".join(filter(None, parts)) or None
        if wrong[0]["type"] == "json_invalid":
            param = None
        code = (cause.code if cause else None) or "invalid_value"
        return error_response(sentences_of(wrong), 400, param, code)

    @app.exception_handler(HTTPException)
    async def other(request: Request, error: HTTPException) -> JSONResponse:
        sentence = str(error.detail)
        if error.status_code == 404:
            sentence = f"there is nothing at {request.method} {request.url.path[:200]}; see /docs"
        elif error.status_code == 405:
            sentence = f"{request.method} is not answered there; see /docs"
        elif error.status_code == 400:  # all that FastAPI says of a body that is no text
            sentence = "the body cannot be read: JSON in UTF-8 is expected"
        return error_response(sentence, error.status_code, headers=dict(error.headers or {}))

    @app.exception_handler(ClientGoneError)
    async def gone(_: Request, _error: ClientGoneError) -> JSONResponse:
        return error_response("the client closed the connection", _CLOSED)

    @app.exception_handler(Exception)
    async def unexpected(_: Request, error: Exception) -> JSONResponse:
        sentence = f"unexpected {type(error).__name__}: this is a fault of the gateway"
        return error_response(sentence, 500, code="unexpected")

    @app.exception_handler(EngineError)
    async def failed(_: Request, error: EngineError) -> JSONResponse:
        _LOG.error("%s", error, exc_info=None if isinstance(error, UnavailableError) else error)
        return error_response(str(error), 503, code="engine_failed", headers={"retry-after": "2"})


def sentences_of(wrong: Sequence[Any]) -> str:
    """What is wrong with a body, or a tool's arguments: the first of pydantic's errors in words.

    Neither what was sent nor pydantic's own addresses are in it.
    """
    return "; ".join(_sentence_of(problem) for problem in wrong[:_SHOWN])


def _sentence_of(wrong: Mapping[str, Any]) -> str:
    if wrong["type"] == "json_invalid":
        return f"the body is no JSON: {(wrong.get('ctx') or {}).get('error', 'cannot be read')}"
    if wrong["type"] == "model_attributes_type":
        return "the body: an object is expected, sent with content-type: application/json"
    place, words = _place(wrong), wrong["msg"].removeprefix("Value error, ")
    if not place and (cause := _cause(wrong)):
        return str(cause)
    return f"{place}: {words}" if place else f"the body: {words}"


def _cause(wrong: Mapping[str, Any]) -> RequestError | None:
    """The error that a form's own rule raised; None if it was one of pydantic's."""
    error = (wrong.get("ctx") or {}).get("error")
    return error if isinstance(error, RequestError) else None


def _place(wrong: Mapping[str, Any]) -> str:
    """The field's name, without what tells where it stood or which of several forms was meant."""
    parts = [str(part) for part in wrong["loc"]]
    known = [part for part in parts if part.isidentifier() or part.isdigit()]
    return ".".join(part for part in known if part not in ("body", "openai", "tabby", "str"))[:100]
