"""Tools for agents over the Model Context Protocol."""

import math
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version as package_version
from typing import Annotated, Any, Literal

from mcp import MCPError
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.prompts.base import Prompt, UserMessage
from mcp.types import INVALID_PARAMS, CallToolResult, InputRequiredResult, TextContent, ToolAnnotations
from pydantic import AfterValidator, Field, ValidationError
from starlette.concurrency import run_in_threadpool

from cortex_pipelines.answers.question import TaskContext, TaskError
from cortex_pipelines.project_names import ROUTER
from cortex_pipelines.retrieval.notes.note import LONGEST as LONGEST_NOTE
from cortex_pipelines.retrieval.notes.note import Kind
from cortex_pipelines.routing.serving.router import RULES
from cortex_pipelines.serving.deadlines import answering_within
from cortex_pipelines.serving.engines.engine import Sampling
from cortex_pipelines.serving.gateway import Gateway
from cortex_pipelines.serving.http.answers import collect
from cortex_pipelines.serving.http.errors import sentences_of
from cortex_pipelines.serving.http.schemas import LONGEST, encodable, require_words
from cortex_pipelines.serving.requests import completion, infill, worker
from cortex_pipelines.serving.routing import RoutedTask
from cortex_pipelines.serving.security.access import current_principal
from cortex_pipelines.serving.services import NOTHING, ProjectServices
from cortex_pipelines.serving.task_answers import suggest

_INSTRUCTIONS = (
    "Models trained on this team's own code and its agents' logs. Every answer names the version "
    "of the model that gave it."
)
_READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)
_ADDS = ToolAnnotations(read_only_hint=False, destructive_hint=False, open_world_hint=False)

Text = Annotated[str, Field(max_length=LONGEST), AfterValidator(encodable)]
Task = Annotated[str, Field(max_length=100_000), AfterValidator(encodable)]
TaskInWords = Annotated[Task, AfterValidator(require_words)]
Name = Annotated[str, Field(max_length=200), AfterValidator(encodable)]
Note = Annotated[str, Field(max_length=LONGEST_NOTE), AfterValidator(encodable)]

Answer = dict[str, Any]


def agents_server(open_gateway: Callable[[], Gateway], services: ProjectServices) -> MCPServer[Any]:
    """MCP server with the tools, for any transport; a missing service has no tool.

    ``open_gateway`` may block until the base model is loaded.
    """
    server = _Server(
        "cortex-pipelines", instructions=_INSTRUCTIONS, version=package_version("cortex-pipelines"), log_level="WARNING"
    )
    for tool, annotations in _tools(open_gateway, services):
        server.add_tool(tool, annotations=annotations)
    if (context_of := services.context) is not None:

        async def work_on(task: Task, project: Name | None = None) -> UserMessage:
            """A task with the code that it may be about, each piece under its path and lines.

            task: what is to be done: a sentence, an error message or the text of an issue. project:
            one project; without it all.
            """

            def render_prompt() -> Answer:
                text = worker(services.templates(), task, context_of(task, project, 4_000))
                return {"text": text.text, "template": str(text.made_by[0])}

            try:
                answer = await _work(render_prompt, "data")
            except ToolError as error:
                raise MCPError(INVALID_PARAMS, str(error)) from error  # else its reason is hidden, and logged
            return UserMessage(TextContent(text=answer["text"], _meta={"template": answer["template"]}))

        server.add_prompt(Prompt.from_function(work_on))
    return server


