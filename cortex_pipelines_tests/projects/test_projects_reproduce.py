from pathlib import Path

import pytest

from cortex_pipelines.projects.reproduce import Reproduction, VersionComparison


def comparison(determinism: str, *, identical: bool) -> VersionComparison:
    return VersionComparison("stage", determinism, "a", "a" if identical else "b", "")


@pytest.mark.parametrize(
    ("determinism", "same_processor", "expected"),
    [("exact", True, False), ("exact", False, False), ("machine", True, False), ("machine", False, True)],
)
def test_a_model_may_differ_only_on_another_processor(determinism: str, same_processor: bool, expected: bool) -> None:
    compared = (comparison("exact", identical=True), comparison(determinism, identical=False))
    assert Reproduction("m version 1", "c", Path(), same_processor, compared).is_reproduced is expected
