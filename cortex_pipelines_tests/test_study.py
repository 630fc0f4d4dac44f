import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cortex_pipelines.hyperparameter_search import search

STEPS = 6


def bowl(trial: Any) -> float:
    import optuna

    x, y = trial.suggest_float("x", -5, 5), trial.suggest_float("y", 0.1, 10, log=True)
    kind = trial.suggest_categorical("kind", ["a", "b"])
    loss = (x - 2) ** 2 + 0.001 * y + (kind == "b")
    for step in range(1, STEPS + 1):
        trial.report(float(loss + 1 / step), step)
        if trial.should_prune():
            raise optuna.TrialPruned
    return float(loss + 1 / STEPS)


def search_result(memory: Path, trials: int = 14, seed: int = 3, objective: Any = bowl) -> str:
    result = search(objective, trials, seed, 2, memory, "Searching").as_json("height")
    assert not memory.exists()
    return json.dumps(result)


def test_a_search_depends_on_its_seed_alone_and_leaves_nothing(tmp_path: Path) -> None:
    first = search_result(tmp_path / "a.jsonl")
    assert search_result(tmp_path / "a.jsonl") == first
    assert search_result(tmp_path / "b.jsonl", seed=4) != first
    result = json.loads(first)
    states = {trial["state"] for trial in result["trials"]}
    assert states == {"complete", "pruned"}
    best = result["trials"][result["best"]]
    assert best["value"] == min(t["value"] for t in result["trials"] if t["state"] == "complete")
    assert [step for step, _ in best["steps"]] == list(range(1, STEPS + 1))
    assert sum(result["importance"].values()) == pytest.approx(1, abs=1e-4)
    assert result["importance"]["x"] > result["importance"]["y"]


@pytest.mark.parametrize("died_at", [1, 4, 11])
def test_a_search_that_died_goes_on_as_if_it_had_not(tmp_path: Path, died_at: int) -> None:
    """The process is killed in the middle of a trial."""
    memory, parameters = tmp_path / "m.jsonl", []
    script = (
        "import os, signal, sys; from pathlib import Path;"
        "from cortex_pipelines.hyperparameter_search import search;"
        "from cortex_pipelines_tests.test_study import bowl\n"
        "def dies(trial):\n"
        f"    if trial.number == {died_at}: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return bowl(trial)\n"
        "search(dies, 14, 3, 2, Path(sys.argv[1]), 'Searching')"
    )
    root = Path(__file__).parents[1]
    command = [sys.executable, "-c", script, str(memory)]
    assert subprocess.run(command, cwd=root, check=False).returncode == -9
    assert len(memory.read_text().splitlines()) == died_at
    with memory.open("a") as file:
        file.write('{"state": "COMPL')  # a partial line

    def count_calls(trial: Any) -> float:
        parameters.append(trial.number)
        return bowl(trial)

    assert search_result(memory, objective=count_calls) == search_result(tmp_path / "whole.jsonl")
    assert parameters == list(range(died_at, 14))


@pytest.mark.filterwarnings("ignore:The value nan")
def test_a_search_goes_on_as_if_none_had_run_beside_it(tmp_path: Path) -> None:
    """Both are killed after three trials of their own."""
    memory = tmp_path / "m.jsonl"

    def killed(trial: Any) -> float:
        if trial.number == 3:
            raise KeyboardInterrupt
        return bowl(trial)

    def beside(trial: Any) -> float:
        if trial.number == 0:
            with pytest.raises(KeyboardInterrupt):
                search_result(memory, objective=killed)
        return killed(trial)

    with pytest.raises(KeyboardInterrupt):
        search_result(memory, objective=beside)
    assert search_result(memory) == search_result(tmp_path / "whole.jsonl")


def test_a_trial_without_a_number_is_no_candidate(tmp_path: Path) -> None:
    def sometimes(trial: Any) -> float:
        x = trial.suggest_float("x", 0, 1)
        return float("nan") if trial.number % 2 == 0 else float(x)

    result = json.loads(search_result(tmp_path / "m.jsonl", trials=4, objective=sometimes))
    assert ([trial["state"] for trial in result["trials"]], result["best"] % 2) == (["fail", "complete"] * 2, 1)
    with pytest.raises(ValueError, match="finished with a finite value"):
        search(lambda _: float("nan"), 2, 1, 1, tmp_path / "n.jsonl", "Searching")
    assert not (tmp_path / "n.jsonl").exists()


def test_one_trial_is_a_search_too(tmp_path: Path) -> None:
    result = json.loads(search_result(tmp_path / "m.jsonl", trials=1))
    assert (result["best"], result["importance"]) == (0, {})
