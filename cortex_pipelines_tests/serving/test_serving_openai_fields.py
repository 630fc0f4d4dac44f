"""Every field of the installed official client's request types is in the table, and does as it
says."""

import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from fastapi.testclient import TestClient
from openai.types import completion_create_params as completion_types
from openai.types import embedding_create_params as embedding_types
from openai.types.chat import (
    chat_completion_assistant_message_param,
    chat_completion_function_message_param,
    chat_completion_stream_options_param,
    chat_completion_tool_message_param,
    chat_completion_user_message_param,
)
from openai.types.chat import completion_create_params as chat_types

from cortex_pipelines.serving.embeddings import CodeEncoder
from cortex_pipelines.serving.http.app import create_app
from cortex_pipelines.serving.http.openai_fields import (
    CHAT_FIELDS,
    COMPLETION_FIELDS,
    EMBEDDING_FIELDS,
    LLAMA_CPP_FIELDS,
    MESSAGE_FIELDS,
    STREAM_OPTION_FIELDS,
    RequestField,
    fields_as_markdown,
)
from cortex_pipelines.serving.services import ProjectServices
from cortex_pipelines_tests.embeddings.tinyencoder import make_tiny_encoder
from cortex_pipelines_tests.serving import tinygateway

PAGE = tinygateway.ROOT / "docs" / "guides" / "openai-api.md"
TEXT = {"model": "base", "max_tokens": 2}
COMPLETION = {**TEXT, "prompt": "x"}
CHAT = {**TEXT, "messages": [{"role": "user", "content": "x"}]}
EMBEDDING = {"model": "code_encoder", "input": "x"}
FUNCTION = {"name": "f", "parameters": {}}
TOOL = {"type": "function", "function": FUNCTION}


