"""Tools for agents, driven by the SDK's own client in memory, over HTTP and stdio, and the guide on LangChain."""

import asyncio
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult

from cortex_pipelines.config import load_parameters
from cortex_pipelines.prompts.templates import package_templates
from cortex_pipelines.retrieval.graph.questions import CodeGraph, GraphNameError
from cortex_pipelines.retrieval.open_index import WITHOUT, index_folder
from cortex_pipelines.schemas.extraction import CODE_UNITS
from cortex_pipelines.schemas.retrieval import CODE_GRAPH
from cortex_pipelines.serving.agents import agents_server
from cortex_pipelines.serving.engines.engine import Sampling
from cortex_pipelines.serving.engines.token_sampler import TokenSampler
from cortex_pipelines.serving.gateway import Gateway
from cortex_pipelines.serving.http.server import create_app
from cortex_pipelines.serving.project_context import index_context
from cortex_pipelines.serving.project_services import project_services
from cortex_pipelines.serving.requests import completion
from cortex_pipelines.serving.services import NOTHING, ProjectServices
from cortex_pipelines.versioning.root import ProjectError
from cortex_pipelines_tests.integration.miniproject import BIN, MiniProject
from cortex_pipelines_tests.parameters import load_cases
from cortex_pipelines_tests.serving import tinygateway

CASES = load_cases(__file__)
ADDRESS = "http://127.0.0.1:8008"


def expected(task: str, master: str | None) -> Mapping[str, Any]:
    if task == "nothing trained":
        raise ProjectError("no data/outcome_predictors; `cortex run outcome_predictors` makes it")
    return {"expected": [{"master": master or "each", "success": 0.5}], "version": "made.dir"}


def searched(query: str, project: str | None, k: int) -> Mapping[str, Any]:
    return {"results": [{"path": "a.py", "name": query}][:k], "versions": {project: "files.dir"}}


def packed(task: str, project: str | None, tokens: int) -> Mapping[str, Any]:
    if task == "nothing trained":
        expected(task, None)
    excerpt = {"path": "a.py", "start_line": 1, "end_line": 2, "name": task, "kind": "function"}
    excerpt |= {"why": "", "score": 1.0, "commit": None, "stale": False, "text": "x", "tokens": 3}
    notes = "kept about this:\n- note: y\n"
    return {"known": notes, "pieces": [excerpt], "notice": "", "budget": tokens, "versions": {project: ""}}


def related(question: str, name: str, to: str | None, project: str | None, depth: int) -> Mapping[str, Any]:
    if name == "nothing":
        raise GraphNameError("nothing is called nothing; like it: something")
    if question == "path" and to is None:
        CodeGraph(CODE_GRAPH.frame([]), CODE_UNITS.frame([]), ()).ask(question, name)
    return {"question": question, "of": [name, to], "steps": [], "versions": {project: depth}}


SERVICES = ProjectServices(expect=expected, search=searched, context=packed, relations=related)


def content(result: CallToolResult) -> dict[str, Any]:
    assert not result.is_error, result.content
    assert isinstance(result.structured_content, dict)
    return result.structured_content


