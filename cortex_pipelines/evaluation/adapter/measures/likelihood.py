"""Score and generate texts with a model, cached by content.

Texts with the same prompt are one batch after one forward pass over the prompt. The last digits of a score depend on
the other texts of its batch, so the cache keeps whole batches: a cached value and a recomputed one are the same.
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
    accepts_logits_to_keep,
    base_digest,
    load_causal_model,
    load_tokenizer,
    resolve_base,
)
from cortex_pipelines.adapters.model.determinism import pinned_torch
from cortex_pipelines.adapters.model.lora import CONFIGURATION, WEIGHTS, adapter_for, load_adapter
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
        self._cache = cache
        self._contents: dict[Path, str] = {}
        self._known: dict[str, ItemScore] = {}

    def scores(self, items: Sequence[Example], adapter: Path | None, window: int | None = None) -> list[ItemScore]:
        """Log-likelihood of each item's completion; those of one prompt are scored together, others one by one."""
        window = window or self._settings.max_length
        names = [json.dumps([window, self._content(adapter, item), _visible_fields(item)]) for item in items]
        groups: dict[str, dict[str, Example]] = {}
        for name, item in zip(names, items, strict=True):
            if name not in self._known:
                groups.setdefault(json.dumps(_visible_fields(replace(item, completion=""))), {})[name] = item
        batches = [list(group.values()) for group in groups.values()]
        keys = [
            ["likelihoods of texts", window, self._content(adapter, batch[0]), *map(_visible_fields, batch)]
            for batch in batches
        ]

        def score(model: Any, index: int) -> dict[str, Any]:
            return {"scores": [asdict(scored) for scored in self._score_texts(model, batches[index], window)]}

        rows = self._cached(keys, [batch[0] for batch in batches], adapter, score, "Scoring texts")
        for group, row in zip(groups.values(), rows, strict=True):
            self._known |= {name: ItemScore(**scored) for name, scored in zip(group, row["scores"], strict=True)}
        return [self._known[name] for name in names]

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
        model_key = [base_digest(self._pinned), settings.precision, settings.threads]
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
        return load_causal_model(self._base, self._settings.precision)

    @contextmanager
    def _model(self, adapter: Path | None) -> Iterator[Any]:
        if adapter is None:
            yield self._loaded
            return
        model = load_adapter(self._loaded, adapter)
        try:
            yield model
        finally:
            self._loaded = model.unload()

    def _score_texts(self, model: Any, items: Sequence[Example], window: int) -> list[ItemScore]:
        """Scores of items with one prompt; where it is truncated it depends on the length of the text."""
        import torch

        scores = [ItemScore(0.0, 0, 0, 0)] * len(items)
        by_prompt: dict[tuple[int, ...], list[tuple[int, TokenisedExample]]] = {}
        for index, item in enumerate(items):
            for example in self.tokenised([item], window):
                if example.text_bytes:
                    by_prompt.setdefault(example.ids[: example.prompt_tokens], []).append((index, example))
        with torch.no_grad():
            for prompt, texts in by_prompt.items():
                texts.sort(key=lambda text: len(text[1].answer))
                for (index, example), logits in zip(
                    texts, _logits(model, prompt, [example.answer for _, example in texts]), strict=True
                ):
                    scores[index] = self._score_tokens(example, logits)
        return scores

    def _score_tokens(self, example: TokenisedExample, logits: Any) -> ItemScore:
        """``logits``: (tokens of the text + 1, vocabulary), of the token after the prompt first."""
        import torch

        text = example.answer
        log_probs = logits.to(torch.float32).log_softmax(-1)
        text_log_probs = log_probs[: len(text)]
        targets = torch.tensor(text, device=logits.device)
        nats = -text_log_probs.gather(1, targets[:, None])[:, 0].double()
        correct = (text_log_probs.argmax(-1) == targets).long()
        greedy = int(correct.cumprod(0).sum())
        end = 0.0
        if example.task == "naming":
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


_BATCH_TOKENS = 512  # of a batch of texts, whose logits take 200 kB each at 50,000 tokens


def _logits(model: Any, prompt: Sequence[int], texts: Sequence[Sequence[int]]) -> Iterator[Any]:
    """Logits (tokens of the text + 1, vocabulary) of each text after a prompt; the texts from short to long."""
    import torch

    short = {"logits_to_keep": 1} if accepts_logits_to_keep(model) else {}
    if len(texts) == 1:
        kept = {name: len(texts[0]) + 1 for name in short}
        yield model(input_ids=torch.tensor([[*prompt, *texts[0]]], device=model.device), **kept).logits[
            0, -len(texts[0]) - 1 :
        ]
        return
    after_prompt = model(input_ids=torch.tensor([prompt], device=model.device), use_cache=True, **short)
    for batch in _batches(texts):
        width = len(batch[-1])
        # what stands behind a text changes nothing before it
        ids = torch.tensor([[*text, *[0] * (width - len(text))] for text in batch], device=model.device)
        past = deepcopy(after_prompt.past_key_values)
        past.batch_repeat_interleave(len(batch))
        first = after_prompt.logits[:, -1:].expand(len(batch), -1, -1)
        logits = torch.cat([first, model(input_ids=ids, past_key_values=past, use_cache=True).logits], dim=1)
        for row, text in zip(logits, batch, strict=True):
            yield row[: len(text) + 1]


def _batches(texts: Sequence[Sequence[int]]) -> Iterator[Sequence[Sequence[int]]]:
    """Divide texts from short to long, so that each part padded to its longest has at most ``_BATCH_TOKENS``."""
    start = 0
    for end in range(1, len(texts) + 1):
        if end == len(texts) or (end + 1 - start) * len(texts[end]) > _BATCH_TOKENS:
            yield texts[start:end]
            start = end


def _visible_fields(item: Example) -> dict[str, Any]:
    return {name: value for name, value in asdict(item).items() if name not in _ORIGIN}
