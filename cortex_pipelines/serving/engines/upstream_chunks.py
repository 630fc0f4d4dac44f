"""Parse the completions of a server with OpenAI's interface."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cortex_pipelines.serving.engines.engine import EngineError, Finish, GeneratedToken, UnavailableError
from cortex_pipelines.serving.token_stream import alternative, unspelled

_SHOWN = 300
"""Longest part of a server's error message that is passed on."""


@dataclass(frozen=True)
class AnswerChunk:
    """Added text and its tokens, with probabilities if the server reports them."""

    text: str
    tokens: tuple[GeneratedToken, ...]
    finish: Finish | None = None


def message_of(body: bytes) -> str:
    text = body.decode("utf-8", "replace")
    try:
        content = json.loads(text)
        error = content.get("error", content)
        text = str(error.get("message", error) if isinstance(error, dict) else error)
    except (ValueError, AttributeError):
        pass
    return " ".join(text.split())[:_SHOWN] or "nothing is said"


def chunk_of(content: str) -> AnswerChunk | None:
    """Parse a chunk; None if it has no choices, such as the usage. UnavailableError or EngineError."""
    try:
        payload = json.loads(content)
        if "error" in payload:
            raise UnavailableError(f"the upstream server failed: {message_of(content.encode())}")
        if not payload["choices"]:
            return None
        choice = payload["choices"][0]
        text = choice.get("text") or ""
        finish = choice.get("finish_reason")
        if not isinstance(text, str):
            raise TypeError("its text is not a string")
        end: Finish | None = None if finish is None else "length" if finish == "length" else "stop"
        return AnswerChunk(text, _tokens(choice.get("logprobs"), text), end)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise EngineError(f"the upstream server's answer is not a completion in OpenAI's format: {error!r}") from error


def _tokens(scores: Any, text: str) -> tuple[GeneratedToken, ...]:
    """Tokens with their probabilities, in the format of completions or of chats."""
    if not scores:
        return (GeneratedToken(text, None, raw=text.encode(errors="replace")),) if text else ()
    if "content" in scores:
        return tuple(
            GeneratedToken(
                scored["token"],
                float(scored["logprob"]),
                tuple(alternative(_raw(top), float(top["logprob"])) for top in scored.get("top_logprobs", ())),
                _raw(scored),
            )
            for scored in scores["content"]
        )
    tops = scores.get("top_logprobs") or [{}] * len(scores["tokens"])
    return tuple(
        GeneratedToken(
            token,
            float(chance),
            tuple(alternative(unspelled(other), float(value)) for other, value in (top or {}).items()),
            unspelled(token),
        )
        for token, chance, top in zip(scores["tokens"], scores["token_logprobs"], tops, strict=True)
    )


def _raw(scored: Mapping[str, Any]) -> bytes:
    numbers = scored.get("bytes")
    return unspelled(scored["token"]) if numbers is None else bytes(numbers)
