"""Schemas of OpenAI's requests, with this gateway's bounds."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    field_validator,
    model_validator,
)

from cortex_pipelines.prompts.chat_rendering import ChatMessage, ToolCall
from cortex_pipelines.serving.engines.engine import Sampling
from cortex_pipelines.serving.http.errors import RequestError
from cortex_pipelines.serving.http.openai_fields import FIELDS, RequestField, require_supported

LONGEST = 2_000_000
"""Longest text in characters; far beyond any window, short enough to tokenize at once."""


_LEAST_TEMPERATURE = 1e-5
"""Below it only the likeliest token has a chance, and logits divided by it may overflow. vLLM's bound, too."""


def effective_temperature(temperature: float | None) -> float:
    return temperature if temperature and temperature >= _LEAST_TEMPERATURE else 0.0


def encodable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("the text holds half a surrogate pair, which UTF-8 cannot hold") from error
    return text


def no_tokens(texts: Any) -> Any:
    if isinstance(texts, list) and texts and isinstance(texts[0], int | list):
        raise ValueError("text is expected, or a list of texts; send what the tokens stand for")
    return texts


def require_words(text: str) -> str:
    if not text.strip():
        raise ValueError("it is empty; say in a sentence what is to be done")
    return text


LongText = Annotated[str, Field(max_length=LONGEST), AfterValidator(encodable)]
TaskText = Annotated[LongText, Field(max_length=100_000)]
RoutedText = Annotated[TaskText, AfterValidator(require_words)]
ShortText = Annotated[LongText, Field(max_length=1000)]
ModelName = Annotated[str, Field(max_length=200), AfterValidator(encodable)]
Stop = Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(encodable)]
Count = Annotated[int, Field(ge=1, le=8)]
Tokens = Annotated[int, Field(ge=0, le=1_000_000)]


class Form(BaseModel):
    """Base of request bodies: strict types, finite numbers, unknown fields ignored."""

    model_config = ConfigDict(extra="ignore", strict=True, allow_inf_nan=False)


class OpenAIForm(Form):
    """A body whose unsupported fields are refused if they would change the answer."""

    api_fields: ClassVar[tuple[RequestField, ...]] = ()
    refuses_unknown: ClassVar[bool] = True

    @model_validator(mode="before")
    @classmethod
    def _require_supported(cls, body: Any) -> Any:
        if isinstance(body, Mapping):
            field_names = cls.model_fields if cls.refuses_unknown else None
            require_supported(body, cls.api_fields, field_names)
        return body


class StreamOptions(OpenAIForm):
    api_fields = FIELDS["stream_options"]
    include_usage: bool | None = None


