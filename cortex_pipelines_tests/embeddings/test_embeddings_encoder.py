"""Embeddings: exact whatever the company, and never computed twice."""

import json
import os
import shutil
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from threading import get_ident

import numpy as np
import pytest

from cortex_pipelines.embeddings.bert import BertForward
from cortex_pipelines.embeddings.encoder import (
    HALF,
    EncoderError,
    SentenceEncoder,
    cached_embeddings,
    machine_precision,
    sentence_part,
)
from cortex_pipelines.embeddings.query_encoder import embed_queries, is_supported
from cortex_pipelines.embeddings.threads import (
    _IdleCores,
    _seconds_of_others,
    cores,
    pinned_threads,
    serving_threads,
    side_by_side,
)
from cortex_pipelines.rowcache import RowCache

TEXTS = ["fix the bug", "scan", "", "list all repositories", "plan work", "fix the bug in login"]


@pytest.fixture(scope="module")
def encoder(tiny_encoder: Path) -> SentenceEncoder:
    return SentenceEncoder(tiny_encoder, max_tokens=32, batch=4, threads=1)


def test_an_embedding_does_not_depend_on_its_company(encoder: SentenceEncoder) -> None:
    together = encoder.encode(TEXTS)
    assert (together.shape, together.dtype) == ((len(TEXTS), 4 * 32), np.float32)
    for part, length in enumerate((1.0, 1.0, 1.0, 0.5)):
        assert np.allclose(np.linalg.norm(together[:, part * 32 : (part + 1) * 32], axis=1), length, atol=1e-6)
    for row, text in enumerate(TEXTS):
        assert (encoder.encode([text])[0] == together[row]).all()
    assert (encoder.encode(TEXTS[::-1] * 3)[: len(TEXTS)] == together[::-1]).all()
    assert encoder.encode([]).shape == (0, 4 * 32)


def test_it_is_what_three_layers_say(encoder: SentenceEncoder, tiny_encoder: Path) -> None:
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokens = AutoTokenizer.from_pretrained(tiny_encoder)(TEXTS[0], return_tensors="pt")
    with torch.inference_mode():
        states = AutoModel.from_pretrained(tiny_encoder)(**tokens, output_hidden_states=True).hidden_states
    last, first = states[-1][0], states[1][0]
    top = last.max(dim=0).values
    expected = [last.mean(dim=0), first.mean(dim=0), first.mean(dim=0), top]
    parts = [part / part.norm() for part in expected]
    parts[-1] = parts[-1] / 2
    embedded = encoder.encode(TEXTS[:1])
    assert np.allclose(embedded[0], torch.cat(parts), atol=1e-5)
    assert (sentence_part(embedded) == embedded[:, :32]).all()


def test_serving_and_packed_weights_compute_the_same(encoder: SentenceEncoder, tiny_encoder: Path, monkeypatch) -> None:
    expected = encoder.encode(TEXTS * 3)
    for quick in (False, True):
        assert np.allclose(encoder.serve(TEXTS * 3, quick), expected, atol=1e-5)
    monkeypatch.setattr("cortex_pipelines.embeddings.encoder.idle_cores", lambda: 5)
    assert np.allclose(encoder.serve(TEXTS), expected[: len(TEXTS)], atol=1e-5)
    monkeypatch.setattr("torch.backends.mkldnn.is_available", lambda: False)
    plain = SentenceEncoder(tiny_encoder, max_tokens=32, batch=4, threads=1)
    assert np.allclose(plain.encode(TEXTS), expected[: len(TEXTS)], atol=1e-5)
    assert np.allclose(plain.serve(TEXTS * 3, quick=True), expected, atol=1e-5)


@pytest.mark.parametrize("tokens", [1, 13, 32])
def test_attention_by_products_is_torchs(tiny_encoder: Path, tokens: int) -> None:
    import torch

    config = json.loads((tiny_encoder / "config.json").read_text())
    forward = BertForward(tiny_encoder, config, "fp32")
    projected = torch.randn(5 * tokens, 3 * forward.width, generator=torch.Generator().manual_seed(tokens))
    quick = forward._attend_quickly(2 * projected, 5, tokens)
    assert torch.allclose(quick, forward._attend(2 * projected, 5, tokens), atol=1e-4)
    assert torch.isfinite(forward._attend_quickly(1_000 * projected, 5, tokens)).all()


def test_queries_are_embedded_as_by_torch(encoder: SentenceEncoder, tiny_encoder: Path) -> None:
    assert [is_supported(folder) for folder in (tiny_encoder, tiny_encoder.parent)] == [True, False]
    long = "scan for secrets " * 40  # cut to as many tokens
    expected = encoder.encode([*TEXTS, long])
    assert np.allclose(embed_queries(tiny_encoder, [*TEXTS, long], 32), expected, atol=1e-5)


def test_half_precision_agrees(encoder: SentenceEncoder, tiny_encoder: Path) -> None:
    half, expected = SentenceEncoder(tiny_encoder, 32, 4, 1, "bf16"), sentence_part(encoder.encode(TEXTS * 3))
    for embedded in (half.encode(TEXTS * 3), half.serve(TEXTS * 3, quick=True)):
        assert ((sentence_part(embedded) * expected).sum(axis=1) > 0.99).all()


