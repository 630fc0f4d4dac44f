"""Bases converted for OpenVINO, and copies of them with an adapter merged into their weights.

Matrices of an adapter beside the weights would take a third of the time of a token of a small base.

The graph has attention over a paged KV cache (arXiv 2309.06180), by OpenVINO's own transformation of a model that keeps
its cache as state. So the base is traced with the cache as inputs and outputs, which the transformation then removes.
"""

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from cortex_pipelines.adapters.model.base_model import BaseModel
from cortex_pipelines.models.family import FamilyError, family_of
from cortex_pipelines.release.loading import read_lora
from cortex_pipelines.serving.engines.engine import EngineError
from cortex_pipelines.serving.engines.openvino_runtime import load_openvino, openvino_core, rounded_to_8_bits
from cortex_pipelines.serving.engines.reference import ReferenceFile, ReferenceFiles, adapter_key
from cortex_pipelines.versioning.dvc.yaml_files import read_json

Width = Literal["fp32", "fp16", "q8"]

_FORMAT_VERSION = 2
"""Increment if the files for the same base change."""

_MODEL, _WINDOWS = "model.xml", "windows.json"

_NAME = "cortex-paged"
"""Of the attention by which a base is traced, in transformers' register."""

_SMALL = 2**14
"""Numbers of a matrix that stay in 32 bits: no more than of a bias of some heads."""

_SLIDING_INPUT = 10
"""Of ``PagedAttentionExtension``: tokens of its sliding window, 0 for none."""


class OpenVinoFiles(ReferenceFiles):
    def __init__(self, base: BaseModel, width: Width, folder: Path) -> None:
        openvino = load_openvino()

        super().__init__(base, folder, "openvino", str(_FORMAT_VERSION), openvino.__version__, width)
        self._width = width

    def base(self) -> ReferenceFile:
        def write(out: Path) -> None:
            if refusal := _refusal(self._base_model):
                raise EngineError(refusal)
            self._write(self._write_expected(out).base_model, out)

        return self._cached_file("base", _MODEL, write)

    def adapter(self, folder: Path) -> ReferenceFile:
        lora = read_lora(folder)

        def write(out: Path) -> None:
            resident = self._write_expected(out, lora)
            resident.apply(lora)
            self._write(resident.model.merge_and_unload(), out)

        return self._cached_file(adapter_key(folder), _MODEL, write)

    def _write(self, model: Any, out: Path) -> None:
        try:
            write_model(model, out / _MODEL, self._width)
        except (RuntimeError, ValueError) as error:
            raise EngineError(f"OpenVINO cannot convert {self._base_model.name}: {error}") from error


def _refusal(base: BaseModel) -> str:
    config = read_json(base.folder / "config.json")
    try:
        return family_of(config).openvino_refusal(config)
    except FamilyError as error:
        return str(error)


def write_model(torch_model: Any, path: Path, width: Width) -> None:
    """Convert a model, with a KV cache as its state."""
    openvino = load_openvino()
    from openvino._offline_transformations import apply_make_stateful_transformation

    model, windows = _traced(torch_model)
    count = 2 * len(windows)
    beam = openvino.opset13.parameter(openvino.PartialShape([-1]), np.int32, name="beam_idx")
    beam.output(0).get_tensor().add_names({"beam_idx"})
    model.add_parameters([beam])
    for index in range(count):
        past = model.input(f"past:{index}")
        readers = past.get_target_inputs()
        gathered = openvino.opset13.gather(past, beam, openvino.opset13.constant(0))
        for reader in readers:
            reader.replace_source_output(gathered.output(0))
    model.validate_nodes_and_infer_types()
    apply_make_stateful_transformation(model, {f"past:{index}": f"present:{index}" for index in range(count)})
    _begin_empty(model)
    if width == "q8":
        _round_to_8_bits(model)
    openvino.save_model(model, path, compress_to_fp16=width == "fp16")
    path.with_name(_WINDOWS).write_text(json.dumps(windows), encoding="utf-8")


def read_paged(path: Path) -> Any:
    """Read a converted base with paged attention, and logits only of the tokens that the input ``sampled`` names."""
    openvino = load_openvino()
    from openvino._offline_transformations import paged_attention_transformation

    opset = openvino.opset13
    model = openvino_core().read_model(path)
    windows = json.loads(path.with_name(_WINDOWS).read_text(encoding="utf-8"))
    paged_attention_transformation(model)
    attention = [each for each in model.get_ordered_ops() if each.get_type_name() == "PagedAttentionExtension"]
    for layer, window in zip(attention, windows, strict=True):  # each layer depends on the one before
        layer.input(_SLIDING_INPUT).replace_source_output(opset.constant(window, np.int32).output(0))
    last = model.output("logits").get_node().input_value(0).get_node()
    while last.get_type_name() != "MatMul":
        last = last.input_value(0).get_node()
    sampled = opset.parameter(openvino.PartialShape([-1]), np.int32, name="sampled")
    sampled.output(0).get_tensor().add_names({"sampled"})
    model.add_parameters([sampled])
    sampled_states = opset.gather(last.input_value(0), sampled, opset.constant(0))
    last.input(0).replace_source_output(sampled_states.output(0))
    model.validate_nodes_and_infer_types()
    return model