class _Server(MCPServer[Any]):
    """MCP server that reports invalid arguments as sentences instead of pydantic's text."""

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[Any, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        tool = next((tool for tool in await self.list_tools() if tool.name == name), None)
        accepted = tool.input_schema.get("properties", {}) if tool is not None else arguments
        if unknown := sorted(arguments.keys() - accepted):
            raise ToolError(
                f"{name}: {', '.join(unknown)[:200]}: unknown argument; the arguments are {', '.join(accepted)}"
            )
        try:
            return await super().call_tool(name, arguments, context)
        except ToolError as error:
            cause = error.__cause__
            if isinstance(cause, ValidationError):
                raise ToolError(f"{name}: {sentences_of(cause.errors())}") from cause
            raise


def _tools(
    open_gateway: Callable[[], Gateway], services: ProjectServices
) -> Iterator[tuple[Callable[..., Awaitable[Answer]], ToolAnnotations]]:
    async def complete(
        prompt: Text,
        model: Name | None = None,
        suffix: Text | None = None,
        max_tokens: Annotated[int, Field(ge=1, le=4096)] = 64,
    ) -> Answer:
        """Continue code in the team's own style, or fill the gap between prompt and suffix.

        prompt: the code before the gap, as in the file. model: a project's name, or one
        that the error of an unknown name lists; without it the default. suffix: the code after
        the gap. max_tokens: most tokens of the answer.
        """
        with _readable_errors():
            gateway = await run_in_threadpool(open_gateway)
            backend = await run_in_threadpool(gateway.backend_for, model)
            builder = infill(prompt, suffix) if suffix else completion(prompt)
            with answering_within(math.inf):  # an agent waits for all of it
                prepared = await run_in_threadpool(gateway.prepare, backend, builder, Sampling(max_tokens))
            (answer,) = await collect(gateway, [prepared])  # cancelled with the agent's call
        facts = {"text": answer.text, "finish": answer.finish, "tokens": answer.generated, **backend.identification}
        notices = {
            "notice": backend.notice,
            "cut_tokens": prepared.cut,
            "late": bool(prepared.late),
            "flags": sorted(prepared.flags),
        }
        return facts | {name: value for name, value in notices.items() if value}

    async def answer_task(
        task: Name, code: Text, context: TaskContext | None = None, model: Name | None = None
    ) -> Answer:
        """Name, refactor, document, test, review or translate a unit of code, or say where it belongs.

        task: naming, refactoring, documentation, tests, review, translation or architecture. code: one
        function, method or class. context: what else is known, at least `language` or `path`; for
        naming also `name`, for refactoring `smell` or `request`, for translation `target`, for
        architecture `request`. `result` is null where nothing passed the checks, and `reason` says why.
        """

        def answer() -> Answer:
            try:
                return asdict(suggest(open_gateway(), model, task, code, context or TaskContext()))
            except TaskError as error:
                raise TaskError(str(error).replace("input:", "code:", 1)) from error

        return await _work(answer, "complete")

    async def route_task(task: TaskInWords) -> Answer:
        """Say which master (specialised agent) a task belongs to, from where such tasks went.

        Gives master, confidence, alternatives and the past tasks that speak for it. With abstained
        true a person should decide.
        """

        def route() -> Answer:
            gateway = open_gateway()
            routed: RoutedTask
            (routed,) = gateway.router.submit([task]).result()
            gateway.metrics.routed_tasks.labels(routed.decision.decided_by).inc()
            answer = {**routed.decision.as_json(), "version": routed.decision.model_version}
            return answer | ({"notice": routed.notice} if routed.notice else {})

        return await _work(route)

    async def lineage(model: Name) -> Answer:
        """Show what a model was made from, as a tree: data sets, their versions, and commits.

        model: a project's name as for `complete`, or task_router.
        """
        return await _work(lambda: lineage_of(open_gateway(), services, model), "lineage")

    for tool in (complete, answer_task, lineage):
        yield tool, _READS
    if services is not NOTHING:  # an exported folder has no router
        yield route_task, _READS
    if (expect := services.expect) is not None:

        async def predict_outcome(task: TaskInWords, master: Name | None = None) -> Answer:
            """Say what to expect of a task before it is sent: success, duration, tokens, complexity.

            master: where it might be sent; without it each master that the logs know. `models` says
            what each figure rests on: only `linear` reads the task.
            """
            return await _work(lambda: expect(task, master))

        yield predict_outcome, _READS
    if (search := services.search) is not None:

        async def search_code(
            query: Task, project: Name | None = None, k: Annotated[int, Field(ge=1, le=100)] = 10
        ) -> Answer:
            """Find the places in the team's code and documentation that a query is about.

            query: words, an identifier, a line of code, an error message or the text of an issue.
            project: one project; without it all. k: most results.
            """
            return await _work(lambda: search(query, project, k), "data")

        yield search_code, _READS
    if (context_of := services.context) is not None:

        async def context(
            task: Task, project: Name | None = None, tokens: Annotated[int, Field(ge=200, le=100_000)] = 4_000
        ) -> Answer:
            """Show the code that a task will have to read or change, before you open any file.

            task: what is to be done: a sentence, an error message or the text of an issue. project:
            one project; without it all. tokens: most tokens of the pieces. Each piece has its path and
            lines; a line `… 12-40` marks omitted lines.
            """
            return await _work(lambda: context_of(task, project, tokens), "data")

        yield context, _READS
    if (relations := services.relations) is not None:

        async def code_graph(
            question: Literal["callers", "breaks", "tests", "path"],
            name: Name,
            to: Name | None = None,
            project: Name | None = None,
            depth: Annotated[int, Field(ge=1, le=20)] = 3,
        ) -> Answer:
            """Show who calls a function or type, what breaks if it changes, its tests, or a path.

            name: a path, path:qualified.name, or the name of a function or type. to: the other end of
            a path. project: one project; without it all. depth: most steps of breaks and tests. Each
            step has its span, the lines that show it, and what it rests on (`resolution`).
            """
            return await _work(lambda: relations(question, name, to, project, depth), "data")

        yield code_graph, _READS
    if (notes := services.notes) is not None:

        async def recall(
            query: Task | None = None,
            project: Name | None = None,
            k: Annotated[int, Field(ge=1, le=100)] = 10,
            history: bool = False,
        ) -> Answer:
            """Find what is kept about a task: notes, decisions, outcomes, and earlier attempts at it.

            Without query: your latest exchanges, all that holds, and what changed since you were here.
            history: also what was superseded.
            """
            author = current_principal().name
            if query is None:
                return await _work(lambda: notes(project).show(author), "memory")
            query_options = (query, k, None, history)
            return await _work(lambda: notes(project).search(author, *query_options), "memory")

        async def remember(
            text: Note,
            kind: Kind = "note",
            project: Name | None = None,
            answer: Note = "",
            supersedes: Name | None = None,
        ) -> Answer:
            """Keep what the next who works on the project should know; say it in a few sentences.

            kind: `decision` with its reason, `outcome` of what was tried, `note` for the rest, or
            `exchange` for a question (text) and its answer, which only you are shown again.
            supersedes: the id of an entry that no longer holds. Secrets and personal data are taken
            out.
            """
            author = current_principal().name
            note_fields = (text, kind, "tool remember", answer, supersedes)
            return await _work(lambda: notes(project).add(author, *note_fields), "memory")

        yield recall, _READS
        yield remember, _ADDS


def lineage_of(gateway: Gateway, services: ProjectServices, name: str) -> Answer:
    """Lineage of a model, as a tree if the project records one; UnknownModelError for an unknown name."""
    catalogue = gateway.source.current
    if name == ROUTER and catalogue.router is not None:
        version, lineage = catalogue.router["version"], catalogue.router.get("lineage")
        answer = {"model": ROUTER, "way": catalogue.router["way"], "version": version}
        project, adapter_version = None, None if version == RULES else version
    else:
        served = catalogue.find(name)
        release, lineage = served.release, served.details.get("lineage")
        answer = {"model": served.name, "way": release.way, "version": served.version, "release": release.version}
        project, adapter_version = served.details.get("project"), served.release.adapter
    if adapter_version is not None and services.lineage is not None:
        return {**answer, "tree": dict(services.lineage(project, adapter_version))}
    return {**answer, "tree": lineage}


async def _work(call: Callable[[], Mapping[str, Any]], scope: str = "route") -> Answer:
    if refusal := current_principal().refusal([scope]):
        raise ToolError(refusal)
    with _readable_errors():
        return dict(await run_in_threadpool(call))


@contextmanager
def _readable_errors() -> Iterator[None]:
    """Pass on this package's errors as tool errors: their messages are written for users."""
    try:
        yield
    except Exception as error:
        if type(error).__module__.startswith(f"{__package__.partition('.')[0]}."):
            raise ToolError(str(error)) from error
        raise
