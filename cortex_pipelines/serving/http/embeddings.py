"""``POST /v1/embeddings``: texts to vectors, by the project's sentence encoder."""

import base64
from typing import Annotated, Any, Literal

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from pydantic import Field

from cortex_pipelines.ingestion.pretrained_models import WeightsError
from cortex_pipelines.project_names import ENCODER
from cortex_pipelines.serving.catalogue import UnknownModelError
from cortex_pipelines.serving.engines.engine import BusyError
from cortex_pipelines.serving.gateway import Gateway
from cortex_pipelines.serving.http.errors import RequestError
from cortex_pipelines.serving.http.openai_fields import EMBEDDING_FIELDS
from cortex_pipelines.serving.http.schemas import LongText, ModelName, OpenAIForm
from cortex_pipelines.serving.security.access import current_principal
from cortex_pipelines.serving.services import ProjectServices, ServiceError

Input = Annotated[LongText, Field(min_length=1)]


class EmbeddingForm(OpenAIForm):
    """``POST /v1/embeddings``; accepts as many texts as OpenAI's interface."""

    api_fields = EMBEDDING_FIELDS
    input: Input | Annotated[list[Input], Field(min_length=1, max_length=2048)]
    model: ModelName | None = None
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: int | None = None


def embeddings_router(gateway: Gateway, services: ProjectServices) -> APIRouter:
    """The route ``/v1/embeddings``."""
    router = APIRouter()
    waiting = 0
    limiter = CapacityLimiter(1)  # waiting requests must not occupy threads that others need

    @router.post("/v1/embeddings")
    async def embeddings(form: EmbeddingForm) -> Response:
        nonlocal waiting
        encoder = services.encoder
        if (form.model or ENCODER) != ENCODER or encoder is None:
            raise UnknownModelError(_unknown(form.model or ENCODER, encoder is not None))
        if waiting >= gateway.settings.waiting:
            raise BusyError(f"{waiting} requests wait already; try again in a second")
        texts = [form.input] if isinstance(form.input, str) else form.input
        waiting += 1
        try:
            result = await to_thread.run_sync(encoder, texts, limiter=limiter)
        except WeightsError as error:
            raise ServiceError(str(error)) from error
        finally:
            waiting -= 1
        width = result.vectors.shape[1]
        if form.dimensions not in (None, width):
            raise RequestError(
                f"dimensions: {ENCODER} has vectors of {width} numbers, which cannot be "
                "shortened; leave dimensions out",
                "dimensions",
                code="unsupported_parameter",
            )
        current_principal().spend(result.tokens)
        gateway.metrics.tokens.labels(ENCODER, "read").inc(result.tokens)
        rows = result.vectors.astype("<f4")
        as_text = form.encoding_format == "base64"
        data: list[dict[str, Any]] = [
            {
                "object": "embedding",
                "index": index,
                "embedding": base64.b64encode(row.tobytes()).decode() if as_text else row.tolist(),
            }
            for index, row in enumerate(rows)
        ]
        body = {
            "object": "list",
            "data": data,
            "model": ENCODER,
            "system_fingerprint": encoder.version,
            "usage": {"prompt_tokens": result.tokens, "total_tokens": result.tokens},
        }
        headers = {"x-cortex-model": ENCODER, "x-cortex-version": encoder.version}
        if result.cut:
            headers["x-cortex-cut"] = f"{result.cut} texts at the end"
        return JSONResponse(body, headers=headers)

    return router


def _unknown(name: str, served: bool) -> str:
    if not served:
        return f"{ENCODER} is not available: an exported folder has no encoder"
    return f"{name[:100]} makes no embeddings; the nearest model that does is {ENCODER}"