@pytest.mark.anyio
async def test_every_tool_answers_and_names_the_version(gateway: Gateway) -> None:
    async with Client(agents_server(lambda: gateway, SERVICES)) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert set(tools) == {
            *("complete", "answer_task", "route_task", "lineage", "predict_outcome"),
            *("search_code", "context", "code_graph"),
        }
        assert all(tool.description for tool in tools.values())
        arguments = {"model": "shop", "prompt": "def f():\n", "max_tokens": 6}
        completion_result = content(await client.call_tool("complete", arguments))
        assert (completion_result["way"], completion_result["version"]) == ("adapter", "shop.dir")
        assert len(completion_result["release"]) == 32
        request = gateway.prepare(gateway.backend_for("shop"), completion("def f():\n"), Sampling(6))
        assert completion_result["text"] == "".join(delta.text for delta in gateway.stream_blocking(request))
        filled = content(await client.call_tool("complete", arguments | {"suffix": "\n    return x\n"}))
        assert filled["version"] == "shop.dir"
        unit = {"task": "review", "code": "def f(a):\n    for i in range(len(a)):\n        print(a[i])\n"}
        reviewed = content(await client.call_tool("answer_task", unit))
        assert (reviewed["source"], "(range-len-loop)" in reviewed["result"]) == ("analyser", True)
        task = {"task": "The leaked secret key"}
        routed = content(await client.call_tool("route_task", task))
        assert (routed["master"], routed["version"]) == ("security", "rules")
        prediction = content(await client.call_tool("predict_outcome", task | {"master": "security"}))
        assert prediction["version"] == "made.dir"
        matches = content(await client.call_tool("search_code", {"query": "f", "project": "shop"}))
        assert matches == {"results": [{"path": "a.py", "name": "f"}], "versions": {"shop": "files.dir"}}
        context = content(await client.call_tool("context", {"task": "f", "project": "shop"}))
        assert (context["pieces"][0]["name"], context["budget"]) == ("f", 4000)
        path = {"question": "path", "name": "f", "to": "g", "project": "shop"}
        graph = content(await client.call_tool("code_graph", path))
        assert (graph["of"], graph["versions"]) == (["f", "g"], {"shop": 3})
        lineage = content(await client.call_tool("lineage", {"model": "shop@1.2.0"}))
        assert (lineage["model"], lineage["version"]) == ("shop@1.2.0", "shop.dir")


@pytest.mark.anyio
async def test_a_worker_s_prompt_has_its_task_and_cited_code(gateway: Gateway) -> None:
    async with Client(agents_server(lambda: gateway, SERVICES)) as client:
        (listed_prompt,) = (await client.list_prompts()).prompts
        assert (listed_prompt.name, [each.name for each in listed_prompt.arguments or ()]) == (
            "work_on",
            ["task", "project"],
        )
        prompt = await client.get_prompt("work_on", {"task": "Fix f", "project": "shop"})
        (message,) = prompt.messages
        assert message.content.type == "text"
        assert message.content.text.startswith("Fix f\n\nNotes on tasks like this one")
        assert "kept about this:\n- note: y\n\na.py:1-2 (function Fix f)\nx\n" in message.content.text
        assert message.content.meta == {"template": str(package_templates()["worker"])}
        with pytest.raises(MCPError, match="`cortex run outcome_predictors` makes it"):
            await client.get_prompt("work_on", {"task": "nothing trained"})


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("tool", "arguments", "words"), [*CASES["wrong_arguments"], ("complete", {"prompt": "x" * 2_000_001}, "prompt")]
)
async def test_what_is_asked_wrongly_gets_a_sentence(gateway, tool: str, arguments: dict[str, Any], words: str) -> None:
    async with Client(agents_server(lambda: gateway, SERVICES)) as client:
        result = await client.call_tool(tool, arguments)
        (message,) = (part.text for part in result.content)
        assert result.is_error
        assert words in message
        assert "http" not in message, "an address of pydantic's"
        assert len(message) < 500, "what was sent is not sent back"
        content(await client.call_tool("route_task", {"task": "fix the bug"}))


@pytest.mark.anyio
async def test_what_an_agent_cancels_is_not_written_on(home: Path, tmp_path: Path, monkeypatch) -> None:
    gateway = tinygateway.open_tiny(home, tmp_path)

    def tokens() -> int:
        return int(gateway.engine.state()["written"])

    async with Client(agents_server(lambda: gateway, NOTHING)) as client:
        arguments = {"model": "docs", "prompt": "def f():\n", "max_tokens": 128}
        content(await client.call_tool("complete", arguments))
        full_tokens = tokens()
        assert full_tokens > 64
        monkeypatch.setattr(TokenSampler, "_scored", tinygateway.slowly(0.05))
        call = asyncio.create_task(client.call_tool("complete", arguments))
        while tokens() == full_tokens:
            await asyncio.sleep(0.005)
        call.cancel()
        while gateway.engine.state()["busy"]:
            await asyncio.sleep(0.005)
        assert tokens() - full_tokens < full_tokens
    gateway.close()


@pytest.mark.anyio
async def test_what_a_gateway_without_a_project_cannot_answer_is_no_tool(gateway: Gateway) -> None:
    async with Client(agents_server(lambda: gateway, NOTHING)) as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
    assert names == {"complete", "answer_task", "lineage"}


