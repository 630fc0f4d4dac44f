"""Cross-entropy of supervised positions; logits are computed for no others."""

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cortex_pipelines.adapters.data.packing import (
    IGNORED,
    PackedRow,
    TokenisedExample,
    joined,
    packed_row,
)

if TYPE_CHECKING:
    import torch

_PROBE_LENGTH = 6
_PROBE_TOLERANCE = 1e-2  # far above rounding (1e-6 in float32), far below a leak (3.2 measured)


def supervised_losses(model: Any, rows: Sequence[PackedRow]) -> "torch.Tensor":
    """Negative log-likelihood of every target in the rows, in nats.

    Positions without a target are dropped before the output layer: with a vocabulary of some ten
    thousand tokens that layer is a large part of the work.

    Args:
        model: A causal language model, with or without adapter.
        rows: Packed rows; shorter ones are filled up to the longest, or all are put into one where
            the model attends within examples only.

    Returns:
        One float32 value a target, row by row.
    """
    import torch
    from torch.nn.functional import cross_entropy

    from cortex_pipelines.adapters.kernels.packed_attention import (  # which needs torch
        attends_apart,
        borders,
    )

    apart = attends_apart(model)
    if apart:
        rows = [joined(rows)]
    ids, positions, targets = _collated(rows, model.device)
    supervised = targets != IGNORED
    kept = supervised.any(dim=0).nonzero().squeeze(1)
    given: dict[str, Any] = {"input_ids": ids, "position_ids": positions, "use_cache": False}
    if apart:
        given["example_borders"] = borders(rows[0].positions)
    if _takes_positions(model):
        logits = model(**given, logits_to_keep=kept).logits
    else:
        logits = model(**given).logits[:, kept]
    losses = cross_entropy(
        logits.flatten(0, 1).to(torch.float32),
        targets[:, kept].flatten(),
        ignore_index=IGNORED,
        reduction="none",
    )
    return losses[supervised[:, kept].flatten()]


def packing_is_separate(model: Any) -> bool:
    """Whether two packed examples give the same losses as alone.

    Most architectures derive the borders from ``position_ids``; one that does not would be trained
    on mixed examples without any error, so this is checked once.
    """
    import torch

    size = min(int(model.get_input_embeddings().num_embeddings), 1000)
    pair = [
        TokenisedExample(str(n), "", _probe_tokens(n, size), 1, _PROBE_LENGTH - 1, 0)
        for n in (1, 2)
    ]
    with torch.no_grad():
        together = supervised_losses(model, [packed_row(pair)])
        alone = [supervised_losses(model, [packed_row([example])]) for example in pair]
    difference = (together - torch.cat(alone)).abs() / (1 + together.abs())
    precise = model.dtype == torch.float32
    return float(difference.max()) < (_PROBE_TOLERANCE if precise else 10 * _PROBE_TOLERANCE)


def _probe_tokens(number: int, vocabulary: int) -> tuple[int, ...]:
    return tuple((7 * number + 11 * place * number) % vocabulary for place in range(_PROBE_LENGTH))


def _collated(
    rows: Sequence[PackedRow], device: Any
) -> tuple["torch.Tensor", "torch.Tensor", "torch.Tensor"]:
    """Tokens, positions and targets, each of shape (rows, longest row)."""
    import torch

    longest = max(len(row.ids) for row in rows)

    def filled(values: Sequence[int], filler: Sequence[int]) -> list[int]:
        return [*values, *filler[: longest - len(values)]]

    # padding is a separate example at positions from 0 that nothing else attends to
    none, places = [IGNORED] * longest, list(range(longest))
    return (
        torch.tensor([filled(row.ids, [0] * longest) for row in rows], device=device),
        torch.tensor([filled(row.positions, places) for row in rows], device=device),
        torch.tensor([filled(row.targets, none) for row in rows], device=device),
    )


def _takes_positions(model: Any) -> bool:
    causal = model.get_base_model() if hasattr(model, "get_base_model") else model
    return "logits_to_keep" in inspect.signature(causal.forward).parameters
