"""Text as tokens, so that only templates write control tokens.

A tokenizer reads the spelling of its control tokens (``<|im_end|>``, ``<filename>``) as the tokens
themselves, wherever it occurs. Code, prompts and messages contain such spellings, too, so a
prompt is a sequence of segments, control or text, and all of it is encoded at once by a copy of the
tokenizer in which each control token is spelt by a secret of this process: text cannot hit one, and
everything else (prefix spaces, stripping, merges across segments) is the tokenizer's own.
"""

import json
import re
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary


@dataclass(frozen=True)
class Segment:
    """``continues``: begins in the middle of a file, so no space of the tokenizer's own may stand before it."""

    text: str
    control: bool = False
    continues: bool = False


Segments = tuple[Segment, ...]


def as_segments(prompt: str | Segments) -> Segments:
    """A prompt as segments; a string is text throughout."""
    if isinstance(prompt, str):
        return (Segment(prompt),) if prompt else ()
    return prompt


def as_text(segments: Segments) -> str:
    """A prompt for people to read, its control tokens spelt out."""
    return "".join(segment.text for segment in segments)


PREFIX, SUFFIX = "{prefix}", "{suffix}"
GAP_FORMATS: Mapping[str, tuple[str, ...]] = {
    "starcoder": ("<fim_prefix>", PREFIX, "<fim_suffix>", SUFFIX, "<fim_middle>"),
    "qwen": ("<|fim_prefix|>", PREFIX, "<|fim_suffix|>", SUFFIX, "<|fim_middle|>"),
    "deepseek": (
        *("<\uff5cfim\u2581begin\uff5c>", PREFIX, "<\uff5cfim\u2581hole\uff5c>", SUFFIX),
        "<\uff5cfim\u2581end\uff5c>",
    ),
    "codellama": ("\u2581<PRE>", PREFIX, "\u2581<SUF>", SUFFIX, "\u2581<MID>"),
    "codestral": ("[SUFFIX]", SUFFIX, "[PREFIX]", PREFIX),
}
"""How base models were trained to see a gap: marks, and the code before and after it in their order."""


def gap_marks(form: Iterable[str]) -> tuple[str, ...]:
    return tuple(part for part in form if part not in (PREFIX, SUFFIX))


_GAP_MARKS = frozenset(mark for form in GAP_FORMATS.values() for mark in gap_marks(form))


def gap_format(tokens: Iterable[str]) -> tuple[str, ...]:
    """The format whose marks are all among a tokenizer's tokens; empty without one."""
    known = frozenset(tokens)
    return next((form for form in GAP_FORMATS.values() if known.issuperset(gap_marks(form))), ())


_ANCHOR = Segment("\n")
_SECRET = secrets.token_hex(16)
_CONTROL_SHAPE = re.compile(r"<[|\uff5c].*[|\uff5c]>|<(start|end)_of_\w+>|<unused\d+>")
_BYTE = re.compile(r"<0x[0-9A-F]{2}>")


