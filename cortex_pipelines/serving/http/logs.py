"""Models trained on the agents' logs: outcome prediction and anomaly scores."""

from typing import Annotated, Any

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from cortex_pipelines.serving.http.answers import versioned_response
from cortex_pipelines.serving.http.schemas import Form, ShortText, TaskText
from cortex_pipelines.serving.services import ProjectServices, ServiceError

_NO_PROJECT = "an exported folder has no {}; start `cortex serve` in the project"


class OutcomeForm(Form):
    """``POST /outcomes/predict``: a task, and the master it may be routed to."""

    task: TaskText
    master: ShortText | None = None


class AnomalyForm(Form):
    """``POST /anomalies/score``: new records of a monitored log, oldest first."""

    log: ShortText
    records: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=10_000)]


def logs_router(services: ProjectServices) -> APIRouter:
    """Both routes; each answer names the version of the asset behind it."""
    router = APIRouter()

    @router.post("/outcomes/predict")
    async def outcomes(form: OutcomeForm) -> Response:
        if services.expect is None:
            raise ServiceError(_NO_PROJECT.format("outcome predictors"))
        answer = await run_in_threadpool(services.expect, form.task, form.master)
        return versioned_response(answer, "outcome_predictors")

    @router.post("/anomalies/score")
    async def anomalies(form: AnomalyForm) -> Response:
        if services.score is None:
            raise ServiceError(_NO_PROJECT.format("detectors"))
        answer = await run_in_threadpool(services.score, form.log, form.records)
        return versioned_response(answer, "worker_anomalies")

    return router
