"""What a model writes after a prompt: greedily, or drawn by a seed."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cortex_pipelines.adapters.data.examples import Example
from cortex_pipelines.evaluation.generation.stopping import StopRule, is_complete
from cortex_pipelines.evaluation.settings import EvaluationSettings


@dataclass(frozen=True)
class Request:
    """What a model is asked to write.

    Args:
        item: The example; its completion is not looked at.
        extent: Where the answer ends; see ``extents``.
        sample: Number of the sample; 0 is greedy, others are drawn.
    """

    item: Example
    extent: StopRule
    sample: int = 0


def generate(
    model: Any,
    tokenizer: Any,
    prompt: Sequence[int],
    request: Request,
    settings: EvaluationSettings,
) -> str:
    """The text after a prompt, up to a little behind where the answer ends.

    Args:
        model: A causal language model.
        tokenizer: Its tokenizer.
        prompt: Tokens of the prompt.
        request: Where the answer ends, and which sample it is.
        settings: Most tokens, temperature and seed.
    """
    import torch
    from transformers import StoppingCriteriaList

    ids = torch.tensor([prompt], device=model.device)
    how: dict[str, Any] = {"do_sample": False}
    if request.sample:
        torch.manual_seed(_seed_of(settings.seed, request))
        how = {"do_sample": True, "temperature": settings.temperature, "top_k": 0, "top_p": 1.0}
    enough = _Enough(tokenizer, len(prompt), request.extent)
    with torch.no_grad():
        written = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=settings.max_new_tokens,
            pad_token_id=tokenizer.eos_token_id,
            stopping_criteria=StoppingCriteriaList([enough]),
            **how,
        )
    text: str = tokenizer.decode(written[0, len(prompt) :], skip_special_tokens=True)
    return text


class _Enough:
    """Stops generation when the answer has ended."""

    def __init__(self, tokenizer: Any, prompt_tokens: int, extent: StopRule) -> None:
        self._tokenizer = tokenizer
        self._prompt_tokens = prompt_tokens
        self._extent = extent

    def __call__(self, ids: Any, _scores: Any, **_: Any) -> Any:
        """Whether each row is done, as transformers asks after each token."""
        import torch

        done = [
            is_complete(
                self._tokenizer.decode(row[self._prompt_tokens :], skip_special_tokens=True),
                self._extent,
            )
            for row in ids
        ]
        return torch.tensor(done, device=ids.device)


def _seed_of(seed: int, request: Request) -> int:
    told = f"{seed}:{request.sample}:{request.item.example_id}:{request.item.prompt}"
    return int.from_bytes(hashlib.sha256(told.encode()).digest()[:8], "big") >> 1
