"""Errors as sentences, in OpenAI's form."""

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import Scope

from cortex_pipelines.damage import encodable
from cortex_pipelines.prompts.chat_rendering import ChatError
from cortex_pipelines.prompts.templates import PromptFileError
from cortex_pipelines.serving.catalogue import ForbiddenModelError, UnknownModelError
from cortex_pipelines.serving.engines.engine import BusyError, EngineError, UnavailableError
from cortex_pipelines.serving.routing import NoRouterError
from cortex_pipelines.serving.services import ServiceError

_LOG = logging.getLogger("cortex_pipelines")
_SHOWN = 3
_CLOSED = 499
"""nginx's status for a connection closed by the client; only seen by the metrics."""


class ClientGoneError(RuntimeError):
    pass


class RequestError(ValueError):
    """A request cannot be answered because of the field ``param``."""

    def __init__(self, message: str, param: str | None = None, status: int = 400, code: str | None = None) -> None:
        super().__init__(encodable(message))  # a field's name may hold half a surrogate pair
        self.param = param and encodable(param)
        self.status, self.code = status, code


def error_body(message: str, status: int, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    kind = "invalid_request_error" if status < 500 else "server_error"
    if status == 429:
        kind = "rate_limit_error"
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def error_response(
    message: str, status: int, param: str | None = None, code: str | None = None, headers: dict[str, str] | None = None
) -> JSONResponse:
    return JSONResponse(error_body(message, status, param, code), status, headers)


_ANSWERS: Mapping[type[Exception], tuple[int, str | None, str | None, dict[str, str] | None]] = {
    UnknownModelError: (404, "model", "model_not_found", None),
    ForbiddenModelError: (403, "model", "model_not_allowed", None),
    BusyError: (429, None, "busy", {"retry-after": "1"}),
    NoRouterError: (404, None, "no_router", None),
    ServiceError: (404, None, "not_available", None),
    ChatError: (400, "messages", "chat_template", None),
    PromptFileError: (503, None, "template_failed", None),
    EngineError: (503, None, "engine_failed", {"retry-after": "2"}),
    ClientGoneError: (_CLOSED, None, None, None),
}
"""Status, parameter, code and headers of the answer to an error."""


def add_error_handlers(app: FastAPI) -> None:
    async def answer(
        status: int, param: str | None, code: str | None, headers: dict[str, str] | None, _: Request, error: Exception
    ) -> JSONResponse:
        if isinstance(error, EngineError):
            _LOG.error("%s", error, exc_info=None if isinstance(error, UnavailableError) else error)
        return error_response(str(error), status, param, code, headers)

    for kind, row in _ANSWERS.items():
        app.add_exception_handler(kind, partial(answer, *row))

    @app.exception_handler(RequestError)
    async def refused(_: Request, error: RequestError) -> JSONResponse:
        return error_response(str(error), error.status, error.param, error.code)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        problems = error.errors()
        cause, param = _cause(problems[0]), None
        if problems[0]["type"] != "json_invalid":
            param = ".".join(filter(None, (_location(problems[0]), cause.param if cause else None))) or None
        code = (cause.code if cause else None) or "invalid_value"
        return error_response(sentences_of(problems), 400, param, code)

    @app.exception_handler(HTTPException)
    async def other(request: Request, error: HTTPException) -> JSONResponse:
        sentence = str(error.detail)
        if error.status_code == 404:
            sentence = f"there is nothing at {request.method} {request.scope['path'][:200]}{_where_it_is(request)}"
        elif error.status_code == 405:
            sentence = f"{request.method} is not answered there; see /docs"
        elif error.status_code == 400:  # FastAPI's only message for a body that cannot be read
            sentence = _unreadable(request, error.__cause__)
        return error_response(sentence, error.status_code, headers=dict(error.headers or {}))

    @app.exception_handler(Exception)
    async def unexpected(_: Request, error: Exception) -> JSONResponse:
        sentence = f"unexpected {type(error).__name__}: this is a fault of the gateway"
        return error_response(sentence, 500, code="unexpected")


def is_routed(scope: Scope) -> bool:
    return any(route.matches(scope)[0] is not Match.NONE for route in scope["app"].routes)


def _where_it_is(request: Request) -> str:
    """Where an OpenAI client would be answered whose base URL lacks ``/v1``, or has more before it."""
    path = "/v1/" + request.scope["path"].rsplit("/v1/", 1)[-1].lstrip("/")
    if is_routed({**request.scope, "path": path}):
        return f", but at {path}: mend the client's base URL, which ends with /v1"
    return "; see /docs"


def _unreadable(request: Request, cause: BaseException | None) -> str:
    if encoding := request.headers.get("content-encoding"):
        return f"the body is sent as {plain(encoding)[:40]}: send it as it is"
    reasons = {RecursionError: "it is nested too deeply", UnicodeDecodeError: "it is not UTF-8"}
    reason = reasons.get(type(cause), "a number in it has too many digits" if isinstance(cause, ValueError) else "")
    return f"the body cannot be read{f': {reason}' if reason else ''}; JSON in UTF-8 is expected"


def sentences_of(wrong: Sequence[Any]) -> str:
    """The first of pydantic's errors as sentences, without the input and pydantic's URLs."""
    return "; ".join(_sentence_of(problem) for problem in wrong[:_SHOWN])


def _sentence_of(problem: Mapping[str, Any]) -> str:
    if problem["type"] == "json_invalid":
        reason = (problem.get("ctx") or {}).get("error", "cannot be read")
        return f"the body is not valid JSON: {reason}"
    location, message = _location(problem), problem["msg"].removeprefix("Value error, ")
    if problem["type"] in ("model_attributes_type", "dataclass_type"):
        message = (
            "an object is expected" if location else "an object is expected, sent with content-type: application/json"
        )
    elif problem["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        message = "unknown field; /docs lists the fields"
    if problem["type"] == "too_long":  # pydantic says `items` of texts too
        of = "characters" if isinstance(problem.get("input"), str) else "elements"
        message = f"at most {problem['ctx']['max_length']:,} {of} are read, not {problem['ctx']['actual_length']:,}"
    if not location and (cause := _cause(problem)):
        return str(cause)
    return f"{location}: {message}" if location else f"the body: {message}"


def _cause(problem: Mapping[str, Any]) -> RequestError | None:
    """The error raised by a schema's own validator; None for one of pydantic's."""
    error = (problem.get("ctx") or {}).get("error")
    return error if isinstance(error, RequestError) else None


def _location(problem: Mapping[str, Any]) -> str:
    """The field's name, without request part and union tag."""
    parts = [str(part) for part in problem["loc"]]
    names = [part for part in parts if part.isidentifier() or part.isdigit()]
    return ".".join(part for part in names if part not in ("body", "openai", "tabby", "str"))[:100]


def plain(text: str) -> str:
    return " ".join(text.encode("ascii", "replace").decode().split())[:500]


def error_event(error: Exception) -> dict[str, Any]:
    """The body of an error that ends a stream."""
    status, param, code, _ = next(row for kind, row in _ANSWERS.items() if isinstance(error, kind))
    return error_body(str(error), status, param, code)