def _traced(model: Any) -> tuple[Any, list[int]]:
    """A model as a graph, and the sliding window of each layer; 0 for none."""
    openvino = load_openvino()
    import torch

    config = model.config
    attention = _Attention()
    heads, size = attention.cache_shape(model)
    count = 2 * config.num_hidden_layers
    examples = [torch.ones(2, 3, dtype=torch.long), torch.ones(2, 5), torch.arange(2, 5).repeat(2, 1)]
    examples += [torch.zeros(2, heads, 2, size) for _ in range(count)]
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit.TracerWarning: of sizes that are the same for every input
        graph = openvino.convert_model(_traceable(model, attention, count), example_input=tuple(examples))
    names = ["input_ids", "attention_mask", "position_ids", *(f"past:{index}" for index in range(count))]
    shapes: list[list[int]] = [[-1, -1]] * 3 + [[-1, heads, -1, size]] * count
    for port, name, shape in zip(graph.inputs, names, shapes, strict=True):
        port.get_tensor().set_names({name})
        port.get_node().set_partial_shape(openvino.PartialShape(shape))
    for port, name in zip(graph.outputs, ["logits", *(f"present:{index}" for index in range(count))], strict=True):
        port.get_tensor().set_names({name})
    graph.validate_nodes_and_infer_types()
    return graph, attention.windows


class _Attention:
    """Attention that adds its keys and values to those that it is given, and notes what a layer sees.

    Transformers' register keeps it for good, so it holds no model.
    """

    def __init__(self) -> None:
        from transformers import AttentionInterface, AttentionMaskInterface

        self.past: Sequence[Any] = ()
        self.present: list[Any] = []
        self.mask: Any = None
        self.windows: list[int] = []
        self._shape: tuple[int, int] | None = None
        AttentionInterface.register(_NAME, self._attend)
        AttentionMaskInterface.register(_NAME, lambda *_, **__: self.mask)

    def cache_shape(self, model: Any) -> tuple[int, int]:
        """Heads of keys and values, and the size of one, of a model that attends by this from now on."""
        import torch

        model.set_attn_implementation(_NAME)
        with torch.no_grad():
            model(input_ids=torch.ones(1, 1, dtype=torch.long), use_cache=False)
        if self._shape is None:
            raise EngineError(f"models of type {model.config.model_type} attend in a way that is not known")
        return self._shape

    def _attend(
        self, module: Any, query: Any, key: Any, value: Any, _mask: Any, scaling: float | None = None, **options: Any
    ) -> tuple[Any, None]:
        import torch

        layer = module.layer_idx
        self._shape = (key.shape[1], key.shape[3])
        if self.past:
            key, value = (torch.cat([self.past[2 * layer + offset], new], 2) for offset, new in enumerate((key, value)))
            self.present += [key, value]
            self.windows.append(options.get("sliding_window") or 0)
        groups = query.shape[1] // key.shape[1]
        if groups > 1:
            key, value = _repeated(key, groups), _repeated(value, groups)
        attended = torch.nn.functional.scaled_dot_product_attention(
            query, key, value, attn_mask=self.mask, scale=scaling
        )
        return attended.transpose(1, 2).contiguous(), None


def _repeated(states: Any, groups: int) -> Any:
    """Keys or values, shape (texts, heads, tokens, size), for each head of the query, as OpenVINO recognises it."""
    texts, heads, tokens, size = states.shape
    expanded = states[:, :, None].expand(texts, heads, groups, tokens, size)
    return expanded.reshape(texts, heads * groups, tokens, size)


def _traceable(model: Any, attention: _Attention, count: int) -> Any:
    import torch

    class Traceable(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: Any, attention_mask: Any, position_ids: Any, *past: Any) -> tuple[Any, ...]:
            attention.past, attention.present, attention.windows = past, [], []
            attention.mask = attention_mask[:, None, None, :]
            logits = self.model(input_ids=input_ids, position_ids=position_ids, use_cache=False).logits
            return (logits, *attention.present)

    return Traceable()


def _begin_empty(model: Any) -> None:
    """Let each state begin as a cache of no tokens for each text of the batch."""
    openvino = load_openvino()

    opset = openvino.opset13
    shape = opset.shape_of(model.input("input_ids"), output_type="i64")
    batch = opset.gather(shape, opset.constant([0]), opset.constant(0))
    for state in model.get_ops():
        if state.get_type_name() == "ReadValue":
            sizes = [np.array([each.min_length], np.int64) for each in state.get_output_partial_shape(0)]
            empty = opset.concat([batch, *map(opset.constant, sizes[1:])], axis=0)
            state.set_arguments([opset.broadcast(opset.constant(np.float32(0)), empty)])
    model.validate_nodes_and_infer_types()


def _round_to_8_bits(model: Any) -> None:
    """Round each matrix to 8 bits, with a scale a row."""
    openvino = load_openvino()

    for weights in model.get_ops():
        if weights.get_type_name() != "Constant" or weights.get_element_type() != openvino.Type.f32:
            continue
        readers = [reader for reader in weights.output(0).get_target_inputs() if _multiplies(reader)]
        numbers = weights.get_data() if readers else np.zeros(0, np.float32)
        if numbers.ndim != 2 or numbers.size < _SMALL:
            continue
        restored = rounded_to_8_bits(numbers)
        for reader in readers:
            reader.replace_source_output(restored.output(0))
    model.validate_nodes_and_infer_types()


def _multiplies(reader: Any) -> bool:
    """Whether an input is of a linear layer, or of an embedding."""
    node, port = reader.get_node(), reader.get_index()
    if node.get_type_name() == "MatMul":
        return port == 1 and bool(node.get_attributes()["transpose_b"])
    return bool(node.get_type_name() == "Gather" and port == 0)
