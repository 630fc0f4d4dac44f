"""Embeddings: exact whatever the company, and never computed twice."""

from pathlib import Path

import numpy as np
import pytest

from cortex_pipelines.routing.encoder import (
    EncoderError,
    SentenceEncoder,
    cached_embeddings,
    pinned_threads,
)
from cortex_pipelines.rowcache import RowCache

TEXTS = ["fix the bug", "scan", "", "list all repositories", "plan work", "fix the bug in login"]


@pytest.fixture(scope="module")
def encoder(tiny_encoder: Path) -> SentenceEncoder:
    return SentenceEncoder(tiny_encoder, max_tokens=32, batch=4, threads=1)


def test_an_embedding_does_not_depend_on_its_company(encoder: SentenceEncoder) -> None:
    together = encoder.encode(TEXTS)
    assert together.shape == (len(TEXTS), 32)
    assert together.dtype == np.float32
    assert np.allclose(np.linalg.norm(together, axis=1), 1.0, atol=1e-6)
    for place, text in enumerate(TEXTS):
        assert (encoder.encode([text])[0] == together[place]).all()
    assert (encoder.encode(TEXTS[::-1] * 3)[: len(TEXTS)] == together[::-1]).all()
    assert encoder.encode([]).shape == (0, 32)


def test_it_is_the_mean_of_the_last_layer(encoder: SentenceEncoder, tiny_encoder: Path) -> None:
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokens = AutoTokenizer.from_pretrained(tiny_encoder)(TEXTS[0], return_tensors="pt")
    with torch.inference_mode():
        states = AutoModel.from_pretrained(tiny_encoder)(**tokens).last_hidden_state[0]
    mean = states.mean(dim=0)
    assert np.allclose(encoder.encode(TEXTS[:1])[0], mean / mean.norm(), atol=1e-6)


def test_odd_texts_are_embedded_too(encoder: SentenceEncoder) -> None:
    odd = ["\ud800", "\x00\x01", "fix " * 500_000, "日本語", " "]
    found = encoder.encode(odd)
    assert np.isfinite(found).all()
    # what lies beyond the limit changes nothing
    assert (found[2] == encoder.encode(["fix " * 1_000])[0]).all()


def test_a_folder_without_a_model_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match=r"models\.encoder"):
        SentenceEncoder(tmp_path, 32, 4, 1)


def test_threads_are_as_before_afterwards() -> None:
    import torch

    before = torch.get_num_threads()
    with pinned_threads(3):
        assert torch.get_num_threads() == 3
    assert torch.get_num_threads() == before


def test_known_embeddings_need_no_encoder(encoder: SentenceEncoder, tmp_path: Path) -> None:
    cache = RowCache(tmp_path, "1")
    seen: list[str] = []

    class Counting(SentenceEncoder):
        def __init__(self) -> None:
            pass

        def encode(self, texts: list[str]) -> np.ndarray:  # type: ignore[override]
            seen.extend(texts)
            return encoder.encode(texts)

    first = cached_embeddings(["fix", "scan", "fix"], Counting, cache, "pin")
    assert seen == ["fix", "scan"]
    again = cached_embeddings(["scan", "fix", "plan"], Counting, cache, "pin")
    assert seen == ["fix", "scan", "plan"]
    assert (first[[1, 0]] == again[:2]).all()
    assert (first[0] == first[2]).all()
    cached_embeddings(["fix"], Counting, cache, "another pin")
    assert seen[-1] == "fix"
    assert cached_embeddings([], Counting, cache, "pin").shape[0] == 0
