"""Conditions under which one model can answer (base, context, adapter, both), for comparison."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from cortex_pipelines.release.answering import Condition
from cortex_pipelines.serving.catalogue import ServedModel


def with_ways(served: ServedModel, index: str | None, examples: Path | None) -> ServedModel:
    """A served model with its variants under every condition.

    Args:
        served: The released model.
        index: DVC's hash of the examples for retrieved context.
        examples: Their folder; None if missing.
    """
    adapter = served.release.adapter
    ways: dict[Condition, tuple[str | None, bool]] = {"base": (None, False)}
    has_examples = index is not None and examples is not None
    if has_examples:
        ways["context"] = (None, True)
    if adapter is not None:
        ways["adapter"] = (adapter, False)
        if has_examples:
            ways["both"] = (adapter, True)
    by_way = {
        way: replace(
            served,
            release=replace(served.release, way=way, adapter=version, index=index if context else None),
            adapter=served.adapter if version else None,
            examples=examples if context else None,
            notice="",
        )
        for way, (version, context) in ways.items()
    }
    return replace(served, by_way=by_way)


def ways_of(served: ServedModel) -> Mapping[Condition, ServedModel]:
    """The model under each condition; at least the released one."""
    return served.by_way or {served.release.way: served}
