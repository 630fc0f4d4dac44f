"""The ways in which one model can be answered, to be shown beside each other."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from cortex_pipelines.release.answering import Condition
from cortex_pipelines.serving.catalogue import Served


def with_others(served: Served, index: str | None, examples: Path | None) -> Served:
    """A served model that knows how it would be answered otherwise.

    Args:
        served: As it is released.
        index: DVC's hash of the examples that context can be taken from.
        examples: Their folder; None where they are not there.
    """
    adapter = served.release.adapter
    ways: dict[Condition, tuple[str | None, bool]] = {"base": (None, False)}
    shown = index is not None and examples is not None
    if shown:
        ways["context"] = (None, True)
    if adapter is not None:
        ways["adapter"] = (adapter, False)
        if shown:
            ways["both"] = (adapter, True)
    others = {
        way: replace(
            served,
            release=replace(
                served.release, way=way, adapter=version, index=index if context else None
            ),
            adapter=served.adapter if version else None,
            examples=examples if context else None,
            notice="",
        )
        for way, (version, context) in ways.items()
    }
    return replace(served, others=others)


def ways_of(served: Served) -> Mapping[Condition, Served]:
    """Every way in which it can be answered, its own at least."""
    return served.others or {served.release.way: served}
