"""Score and generate texts with a model, cached by content.

Each text is scored on its own: in a batch its last digits would depend on the other texts, and a
cached value would differ from a recomputed one. Texts with the same prompt share the forward pass
over the prompt, which is always separate, so that they give the same scores together and one by
one.
"""

import hashlib
import inspect
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from math import inf, log
from pathlib import Path
from typing import Any

from cortex_pipelines.adapters.data.boundary import ends_of_name
from cortex_pipelines.adapters.data.packing import TokenisedExample, tokenise
from cortex_pipelines.adapters.model.base_model import (
    BaseModel,
    base_digest,
    load_causal_model,
    load_tokenizer,
    resolve_base,
)
from cortex_pipelines.adapters.model.determinism import pinned_torch
from cortex_pipelines.adapters.model.lora import CONFIGURATION, WEIGHTS, adapter_for, load_adapter
from cortex_pipelines.evaluation.generation.sampling import GenerationRequest, generate, most_tokens
from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.ingestion.pretrained_models import PinnedModel
from cortex_pipelines.progress import track
from cortex_pipelines.prompts.examples import Example
from cortex_pipelines.prompts.stopping import cut
from cortex_pipelines.rowcache import RowCache

_ORIGIN = frozenset({"example_id", "task", "path", "language", "kind", "cluster"})
_SOMETHING = "x"  # an example without a completion would be left out


@dataclass(frozen=True)
class ItemScore:
    """Score of one item under one model.

    Args:
        nats: Negative log likelihood of the completion's text; the end mark does not count, or
            learning when to stop would look like learning the code.
        tokens: Tokens scored.
        bytes: UTF-8 bytes that they stand for; 0 if nothing of the item could be scored.
        greedy: How many of the first tokens are each the likeliest one: what greedy generation
            would write verbatim.
        end_nats: Negative log probability that a name ends with the completion, whatever comes
            then; 0 where no name is asked for.
        token_nats: Negative log likelihood of each token; their sum is ``nats``.
    """

    nats: float
    tokens: int
    bytes: int
    greedy: int
    end_nats: float = 0.0
    token_nats: Sequence[float] = ()

    @property
    def bits(self) -> float:
        """Negative log-likelihood in bits."""
        return self.nats / log(2)

    @property
    def verbatim(self) -> bool:
        """Whether greedy decoding reproduces the completion exactly."""
        return self.tokens > 0 and self.greedy == self.tokens

    @property
    def total_nats(self) -> float:
        """Nats of the text and, where a name is asked for, of its end."""
        return self.nats + self.end_nats

    @property
    def nats_per_byte(self) -> float:
        """Nats per byte, to compare texts of different length; infinite without bytes."""
        return self.total_nats / self.bytes if self.bytes else inf


