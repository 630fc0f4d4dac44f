"""Compare two forms of a model by their logits on a fixed piece of code."""

from typing import Any

from cortex_pipelines.tokenization.text_encoder import token_ids

_TEXT = '''def parse_version(text):
    """Major, minor and patch of a version."""
    parts = text.strip().split(".")
    if len(parts) != 3:
        raise ValueError(f"not a version: {text}")
    return tuple(int(part) for part in parts)


class History:
    def __init__(self, size):
        self.size = size
        self.items = []
'''
_TOKENS = 96


def probe(tokenizer: Any) -> Any:
    """Token ids of the fixed piece of code, shape (1, at most 96)."""
    import torch

    return torch.tensor(token_ids(tokenizer, [_TEXT]))[:, :_TOKENS]


def logits(model: Any, ids: Any) -> Any:
    """Logits of a model, float32, shape (tokens, vocabulary)."""
    import torch

    with torch.no_grad():
        return model(input_ids=ids.to(model.device)).logits[0].float().cpu()


def relative_difference(first: Any, second: Any) -> float:
    """Largest difference of two logits, relative to the largest of the first."""
    return float((first - second).abs().max() / first.abs().max())
