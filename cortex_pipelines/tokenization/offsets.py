"""Where each token of a text ends."""

from typing import Any

from cortex_pipelines.tokenization.text_encoder import encoder_of


def tokens_with_ends(tokenizer: Any, text: str) -> tuple[list[int], list[int]]:
    """Token numbers of a text and the character at which each ends; no text in it becomes a control token."""
    segments = encoder_of(tokenizer).split(text)
    # its first letter changed, the spelling of a control token is text, of the same length
    plain = "".join(f"?{each.text[1:]}" if each.control else each.text for each in segments)
    encoded = tokenizer(plain, add_special_tokens=False, return_offsets_mapping=True)
    return encoded["input_ids"], [end for _, end in encoded["offset_mapping"]]
