"""Cross-entropy of supervised positions (logits are computed for no others), and validation."""

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cortex_pipelines.adapters.data.packing import IGNORED, PackedRow, TokenisedExample, concatenate_rows, packed_row
from cortex_pipelines.adapters.training.distributed import SINGLE_PROCESS, ProcessGroup

if TYPE_CHECKING:
    import torch

_PROBE_LENGTH = 6
_PROBE_TOLERANCE = 1e-2  # far above rounding (1e-6 in float32), far below a leak (3.2 measured)


def supervised_losses(model: Any, rows: Sequence[PackedRow]) -> "torch.Tensor":
    """Negative log-likelihood of every target in the rows, in nats, as float32.

    Positions without a target are dropped before the output layer, a large part of the work. Rows are padded to the
    longest, or merged into one if the model attends within examples only.
    """
    import torch
    from torch.nn.functional import cross_entropy

    from cortex_pipelines.adapters import kernels  # which needs torch

    separate = kernels.uses_per_example_attention(model)
    if separate:
        rows = [concatenate_rows([*rows, _filler(kernels.padding(model, sum(len(row.ids) for row in rows)))])]
    ids, positions, targets = _collated(rows)
    # all that depends on values is decided here, before a GPU would have to be waited for
    supervised = targets != IGNORED
    supervised_positions = supervised.any(dim=0).nonzero().squeeze(1)
    with_target = supervised[:, supervised_positions]
    device = model.device
    inputs: dict[str, Any] = {"input_ids": ids.to(device), "position_ids": positions.to(device), "use_cache": False}
    if separate:
        inputs |= kernels.attention_inputs(model, rows[0].positions)
    if accepts_logits_to_keep(model):
        logits = model(**inputs, logits_to_keep=supervised_positions.to(device)).logits
    else:
        logits = model(**inputs).logits[:, supervised_positions]
    if kernels.uses_chunked_output(model):
        return kernels.output_losses(model, logits[with_target], targets[supervised].to(device))
    losses = cross_entropy(
        logits.flatten(0, 1).to(torch.float32),
        targets[:, supervised_positions].flatten().to(device),
        ignore_index=IGNORED,
        reduction="none",
    )
    return losses[with_target.flatten()]


def _filler(length: int) -> PackedRow:
    """A separate example that nothing else attends to and nothing is learned from."""
    return PackedRow((0,) * length, tuple(range(length)), (IGNORED,) * length)


def accepts_logits_to_keep(model: Any) -> bool:
    causal = model.get_base_model() if hasattr(model, "get_base_model") else model
    return "logits_to_keep" in inspect.signature(causal.forward).parameters


def packing_is_separate(model: Any) -> bool:
    """Whether two packed examples give the same losses as separate ones.

    Most architectures derive the borders from ``position_ids``; one that does not would silently be
    trained on mixed examples, so this is checked once.
    """
    import torch

    size = min(int(model.get_input_embeddings().num_embeddings), 1000)
    texts = [tuple((7 * n + 11 * position * n) % size for position in range(_PROBE_LENGTH)) for n in (1, 2)]
    pair = [TokenisedExample(str(n), "", ids, 1, _PROBE_LENGTH - 1, 0) for n, ids in enumerate(texts)]
    with torch.no_grad():
        together = supervised_losses(model, [packed_row(pair)])
        alone = [supervised_losses(model, [packed_row([example])]) for example in pair]
    difference = (together - torch.cat(alone)).abs() / (1 + together.abs())
    precise = model.dtype == torch.float32
    return float(difference.max()) < (_PROBE_TOLERANCE if precise else 10 * _PROBE_TOLERANCE)


def _collated(rows: Sequence[PackedRow]) -> tuple["torch.Tensor", "torch.Tensor", "torch.Tensor"]:
    import torch

    longest = max(len(row.ids) for row in rows)

    def padded(values: Sequence[int], filler: Sequence[int]) -> list[int]:
        return [*values, *filler[: longest - len(values)]]

    # padding is a separate example at positions from 0 that nothing else attends to
    filler_targets, filler_positions = [IGNORED] * longest, list(range(longest))
    return (
        torch.tensor([padded(row.ids, [0] * longest) for row in rows]),
        torch.tensor([padded(row.positions, filler_positions) for row in rows]),
        torch.tensor([padded(row.targets, filler_targets) for row in rows]),
    )


def validation_loss(model: Any, rows: Sequence[PackedRow], group: ProcessGroup = SINGLE_PROCESS) -> float:
    import torch

    model.eval()
    with torch.no_grad():
        losses = [supervised_losses(model, [row]).double().sum() for row in group.shard(rows)]
    zero = torch.zeros(1, dtype=torch.float64, device=model.device)
    total = group.sum(torch.stack(losses).sum() if losses else zero.sum())
    return float(total) / sum(row.supervised for row in rows)
