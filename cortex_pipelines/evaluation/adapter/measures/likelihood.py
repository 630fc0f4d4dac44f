"""Score and generate texts with a model, cached by content.

Each text is scored on its own: in a batch its last digits would depend on the other texts, and a cached value would
differ from a recomputed one. Texts with the same prompt share the forward pass over the prompt, which is always
separate, so that they give the same scores together and one by one.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from math import log
from pathlib import Path
from typing import Any

from cortex_pipelines.adapters.data.packing import (
    ForcedStart,
    TokenisedExample,
    divide_segments,
    ends_of_name,
    tokenise,
)
from cortex_pipelines.adapters.model.base_model import (
    BaseModel,
    base_digest,
    load_causal_model,
    load_tokenizer,
    resolve_base,
    resolve_precision,
)
from cortex_pipelines.adapters.model.determinism import pinned_torch
from cortex_pipelines.adapters.model.lora import CONFIGURATION, WEIGHTS, adapter_for, load_adapter
from cortex_pipelines.adapters.training.loss import accepts_logits_to_keep
from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.ingestion.pretrained_models import PinnedModel
from cortex_pipelines.progress import track
from cortex_pipelines.prompts.examples import Example, StopRule, cut, is_complete, prompt_segments
from cortex_pipelines.rowcache import RowCache


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
        seed_text = f"{settings.seed}:{request.sample}:{request.item.example_id}:{request.item.prompt}"
        torch.manual_seed(int.from_bytes(hashlib.sha256(seed_text.encode()).digest()[:8], "big") >> 1)
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


@dataclass(frozen=True)
class _StopAtAnswerEnd:
    tokenizer: Any
    prompt_tokens: int
    space: str
    extent: StopRule

    def __call__(self, ids: Any, _scores: Any, **_: Any) -> Any:
        import torch

        return torch.tensor([is_complete(self.answer(row), self.extent) for row in ids], device=ids.device)

    def answer(self, row: Any) -> str:
        ids = row[self.prompt_tokens :]
        text: str = self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text.removeprefix(self.space)


_ORIGIN = frozenset({"example_id", "task", "path", "language", "kind", "cluster"})
_PLACEHOLDER = "x"  # stands for the completion: an example without one is skipped


@dataclass(frozen=True)
class ItemScore:
    """Score of one item under one model.

    The end token does not count in ``nats``: learning when to stop is not learning the code. ``greedy``: tokens that
    greedy decoding reproduces verbatim; ``end_nats``: negative log probability that a name ends there; ``bytes``: 0 if
    it could not be scored.
    """

    nats: float
    tokens: int
    bytes: int
    greedy: int
    end_nats: float = 0.0
    token_nats: Sequence[float] = ()

    @property
    def bits(self) -> float:
        return self.nats / log(2)

    @property
    def verbatim(self) -> bool:
        return self.tokens > 0 and self.greedy == self.tokens

    @property
    def total_nats(self) -> float:
        return self.nats + self.end_nats


class ItemScorer:
    """Scores items under the base with or without an adapter; the model is loaded lazily."""

    def __init__(self, pinned: PinnedModel, root: Path, settings: EvaluationSettings, cache: RowCache) -> None:
        self._pinned = pinned
        self._root = root
        self._settings = settings
        self.precision = resolve_precision(settings.precision)
        self._cache = cache
        self._contents: dict[Path, str] = {}
        self._prompt: tuple[tuple[int, tuple[int, ...]], Any, Any] | None = None

    def scores(self, items: Sequence[Example], adapter: Path | None, window: int | None = None) -> list[ItemScore]:
        """Log-likelihood of each item's completion; fastest if items with the same prompt are adjacent."""
        window = window or self._settings.max_length
        keys = [["token likelihoods", window, self._content(adapter, item), _visible_fields(item)] for item in items]

        def score(model: Any, index: int) -> dict[str, Any]:
            for example in self.tokenised([items[index]], window):
                if example.text_bytes:
                    return asdict(self._score_tokens(model, example))
            return asdict(ItemScore(0.0, 0, 0, 0))

        return [ItemScore(**row) for row in self._cached(keys, items, adapter, score, "Scoring texts")]

    def tokenised(self, items: Sequence[Example], window: int) -> Iterator[TokenisedExample]:
        return tokenise(self._tokenizer, items, window)

    def first_lines(self, items: Sequence[Example], window: int) -> dict[str, int]:
        """Tokens in the first line of each completion by example id, with its line break and leading white space."""
        lengths = {}
        for example in self.tokenised(items, window):
            text = example.answer
            ends = (count for count in range(1, len(text)) if "\n" in self._tokenizer.decode(text[:count]).lstrip())
            lengths[example.example_id] = next(ends, len(text))
        return lengths

    def outputs(self, requests: Sequence[GenerationRequest], adapter: Path | None) -> list[str]:
        settings, items = self._settings, [request.item for request in requests]
        keys = []
        for request, item in zip(requests, items, strict=True):
            seeded = [item.example_id, request.sample, settings.temperature, settings.seed] if request.sample else []
            parameters = [settings.max_length, answer_token_limit(item, settings), request.extent, seeded]
            visible = _visible_fields(replace(item, completion=""))
            keys.append(["output", parameters, self._content(adapter, item), visible])

        def answer(model: Any, index: int) -> dict[str, Any]:
            prompt_item = replace(items[index], completion=_PLACEHOLDER)
            text = ""
            for example in self.tokenised([prompt_item], settings.max_length):
                prompt = example.ids[: example.prompt_tokens]
                text = generate(model, self._tokenizer, prompt, requests[index], settings)
            return {"text": text}

        rows = self._cached(keys, items, adapter, answer, "Generating")
        return [cut(row["text"], request.extent) for row, request in zip(rows, requests, strict=True)]

    def _cached(
        self,
        keys: Sequence[list[Any]],
        items: Sequence[Example],
        adapter: Path | None,
        compute: Callable[[Any, int], dict[str, Any]],
        description: str,
    ) -> list[dict[str, Any]]:
        """Cached values by key; missing ones are computed, grouped by model."""
        settings = self._settings
        model_key = [base_digest(self._pinned), self.precision, settings.threads]
        values = [self._cache.get(*model_key, *key) for key in keys]
        missing: dict[Path | None, list[int]] = {}
        for index, value in enumerate(values):
            if value is None:
                folder = adapter_for(adapter, items[index].form) if adapter else None
                missing.setdefault(folder, []).append(index)
        for folder, indices in missing.items():
            with pinned_torch(settings.threads, settings.seed), self._model(folder) as model:
                for index in track(indices, description):
                    value = json.dumps(compute(model, index)).encode()
                    self._cache.put(value, *model_key, *keys[index])
                    values[index] = value
        return [json.loads(value) for value in values if value is not None]

    @cached_property
    def _base(self) -> BaseModel:
        return resolve_base(self._pinned, self._root)

    @cached_property
    def _tokenizer(self) -> Any:
        return load_tokenizer(self._base)

    @cached_property
    def _loaded(self) -> Any:
        return load_causal_model(self._base, self.precision)

    @contextmanager
    def _model(self, adapter: Path | None) -> Iterator[Any]:
        if adapter is None:
            yield self._loaded
            return
        model = load_adapter(self._loaded, adapter)
        try:
            yield model
        finally:
            self._prompt = None
            self._loaded = model.unload()

    def _score_tokens(self, model: Any, example: TokenisedExample) -> ItemScore:
        import torch

        prompt = example.ids[: example.prompt_tokens]
        text = example.answer
        is_name = example.task == "naming"
        with torch.no_grad():
            if self._prompt is None or self._prompt[0] != (id(model), prompt):
                ids = torch.tensor([prompt], device=model.device)
                last_only = {"logits_to_keep": 1} if accepts_logits_to_keep(model) else {}
                output = model(input_ids=ids, use_cache=True, **last_only)
                self._prompt = (id(model), prompt), output.logits[:, -1:], output.past_key_values
            _, logits, past = self._prompt
            input_tokens = text if is_name else text[:-1]
            if input_tokens:
                ids = torch.tensor([input_tokens], device=model.device)
                text_logits = model(input_ids=ids, past_key_values=deepcopy(past), use_cache=True).logits
                logits = torch.cat([logits, text_logits], dim=1)
        log_probs = logits[0].to(torch.float32).log_softmax(-1)
        targets = torch.tensor(text, device=model.device)
        text_log_probs = log_probs[: len(text)]
        nats = -text_log_probs.gather(1, targets[:, None])[:, 0].double()
        correct = (text_log_probs.argmax(-1) == targets).long()
        greedy = int(correct.cumprod(0).sum())
        end = 0.0
        if is_name:
            stops = ends_of_name(self._tokenizer, log_probs.shape[1])
            end = -float(log_probs[-1, stops].double().logsumexp(0))
        return ItemScore(float(nats.sum()), len(text), example.text_bytes, greedy, end, nats.tolist())

    def _content(self, adapter: Path | None, item: Example) -> str | None:
        folder = adapter_for(adapter, item.form) if adapter else None
        if folder is None:
            return None
        if folder not in self._contents:
            files = (CONFIGURATION, WEIGHTS)
            digests = b"".join(hashlib.sha256((folder / name).read_bytes()).digest() for name in files)
            self._contents[folder] = hashlib.sha256(digests).hexdigest()
        return self._contents[folder]


def _visible_fields(item: Example) -> dict[str, Any]:
    return {name: value for name, value in asdict(item).items() if name not in _ORIGIN}
