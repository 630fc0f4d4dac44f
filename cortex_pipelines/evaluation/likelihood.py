"""What held-out items cost a model, and what it writes for them; kept by content.

Each item goes through the model alone: in a batch its last digits would depend on its neighbours,
and a cached value would no longer be what a computation from nothing gives.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from cortex_pipelines.adapters.base_model import (
    BaseModel,
    base_digest,
    load_causal_model,
    load_tokenizer,
    resolve_base,
)
from cortex_pipelines.adapters.determinism import pinned_torch
from cortex_pipelines.adapters.examples import Example
from cortex_pipelines.adapters.lora import CONFIGURATION, WEIGHTS, load_adapter
from cortex_pipelines.adapters.loss import supervised_losses
from cortex_pipelines.adapters.packing import TokenisedExample, packed_row, tokenise
from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.ingestion.weights import PinnedModel
from cortex_pipelines.progress import track
from cortex_pipelines.rowcache import RowCache


@dataclass(frozen=True)
class ItemScore:
    """One item under one model.

    Args:
        nats: Negative log likelihood of the completion's text; the end mark does not count, or
            learning when to stop would look like learning the code.
        tokens: Tokens scored.
        bytes: UTF-8 bytes that they stand for; 0 if nothing of the item could be scored.
    """

    nats: float
    tokens: int
    bytes: int


class ItemScorer:
    """Scores items under the base, with or without an adapter; loads nothing if all is known.

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

    def scores(self, items: Sequence[Example], adapter: Path | None) -> list[ItemScore]:
        """Likelihood of each item's completion.

        Args:
            items: Held-out examples.
            adapter: Folder of the adapter; None for the base alone.
        """
        rows = self._cached("likelihood", items, adapter, self._score)
        return [ItemScore(**row) for row in rows]

    def outputs(self, items: Sequence[Example], adapter: Path | None) -> list[str]:
        """What the model writes after each item's prompt, greedily."""
        return [row["text"] for row in self._cached("output", items, adapter, self._write)]

    def _cached(
        self,
        what: str,
        items: Sequence[Example],
        adapter: Path | None,
        compute: Callable[[Any, Example], dict[str, Any]],
    ) -> list[dict[str, Any]]:
        keys = self._keys(what, items, adapter)
        known = [self._cache.get(*key) for key in keys]
        missing = [place for place, value in enumerate(known) if value is None]
        if missing:
            settings = self._settings
            with pinned_torch(settings.threads, settings.seed), self._model(adapter) as model:
                for place in track(missing, "Scoring held-out items"):
                    value = json.dumps(compute(model, items[place])).encode()
                    self._cache.put(value, *keys[place])
                    known[place] = value
        return [json.loads(value) for value in known if value is not None]

    def _keys(
        self, what: str, items: Sequence[Example], adapter: Path | None
    ) -> list[tuple[Any, ...]]:
        """All that a value depends on: model, item, and how the model is run."""
        settings = self._settings
        written = settings.max_new_tokens if what == "output" else 0
        run = [settings.max_length, written, settings.precision, settings.threads]
        model = [base_digest(self._pinned), _content(adapter)]
        return [(what, model, run, item.prompt, item.completion) for item in items]

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
        """The base, with the adapter on it for the while."""
        if adapter is None:
            yield self._loaded
            return
        model = load_adapter(self._loaded, adapter)
        try:
            yield model
        finally:
            self._loaded = model.unload()

    def _score(self, model: Any, item: Example) -> dict[str, Any]:
        import torch

        for example in self._tokenised(item):
            if example.text_bytes:
                with torch.no_grad():
                    losses = supervised_losses(model, [packed_row([example])])
                nats = float(losses[: example.text_tokens].double().sum())
                return asdict(ItemScore(nats, example.text_tokens, example.text_bytes))
        return asdict(ItemScore(0.0, 0, 0))

    def _write(self, model: Any, item: Example) -> dict[str, Any]:
        import torch

        text = ""
        for example in self._tokenised(item):
            ids = torch.tensor([example.ids[: example.prompt_tokens]], device=model.device)
            with torch.no_grad():
                written = model.generate(
                    input_ids=ids,
                    attention_mask=torch.ones_like(ids),
                    do_sample=False,
                    max_new_tokens=self._settings.max_new_tokens,
                    pad_token_id=self._tokenizer.eos_token_id,
                )
            text = self._tokenizer.decode(written[0, ids.shape[1] :], skip_special_tokens=True)
        return {"text": text}

    def _tokenised(self, item: Example) -> Iterator[TokenisedExample]:
        return tokenise(self._tokenizer, [item], self._settings.max_length)


def _content(adapter: Path | None) -> str | None:
    """Hash of an adapter's files, so that a score is found again wherever the folder is."""
    if adapter is None:
        return None
    parts = [(adapter / name).read_bytes() for name in (CONFIGURATION, WEIGHTS)]
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()
