from pathlib import Path

import pytest

from cortex_pipelines.projects.reproduce import Reproduction, VersionComparison


def comparison(determinism: str, *, same: bool) -> VersionComparison:
    return VersionComparison("stage", determinism, "a", "a" if same else "b", "")


@pytest.mark.parametrize(
    ("determinism", "same_processor", "kept"),
    [
        ("exact", True, False),
        ("exact", False, False),
        ("machine", True, False),
        ("machine", False, True),
    ],
)
def test_a_model_may_differ_only_on_another_type_of_processor(
    determinism: str, same_processor: bool, kept: bool
) -> None:
    compared = (comparison("exact", same=True), comparison(determinism, same=False))
    assert Reproduction("m version 1", "c", Path(), same_processor, compared).kept is kept
