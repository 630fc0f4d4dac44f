"""The guide on LangChain, run against a tiny gateway over the index of a few files."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from cortex_pipelines.config import load_parameters
from cortex_pipelines.retrieval.open_index import WITHOUT, index_folder
from cortex_pipelines.serving.http.server import create_app
from cortex_pipelines.serving.project_services import index_context
from cortex_pipelines.serving.services import ProjectServices
from cortex_pipelines_tests.serving import tinygateway

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
    gateway = tinygateway.open_tiny(home, scratch / "state", lambda: catalogue, window=512)
    app = create_app(gateway, services(scratch))
    with tinygateway.listening(app) as url:
        yield url


def test_the_guide_s_code_retrieves_and_chats(
    address: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
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
    assert nothing.status_code == 400
    assert [result["path"] for result in results] == ["cart.py"]
    assert (empty.status_code, empty.json()["error"]["param"]) == (400, "task")
