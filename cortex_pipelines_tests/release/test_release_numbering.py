from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_pipelines.release.numbering import Change, classify_change, next_free_number, version_inputs
from cortex_pipelines.versioning.project import read_yaml, write_yaml

PARAMETERS = "data/parameters/projects/demo.json"
STAGE = "code_adapter@demo"


def stage() -> dict[str, Any]:
    return dict(read_yaml(Path(__file__).with_name("stage.yaml")))


def locked(root: Path, value: dict[str, Any]) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    write_yaml(root / "dvc.lock", {"schema": "2.0", "stages": {STAGE: value}})
    return root


def move_weights(value: dict[str, Any]) -> None:
    value["params"][PARAMETERS]["models.base"] = {"directory": "weights"}
    value["params"]["sources.lock"]["models.base"]["directory"] = "weights"


CASES: list[tuple[Callable[[dict[str, Any]], object], Change, str]] = [
    (lambda v: None, "patch", "the same training again"),
    (move_weights, "patch", "the same training again"),
    (lambda v: v["deps"][1].update(md5="other.dir"), "minor", "other data"),
    (lambda v: v["deps"][0].update(md5="other.dir"), "minor", "other settings or code"),
    (lambda v: v["params"][PARAMETERS]["adapters"].update(rank=4), "minor", "other settings"),
    (lambda v: v["params"]["sources.lock"]["models.base"]["files"].update(x="y"), "major", "another base"),
    (lambda v: v["deps"].pop(), "major", "other tasks"),
    (lambda v: v["params"][PARAMETERS]["adapters"].update(per_task=True), "major", "another form of prompts"),
    (lambda v: v["params"][PARAMETERS]["adapters"].update(per_task=False), "minor", "other settings"),
]


@pytest.mark.parametrize(("edit", "step", "words"), CASES)
def test_numbers_of_changes(tmp_path: Path, edit: Callable[[dict[str, Any]], object], step: Change, words: str) -> None:
    before = version_inputs(locked(tmp_path / "then", stage()), STAGE, "m.dir")
    assert before is not None
    value = stage()
    edit(value)
    value["outs"][0]["md5"] = "new.dir"
    change, reason = classify_change(before, version_inputs(locked(tmp_path / "now", value), STAGE, "new.dir"))
    assert change == step
    assert words in reason


def test_numbers_go_up_and_unknown_versions_have_no_record(tmp_path: Path) -> None:
    root = locked(tmp_path, stage())
    assert version_inputs(root, STAGE, "other.dir") is None
    assert version_inputs(root, "code_adapter@other", "m.dir") is None
    assert version_inputs(tmp_path / "nowhere", STAGE, "m.dir") is None
    assert classify_change(None, version_inputs(root, STAGE, "m.dir"))[0] == "major"
    assert (next_free_number("1.4.2", "major", ()), next_free_number("1.4.2", "minor", ())) == ("2.0.0", "1.5.0")
    assert next_free_number("1.4.2", "patch", ()) == "1.4.3"
    assert next_free_number("1.4.2", "minor", ("1.5.0", "1.6.0")) == "1.7.0"


@given(steps=st.lists(st.sampled_from(["major", "minor", "patch", "back"]), max_size=20))
def test_no_number_is_given_twice(steps: list[Any]) -> None:
    given_numbers, current = ["1.0.0"], "1.0.0"
    for step in steps:
        if step == "back":
            current = given_numbers[max(given_numbers.index(current) - 1, 0)]
        else:
            current = next_free_number(current, step, given_numbers)
            assert current not in given_numbers
            given_numbers.append(current)
