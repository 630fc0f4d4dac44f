"""Requests in OpenAI's form, with the bounds that they have here."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

LONGEST = 2_000_000
"""Characters of a text; far beyond any window, and short enough to be tokenised at once."""


def encodable(text: str) -> str:
    """The text, if UTF-8 can hold it; ValueError otherwise."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("the text holds half a surrogate pair, which UTF-8 cannot hold") from error
    return text


Words = Annotated[str, Field(max_length=LONGEST), AfterValidator(encodable)]
TaskText = Annotated[Words, Field(max_length=100_000)]
Short = Annotated[Words, Field(max_length=1000)]
ModelName = Annotated[str, Field(max_length=200), AfterValidator(encodable)]
Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.:@+/-]{0,199}$")]
"""An identity or a version: nothing that a prompt could be hidden in by mistake."""

Stop = Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(encodable)]
Count = Annotated[int, Field(ge=1, le=8)]
Tokens = Annotated[int, Field(ge=0, le=1_000_000)]


class Form(BaseModel):
    """A body: types are strict, numbers finite, and what is not known is ignored."""

    model_config = ConfigDict(extra="ignore", strict=True, allow_inf_nan=False)


class StreamOptions(Form):
    """What a stream holds besides the answer."""

    include_usage: bool = False


class Generation(Form):
    """What every request for text may say."""

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
    user: Short | None = None

    @property
    def stops(self) -> tuple[str, ...]:
        """The stop strings."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())


class CompletionForm(Generation):
    """``POST /v1/completions``."""

    prompt: Words | Annotated[list[Words], Field(min_length=1, max_length=16)]
    suffix: Words | None = None
    max_tokens: Tokens | None = None
    logprobs: Annotated[int, Field(ge=0, le=5)] | None = None
    echo: Literal[False] | None = None
    best_of: Literal[1] | None = None

    @property
    def prompts(self) -> list[str]:
        """The prompts, one answer or more each."""
        return [self.prompt] if isinstance(self.prompt, str) else self.prompt


class TextPart(Form):
    """A part of a message."""

    type: Literal["text"]
    text: Words


class Message(Form):
    """A turn of a conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Words | Annotated[list[TextPart], Field(max_length=1000)] | None = None

    @property
    def text(self) -> str:
        """What is said."""
        if isinstance(self.content, list):
            return "".join(part.text for part in self.content)
        return self.content or ""


class ChatForm(Generation):
    """``POST /v1/chat/completions``."""

    messages: Annotated[list[Message], Field(min_length=1, max_length=1000)]
    max_tokens: Tokens | None = None
    max_completion_tokens: Tokens | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    tools: Annotated[list[Any], Field(max_length=0)] | None = None
    context: Annotated[int, Field(ge=200, le=100_000)] | None = None

    @property
    def question(self) -> str:
        """What the user said last."""
        return next((turn.text for turn in reversed(self.messages) if turn.role == "user"), "")


class GapForm(Generation):
    """``POST /fim/completions``."""

    prompt: Words
    suffix: Words | None = None
    max_tokens: Tokens | None = None