class ItemScorer:
    """Scores items under the base with or without an adapter; the model is loaded lazily.

    Args:
        pinned: The base.
        root: Project root.
        settings: Window, precision and threads; part of what a score is kept by.
        cache: Where scores are kept.
    """

    def __init__(
        self, pinned: PinnedModel, root: Path, settings: EvaluationSettings, cache: RowCache
    ) -> None:
        self._pinned = pinned
        self._root = root
        self._settings = settings
        self._cache = cache
        self._contents: dict[Path, str] = {}
        self._prompt: tuple[tuple[int, tuple[int, ...]], Any, Any] | None = None

    def scores(
        self, items: Sequence[Example], adapter: Path | None, window: int | None = None
    ) -> list[ItemScore]:
        """Log-likelihood of each item's completion.

        Args:
            items: Held-out examples; those with the same prompt are best given together.
            adapter: Folder of the adapter; None for the base alone.
            window: Most tokens of an item; the settings' when absent.
        """
        window = window or self._settings.max_length
        keys = [
            ["token likelihoods", window, self._content(adapter, item), _asked(item)]
            for item in items
        ]
        rows = self._cached(
            keys,
            items,
            adapter,
            lambda model, at: self._score(model, items[at], window),
            "Scoring texts",
        )
        return [ItemScore(**row) for row in rows]

    def tokenised(self, items: Sequence[Example], window: int) -> Iterator[TokenisedExample]:
        """Tokens of items as the base sees them; see ``tokenise``."""
        return tokenise(self._tokenizer, items, window)

    def first_lines(self, items: Sequence[Example], window: int) -> dict[str, int]:
        """How many tokens of each completion, by identity, make up its first line.

        The break that ends the line counts to it, as does white space before it.
        """
        lengths = {}
        for example in self.tokenised(items, window):
            text = example.ids[example.prompt_tokens :][: example.text_tokens]
            ends = (
                count
                for count in range(1, len(text))
                if "\n" in self._tokenizer.decode(text[:count]).lstrip()
            )
            lengths[example.example_id] = next(ends, len(text))
        return lengths

    @property
    def vocabulary(self) -> int:
        """Number of different tokens."""
        return len(self._tokenizer)

    def outputs(self, requests: Sequence[GenerationRequest], adapter: Path | None) -> list[str]:
        """Generate an answer to each request, cut at its end.

        Args:
            requests: What is asked.
            adapter: Folder of the adapter; None for the base alone.
        """
        keys = [self._request_key(request, adapter) for request in requests]
        items = [request.item for request in requests]
        rows = self._cached(
            keys, items, adapter, lambda model, at: self._write(model, requests[at]), "Generating"
        )
        return [
            cut(row["text"], request.extent) for row, request in zip(rows, requests, strict=True)
        ]

    def _request_key(self, request: GenerationRequest, adapter: Path | None) -> list[Any]:
        settings = self._settings
        seeded = [request.item.example_id, request.sample, settings.temperature, settings.seed]
        drawn = seeded if request.sample else []
        most = most_tokens(request.item, settings)
        how = [settings.max_length, most, request.extent, drawn]
        asked = _asked(replace(request.item, completion=""))
        return ["output", how, self._content(adapter, request.item), asked]

    def _cached(
        self,
        keys: Sequence[list[Any]],
        items: Sequence[Example],
        adapter: Path | None,
        compute: Callable[[Any, int], dict[str, Any]],
        doing: str,
    ) -> list[dict[str, Any]]:
        """Values by key; missing ones are computed, model by model."""
        settings = self._settings
        how = [base_digest(self._pinned), settings.precision, settings.threads]
        known = [self._cache.get(*how, *key) for key in keys]
        missing: dict[Path | None, list[int]] = {}
        for place, value in enumerate(known):
            if value is None:
                missing.setdefault(_of_item(adapter, items[place]), []).append(place)
        for folder, places in missing.items():
            with pinned_torch(settings.threads, settings.seed), self._model(folder) as model:
                for place in track(places, doing):
                    value = json.dumps(compute(model, place)).encode()
                    self._cache.put(value, *how, *keys[place])
                    known[place] = value
        return [json.loads(value) for value in known if value is not None]

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
        """The base model with an adapter attached within a context."""
        if adapter is None:
            yield self._loaded
            return
        model = load_adapter(self._loaded, adapter)
        try:
            yield model
        finally:
            self._prompt = None
            self._loaded = model.unload()

    def _score(self, model: Any, item: Example, window: int) -> dict[str, Any]:
        for example in self.tokenised([item], window):
            if example.text_bytes:
                return asdict(self._continued(model, example))
        return asdict(ItemScore(0.0, 0, 0, 0))

    def _continued(self, model: Any, example: TokenisedExample) -> ItemScore:
        """Score one text; the prompt's forward pass is reused for the next."""
        import torch

        prompt = example.ids[: example.prompt_tokens]
        text = example.ids[example.prompt_tokens :][: example.text_tokens]
        whole = example.task == "naming"
        with torch.no_grad():
            if self._prompt is None or self._prompt[0] != (id(model), prompt):
                ids = torch.tensor([prompt], device=model.device)
                output = model(input_ids=ids, use_cache=True, **_last_only(model))
                self._prompt = (id(model), prompt), output.logits[:, -1:], output.past_key_values
            _, logits, past = self._prompt
            read = text if whole else text[:-1]
            if read:
                ids = torch.tensor([read], device=model.device)
                more = model(input_ids=ids, past_key_values=deepcopy(past), use_cache=True).logits
                logits = torch.cat([logits, more], dim=1)
        chances = logits[0].to(torch.float32).log_softmax(-1)
        targets = torch.tensor(text, device=model.device)
        own = chances[: len(text)]
        nats = -own.gather(1, targets[:, None])[:, 0].double()
        right = (own.argmax(-1) == targets).long()
        greedy = int(right.cumprod(0).sum())
        end = 0.0
        if whole:
            stops = ends_of_name(self._tokenizer, chances.shape[1])
            end = -float(chances[-1, stops].double().logsumexp(0))
        return ItemScore(
            float(nats.sum()), len(text), example.text_bytes, greedy, end, nats.tolist()
        )

    def _write(self, model: Any, request: GenerationRequest) -> dict[str, Any]:
        text = ""
        asked = replace(request.item, completion=_SOMETHING)
        for example in self.tokenised([asked], self._settings.max_length):
            prompt = example.ids[: example.prompt_tokens]
            text = generate(model, self._tokenizer, prompt, request, self._settings)
        return {"text": text}

    def _content(self, adapter: Path | None, item: Example) -> str | None:
        """Hash of the adapter's files, independent of the folder."""
        folder = _of_item(adapter, item)
        if folder is None:
            return None
        if folder not in self._contents:
            parts = [(folder / name).read_bytes() for name in (CONFIGURATION, WEIGHTS)]
            joined = b"".join(hashlib.sha256(part).digest() for part in parts)
            self._contents[folder] = hashlib.sha256(joined).hexdigest()
        return self._contents[folder]


def _last_only(model: Any) -> dict[str, Any]:
    """Arguments that compute logits for the last position only, where supported."""
    causal = model.get_base_model() if hasattr(model, "get_base_model") else model
    known = "logits_to_keep" in inspect.signature(causal.forward).parameters
    return {"logits_to_keep": 1} if known else {}


def _of_item(adapter: Path | None, item: Example) -> Path | None:
    return adapter_for(adapter, item.form) if adapter else None


def _asked(item: Example) -> dict[str, Any]:
    """Content of an example that a model sees or writes, without its origin."""
    return {name: value for name, value in asdict(item).items() if name not in _ORIGIN}
