"""Generate text from a prompt, greedily or sampled with a seed."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cortex_pipelines.adapters.data.boundary import ForcedStart, divide_segments
from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.prompts.examples import Example, prompt_segments
from cortex_pipelines.prompts.stopping import StopRule, is_complete


@dataclass(frozen=True)
class GenerationRequest:
    """``sample`` 0 is greedy, others are drawn; the item's completion is ignored."""

    item: Example
    extent: StopRule
    sample: int = 0


def answer_token_limit(item: Example, settings: EvaluationSettings) -> int:
    return settings.max_test_tokens if item.task == "tests" else settings.max_new_tokens


def generate(
    model: Any, tokenizer: Any, prompt: Sequence[int], request: GenerationRequest, settings: EvaluationSettings
) -> str:
    """Generate after a prompt (tokens without trailing white space) until the answer has ended."""
    import torch
    from transformers import LogitsProcessorList, StoppingCriteriaList

    ids = torch.tensor([prompt], device=model.device)
    sampling: dict[str, Any] = {"do_sample": False}
    if request.sample:
        torch.manual_seed(_seed_of(settings.seed, request))
        sampling = {"do_sample": True, "temperature": settings.temperature, "top_k": 0, "top_p": 1.0}
    _, space = divide_segments(prompt_segments(tokenizer, request.item))
    stop = _StopAtAnswerEnd(tokenizer, len(prompt), space, request.extent)
    with torch.no_grad():
        generated = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=answer_token_limit(request.item, settings),
            pad_token_id=tokenizer.eos_token_id,
            logits_processor=LogitsProcessorList([ForcedStart(tokenizer, len(prompt), space)]),
            stopping_criteria=StoppingCriteriaList([stop]),
            **sampling,
        )
    return stop.answer(generated[0])


class _StopAtAnswerEnd:
    def __init__(self, tokenizer: Any, prompt_tokens: int, space: str, extent: StopRule) -> None:
        self._tokenizer = tokenizer
        self._prompt_tokens = prompt_tokens
        self._space = space
        self._extent = extent

    def __call__(self, ids: Any, _scores: Any, **_: Any) -> Any:
        import torch

        finished = [is_complete(self.answer(row), self._extent) for row in ids]
        return torch.tensor(finished, device=ids.device)

    def answer(self, row: Any) -> str:
        ids = row[self._prompt_tokens :]
        text: str = self._tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text.removeprefix(self._space)


def _seed_of(seed: int, request: GenerationRequest) -> int:
    seed_text = f"{seed}:{request.sample}:{request.item.example_id}:{request.item.prompt}"
    return int.from_bytes(hashlib.sha256(seed_text.encode()).digest()[:8], "big") >> 1
