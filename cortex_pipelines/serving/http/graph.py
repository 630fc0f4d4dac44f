"""``POST /graphql``: models, runs, lineage and metrics, from what the other routes answer with.

Nothing can be changed by it. Queries are limited by depth, length, aliases and by how many lineages
they look up, since each of those walks through the runs of a project.
"""

import logging
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Optional

import strawberry
from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from graphql import GraphQLError
from pydantic import Field
from starlette.concurrency import run_in_threadpool
from strawberry.extensions import (
    MaskErrors,
    MaxAliasesLimiter,
    MaxTokensLimiter,
    QueryDepthLimiter,
)
from strawberry.scalars import JSON
from strawberry.types import ExecutionContext

from cortex_pipelines.project_names import ROUTER
from cortex_pipelines.serving.agents import lineage_of
from cortex_pipelines.serving.gateway import Gateway
from cortex_pipelines.serving.http.overview import counted, row
from cortex_pipelines.serving.http.schemas import Form, Words
from cortex_pipelines.serving.security.access import caller
from cortex_pipelines.serving.services import ProjectServices

DEPTH, TOKENS, ALIASES, LINEAGES = 12, 1000, 20, 20
"""Most levels, words and aliases of a query, and lineages that one may look up."""

_LOG = logging.getLogger("cortex_pipelines")
_PACKAGE = f"{__package__.partition('.')[0]}."


class QueryForm(Form):
    """``POST /graphql``."""

    query: Annotated[Words, Field(max_length=20_000)]
    variables: dict[str, Any] | None = None
    operationName: Annotated[Words, Field(max_length=200)] | None = None  # noqa: N815 - GraphQL's


class _Asked:
    """What a query's resolvers share.

    Args:
        gateway: What is served.
        services: What models were made from.
    """

    def __init__(self, gateway: Gateway, services: ProjectServices) -> None:
        self.gateway = gateway
        self.services = services
        self._trees: dict[str, Mapping[str, Any] | None] = {}

    def lineage(self, name: str) -> Mapping[str, Any] | None:
        """The tree of a model, as the tool ``lineage`` shows it."""
        if why := caller().refusal(["lineage"]):
            raise GraphQLError(why, extensions={"code": "insufficient_scope"})
        if name not in self._trees:
            if len(self._trees) >= LINEAGES:
                raise GraphQLError(
                    f"more than {LINEAGES} lineages in one query; ask for single models by name"
                )
            self._trees[name] = lineage_of(self.gateway, self.services, name)["tree"]
        return self._trees[name]


Info = strawberry.Info[_Asked, None]


@strawberry.type(description="A version in a lineage, and what it was made from.")
class Node:
    """See the description."""

    name: str
    partition: str | None
    version: JSON | None
    run_id: str | None
    git_commit: str | None
    made_from: list["Node"]


@strawberry.type(description="A run of MLflow that made a version.")
class Run:
    """See the description."""

    run_id: str
    name: str
    partition: str | None
    version: str
    git_commit: str | None


@strawberry.type(description="A figure of an evaluation with its interval.")
class Score:
    """See the description."""

    name: str
    label: str
    unit: str
    value: float
    low: float | None
    high: float | None


@strawberry.type(description="What is served under a name.")
class Model:
    """See the description."""

    name: str
    way: str
    version: str
    release: str | None
    project: str | None
    number: str | None
    roles: list[str]
    verdict: str | None
    bits_per_byte: JSON | None
    scores: list[Score]
    notice: str | None

    @strawberry.field(description="What it was made from; needs the scope lineage.")
    def lineage(self, info: Info) -> Optional[Node]:  # noqa: UP045 - strawberry reads it
        """The tree."""
        tree = info.context.lineage(self.name)
        return _node(self.name, tree) if tree else None

    @strawberry.field(description="Runs that made it and its data; needs the scope lineage.")
    def runs(self, info: Info) -> list[Run]:
        """Each run once, the model's first."""
        tree = info.context.lineage(self.name)
        runs = {run.run_id: run for run in _runs(_node(self.name, tree))} if tree else {}
        return list(runs.values())


