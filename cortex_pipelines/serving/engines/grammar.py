"""Grammars that answers have to match, in GBNF, and the tokens that they allow.

llama.cpp reads GBNF itself; for torch, llguidance (Microsoft, MIT) tells which tokens may follow.
"""

from functools import lru_cache
from typing import Any

from cortex_pipelines.serving.code_end import CodeEnd

_LETTERS = {" ": " ", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
"""Letters as both llama.cpp and llguidance read them."""


def whole_grammar(start: str, answer: str = "") -> str:
    """Rules for a forced start and an ``answer`` as given rules define it, else any text; empty without both."""
    if not start and not answer:
        return ""
    letters = "".join(_LETTERS.get(letter) or f"\\U{ord(letter):08X}" for letter in start)
    return f'root ::= "{letters}" answer\n{answer}' if answer else f'root ::= "{letters}" .*'


def opening_rules(ending: CodeEnd | None) -> str:
    """Rules for an answer that begins as ``ending`` allows and continues with any text; empty for None."""
    if ending is None:
        return ""
    barred = "".join(f"\\U{ord(letter):08X}" for letter in ending.barred)
    space = "" if ending.is_indented else r"[ \t\r\n]* "
    return rf"answer ::= {space}[^ \t\r\n{barred}] .*"


class TokenConstraint:
    """The tokens that may follow, by a grammar; ``accept`` each that was chosen."""

    def __init__(self, tokenizer: Any, size: int, start: str, answer: str) -> None:
        from llguidance import LLMatcher
        from llguidance.gbnf_to_lark import gbnf_to_lark
        from llguidance.numpy import allocate_token_bitmask

        self._matcher = LLMatcher(_guide(tokenizer, size), gbnf_to_lark(whole_grammar(start, answer)))
        if self._matcher.is_error():
            raise ValueError(f"the grammar cannot be used: {self._matcher.get_error()}")
        self._mask = allocate_token_bitmask(1, size)
        self._size = size

    def allowed(self) -> Any:
        """Which tokens may follow: bool of shape (vocabulary,)."""
        import numpy as np
        from llguidance.numpy import fill_next_token_bitmask

        fill_next_token_bitmask(self._matcher, self._mask)
        return np.unpackbits(self._mask[0].view(np.uint8), bitorder="little")[: self._size].astype(bool)

    def accept(self, token: int) -> None:
        self._matcher.consume_token(token)

    @property
    def is_complete(self) -> bool:
        """Whether nothing may follow."""
        return bool(self._matcher.is_stopped())


@lru_cache(maxsize=2)
def _guide(tokenizer: Any, size: int) -> Any:
    from llguidance.hf import from_tokenizer as vocabulary_of

    return vocabulary_of(tokenizer, n_vocab=size)
