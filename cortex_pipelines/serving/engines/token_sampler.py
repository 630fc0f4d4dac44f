"""Choice of each next token from torch's logits, for the engines that have them in this process; grammars in GBNF.

llama.cpp reads GBNF itself; for torch, llguidance (Microsoft, MIT) tells which tokens may follow.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from cortex_pipelines.adapters.data.packing import barred_before
from cortex_pipelines.serving.code_end import CodeEnd
from cortex_pipelines.serving.engines.engine import Job, Sampling, ScoredToken
from cortex_pipelines.serving.token_stream import StreamedAnswer, tokens_beginning, tokens_indenting

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


class TokenSampler:
    def __init__(self, tokenizer: Any, ends: frozenset[int]) -> None:
        self._tokenizer = tokenizer
        self._ends = ends

    def steps(
        self,
        job: Job,
        index: int,
        answer: StreamedAnswer,
        logits: Any,
        generated_ids: list[int],
        advance: Callable[[int], Any],
    ) -> Iterator[ScoredToken]:
        """Sample the tokens of an answer, which continue ``generated_ids``, with its own seed.

        ``logits``, shape (vocabulary,), follow the prompt; ``advance`` gives those that follow a token.
        """
        import torch

        sampling, device = job.sampling, logits.device
        seed = random.SystemRandom().getrandbits(63) if sampling.seed is None else sampling.seed + index
        generator = torch.Generator(device=device).manual_seed(seed % 2**63)
        start = job.prompt.start + job.prompt.lead
        constraint = None
        if sampling.grammar:
            constraint = TokenConstraint(self._tokenizer, len(logits), job.prompt.start, sampling.grammar)
        while len(generated_ids) < job.most_tokens:
            scores = logits.clone()
            if constraint is not None:
                scores[~torch.from_numpy(constraint.allowed())] = -torch.inf
            elif remaining := start[answer.length :]:
                scores[barred_before(self._tokenizer, len(scores), remaining)] = -torch.inf
            if sampling.ending is not None and answer.is_blank:
                barred = tokens_beginning(self._tokenizer, len(scores), sampling.ending.barred)
                scores[[*self._ends, *barred]] = -torch.inf
                if sampling.ending.is_indented:
                    scores[[*tokens_indenting(self._tokenizer, len(scores), start[answer.length :])]] = -torch.inf
            if sampling.presence or sampling.frequency:
                for token, count in Counter(generated_ids).items():
                    scores[token] -= sampling.presence + sampling.frequency * count
            token = self._sample(scores, sampling, generator)
            generated_ids.append(token)
            yield self._scored(logits, token, sampling.top)
            if constraint is not None:
                constraint.accept(token)
                if constraint.is_complete:
                    return
            logits = advance(token)

    def _sample(self, scores: Any, sampling: Sampling, generator: Any) -> int:
        """A token by its logits, shape (vocabulary,)."""
        import torch

        if sampling.temperature <= 0:
            return int(scores.argmax())
        chances = (scores / sampling.temperature).softmax(-1)
        if sampling.top_p < 1:  # zero all but the likeliest tokens that together reach it; keeps at least one
            ranked, token_ids = chances.sort(descending=True)
            ranked = torch.where(ranked.cumsum(-1) - ranked < sampling.top_p, ranked, 0.0)
            ranked[0] = ranked[0].clamp(min=torch.finfo(ranked.dtype).tiny)
            chances = torch.zeros_like(chances).scatter_(0, token_ids, ranked)
        return int(torch.multinomial(chances, 1, generator=generator))

    def _scored(self, logits: Any, token: int, top: int) -> ScoredToken:
        chances = logits.log_softmax(-1)
        values, likeliest_ids = chances.topk(top) if top else ((), ())
        likeliest = tuple((int(token_id), float(value)) for value, token_id in zip(values, likeliest_ids, strict=True))
        return ScoredToken(token, float(chances[token]), likeliest)
