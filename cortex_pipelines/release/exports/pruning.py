"""Structured pruning of a merged model: whole layers, and groups of heads in each layer, are left out.

What matters least on the given code goes: of the layers those that turn their input least (Men et al., "ShortGPT",
2024), of a layer's groups of heads that share a key and a value those that add least to its output. Nothing is trained
afterwards, so a model loses more than it would by quantisation; the report says how much.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import log
from pathlib import Path
from typing import Any

from cortex_pipelines.adapters.data.packing import TokenisedExample, tokenise
from cortex_pipelines.prompts.examples import read_examples, shuffled
from cortex_pipelines.release.exports.source import ExportError

_MOST_TOKENS = 512
_QUERY, _KEY_VALUE, _OUTPUT = "q_proj", ("k_proj", "v_proj"), "o_proj"


@dataclass(frozen=True)
class Pruning:
    """``layers``: left out in all; ``head_groups``: left out in each layer. ``train`` is code to choose by, and
    ``validation`` what the loss is measured on.
    """

    layers: int
    head_groups: int
    train: Sequence[TokenisedExample]
    validation: Sequence[TokenisedExample]


@dataclass(frozen=True)
class Pruned:
    """Numbers of the layers that were left out, in order, and bits of a byte of the answers before and after."""

    layers: tuple[int, ...]
    parameters: int
    bits_before: float
    bits_after: float


def completions(folder: Path, tokenizer: Any, split: str, count: int = 64) -> tuple[TokenisedExample, ...]:
    """Some examples of a completion data set."""
    examples = shuffled(read_examples(folder, "completion", split), 0)[:count]
    return tuple(tokenise(tokenizer, examples, _MOST_TOKENS))


def prune(model: Any, pruning: Pruning) -> Pruned:
    """Leave out layers and heads of a transformers model, in place.

    Raises ExportError: it has no more of them, or they cannot be left out in its family.
    """
    layers = _layers(model)
    config = model.config
    if pruning.layers >= len(layers):
        raise ExportError(f"the model has {len(layers)} layers; at most {len(layers) - 1} can be left out")
    if len(set(getattr(config, "layer_types", None) or ("",))) > 1:
        raise ExportError(f"layers of {config.model_type} are of several kinds in a fixed order; none can be left out")
    before = bits_per_byte(model, pruning.validation)
    turned, added = _importance(model, layers, pruning)
    dropped = sorted(range(len(layers)), key=turned.__getitem__)[: pruning.layers]
    if pruning.head_groups:
        for layer, groups in zip(layers, added, strict=True):
            groups_to_keep = sorted(sorted(range(len(groups)), key=groups.__getitem__)[pruning.head_groups :])
            _keep_heads(layer.self_attn, groups_to_keep, config)
        config.head_dim = layers[0].self_attn.head_dim
        config.num_attention_heads -= pruning.head_groups * (config.num_attention_heads // config.num_key_value_heads)
        config.num_key_value_heads -= pruning.head_groups
    for index in sorted(dropped, reverse=True):
        del layers[index]
    for index, layer in enumerate(layers):
        layer.self_attn.layer_idx = index
    config.num_hidden_layers = len(layers)
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[: len(layers)]
    size = sum(part.numel() for part in model.parameters())
    return Pruned(tuple(sorted(dropped)), size, before, bits_per_byte(model, pruning.validation))


def bits_per_byte(model: Any, examples: Sequence[TokenisedExample]) -> float:
    """Bits of a byte of the answers, given their prompts; NaN without answers."""
    import torch

    nats = size = 0.0
    for example in examples:
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([example.ids], device=model.device)).logits[0]
        positions = range(example.prompt_tokens - 1, example.prompt_tokens - 1 + example.text_tokens)
        targets = torch.tensor(example.answer, device=logits.device)
        nats += float(torch.nn.functional.cross_entropy(logits[list(positions)].float(), targets, reduction="sum"))
        size += example.text_bytes
    return nats / log(2) / size if size else float("nan")


def _layers(model: Any) -> Any:
    import torch

    for module in model.modules():
        if isinstance(module, torch.nn.ModuleList) and len(module) == model.config.num_hidden_layers:
            if hasattr(module[0], "self_attn") and hasattr(module[0].self_attn, "layer_idx"):
                return module
            break
    raise ExportError(f"layers of {model.config.model_type} cannot be left out: it stores them in another way")


def _importance(model: Any, layers: Any, pruning: Pruning) -> tuple[list[float], list[list[float]]]:
    """How far each layer turns its input, 1 - cosine, and how much each of its groups of heads adds, mean squares."""
    import torch

    turned = [0.0] * len(layers)
    groups = _groups(layers, pruning.head_groups, model.config)
    added = [[0.0] * groups for _ in layers]

    def of_layer(index: int, before: Any, after: Any) -> None:
        turned[index] += float((1 - torch.nn.functional.cosine_similarity(before, after, dim=-1)).sum())

    def of_heads(index: int, values: Any, weight: Any) -> None:
        parts = zip(values.chunk(groups, dim=-1), weight.chunk(groups, dim=1), strict=True)
        for group, (inputs, columns) in enumerate(parts):
            added[index][group] += float((inputs @ columns.T).square().sum())

    with torch.no_grad(), _watched(layers, of_layer, of_heads if groups else None):
        for example in pruning.train:
            model(input_ids=torch.tensor([example.ids], device=model.device))
    return turned, added


def _groups(layers: Any, left_out: int, config: Any) -> int:
    """Groups of heads in a layer; 0 if none are to be left out."""
    if not left_out:
        return 0
    names = (_QUERY, *_KEY_VALUE, _OUTPUT)
    if not all(hasattr(layer.self_attn, name) for layer in layers for name in names):
        raise ExportError(f"heads of {config.model_type} cannot be left out: query, key and value share their weights")
    groups: int = config.num_key_value_heads
    if left_out >= groups:
        raise ExportError(f"a layer has {groups} groups of heads; at most {groups - 1} can be left out")
    return groups


@contextmanager
def _watched(layers: Any, of_layer: Any, of_heads: Any) -> Iterator[None]:
    handles = []

    def hidden(value: Any) -> Any:
        return value[0] if isinstance(value, tuple) else value

    for index, layer in enumerate(layers):

        def see_layer(_: Any, inputs: Any, output: Any, index: int = index) -> None:
            of_layer(index, hidden(inputs), hidden(output))

        def see_heads(module: Any, inputs: Any, index: int = index) -> None:
            of_heads(index, inputs[0], module.weight)

        handles.append(layer.register_forward_hook(see_layer))
        if of_heads:
            handles.append(layer.self_attn.o_proj.register_forward_pre_hook(see_heads))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _keep_heads(attention: Any, groups_to_keep: Sequence[int], config: Any) -> None:
    import torch

    size, shared = attention.head_dim, config.num_attention_heads // config.num_key_value_heads

    def rows(width: int) -> Any:
        return torch.cat([torch.arange(group * width, (group + 1) * width) for group in groups_to_keep])

    for name, width in ((_QUERY, shared * size), *((name, size) for name in _KEY_VALUE)):
        layer = getattr(attention, name)
        layer.weight = torch.nn.Parameter(layer.weight[rows(width)], requires_grad=False)
        if layer.bias is not None:
            layer.bias = torch.nn.Parameter(layer.bias[rows(width)], requires_grad=False)
        layer.out_features = layer.weight.shape[0]
    output = getattr(attention, _OUTPUT)
    output.weight = torch.nn.Parameter(output.weight[:, rows(shared * size)], requires_grad=False)
    output.in_features = output.weight.shape[1]