@strawberry.type(description="What is served, and how much was asked for.")
class Query:
    """See the description."""

    @strawberry.field(description="All models that you may use, or those of a project.")
    def models(self, info: Info, project: str | None = None) -> list[Model]:
        """By name."""
        gateway = info.context.gateway
        rows = [row(one, gateway) for _, one in sorted(gateway.source.current.models.items())]
        return [_model(facts) for facts in rows if project in (None, facts["project"])]

    @strawberry.field(description="One model, the router among them.")
    def model(self, info: Info, name: str) -> Model:
        """The model, or an error that names the nearest."""
        gateway = info.context.gateway
        now = gateway.source.current
        if name == ROUTER and now.router is not None:
            return _model({"name": ROUTER, **now.router})
        return _model(row(now.find(name), gateway))

    @strawberry.field(description="Sums since the start, and the engine's state.")
    def metrics(self, info: Info) -> JSON:
        """As ``/load`` answers."""
        gateway = info.context.gateway
        return JSON({**gateway.engine.state(), **counted(gateway)})


class _Schema(strawberry.Schema):
    def process_errors(
        self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None
    ) -> None:
        """Log faults of the gateway; of a query that is wrong whoever sent it is told."""
        for error in filter(_unexpected, errors):
            _LOG.error("graphql: %s", error.message, exc_info=error.original_error)


SCHEMA = _Schema(
    Query,
    extensions=[
        lambda: QueryDepthLimiter(DEPTH),
        lambda: MaxTokensLimiter(TOKENS),
        lambda: MaxAliasesLimiter(ALIASES),
        lambda: MaskErrors(_unexpected, "unexpected: this is a fault of the gateway"),
    ],
)


def graph_router(gateway: Gateway, services: ProjectServices) -> APIRouter:
    """The route."""
    router = APIRouter()

    @router.post("/graphql")
    async def graph(form: QueryForm) -> Response:
        done = await run_in_threadpool(
            SCHEMA.execute_sync,
            form.query,
            variable_values=form.variables,
            context_value=_Asked(gateway, services),
            operation_name=form.operationName,
        )
        body: dict[str, Any] = {"data": done.data}
        if done.errors:
            body["errors"] = [error.formatted for error in done.errors]
        return JSONResponse(body, 200 if done.data is not None else 400)

    return router


def _unexpected(error: GraphQLError) -> bool:
    """Whether an error is none of the platform's sentences, nor one about the query."""
    inner = error.original_error
    while isinstance(inner, GraphQLError):
        inner = inner.original_error
    return inner is not None and not type(inner).__module__.startswith(_PACKAGE)


def _model(facts: Mapping[str, Any]) -> Model:
    return Model(
        name=facts["name"],
        way=facts["way"],
        version=facts["version"],
        release=facts.get("release"),
        project=facts.get("project"),
        number=facts.get("number"),
        roles=list(facts.get("roles") or ()),
        verdict=facts.get("verdict"),
        bits_per_byte=facts.get("bits_per_byte"),
        scores=[Score(**score) for score in facts.get("scores") or ()],
        notice=facts.get("notice"),
    )


def _node(name: str, tree: Mapping[str, Any]) -> Node:
    """A lineage, or what a folder that was exported says of it."""
    below = tree.get("made_from")
    if below is None:
        inputs = dict(tree.get("inputs") or {})
        below = [{"name": place, "version": version} for place, version in sorted(inputs.items())]
    return Node(
        name=tree.get("name", name),
        partition=tree.get("partition"),
        version=tree.get("version"),
        run_id=tree.get("run_id"),
        git_commit=tree.get("git_commit") or None,
        made_from=[_node(str(one["name"]), one) for one in below],
    )


def _runs(node: Node) -> Iterator[Run]:
    if node.run_id is not None:
        version = str(node.version)
        yield Run(
            run_id=node.run_id,
            name=node.name,
            partition=node.partition,
            version=version,
            git_commit=node.git_commit,
        )
    for below in node.made_from:
        yield from _runs(below)
