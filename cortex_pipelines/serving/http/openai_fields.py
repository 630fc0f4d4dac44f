"""Every field of OpenAI's requests, and what the gateway does with it.

A field that would change the answer is never ignored: it is supported, it has no effect on the
answer, or it is refused by name unless its value is the default behaviour. The table in the
documentation is generated from these rows: ``python -m
cortex_pipelines.serving.http.openai_fields``.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from cortex_pipelines.serving.http.errors import RequestError

_EMPTY: tuple[Any, ...] = (None, [], {}, "")
"""Values that clients send for fields they leave out."""

Handling = Literal["supported", "no effect", "refused"]


@dataclass(frozen=True)
class RequestField:
    """A field of a request; ``neutral`` are values accepted besides null although the field is refused."""

    name: str
    handling: Handling
    note: str
    neutral: tuple[Any, ...] = ()

    def accepts(self, value: Any) -> bool:
        """Whether the answer would be the same without the field."""
        if self.handling != "refused" or value is None:
            return True
        return any(type(value) is type(each) and value == each for each in self.neutral)

    @property
    def advice(self) -> str:
        if not self.neutral:
            return f"leave {self.name} out"
        values = " or ".join(json.dumps(value) for value in self.neutral)
        return f"leave {self.name} out, or send {values}"


Fields = tuple[RequestField, ...]


def _supported(name: str, note: str = "") -> RequestField:
    return RequestField(name, "supported", note)


def _no_effect(name: str, note: str) -> RequestField:
    return RequestField(name, "no effect", note)


def _refused(name: str, note: str, *neutral: Any) -> RequestField:
    return RequestField(name, "refused", note, neutral)


_NO_BIAS = _refused("logit_bias", "tokens cannot be favoured", {})
_ONE_CHOICE = "models write text and call nothing"

GENERATION_FIELDS: Fields = (
    _supported("model", "the default model if it is missing"),
    _supported("frequency_penalty"),
    _supported("presence_penalty"),
    _supported("n", "1 to 8"),
    _supported("seed"),
    _supported("stop", "a text, or up to 16"),
    _supported("stream"),
    _supported("stream_options", "`include_usage`; only with `stream`"),
    _supported("temperature", "0, the likeliest token, if it is missing"),
    _supported("top_p"),
    _supported("user", "keeps a caller with one variant of a canary or experiment"),
    _NO_BIAS,
)
"""Common to completions and chats."""

COMPLETION_FIELDS: Fields = (
    _supported("prompt", "a text, or up to 16; tokens are refused"),
    *GENERATION_FIELDS,
    _supported("logprobs", "0 to 5"),
    _supported("max_tokens", "at most `serving.max_tokens`"),
    _supported("suffix"),
    _supported("best_of", "only as many as `n`: every answer is returned"),
    _refused("echo", "the prompt is not repeated", False),
)

CHAT_FIELDS: Fields = (
    _supported("messages", "see below"),
    *GENERATION_FIELDS,
    _supported("logprobs"),
    _supported("top_logprobs", "0 to 20; only with `logprobs`"),
    _supported("max_tokens", "at most `serving.max_tokens`"),
    _supported("max_completion_tokens", "the same; not with another `max_tokens`"),
    _no_effect("metadata", "labels of stored answers, and none is stored"),
    _no_effect("parallel_tool_calls", "there are no tools"),
    _no_effect("prediction", "only makes an answer quicker"),
    _no_effect("prompt_cache_key", "prompts are cached by their content"),
    _no_effect("prompt_cache_options", "the same"),
    _no_effect("prompt_cache_retention", "the same"),
    _no_effect("safety_identifier", "callers are known by their keys"),
    _refused("audio", "answers are text"),
    _refused("function_call", _ONE_CHOICE, "none", "auto"),
    _refused("functions", _ONE_CHOICE, []),
    _refused("modalities", "answers are text", ["text"]),
    _refused("moderation", "texts are not moderated"),
    _refused("reasoning_effort", "models answer without reasoning first", "none"),
    _refused("response_format", "the form of an answer cannot be enforced", {"type": "text"}),
    _refused("service_tier", "there is one tier", "auto", "default"),
    _refused("store", "answers are not stored", False),
    _refused("tool_choice", _ONE_CHOICE, "none", "auto"),
    _refused("tools", _ONE_CHOICE, []),
    _refused("verbosity", "the length cannot be set; ask for it in a message", "medium"),
    _refused("web_search_options", "nothing is searched on the web"),
)

EMBEDDING_FIELDS: Fields = (
    _supported("input", "a text, or up to 2,048; tokens are refused"),
    _supported("model", "`code_encoder`"),
    _supported("dimensions", "only the length that the vectors have"),
    _supported("encoding_format", "`float` or `base64`"),
    _no_effect("user", "vectors are the same for everybody"),
)

STREAM_OPTION_FIELDS: Fields = (
    _supported("include_usage"),
    _refused("include_obfuscation", "chunks are not padded", False),
)

LLAMA_CPP_FIELDS: Fields = (
    _refused("grammar", "the form of an answer cannot be enforced", ""),
    _refused("json_schema", "the form of an answer cannot be enforced", {}),
    _refused("response_format", "the form of an answer cannot be enforced", {"type": "text"}),
    _refused("ignore_eos", "an answer ends where the model ends it", False),
    _refused("logit_bias", "tokens cannot be favoured", {}, []),
    _refused("lora", "an adapter is a model here: name it in model", []),
    _refused("n", "one answer is given", 1),
    _refused("n_cmpl", "one answer is given", 1),
    _refused("n_probs", "ask /v1/completions for logprobs", 0),
    _refused("stream_options", "the last chunk has the counts", {}),
)
"""Of ``/completion`` and ``/infill``; other sampling fields, such as ``top_k``, have no effect on
greedy decoding and are ignored."""

MESSAGE_FIELDS: Fields = (
    _supported("role", "`developer` is `system`; `function` is `tool`"),
    _supported("content", "a text, or parts with text, which are joined; other parts are refused"),
    _supported("name", "refused if the base's chat template does not render it"),
    _supported("refusal", "the text of an answer that has no other"),
    _supported("tool_calls", "refused if the base's chat template does not render them"),
    _supported("function_call", "the same"),
    _supported("tool_call_id"),
    _refused("audio", "messages are text"),
)
"""Of a message; calls of custom tools are refused."""


def require_supported(
    body: Mapping[str, Any], fields: Iterable[RequestField], allowed_names: Iterable[str] | None
) -> None:
    """RequestError for a field that would change the answer, or is unknown.

    ``allowed_names`` are further names that are read; None to ignore unknown names.
    """
    rows = {field.name: field for field in fields}
    names = None if allowed_names is None else set(allowed_names)
    for name, value in body.items():
        row = rows.get(name)
        if row is not None and not row.accepts(value):
            raise RequestError(
                f"{name}: not supported with this value ({row.note}); {row.advice}", name, code="unsupported_parameter"
            )
        unknown = row is None and names is not None and name not in names
        if unknown and value not in _EMPTY:
            short_name = name[:100]
            raise RequestError(
                f"{short_name}: not a parameter of this request; leave it out", short_name, code="unknown_parameter"
            )


def fields_as_markdown() -> str:
    tables = (
        ("`/v1/completions`", COMPLETION_FIELDS),
        ("`/v1/chat/completions`", CHAT_FIELDS),
        ("`messages`", MESSAGE_FIELDS),
        ("`stream_options`", STREAM_OPTION_FIELDS),
        ("`/v1/embeddings`", EMBEDDING_FIELDS),
        ("`/completion`, `/infill` (llama.cpp)", LLAMA_CPP_FIELDS),
    )
    return "\n\n".join(_table(title, fields) for title, fields in tables)


def _table(title: str, fields: Iterable[RequestField]) -> str:
    rows = [f"| `{field.name}` | {_handled(field)} | {field.note} |" for field in fields]
    return "\n".join([f"### {title}", "", "| field | | |", "| --- | --- | --- |", *rows])


def _handled(field: RequestField) -> str:
    if not field.neutral:
        return field.handling
    values = " or ".join(f"`{json.dumps(value)}`" for value in field.neutral)
    return f"{field.handling} unless {values}"


if __name__ == "__main__":
    print(fields_as_markdown())
