import json
from pathlib import Path
from typing import Any

import pytest

from cortex_pipelines.adapters.build import TrainingInputs, refit_adapter
from cortex_pipelines_tests.adapters.tinymodel import Datasets, Train, pinned


@pytest.fixture
def refit(root: Path, datasets: Datasets, tmp_path: Path) -> Any:
    def refit_into(name: str) -> Path:
        inputs = TrainingInputs("mine", datasets, None, pinned(root), None)
        refit_adapter(tmp_path / "adapter", inputs, tmp_path / name, root, lambda _name, _value: None)
        return tmp_path / name

    return refit_into


def read(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_text())


def test_all_rows_are_learned_in_as_many_steps_more(train: Train, refit: Any, tmp_path: Path) -> None:
    judged = train(max_tokens=2_000, patience=2)
    served = refit("refit")
    settings = read(served, "training.json")["settings"]
    assert (settings["max_tokens"], settings["divergence_factor"]) == (2_000 * 5 // 3, None)
    assert settings["learning_rate"] == judged["settings"]["learning_rate"]
    metrics = read(served, "metrics.json")
    share = judged["best_step"] / judged["planned_steps"]
    planned = len(judged["steps"]) * 5 / 3
    assert (metrics["steps"], metrics["best_step"]) == (pytest.approx(share * planned, abs=2), metrics["steps"])
    assert metrics["validation_tokens"] == 0
    numbers = {int(name.rpartition("-")[2]) for name in read(served, "examples.json")["completion"]}
    assert max(numbers) >= 60 > max(int(name[-4:]) for name in read(tmp_path / "adapter", "examples.json")["naming"])
    again = refit("again")
    for path in served.iterdir():
        assert path.read_bytes() == (again / path.name).read_bytes(), path.name


def test_an_adapter_a_task_is_refit_task_by_task(train: Train, refit: Any, tmp_path: Path) -> None:
    train(max_tokens=1_500, per_task=True, task_shares={"naming": 0.5, "completion": 0.5})
    served = refit("refit")
    assert sorted(path.name for path in served.iterdir()) == ["completion", "naming", "training.json"]
    assert read(served, "training.json") == read(tmp_path / "adapter", "training.json")
    for task in ("completion", "naming"):
        tokens = [read(folder / task, "metrics.json")["train_tokens"] for folder in (tmp_path / "adapter", served)]
        assert 1.4 < tokens[1] / tokens[0] < 1.9