class Generation(OpenAIForm):
    """Fields common to all requests for text."""

    api_fields = FIELDS["generation"]
    model: ModelName | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    n: Count | None = None
    stop: Stop | Annotated[list[Stop], Field(max_length=16)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    cache_prompt: bool | None = None
    user: ShortText | None = None

    @model_validator(mode="after")
    def _require_stream(self) -> Self:
        if self.stream_options is not None and not self.stream:
            raise RequestError("stream_options: only with stream: true", "stream_options")
        return self

    @property
    def wants_usage(self) -> bool:
        return bool(self.stream_options and self.stream_options.include_usage)

    def sampling(self, most: int, top: int = 0) -> Sampling:
        """Decoding parameters of a request; greedy unless it sets a temperature."""
        return Sampling(
            most,
            effective_temperature(self.temperature),
            1.0 if self.top_p is None else self.top_p,
            self.seed,
            (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ()),
            top,
            self.presence_penalty or 0.0,
            self.frequency_penalty or 0.0,
            self.cache_prompt is not False,
        )


class CompletionForm(Generation):
    """``POST /v1/completions``."""

    api_fields = FIELDS["completions"]
    prompt: Annotated[
        LongText | Annotated[list[LongText], Field(min_length=1, max_length=128)], BeforeValidator(no_tokens)
    ]
    suffix: LongText | None = None
    max_tokens: Tokens | None = None
    logprobs: Annotated[int, Field(ge=0, le=5)] | None = None
    best_of: Count | None = None

    @model_validator(mode="after")
    def _require_all_answers(self) -> Self:
        if self.best_of not in (None, self.n or 1):
            raise RequestError("best_of: only as many as n, since every answer is returned", "best_of")
        return self


class TextPart(Form):
    type: Literal["text"]
    text: LongText


class RefusalPart(Form):
    type: Literal["refusal"]
    refusal: LongText

    @property
    def text(self) -> str:
        return self.refusal


class FunctionCall(Form):
    name: ShortText
    arguments: LongText


class FunctionToolCall(Form):
    """A tool call, with the id that its result refers to."""

    id: ShortText
    type: Literal["function"] = "function"
    function: FunctionCall


def _part_type(part: Any) -> Any:
    return part.get("type") if isinstance(part, Mapping) else getattr(part, "type", None)


Part = Annotated[Annotated[TextPart, Tag("text")] | Annotated[RefusalPart, Tag("refusal")], Discriminator(_part_type)]

_LEGACY_CALL = "function_call"
"""Id for calls in the older format, which has none."""


class Message(OpenAIForm):
    """A turn of a conversation."""

    api_fields = FIELDS["messages"]
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: LongText | Annotated[list[Part], Field(max_length=1000)] | None = None
    name: ShortText | None = None
    refusal: LongText | None = None
    tool_calls: Annotated[list[FunctionToolCall], Field(max_length=128)] | None = None
    function_call: FunctionCall | None = None
    tool_call_id: ShortText | None = None

    @field_validator("content", mode="before")
    @classmethod
    def _require_text(cls, content: Any) -> Any:
        for part in content if isinstance(content, list) else ():
            if (kind := _part_type(part)) not in ("text", "refusal"):
                raise RequestError(f"parts of type {str(kind)[:50]} cannot be read; send text, as type: text")
        return content

    @model_validator(mode="after")
    def _require_consistent(self) -> Self:
        assistant = self.role == "assistant"
        for field in ("tool_calls", "function_call", "refusal"):
            if getattr(self, field) and not assistant:
                raise RequestError(f"{field}: only of messages with the role assistant", field)
        calls = self.tool_calls or self.function_call
        if self.content is None and not (assistant and (calls or self.refusal)):
            raise RequestError("content: expected, a text or a list of parts", "content")
        return self

    @property
    def text(self) -> str:
        if isinstance(self.content, list):
            return "".join(part.text for part in self.content)
        return self.content or self.refusal or ""

    def as_chat_message(self) -> ChatMessage:
        calls = [ToolCall(call.id, call.function.name, call.function.arguments) for call in self.tool_calls or ()]
        if self.function_call is not None:
            call = self.function_call
            calls.append(ToolCall(_LEGACY_CALL, call.name, call.arguments))
        role, call_id = self.role, self.tool_call_id or ""
        if role == "function":
            role, call_id = "tool", _LEGACY_CALL
        return ChatMessage(role, self.text, self.name or "", tuple(calls), call_id)


class ChatForm(Generation):
    """``POST /v1/chat/completions``."""

    api_fields = FIELDS["chats"]
    messages: Annotated[list[Message], Field(min_length=1, max_length=1000)]
    max_tokens: Tokens | None = None
    max_completion_tokens: Tokens | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    context: Annotated[int, Field(ge=200, le=100_000)] | None = None

    @model_validator(mode="after")
    def _require_one_limit(self) -> Self:
        if None not in (self.max_tokens, self.max_completion_tokens) and (
            self.max_tokens != self.max_completion_tokens
        ):
            raise RequestError("max_tokens: not the same as max_completion_tokens", "max_tokens")
        if self.top_logprobs and not self.logprobs:
            raise RequestError("top_logprobs: only with logprobs: true", "top_logprobs")
        return self


class GapForm(Generation):
    """``POST /fim/completions``."""

    prompt: LongText
    suffix: LongText | None = None
    max_tokens: Tokens | None = None
