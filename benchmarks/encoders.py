"""The router's sentence encoder compared with onnxruntime and OpenVINO, in fp32 and int8.

Tasks are first sentences of docstrings of Python's standard library, each to be given to its
package; logistic regression on the vectors of one half, as training makes them, decides the other
half. A faster encoder is of use only where it leaves the decisions as they are.
"""

import ast
import importlib.util
import sysconfig
import tempfile
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from benchmarks.routing import encoder_folder
from benchmarks.timing import BenchmarkError, Timing, repeat
from benchmarks.workspace import Workspace
from cortex_pipelines.embeddings.encoder import Floats, SentenceEncoder, sentence_part

_PACKAGES = ("asyncio", "email", "http", "logging", "multiprocessing", "unittest", "urllib", "xml")
_NEEDED = ("onnx", "onnxruntime", "openvino")
_TOKENS, _TEXTS_AT_ONCE = 64, 32
_SINGLE, _BATCHED = 100, 320

Encode = Callable[[Sequence[str]], Floats]


def measure(work: Workspace, repeats: int) -> list[Timing]:
    """One task at a time, and 32, on one thread."""
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise BenchmarkError(
            f"{', '.join(missing)}: not installed; `pip install {' '.join(_NEEDED)}` into an "
            "environment of your own, and name its packages in PYTHONPATH"
        )
    folder = encoder_folder(work.root)
    ours = SentenceEncoder(folder, _TOKENS, _TEXTS_AT_ONCE, 1, "fp32")
    tasks = _tasks()
    texts, labels = [text for text, _ in tasks], [label for _, label in tasks]
    half = len(texts) // 2
    exact = sentence_part(ours.encode(texts))
    decide = LogisticRegression(max_iter=1000).fit(exact[:half], labels[:half])
    expected = decide.predict(exact[half:])
    timings: list[Timing] = []
    with tempfile.TemporaryDirectory() as scratch:
        ways = {"ours": lambda some: sentence_part(ours.serve(some))}
        ways |= _peer_encoders(folder, Path(scratch), ours)
        for name, encode in ways.items():
            vectors = np.concatenate([encode([text]) for text in texts[half:]])
            predicted = decide.predict(vectors)
            note = f"{int((predicted != expected).sum())} of {len(expected)} decisions differ"
            for batch_label, size, count in (("one", 1, _SINGLE), ("32", _TEXTS_AT_ONCE, _BATCHED)):
                runs = repeat(repeats, partial(_run, encode, texts[:count], size))
                timings.append(
                    Timing(
                        f"{name}, {batch_label} at a time",
                        runs,
                        beside=f"ours, {batch_label} at a time",
                        peer=name != "ours",
                        note=note,
                        amount=count,
                        unit="tasks",
                    )
                )
    return timings


def _run(encode: Encode, texts: Sequence[str], size: int) -> None:
    for start in range(0, len(texts), size):
        encode(texts[start : start + size])


def _peer_encoders(folder: Path, scratch: Path, ours: SentenceEncoder) -> dict[str, Encode]:
    import onnxruntime
    import openvino
    from onnxruntime.quantization import QuantType, quantize_dynamic

    full_precision, small = scratch / "fp32.onnx", scratch / "int8.onnx"
    _export(folder, full_precision)
    quantize_dynamic(full_precision, small, weight_type=QuantType.QInt8, per_channel=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    core = openvino.Core()

    def onnx(path: Path) -> Encode:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return lambda texts: session.run(None, _padded(ours, texts))[0]

    def compiled(path: Path) -> Encode:
        settings = {"INFERENCE_NUM_THREADS": 1, "PERFORMANCE_HINT": "LATENCY"}
        model = core.compile_model(path, "CPU", settings)
        return lambda texts: model(_padded(ours, texts))[0]

    return {
        "onnxruntime fp32": onnx(full_precision),
        "onnxruntime int8": onnx(small),
        "OpenVINO fp32": compiled(full_precision),
    }


def _padded(ours: SentenceEncoder, texts: Sequence[str]) -> dict[str, Any]:
    rows = ours._tokens(texts)
    ids = np.zeros((len(rows), max(map(len, rows))), dtype=np.int64)
    mask = np.zeros_like(ids)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = row
        mask[index, : len(row)] = 1
    return {"ids": ids, "mask": mask}


def _export(folder: Path, path: Path) -> None:
    """The encoder with mean pooling over the tokens, at length 1."""
    import torch
    from transformers import AutoModel

    class Pooled(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model: Any = AutoModel.from_pretrained(
                folder, local_files_only=True, dtype=torch.float32, attn_implementation="eager"
            ).eval()

        def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            states = self.model(input_ids=ids, attention_mask=mask).last_hidden_state
            weights = mask.unsqueeze(-1).float()
            mean = (states * weights).sum(1) / weights.sum(1)
            return torch.nn.functional.normalize(mean, dim=1)

    ids = torch.ones(2, 7, dtype=torch.long)
    torch.onnx.export(
        Pooled(),
        (ids, torch.ones_like(ids)),
        path,
        input_names=["ids", "mask"],
        output_names=["vectors"],
        dynamic_axes={name: {0: "texts", 1: "tokens"} for name in ("ids", "mask")},
        dynamo=False,
    )


def _tasks() -> list[tuple[str, str]]:
    """First sentences of docstrings with their packages, in an order that mixes both."""
    library = Path(sysconfig.get_path("stdlib"))
    tasks = {
        sentence: package
        for package in _PACKAGES
        for path in sorted((library / package).rglob("*.py"))
        for sentence in _sentences(path)
    }
    return sorted(tasks.items(), key=lambda task: (zlib.crc32(task[0].encode()), task[0]))


def _sentences(path: Path) -> list[str]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    nodes = [node for node in ast.walk(ast.parse(path.read_bytes())) if isinstance(node, kinds)]
    firsts = ((ast.get_docstring(node) or "").split("\n\n")[0] for node in nodes)
    return [" ".join(first.split()) for first in firsts if 20 <= len(first) <= 200]
