import json
from pathlib import Path
from typing import Any

import pytest

from cortex_pipelines_tests.adapters.tinymodel import SETTINGS, Datasets, train_adapter, train_record

SPACE: dict[str, Any] = SETTINGS["search"]  # type: ignore[assignment]


def searched(root: Path, datasets: Datasets, out: Path, **changes: Any) -> dict[str, Any]:
    space = SPACE | {"trials": 4, "max_tokens": 800} | changes
    train_record(root, datasets, out, search=space, evaluation_steps=2, max_tokens=800, validation_tokens=200)
    result: dict[str, Any] = json.loads((out / "trials.json").read_text())
    return result


def test_the_best_trial_is_trained_and_every_trial_is_told(root: Path, datasets: Datasets, tmp_path: Path) -> None:
    result = searched(root, datasets, tmp_path / "one")
    assert result["objective"] == "validation loss, nats a token"
    assert [trial["number"] for trial in result["trials"]] == [0, 1, 2, 3]
    completed = [trial for trial in result["trials"] if trial["state"] == "complete"]
    best = min(completed, key=lambda trial: trial["value"])
    record = json.loads((tmp_path / "one" / "training.json").read_text())
    best_values = {name: record["settings"][name] for name in best["parameters"]}
    assert (best_values, record["settings"]["alpha"]) == (best["parameters"], 2 * best_values["rank"])
    for trial in result["trials"]:
        assert trial["steps"] == sorted(trial["steps"])
        assert all(0 < tokens <= 800 for tokens, _ in trial["steps"])
    assert sum(result["importance"].values()) == pytest.approx(1.0, abs=1e-5)
    assert set(result["importance"]) == {"rank", "learning_rate", "max_length"}
    again = searched(root, datasets, tmp_path / "two")
    assert again == result
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name


def test_a_hopeless_trial_ends_and_without_validation_none_is(root: Path, datasets: Datasets, tmp_path: Path) -> None:
    result = searched(root, datasets, tmp_path / "out", trials=7, learning_rate=[1e-6, 1e-1])
    pruned = [trial for trial in result["trials"] if trial["state"] == "pruned"]
    most = max(len(trial["steps"]) for trial in result["trials"])
    assert pruned
    assert all(len(trial["steps"]) < most for trial in pruned)
    with pytest.raises(ValueError, match=r"raise it, or set search.trials to 0"):
        train_adapter(root, datasets, tmp_path, search=SPACE | {"trials": 1}, validation_tokens=0)