@pytest.mark.anyio
async def test_the_same_tools_over_http(home: Path, tmp_path: Path) -> None:
    app = create_app(tinygateway.open_tiny(home, tmp_path), SERVICES)
    transport = httpx2.ASGITransport(app)
    async with app.router.lifespan_context(app), httpx2.AsyncClient(transport=transport, base_url=ADDRESS) as http:
        async with Client(streamable_http_client(f"{ADDRESS}/mcp", http_client=http)) as client:
            result = content(await client.call_tool("complete", {"prompt": "x", "model": "docs"}))
            assert (result["way"], result["version"]) == ("both", "docs.dir")
        refused = await http.post("/mcp", json={}, headers={"host": "elsewhere.example", "accept": "application/json"})
        assert refused.status_code == 421, "another site's name for this machine"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "cortex.example"}, 200),
        ({"host": "cortex.example", "origin": "https://cortex.example"}, 200),
        ({"host": "localhost", "origin": "https://tools.example"}, 200),
        ({"host": "localhost:8008"}, 200),
        ({"host": "elsewhere.example"}, 421),
        ({"host": "localhost", "origin": "https://elsewhere.example"}, 403),
    ],
)
async def test_agents_come_by_the_hosts_and_origins_of_the_settings(
    home: Path, tmp_path: Path, headers: dict[str, str], status: int
) -> None:
    allowed = {"hosts": ["cortex.example"], "origins": ["https://tools.example"]}
    app = create_app(tinygateway.open_tiny(home, tmp_path, **allowed), SERVICES)
    transport = httpx2.ASGITransport(app)
    async with app.router.lifespan_context(app), httpx2.AsyncClient(transport=transport, base_url=ADDRESS) as http:
        body = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
        answer = await http.post("/mcp", json=body, headers={"accept": "application/json", **headers})
    assert answer.status_code == status


@pytest.mark.anyio
async def test_cortex_mcp_over_standard_input_and_output(finished: MiniProject) -> None:
    command = StdioServerParameters(
        command=str(Path(sys.executable)),
        args=[str(BIN / "cortex"), "mcp"],
        cwd=finished.root,
        env={"PYTHONPATH": str(tinygateway.ROOT), "PATH": str(BIN), "HF_HUB_OFFLINE": "1"},
    )
    adapter = finished.version("code_adapter@alpha")
    async with Client(stdio_client(command)) as client:
        arguments = {"model": "alpha@challenger", "prompt": "def f():\n", "max_tokens": 4}
        assert content(await client.call_tool("complete", arguments))["version"] == adapter
        tree = content(await client.call_tool("lineage", {"model": "alpha@challenger"}))["tree"]
        assert (tree["name"], tree["version"]) == ("code_adapter", adapter)
        made_from = {node["name"]: node["version"] for node in tree["made_from"]}
        assert made_from["completion_dataset"] == finished.version("completion_dataset@alpha")
        assert "repository_files" in json.dumps(tree), "down to the files of the project"
        prediction = content(await client.call_tool("predict_outcome", {"task": "Rotate the leaked API key"}))
        assert prediction["version"] == finished.version("outcome_predictors")
        assert {row["master"] for row in prediction["expected"]}


@pytest.mark.parametrize("end", ["left", "interrupted"])
def test_cortex_mcp_ends_with_its_client_while_the_base_is_loaded(end: str) -> None:
    words = [sys.executable, "-c", CASES["_LOADING"], end]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(words, text=True, **pipes) as process:
        if end == "left":
            process.stdin.close()
        assert process.wait(timeout=120) == (0 if end == "left" else -signal.SIGINT), process.stderr.read()
        assert process.stdout.read() == ("left\n" if end == "left" else "")