class TextEncoder:
    """Encodes text and segments with a tokenizer of the tokenizers library, which is not modified.

    ``template``: templates whose marks are control tokens even where the tokenizer does not call them special, as
    Qwen's ``<tool_call>``. ``max_tokens``: longest prompt, whose end is truncated; None for no limit.
    """

    def __init__(self, backend: Any, template: str = "", max_tokens: int | None = None) -> None:
        self._backend = backend
        self._max_tokens = max_tokens
        added = sorted(backend.get_added_tokens_decoder().items())
        self.controls: Mapping[str, int] = {
            token.content: number for number, token in added if _is_control(token, template)
        }
        """Control tokens and their numbers."""
        contents = {token.content for _, token in added}
        self.blocks = frozenset(
            token.content
            for _, token in added
            if token.content in self.controls and not token.special and contents.issuperset(_pair(token.content))
        )
        """Marks around a part of an answer, as ``<think>`` and ``</think>``."""
        self._names = {text: f"<{_SECRET}:{number}>" for text, number in self.controls.items()}

    def ids(self, prompts: Iterable[str | Segments], add_special_tokens: bool = False) -> list[Any]:
        """Token numbers of each prompt. ValueError: a control segment is not a control token of this tokenizer."""
        divided = [self._divide(as_segments(prompt)) for prompt in prompts]
        spelled = [self._spell_out(part) for parts in divided for part in parts]
        encoded = iter(self._encode(spelled, add_special_tokens))
        return [
            [number for part in parts for number in next(encoded)[len(self._anchor) if part[:1] == (_ANCHOR,) else 0 :]]
            for parts in divided
        ]

    @cached_property
    def start(self) -> tuple[int, ...]:
        """What the tokenizer begins every text with, as its base was trained to see it; nothing for most."""
        (text_ids,), (all_ids,) = self.ids(["x"]), self.ids(["x"], add_special_tokens=True)
        return tuple(all_ids[: all_ids.index(text_ids[0])])

    def _encode(self, texts: Sequence[str], add_special_tokens: bool) -> list[list[int]]:
        encodings = self._copy.encode_batch(texts, add_special_tokens=add_special_tokens)
        return [
            self._without_bytes.encode(text, add_special_tokens=add_special_tokens).ids
            if _BYTE.search(text) and self._without_bytes is not None
            else encoding.ids
            for text, encoding in zip(texts, encodings, strict=True)
        ]

    @cached_property
    def _anchor(self) -> Sequence[int]:
        """Tokens of a line break, behind which text is encoded that continues; none if no space is added to texts.

        Tokenizers after sentencepiece begin every text with a space.
        """
        if not self._copy.encode("x", add_special_tokens=False).tokens[0].startswith("\u2581"):
            return ()
        anchor, anchored = self._encode([_ANCHOR.text, _ANCHOR.text + "x"], False)
        return anchor if anchored[: len(anchor)] == anchor else ()

    def _divide(self, segments: Segments) -> list[Segments]:
        """Parts that are encoded apart: text that continues stands behind the anchor if no other text is before it."""
        parts: list[Segments] = [()]
        for index, segment in enumerate(segments):
            if segment.continues and self._anchor and (index == 0 or segments[index - 1].control):
                parts.append((_ANCHOR,))
            parts[-1] += (segment,)
        return parts

    def split(self, text: str) -> Segments:
        """Split rendered text into segments; each spelling of a control token is one."""
        if self._pattern is None:
            return as_segments(text)
        parts = self._pattern.split(text)
        return tuple(Segment(part, control=bool(index % 2)) for index, part in enumerate(parts) if part)

    @cached_property
    def _pattern(self) -> re.Pattern[str] | None:
        longest_first = sorted(self.controls, key=len, reverse=True)
        return re.compile(f"({'|'.join(map(re.escape, longest_first))})") if longest_first else None

    def _spell_out(self, segments: Segments) -> str:
        unknown = [each.text for each in segments if each.control and each.text not in self._names]
        if unknown:
            raise ValueError(
                f"{unknown[0]!r} is not a control token of this tokenizer, which has "
                f"{', '.join(list(self._names)[:8]) or 'none'}"
            )
        text = "".join(self._names[each.text] if each.control else each.text for each in segments)
        # half a surrogate pair, as JSON may hold it, is not text that a tokenizer takes
        return text.encode("utf-8", "replace").decode()

    @cached_property
    def _specification(self) -> dict[str, Any]:
        specification: dict[str, Any] = json.loads(self._backend.to_str())
        for token in specification["added_tokens"]:
            token["content"] = self._names.get(token["content"], token["content"])
        _rename(specification["model"], self._names)
        return specification

    @cached_property
    def _copy(self) -> Any:
        return _tokenizer(self._specification, self._max_tokens)

    @cached_property
    def _without_bytes(self) -> Any:
        """A copy for text that spells a byte token, which a unigram model would read as the byte; None for others.

        Lower scores also move the score of unknown letters, so other text is not encoded with it.
        """
        model = self._specification["model"]
        if model["type"] != "Unigram" or not model.get("byte_fallback"):
            return None
        worst = 8 * min(score for _, score in model["vocab"]) - 1
        vocabulary = [[token, worst if _BYTE.fullmatch(token) else score] for token, score in model["vocab"]]
        specification = self._specification | {"model": model | {"vocab": vocabulary}}
        return _tokenizer(specification, self._max_tokens)


_ENCODERS: "WeakKeyDictionary[Any, TextEncoder]" = WeakKeyDictionary()


