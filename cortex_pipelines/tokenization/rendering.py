"""Rendered templates as segments: only the template writes control tokens, never its values."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from cortex_pipelines.tokenization.text_encoder import Segment, Segments, TextEncoder, encoder_of

_STAND_INS = range(0xF0000, 0xFFFFE)  # private use: no template strips, splits or escapes them
_PRIVATE = re.compile(f"[{chr(_STAND_INS.start)}-{chr(_STAND_INS.stop - 1)}]")


class ModelText(str):
    """Text that a model wrote earlier; its block marks (``<think>``) are kept for the template."""

    __slots__ = ()


def render(tokenizer: Any, template: Callable[..., str], /, **values: Any) -> Segments:
    """Render a template; only the template itself writes control tokens.

    In the values, each spelling of a control token is replaced by a letter of the private use area, which the template
    passes on whatever else it does to the text (trims, escapes, splits), and put back in what the template wrote.
    """
    encoder = encoder_of(tokenizer)
    stand_ins = _StandIns(encoder, values)
    segments = encoder.split(template(**stand_ins.substitute(values)))
    return tuple(each if each.control else Segment(stand_ins.restore(each.text)) for each in segments)


def chat_segments(tokenizer: Any, messages: Sequence[Mapping[str, Any]], **more: Any) -> Segments:
    """A conversation in the tokenizer's own chat template, up to the answer; ``more`` goes to the template."""

    def template(conversation: Any, **values: Any) -> str:
        text: str = tokenizer.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True, **values)
        return text

    conversation = [
        {**message, "content": ModelText(message["content"])}
        if message.get("role") == "assistant" and isinstance(message.get("content"), str)
        else message
        for message in messages
    ]
    return render(tokenizer, template, conversation=conversation, **more)


class _StandIns:
    """Private-use letters that the values do not use, in place of control tokens spelt in them."""

    def __init__(self, encoder: TextEncoder, values: Any) -> None:
        used_letters = {letter for text in _strings(values) for letter in text if ord(letter) >= 0xF0000}
        free = (chr(code) for code in _STAND_INS if chr(code) not in used_letters)
        spellings = encoder.controls
        firsts = {spelling[0] for spelling in spellings if not spelling[0].isalnum()}
        self._encoder = encoder
        self._letters = dict(zip([*spellings, *sorted(firsts)], free, strict=False))
        self._spellings = {letter: text for text, letter in self._letters.items()}
        self._beginnings = {text[:end] for text in spellings if text[0] in firsts for end in range(1, len(text))}
        self._longest = max(map(len, spellings), default=0)

    def substitute(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._in_text(value)
        if isinstance(value, Mapping):
            return {self.substitute(key): self.substitute(each) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [self.substitute(each) for each in value]
        return value

    def restore(self, text: str) -> str:
        return _PRIVATE.sub(lambda match: self._spellings.get(match[0], match[0]), text)

    def _in_text(self, text: str) -> str:
        keep = self._encoder.blocks if isinstance(text, ModelText) else frozenset()
        text = "".join(
            self._letters[each.text] if each.control and each.text not in keep else each.text
            for each in self._encoder.split(text)
        )
        # the beginning of a spelling at the end, which the next value might complete
        end = len(text.rstrip())
        for start in range(max(end - self._longest, 0), end):
            if text[start:end] in self._beginnings:
                return text[:start] + self._letters[text[start]] + text[start + 1 :]
        return text


def _strings(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for each in (*value, *value.values()) if isinstance(value, Mapping) else value:
            yield from _strings(each)
