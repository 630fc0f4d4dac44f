"""Split prompt and completion at a token boundary.

Tokenizers merge white space with the following word, so tokenising a prompt that ends in a newline
and a body that begins with spaces separately gives tokens that never occur in files. Trailing white
space of a prompt therefore belongs to the completion: in training, in scoring, and in generation,
which is forced to begin with it (token healing).
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from cortex_pipelines.tokenization.segments import Segment, Segments
from cortex_pipelines.tokenization.text_encoder import token_ids


def divide(prompt: str) -> tuple[str, str]:
    context = prompt.rstrip()
    return context, prompt[len(context) :]


def divide_segments(prompt: Segments) -> tuple[Segments, str]:
    """Split trailing white space off a prompt; a control token ends it."""
    remaining, space = list(prompt), ""
    while remaining and not remaining[-1].control:
        text, trailing = divide(remaining.pop().text)
        space = trailing + space
        if text:
            remaining.append(Segment(text))
            break
    return tuple(remaining), space


class ForcedStart:
    """Force generation to begin with a given text; for ``logits_processor``."""

    def __init__(self, tokenizer: Any, prompt_tokens: int, start: str) -> None:
        self._tokenizer = tokenizer
        self._prompt_tokens = prompt_tokens
        self._start = start

    def __call__(self, ids: Any, scores: Any) -> Any:
        import torch

        for row, row_scores in zip(ids, scores, strict=True):
            generated = self._tokenizer.decode(row[self._prompt_tokens :], clean_up_tokenization_spaces=False)
            remaining = self._start[len(generated) :]
            if not remaining:
                continue
            allowed = [
                token
                for token, text in enumerate(token_texts(self._tokenizer, len(row_scores)))
                if text and (text.startswith(remaining) or remaining.startswith(text))
            ]
            if allowed:
                barred = torch.ones_like(row_scores, dtype=torch.bool)
                barred[allowed] = False
                row_scores[barred] = -torch.inf
        return scores


@lru_cache(maxsize=2)
def ends_of_name(tokenizer: Any, size: int) -> list[int]:
    """Tokens that cannot continue a name: they do not begin with a letter, digit or ``_``.

    Args:
        tokenizer: A transformers tokenizer.
        size: Number of tokens that the model scores.
    """
    texts = token_texts(tokenizer, size)
    return [
        token
        for token, text in enumerate(texts)
        if not (text and (text[0].isalnum() or text[0] in "_$\N{REPLACEMENT CHARACTER}"))
    ]


@lru_cache(maxsize=2)
def token_texts(tokenizer: Any, size: int) -> Sequence[str]:
    """Text of each token; empty for special tokens and beyond the vocabulary."""
    (prefix,) = token_ids(tokenizer, ["x"])
    vocabulary_size = min(size, len(tokenizer))
    # decoded after another token: some tokenizers drop a text's leading space
    texts = tokenizer.batch_decode(
        [[*prefix, token] for token in range(vocabulary_size)],
        skip_special_tokens=True,
        clean_up_tokenization_spaces=False,
    )
    return [text.removeprefix("x") for text in texts] + [""] * (size - vocabulary_size)