def encoder_of(tokenizer: Any) -> TextEncoder:
    """The encoder of a transformers tokenizer (cached). ValueError: it is not one of the tokenizers library."""
    encoder = _ENCODERS.get(tokenizer)
    if encoder is None:
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is None:
            raise ValueError(
                f"the base's tokenizer is a {type(tokenizer).__name__}, where one with a "
                "tokenizer.json is expected; name another model in params.yaml under models.base"
            )
        template = json.dumps(getattr(tokenizer, "chat_template", None) or "", ensure_ascii=False)
        encoder = _ENCODERS[tokenizer] = TextEncoder(backend, template)
    return encoder


def token_ids(tokenizer: Any, prompts: Iterable[str | Segments]) -> list[list[int]]:
    """Token numbers of each prompt; no text in it becomes a control token, and none is added."""
    return encoder_of(tokenizer).ids(prompts)


def continuation_ids(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """Token numbers of texts that continue other texts."""
    return token_ids(tokenizer, [(Segment(text, continues=True),) for text in texts])


def text_for_servers(tokenizer: Any, ids: Sequence[int]) -> str:
    """Decode tokens for a server that parses control tokens from text.

    Such a server cannot tell a control token from text that is spelt so; text gets a space behind
    the spelling's first letter.
    """
    encoder = encoder_of(tokenizer)
    start = encoder.start
    ids = ids[len(start) :] if tuple(ids[: len(start)]) == start else ids  # the server's own begins every text so
    numbers = frozenset(encoder.controls.values())
    parts: list[str] = []
    for is_control, run in groupby(ids, key=numbers.__contains__):
        text = tokenizer.decode(list(run), clean_up_tokenization_spaces=False)
        segments = (Segment(text),) if is_control else encoder.split(text)
        parts += [f"{each.text[0]} {each.text[1:]}" if each.control else each.text for each in segments]
    return "".join(parts)


def _is_control(token: Any, template: str) -> bool:
    """Whether an added token is one that templates write, not a word or white space of texts."""
    content = token.content
    if len(content) < 2 or not content.strip(" \t\r\n\u2581"):
        return False
    return bool(
        token.special
        or token.lstrip
        or token.rstrip
        or content in _GAP_MARKS
        or _CONTROL_SHAPE.fullmatch(content)
        or any(json.dumps(mark, ensure_ascii=False)[1:-1] in template for mark in _pair(content))
    )


def _pair(mark: str) -> tuple[str, str]:
    """A mark with its counterpart: ``<think>`` and ``</think>``."""
    return mark, mark.replace("</", "<", 1) if mark.startswith("</") else mark.replace("<", "</", 1)


def _rename(model: dict[str, Any], names: Mapping[str, str]) -> None:
    """Rename tokens of a tokenizer's model, so that no text is split into one of them."""
    if isinstance(model["vocab"], list):
        model["vocab"] = [[names.get(token, token), score] for token, score in model["vocab"]]
    else:
        model["vocab"] = {names.get(token, token): n for token, n in model["vocab"].items()}
    if model.get("unk_token"):
        model["unk_token"] = names.get(model["unk_token"], model["unk_token"])
    if "merges" in model:
        pairs = (pair if isinstance(pair, list) else pair.split(" ") for pair in model["merges"])
        model["merges"] = [pair for pair in pairs if names.keys().isdisjoint((*pair, "".join(pair)))]


def _tokenizer(specification: Mapping[str, Any], max_tokens: int | None) -> Any:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(json.dumps(specification))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    if max_tokens is not None:
        tokenizer.enable_truncation(max_tokens)
    return tokenizer


def counter_of(path: Path) -> Callable[[str], int]:
    """A function that counts tokens as the ``tokenizer.json`` at ``path`` does.

    It makes the copy that encoding any text needs only for a text that spells a control token or a byte.
    """
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(path))
    encoder = TextEncoder(tokenizer)

    def count(text: str) -> int:
        if len(encoder.split(text)) > 1 or "<0x" in text:
            return len(encoder.ids([text])[0])
        return len(tokenizer.encode(text, add_special_tokens=False).ids)

    return count


def tokens_with_ends(tokenizer: Any, text: str) -> tuple[list[int], list[int]]:
    """Token numbers of a text and the character at which each ends; no text in it becomes a control token."""
    segments = encoder_of(tokenizer).split(text)
    # its first letter changed, the spelling of a control token is text, of the same length
    plain = "".join(f"?{each.text[1:]}" if each.control else each.text for each in segments)
    encoded = tokenizer(plain, add_special_tokens=False, return_offsets_mapping=True)
    return encoded["input_ids"], [end for _, end in encoded["offset_mapping"]]