@pytest.fixture(scope="module")
def http(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder = make_tiny_encoder(tmp_path_factory.mktemp("encoder"))
    services = ProjectServices(encoder=CodeEncoder("e" * 64, lambda: folder, 1))
    gateway = tinygateway.open_tiny(home, tmp_path_factory.mktemp("state"))
    with TestClient(create_app(gateway, services), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="module")
def client(http: TestClient) -> openai.OpenAI:
    return openai.OpenAI(base_url="http://testserver/v1", api_key="none", http_client=http, max_retries=0)


def names_of(*params: Any) -> set[str]:
    """Fields of an official type."""
    return {name for each in params for name in typing.get_type_hints(each)}


@pytest.mark.parametrize(
    ("fields", "params"),
    [
        (
            COMPLETION_FIELDS,
            (completion_types.CompletionCreateParamsNonStreaming, completion_types.CompletionCreateParamsStreaming),
        ),
        (CHAT_FIELDS, (chat_types.CompletionCreateParamsNonStreaming, chat_types.CompletionCreateParamsStreaming)),
        (EMBEDDING_FIELDS, (embedding_types.EmbeddingCreateParams,)),
        (STREAM_OPTION_FIELDS, (chat_completion_stream_options_param.ChatCompletionStreamOptionsParam,)),
        (
            MESSAGE_FIELDS,
            (
                chat_completion_user_message_param.ChatCompletionUserMessageParam,
                chat_completion_assistant_message_param.ChatCompletionAssistantMessageParam,
                chat_completion_tool_message_param.ChatCompletionToolMessageParam,
                chat_completion_function_message_param.ChatCompletionFunctionMessageParam,
            ),
        ),
    ],
    ids=["completions", "chats", "embeddings", "stream_options", "messages"],
)
def test_the_table_has_the_fields_of_the_official_client(
    fields: tuple[RequestField, ...], params: tuple[Any, ...]
) -> None:
    assert sorted(field.name for field in fields) == sorted(names_of(*params))


SAMPLES: dict[str, Any] = {
    "frequency_penalty": 0.5,
    "presence_penalty": 0.5,
    "n": 2,
    "seed": 7,
    "stop": ["\n\n"],
    "temperature": 0.7,
    "top_p": 0.9,
    "user": "ann",
    "logit_bias": {"5": 100},
    "suffix": "\n",
    "best_of": 1,
    "echo": True,
    "max_tokens": 3,
    "max_completion_tokens": 2,
    "metadata": {"run": "7"},
    "parallel_tool_calls": False,
    "prediction": {"type": "content", "content": "x"},
    "prompt_cache_key": "k",
    "prompt_cache_options": {"mode": "implicit"},
    "prompt_cache_retention": "24h",
    "safety_identifier": "ann",
    "audio": {"format": "mp3", "voice": "alloy"},
    "function_call": {"name": "f"},
    "functions": [FUNCTION],
    "modalities": ["text", "audio"],
    "moderation": {"model": "m"},
    "reasoning_effort": "high",
    "response_format": {"type": "json_object"},
    "service_tier": "priority",
    "store": True,
    "tool_choice": "required",
    "tools": [TOOL],
    "verbosity": "low",
    "web_search_options": {},
    "dimensions": 32,
    "encoding_format": "float",
    "input": ["x", "y"],
    "prompt": ["x", "y"],
    "messages": [{"role": "developer", "content": "x"}, {"role": "user", "content": "y"}],
    "model": "code_encoder",
}
"""A value of each field, of those that are refused one that would change the answer."""

OTHERS = {
    "refused": {
        "response_format": [{"type": "json_schema", "json_schema": {"name": "s", "schema": {}}}],
        "tool_choice": [{"type": "function", "function": {"name": "f"}}],
        "service_tier": ["flex", "scale"],
        "reasoning_effort": ["minimal", "medium"],
        "dimensions": [8],
        "best_of": [3],
        "prompt": [[1, 2], [[1, 2]]],
        "input": [[1, 2], [[1, 2]]],
        "n": [0, 9],
        "stream_options": [{"include_usage": True}, {"include_obfuscation": True}],
    }
}


def calls() -> Iterator[Any]:
    for kind, base, fields in (
        ("completions", COMPLETION, COMPLETION_FIELDS),
        ("chat", CHAT, CHAT_FIELDS),
        ("embeddings", EMBEDDING, EMBEDDING_FIELDS),
    ):
        for field in fields:
            special = {
                ("completions", "logprobs"): 2,
                ("chat", "logprobs"): True,
                ("completions", "model"): "shop",
                ("chat", "model"): "shop",
            }.get((kind, field.name), SAMPLES.get(field.name))
            if field.name in ("stream", "stream_options", "top_logprobs"):
                continue  # with others, below
            body = {**base, field.name: special}
            if field.name == "max_completion_tokens":
                del body["max_tokens"]
            for value in (None, *field.neutral):
                if field.handling == "refused":
                    yield pytest.param(kind, {**base, field.name: value}, None, id=f"{kind}-{field.name}-{value}")
            refused = field.name if field.handling == "refused" else None
            yield pytest.param(kind, body, refused, id=f"{kind}-{field.name}")
            for value in OTHERS["refused"].get(field.name, ()):
                yield pytest.param(kind, {**base, field.name: value}, field.name, id=f"{kind}-{field.name}-{value}")


@pytest.mark.parametrize(("kind", "arguments", "refused"), calls())
def test_a_field_does_as_the_table_says(
    client: openai.OpenAI, kind: str, arguments: dict[str, Any], refused: str | None
) -> None:
    create: Any = {
        "completions": client.completions.create,
        "chat": client.chat.completions.create,
        "embeddings": client.embeddings.create,
    }[kind]
    if refused is None:
        assert create(**arguments)
        return
    with pytest.raises(openai.BadRequestError) as caught:
        create(**arguments)
    body: Any = caught.value.body
    assert set(body) == {"message", "type", "param", "code"}
    assert body["type"] == "invalid_request_error"
    assert (caught.value.param or "").split(".")[0] == refused
    assert refused in body["message"]


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/v1/completions", {**COMPLETION, "top_k": 5}, "top_k"),
        ("/v1/chat/completions", {**CHAT, "guided_json": {"type": "object"}}, "guided_json"),
        ("/v1/chat/completions", {**CHAT, "top_logprobs": 2}, "top_logprobs"),
        ("/v1/chat/completions", {**CHAT, "max_completion_tokens": 3}, "max_tokens"),
        ("/v1/chat/completions", {**CHAT, "stream_options": {}}, "stream_options"),
        (
            "/v1/chat/completions",
            {**CHAT, "stream": True, "stream_options": {"include_obfuscation": True}},
            "stream_options.include_obfuscation",
        ),
        ("/v1/embeddings", {**EMBEDDING, "truncate": True}, "truncate"),
        ("/v1/fim/completions", {**COMPLETION, "min_tokens": 3}, "min_tokens"),
        *(("/completion", {"prompt": "x", name: value}, name) for name, value in (
            ("grammar", 'root ::= "x"'), ("json_schema", {"type": "object"}), ("n", 2),
            ("ignore_eos", True), ("logit_bias", [[5, 1]]), ("n_probs", 3),
        )),
    ],
)  # fmt: skip
def test_what_is_not_in_a_table_or_goes_with_others_is_refused(
    http: TestClient, path: str, body: dict[str, Any], param: str
) -> None:
    answer = http.post(path, json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


@pytest.mark.parametrize("field", [field for field in LLAMA_CPP_FIELDS if field.neutral])
def test_llama_cpp_s_clients_may_say_what_happens_anyway(http: TestClient, field: RequestField) -> None:
    for value in (None, *field.neutral):
        body = {"prompt": "x", "n_predict": 1, "top_k": 40, field.name: value}
        assert http.post("/completion", json=body).status_code in (200, 400 if value == {} else 200)


def reply_to(http: TestClient, *messages: dict[str, Any]) -> Any:
    return http.post("/v1/chat/completions", json={**TEXT, "messages": list(messages)})


USER = {"role": "user", "content": "x"}
CALLS = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}, "image"),
        ({"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}, "input_audio"),
        ({"role": "user", "content": [{"type": "file", "file": {}}]}, "file"),
        ({"role": "user"}, "content"),
        ({"role": "user", "content": None}, "content"),
        ({"role": "user", "content": "x", "tool_calls": CALLS}, "tool_calls"),
        ({"role": "user", "content": "x", "name": "ann"}, "name"),
        ({"role": "user", "content": "x", "weight": 1}, "weight"),
        ({"role": "assistant", "content": "x", "audio": {"id": "a"}}, "audio"),
        ({"role": "assistant", "tool_calls": CALLS}, "tool_calls"),
        ({"role": "assistant", "function_call": CALLS[0]["function"]}, "tool_calls"),
        ({"role": "assistant", "tool_calls": [{"id": "c", "type": "custom", "custom": {}}]}, "tool_calls"),
        ({"role": "critic", "content": "x"}, "role"),
    ],
)
def test_messages_that_cannot_be_rendered_are_refused(http: TestClient, message: dict[str, Any], param: str) -> None:
    answer = reply_to(http, USER, message, USER)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["param"].startswith("messages")
    assert param in error["message"] + error["param"]


@pytest.mark.parametrize(
    ("message", "equivalent"),
    [
        ({"role": "developer", "content": "x"}, {"role": "system", "content": "x"}),
        (
            {"role": "user", "content": [{"type": "text", "text": t} for t in ("ab", "cd")]},
            {"role": "user", "content": "abcd"},
        ),
        (
            {"role": "assistant", "content": None, "refusal": "no", "tool_calls": [], "audio": None},
            {"role": "assistant", "content": "no"},
        ),
        (
            {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
            {"role": "assistant", "content": "no"},
        ),
    ],
)
def test_messages_that_say_the_same_are_rendered_the_same(
    http: TestClient, message: dict[str, Any], equivalent: dict[str, Any]
) -> None:
    first, second = (reply_to(http, each, USER).json() for each in (message, equivalent))
    assert first["usage"] == second["usage"]
    assert first["choices"] == second["choices"]


def test_the_documentation_has_the_tables() -> None:
    hint = "run `python -m cortex_pipelines.serving.http.openai_fields` and paste its output"
    assert fields_as_markdown() in PAGE.read_text(encoding="utf-8"), hint
