"""``POST /graphql``: models, runs, lineage and metrics, read-only.

Queries are limited in depth, length, aliases and number of lineages, since each lineage walks
through the runs of a project.
"""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Optional

import strawberry
from fastapi import APIRouter
from fastapi.responses import Response
from graphql import GraphQLError
from pydantic import Field
from starlette.concurrency import run_in_threadpool
from strawberry.extensions import MaskErrors, MaxAliasesLimiter, MaxTokensLimiter, QueryDepthLimiter
from strawberry.scalars import JSON
from strawberry.types import ExecutionContext

from cortex_pipelines.project_names import ROUTER
from cortex_pipelines.serving.agents import lineage_of
from cortex_pipelines.serving.gateway import Gateway
from cortex_pipelines.serving.http.answers import json_response
from cortex_pipelines.serving.http.page import load_counters, model_row
from cortex_pipelines.serving.http.schemas import Form, LongText
from cortex_pipelines.serving.security.access import current_principal
from cortex_pipelines.serving.services import ProjectServices

DEPTH, TOKENS, ALIASES, LINEAGES = 12, 1000, 20, 20
"""Limits of a query: levels, tokens, aliases, lineages."""

_LOG = logging.getLogger("cortex_pipelines")
_PACKAGE = f"{__package__.partition('.')[0]}."


class QueryForm(Form):
    query: Annotated[LongText, Field(min_length=1, max_length=20_000)]
    variables: dict[str, Any] | None = None
    operationName: Annotated[LongText, Field(max_length=200)] | None = None  # noqa: N815 - GraphQL's


@dataclass
class _QueryContext:
    gateway: Gateway
    services: ProjectServices
    trees: dict[str, Mapping[str, Any] | None] = field(default_factory=dict)

    def lineage(self, name: str) -> Mapping[str, Any] | None:
        if refusal := current_principal().refusal(["lineage"]):
            raise GraphQLError(refusal, extensions={"code": "insufficient_scope"})
        if name not in self.trees:
            if len(self.trees) >= LINEAGES:
                raise GraphQLError(f"more than {LINEAGES} lineages in one query; ask for single models by name")
            self.trees[name] = lineage_of(self.gateway, self.services, name)["tree"]
        return self.trees[name]


Info = strawberry.Info[_QueryContext, None]


@strawberry.type(description="A version in a lineage, and what it was made from.")
class Node:
    name: str
    partition: str | None
    version: JSON | None
    run_id: str | None
    git_commit: str | None
    made_from: list["Node"]


@strawberry.type(description="A run of MLflow that made a version.")
class Run:
    run_id: str
    name: str
    partition: str | None
    version: str
    git_commit: str | None


@strawberry.type(description="A figure of an evaluation with its interval.")
class Score:
    name: str
    label: str
    unit: str
    value: float
    low: float | None
    high: float | None


@strawberry.type(description="What is served under a name.")
class Model:
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
        tree = info.context.lineage(self.name)
        return _node(self.name, tree) if tree else None

    @strawberry.field(description="Runs that made it and its data; needs the scope lineage.")
    def runs(self, info: Info) -> list[Run]:
        tree = info.context.lineage(self.name)
        runs = {run.run_id: run for run in _runs(_node(self.name, tree))} if tree else {}
        return list(runs.values())


@strawberry.type(description="What is served, and how much was asked for.")
class Query:
    @strawberry.field(description="All models that you may use, or those of a project.")
    def models(self, info: Info, project: str | None = None) -> list[Model]:
        gateway = info.context.gateway
        rows = [model_row(served, gateway) for _, served in sorted(gateway.source.current.models.items())]
        return [_model(facts) for facts in rows if project in (None, facts["project"])]

    @strawberry.field(description="One model, the router among them.")
    def model(self, info: Info, name: str) -> Model:
        gateway = info.context.gateway
        catalogue = gateway.source.current
        if name == ROUTER and catalogue.router is not None:
            return _model({"name": ROUTER, **catalogue.router})
        return _model(model_row(catalogue.find(name), gateway))

    @strawberry.field(description="Sums since the start, and the engine's state.")
    def metrics(self, info: Info) -> JSON:
        gateway = info.context.gateway
        return JSON({**gateway.engine.state(), **load_counters(gateway)})


class _Schema(strawberry.Schema):
    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        """Log faults of the gateway; errors in the query go to the client only."""
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
    router = APIRouter()

    @router.post("/graphql")
    async def graph(form: QueryForm) -> Response:
        result = await run_in_threadpool(
            SCHEMA.execute_sync,
            form.query,
            variable_values=form.variables,
            context_value=_QueryContext(gateway, services),
            operation_name=form.operationName,
        )
        body: dict[str, Any] = {"data": result.data}
        if result.errors:
            body["errors"] = [error.formatted for error in result.errors]
        return json_response(body, status=200 if result.data is not None else 400)

    return router


def _unexpected(error: GraphQLError) -> bool:
    """Whether an error was raised neither by this package nor by the query's validation."""
    inner = error.original_error
    while isinstance(inner, GraphQLError):
        inner = inner.original_error
    return inner is not None and not type(inner).__module__.startswith(_PACKAGE)


def _model(facts: Mapping[str, Any]) -> Model:
    names = ("name", "way", "version", "release", "project", "number", "verdict", "bits_per_byte", "notice")
    fields: dict[str, Any] = {name: facts.get(name) for name in names}
    scores = [Score(**score) for score in facts.get("scores") or ()]
    return Model(**fields, roles=list(facts.get("roles") or ()), scores=scores)


def _node(name: str, tree: Mapping[str, Any]) -> Node:
    """Lineage tree, or the inputs listed in an exported folder."""
    children = tree.get("made_from")
    if children is None:
        inputs = dict(tree.get("inputs") or {})
        children = [{"name": path, "version": version} for path, version in sorted(inputs.items())]
    return Node(
        name=tree.get("name", name),
        partition=tree.get("partition"),
        version=tree.get("version"),
        run_id=tree.get("run_id"),
        git_commit=tree.get("git_commit") or None,
        made_from=[_node(str(node["name"]), node) for node in children],
    )


def _runs(node: Node) -> Iterator[Run]:
    if node.run_id is not None:
        shared_fields = {name: getattr(node, name) for name in ("run_id", "name", "partition", "git_commit")}
        yield Run(**shared_fields, version=str(node.version))
    for child in node.made_from:
        yield from _runs(child)
