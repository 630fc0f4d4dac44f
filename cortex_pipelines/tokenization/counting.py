"""Count a text's tokens without the copy of the tokenizer that encoding any text needs."""

from collections.abc import Callable
from pathlib import Path

from cortex_pipelines.tokenization.text_encoder import TextEncoder


def counter_of(path: Path) -> Callable[[str], int]:
    """A function that counts tokens as the ``tokenizer.json`` at ``path`` does."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(path))
    encoder = TextEncoder(tokenizer)

    def count(text: str) -> int:
        if len(encoder.split(text)) > 1 or "<0x" in text:  # spells a control token or a byte
            return len(encoder.ids([text])[0])
        return len(tokenizer.encode(text, add_special_tokens=False).ids)

    return count