@pytest.mark.skipif(find_spec("cortex_pipelines.retrieval") is None, reason="this version has no code search")
def test_code_is_searched_in_what_the_project_has_made(finished_copy: MiniProject) -> None:
    search = project_services(finished_copy.root).search
    answer = search("syntax tree", "alpha", 3)
    assert answer["versions"] == {"alpha": finished_copy.version("search_documents@alpha")}
    assert answer["results"]
    assert search("syntax tree", "alpha", 3) == answer, "the index that is open already"
    assert set(search("syntax tree", None, 3)["versions"]) == {"alpha", "beta"}
    packed = project_services(finished_copy.root).context("walk the syntax tree", "alpha", 1000)
    assert packed["versions"] == answer["versions"]
    assert packed["files"]
    assert 0 < packed["tokens"] <= 1000
    assert packed["counted_by"].startswith("tokenizer of ")


GUIDE = tinygateway.ROOT / "docs" / "guides" / "langchain.md"
FILES = {
    "client.py": "def request(send, tries=3):\n    '''Try a request thrice.'''\n    send(tries)\n",
    "cart.py": "def total(prices):\n    '''Sum of the prices.'''\n    return sum(prices)\n",
}


def services(folder: Path) -> ProjectServices:
    code = folder / "code"
    code.mkdir()
    for name, text in FILES.items():
        (code / name).write_text(text)
    params = load_parameters(tinygateway.ROOT)
    index_folder(code, folder / "index", params, WITHOUT)
    source = index_context(folder / "index", params)

    def search(query: str, project: str | None, k: int) -> Mapping[str, Any]:
        results = source.searcher.search(query, k)
        return {"results": [result.as_json() for result in results], "versions": {project: ""}}

    def context(task: str, project: str | None, tokens: int) -> Mapping[str, Any]:
        return {**source.context(task, tokens).as_json(), "versions": {project: ""}}

    return ProjectServices(search=search, context=context)


@pytest.fixture(scope="module")
def address(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    scratch = tmp_path_factory.mktemp("langchain")
    served = tinygateway.catalogue(home)
    shop = replace(served.models["shop"], details={"project": "shop"})
    catalogue = replace(served, models={**served.models, "shop": shop})
    app = create_app(tinygateway.open_tiny(home, scratch / "state", lambda: catalogue, window=512), services(scratch))
    with tinygateway.listening(app) as url:
        yield url


def test_the_guide_s_code_retrieves_and_chats(address: str, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    monkeypatch.setenv("LANGSMITH_TRACING", "false")
    (code,) = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    assert "http://127.0.0.1:8008" in code
    names: dict[str, Any] = {"__name__": "guide"}
    exec(code.replace("http://127.0.0.1:8008", address), names)  # the code that people copy
    first, *_ = capsys.readouterr().out.splitlines()
    assert first == "client.py:1-3"
    answer = names["answer"]
    assert answer.response_metadata["system_fingerprint"] == "shop.dir"
    assert answer.usage_metadata["input_tokens"] > len(FILES["client.py"]), "the code was read"
    (document, *_) = names["CodeRetriever"](project="shop").invoke("sum of the prices")
    assert document.page_content == FILES["cart.py"].rstrip()
    assert (document.metadata["path"], document.metadata["stale"]) == ("cart.py", False)


def test_a_chat_names_the_places_that_were_shown_before_it(address: str) -> None:
    turns = [{"role": "user", "content": "How many times is a request tried?"}]
    body = {"model": "shop", "messages": turns, "max_tokens": 2}
    with httpx2.Client(base_url=address) as http:
        plain = http.post("/v1/chat/completions", json=body)
        response = http.post("/v1/chat/completions", json={**body, "context": 400})
        streamed = http.post("/v1/chat/completions", json={**body, "context": 400, "stream": True})
        nothing = http.post("/v1/chat/completions", json={**body, "context": 10})
        results = http.post("/search", json={"query": "total of prices", "k": 1}).json()["results"]
        empty = http.post("/context", json={"task": " "})
    assert "context" not in plain.json()
    assert response.json()["context"][0] == "client.py:1-3"
    assert response.headers["x-cortex-context"].startswith("client.py:1-3")
    assert streamed.headers["x-cortex-context"] == response.headers["x-cortex-context"]
    assert response.headers["x-cortex-templates"].startswith("instructions@")
    assert response.json()["usage"]["prompt_tokens"] > plain.json()["usage"]["prompt_tokens"]
    assert (nothing.status_code, [result["path"] for result in results]) == (400, ["cart.py"])
    assert (empty.status_code, empty.json()["error"]["param"]) == (400, "task")
