"""Bytes of single tokens, also if several tokens form one character."""

import json
import re
from functools import lru_cache
from typing import Any, Literal

from cortex_pipelines.serving.engines.engine import Alternative
from cortex_pipelines.tokenization.text_encoder import token_ids

_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_CACHED = 2**17
"""Cached tokens; about one vocabulary."""


@lru_cache(_CACHED)
def token_bytes(tokenizer: Any, token: int) -> bytes | None:
    """Bytes that a token adds to a text: empty if special, None if the vocabulary does not say.

    Args:
        tokenizer: A transformers tokenizer.
        token: Token id.
    """
    added = tokenizer.added_tokens_decoder.get(token)
    if added is not None:
        return b"" if added.special else str(added.content).encode()
    spelling = tokenizer.convert_ids_to_tokens(token)
    kind = _vocabulary_kind(tokenizer)
    if spelling is None or kind == "text":
        return None
    if kind == "byte fallback":
        match = _BYTE.fullmatch(spelling)
        return bytes.fromhex(match[1]) if match else None
    numbers = [_byte_by_letter().get(letter) for letter in spelling]
    return None if None in numbers else bytes(number for number in numbers if number is not None)


@lru_cache(_CACHED)
def alternative_bytes(tokenizer: Any, token: int) -> bytes:
    """Bytes of an alternative token; of a special token, those of its name."""
    added = tokenizer.added_tokens_decoder.get(token)
    raw = str(added.content).encode() if added is not None else token_bytes(tokenizer, token)
    if raw is not None:
        return raw
    # decode after another token, since some tokenizers drop a leading space
    (before,) = token_ids(tokenizer, ["x"])
    text: str = tokenizer.decode([*before, token], clean_up_tokenization_spaces=False)
    return text.removeprefix("x").encode()


def alternative(raw: bytes, logprob: float) -> Alternative:
    """An alternative token from its bytes."""
    return Alternative(spelled(raw), logprob, raw)


def spelled(raw: bytes) -> str:
    """Bytes as text; an incomplete character as ``bytes:`` and hexadecimal digits."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in raw)


def unspelled(text: str) -> bytes:
    """Inverse of ``spelled``."""
    if re.fullmatch(r"bytes:(\\x[0-9A-Fa-f]{2})+", text):
        return bytes.fromhex(text.removeprefix("bytes:").replace("\\x", ""))
    return text.encode(errors="replace")


@lru_cache(8)
def _vocabulary_kind(tokenizer: Any) -> Literal["byte level", "byte fallback", "text"]:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None or backend.decoder is None:
        return "text"
    kinds = _decoder_kinds(json.loads(backend.decoder.__getstate__()))
    if "ByteLevel" in kinds:
        return "byte level"
    return "byte fallback" if "ByteFallback" in kinds else "text"


def _decoder_kinds(decoder: Any) -> set[str]:
    inner = (_decoder_kinds(each) for each in decoder.get("decoders", ()))
    return {decoder["type"]}.union(*inner)


@lru_cache(1)
def _byte_by_letter() -> dict[str, int]:
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    return {letter: byte for byte, letter in bytes_to_unicode().items()}
