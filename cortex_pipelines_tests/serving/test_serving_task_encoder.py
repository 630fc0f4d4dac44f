"""A task that comes alone is embedded by OpenVINO as by torch."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from cortex_pipelines.embeddings.encoder import EncoderError, SentenceEncoder
from cortex_pipelines.embeddings.query_encoder import QueryEncoder
from cortex_pipelines.serving.engines import task_encoder
from cortex_pipelines.serving.engines.task_encoder import embed_alone
from cortex_pipelines_tests.serving import tinygateway

pytestmark = tinygateway.NEEDS_OPENVINO
TEXTS = ["fix the bug", "", "scan for secrets " * 6, "list all repositories " * 40]  # padded to three lengths


def opened(folder: Path, precision: str) -> QueryEncoder:
    encoder = QueryEncoder(folder, 64, 4, 1, precision, quick=True)
    encoder.open_alone = embed_alone
    return encoder


def test_one_text_is_embedded_as_by_torch(tiny_encoder: Path) -> None:
    exact, rounded = (opened(tiny_encoder, precision) for precision in ("fp32", "bf16"))
    expected = SentenceEncoder(tiny_encoder, 64, 4, 1).encode(TEXTS)
    assert np.abs(expected[0] - expected[2]).max() > 1e-2
    for text, row in zip(TEXTS, expected, strict=True):
        precise, approximate = exact.serve([text])[0], rounded.serve([text])[0]
        assert np.allclose(precise, row, atol=1e-4)
        assert np.allclose(approximate, row, atol=1e-3)
        assert not np.allclose(approximate, precise, atol=1e-5)
        assert (exact.serve([text, TEXTS[0]]) == np.stack([precise, exact.serve(TEXTS[:1])[0]])).all()


def test_torch_embeds_what_openvino_does_not(
    tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    exact = SentenceEncoder(tiny_encoder, 64, 4, 1)
    assert (opened(tiny_encoder, "fp32").serve(TEXTS) == exact.serve(TEXTS, quick=True)).all()
    shutil.copytree(tiny_encoder, tmp_path / "damaged")
    (tmp_path / "damaged" / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(EncoderError, match="cannot be loaded"):
        opened(tmp_path / "damaged", "fp32").serve(TEXTS[:1])
    assert "torch embeds" in caplog.text
    monkeypatch.setattr(task_encoder, "find_spec", lambda name: None)
    assert (opened(tiny_encoder, "fp32").serve(TEXTS[:1]) == exact.serve(TEXTS[:1], quick=True)).all()
