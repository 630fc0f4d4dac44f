"""What a server with OpenAI's interface sends, as the engines' pieces need it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cortex_pipelines.serving.engines.engine import (
    EngineError,
    Finish,
    GeneratedToken,
    UnavailableError,
)
from cortex_pipelines.serving.token_bytes import alternative, unspelled

_SHOWN = 300
"""Characters of a server's own words that are passed on."""


@dataclass(frozen=True)
class AnswerChunk:
    """A part of an answer.

    Args:
        text: What it adds.
        tokens: The same as tokens, with probabilities where the server gives them.
        finish: Why the answer ends with it; None if it goes on.
    """

    text: str
    tokens: tuple[GeneratedToken, ...]
    finish: Finish | None = None


def message_of(body: bytes) -> str:
    """What a server says of an error, in OpenAI's form or another."""
    text = body.decode("utf-8", "replace")
    try:
        content = json.loads(text)
        error = content.get("error", content)
        text = str(error.get("message", error) if isinstance(error, dict) else error)
    except (ValueError, AttributeError):
        pass
    return " ".join(text.split())[:_SHOWN] or "nothing is said"


def chunk_of(content: str) -> AnswerChunk | None:
    """A part of an answer; None of one without any, such as the counts.

    Raises:
        UnavailableError: the server says that it failed.
        EngineError: it is no part of a completion.
    """
    try:
        read = json.loads(content)
        if "error" in read:
            raise UnavailableError(f"the upstream server failed: {message_of(content.encode())}")
        if not read["choices"]:
            return None
        choice = read["choices"][0]
        text = choice.get("text") or ""
        finish = choice.get("finish_reason")
        if not isinstance(text, str):
            raise TypeError("its text is none")
        end: Finish | None = None if finish is None else "length" if finish == "length" else "stop"
        return AnswerChunk(text, _tokens(choice.get("logprobs"), text), end)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise EngineError(
            f"what the upstream server answers is no completion in OpenAI's form: {error!r}"
        ) from error


def _tokens(scores: Any, text: str) -> tuple[GeneratedToken, ...]:
    """The tokens with their probabilities, in the form of completions or of chats."""
    if not scores:
        return (GeneratedToken(text, None, raw=text.encode(errors="replace")),) if text else ()
    if "content" in scores:
        return tuple(
            GeneratedToken(
                scored["token"],
                float(scored["logprob"]),
                tuple(
                    alternative(_raw(top), float(top["logprob"]))
                    for top in scored.get("top_logprobs", ())
                ),
                _raw(scored),
            )
            for scored in scores["content"]
        )
    tops = scores.get("top_logprobs") or [{}] * len(scores["tokens"])
    return tuple(
        GeneratedToken(
            token,
            float(chance),
            tuple(
                alternative(unspelled(other), float(value)) for other, value in (top or {}).items()
            ),
            unspelled(token),
        )
        for token, chance, top in zip(scores["tokens"], scores["token_logprobs"], tops, strict=True)
    )


def _raw(scored: Mapping[str, Any]) -> bytes:
    """Bytes of a token in the form of chats, which may leave them out."""
    numbers = scored.get("bytes")
    return unspelled(scored["token"]) if numbers is None else bytes(numbers)