def test_the_machine_decides_what_auto_means(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in HALF:
        monkeypatch.setattr(f"torch.cpu.{name}", lambda: False)
    assert (machine_precision("bf16"), machine_precision("auto", HALF)) == ("bf16", "fp32")
    monkeypatch.setattr("torch.cpu._is_avx512_bf16_supported", lambda: True)
    assert (machine_precision("fp32", HALF), machine_precision("auto", HALF)) == ("fp32", "bf16")
    assert machine_precision("auto") == "fp32"


def test_an_encoder_of_another_kind_is_read_by_transformers(encoder, tiny_encoder: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_encoder, tmp_path / "other")
    config = json.loads((tmp_path / "other" / "config.json").read_text())
    config["hidden_act"] = "gelu_new"
    (tmp_path / "other" / "config.json").write_text(json.dumps(config))
    other = SentenceEncoder(tmp_path / "other", 32, 4, 1).encode(TEXTS)
    assert ((sentence_part(other) * sentence_part(encoder.encode(TEXTS))).sum(axis=1) > 0.99).all()
    assert not (other == encoder.encode(TEXTS)).all()


def test_odd_texts_are_embedded_too(encoder: SentenceEncoder) -> None:
    vectors = encoder.encode(["\ud800", "\x00\x01", "fix " * 500_000, "日本語", " "])
    assert np.isfinite(vectors).all()
    # what lies beyond the limit changes nothing
    assert (vectors[2] == encoder.encode(["fix " * 1_000])[0]).all()


def test_a_folder_without_a_model_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match=r"models\.encoder"):
        SentenceEncoder(tmp_path, 32, 4, 1)


def test_known_embeddings_need_no_encoder(encoder: SentenceEncoder, tmp_path: Path) -> None:
    cache = RowCache(tmp_path, "1")
    encoded: list[str] = []

    class Counting(SentenceEncoder):
        def __init__(self) -> None:
            pass

        def encode(self, texts: list[str]) -> np.ndarray:  # type: ignore[override]
            encoded.extend(texts)
            return encoder.encode(texts)

    first = cached_embeddings(["fix", "scan", "fix"], Counting, cache, "pin")
    assert encoded == ["fix", "scan"]
    again = cached_embeddings(["scan", "fix", "plan"], Counting, cache, "pin")
    assert encoded == ["fix", "scan", "plan"]
    assert (first[[1, 0]] == again[:2]).all()
    assert (first[0] == first[2]).all()
    cached_embeddings(["fix"], Counting, cache, "another pin")
    assert encoded[-1] == "fix"
    assert cached_embeddings([], Counting, cache, "pin").shape[0] == 0


@pytest.mark.parametrize("pin", [pinned_threads, serving_threads])
def test_threads_are_as_before_afterwards(pin: Callable[[int], AbstractContextManager[None]]) -> None:
    import torch
    from threadpoolctl import ThreadpoolController

    def numpy_threads() -> set[int]:
        return {library["num_threads"] for library in ThreadpoolController().select(user_api="blas").info()}

    before = torch.get_num_threads(), numpy_threads()
    with pin(1):
        assert (torch.get_num_threads(), numpy_threads()) == (1, {1})
    assert (torch.get_num_threads(), numpy_threads()) == before


def test_a_worker_has_one_core_and_work_within_it_one_thread() -> None:
    def inner(part: int) -> tuple[int, set[int]]:
        with side_by_side(lambda _: get_ident(), range(4), 1) as futures:
            return cores(), {future.result() for future in futures}

    with side_by_side(inner, range(3), 1) as futures:
        assert [(count, len(threads)) for count, threads in (future.result() for future in futures)] == [(1, 1)] * 3
    assert cores() == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(("busy", "idle"), [(0.2, 7), (1.2, 6), (7.8, 0), (8.0, 0)])
def test_idle_cores_are_those_that_others_leave(monkeypatch: pytest.MonkeyPatch, busy: float, idle: int) -> None:
    now = 100.0
    monkeypatch.setattr("cortex_pipelines.embeddings.threads.cores", lambda: 8)
    monkeypatch.setattr("cortex_pipelines.embeddings.threads.monotonic", lambda: now)
    monkeypatch.setattr("cortex_pipelines.embeddings.threads._seconds_of_others", lambda: 50 + busy * (now - 100))
    idle_cores = _IdleCores()
    assert idle_cores() == 0
    now = 101.0
    assert idle_cores() == idle


def test_the_time_of_other_processes_is_read() -> None:
    before = _seconds_of_others()
    assert 0 < before <= _seconds_of_others() + 0.1


def test_results_come_in_the_order_of_the_parts() -> None:
    def slow_first(part: int) -> int:
        time.sleep(0.02 / (part + 1))
        return part * 10

    with side_by_side(slow_first, range(6), 1) as futures:
        assert [future.result() for future in futures] == [0, 10, 20, 30, 40, 50]


def test_an_error_in_a_part_is_raised_and_the_rest_is_left() -> None:
    begun: list[int] = []

    def fails(part: int) -> None:
        begun.append(part)
        time.sleep(0.01)
        raise ValueError(f"part {part}")

    def collect() -> None:
        with side_by_side(fails, range(20_000), 1) as futures:
            for future in futures:
                future.result()

    with pytest.raises(ValueError, match="part 0"):
        collect()
    assert len(begun) < 20_000
