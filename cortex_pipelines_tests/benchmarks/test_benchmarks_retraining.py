import os
import subprocess
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from benchmarks.retraining import History, cost, decided, hindsight, replay, rows
from benchmarks.timing import BenchmarkError
from cortex_pipelines.api import load_parameters
from cortex_pipelines_tests.integration.miniproject import commit, git
from cortex_pipelines_tests.messages import refusal

DAYS = 7


@pytest.fixture
def history() -> History:
    draw = np.random.default_rng(0)
    age = np.arange(DAYS)[None, :] - np.arange(DAYS)[:, None]
    bits = np.where(age >= 0, 100 + 10 * age + draw.normal(0, 5, (DAYS, DAYS)), 0.0)
    new = np.where(age > 0, 60 * age, 0)
    when = tuple(2.0 * day for day in range(DAYS))
    return History("h", when, bits, np.full(DAYS, 50.0), 3.6, new, np.full(DAYS, 1000))


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_hindsight_is_the_best_of_all_choices(history: History, count: int) -> None:
    every = [cost(history, nights) for nights in combinations(range(1, DAYS), count)]
    assert cost(history, hindsight(history, count)) == pytest.approx(min(every))


def test_each_way_pays_for_its_trainings(history: History) -> None:
    rule = load_parameters().retraining.code_adapter
    rows_by_name = {row[0]: row for row in rows(history, rule)}
    assert rows_by_name["never"][1:4] == ("0", f"{cost(history, []):.3f}", "0.0 %")
    assert rows_by_name["nightly"][1] == str(DAYS - 1)
    assert rows_by_name["weekly"][1] == "1"  # at the eighth day of thirteen
    # a tenth is new after two nights
    assert decided(history, rule.model_copy(update={"new_share": 0.1})) == [2, 4, 6]
    assert decided(history, rule.model_copy(update={"new_share": 0.9, "most_days": 365})) == []
    assert float(rows_by_name["policy"][-1]) >= 0


def test_a_history_without_two_days_is_refused(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "-b", "main")
    (tmp_path / "one.py").write_text("x = 1\n")
    commit(tmp_path, "one day")
    assert "code changed on 1 day" in refusal(BenchmarkError, replay, "one", tmp_path / ".git")


def test_a_history_is_replayed_day_by_day(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "-b", "main")
    body = ""
    for day in range(1, 5):
        body += f"def area_{day}(width, height):\n    total = width * height\n    return total\n\n\n"
        (tmp_path / "areas.py").write_text(body)
        (tmp_path / "notes.txt").write_text(f"{day}")
        timestamp = f"2026-01-0{day}T12:00:00Z"
        git(tmp_path, "add", "-A")
        words = ("-c", "user.name=A", "-c", "user.email=a@example.org", "commit", "-q", "-m", timestamp)
        subprocess.run(["git", *words], cwd=tmp_path, check=True, env=os.environ | {"GIT_COMMITTER_DATE": timestamp})
    rows_by_name = replay("areas", tmp_path / ".git")
    assert (rows_by_name.bits.shape, rows_by_name.blocks.tolist()) == ((3, 3), [1, 2, 3])
    assert rows_by_name.new[0].tolist() == [0, 1, 2]
    assert np.allclose(np.diff(rows_by_name.when), 1.0)
    assert (rows_by_name.sizes > 40).all()
    assert rows_by_name.bits[1, 2] != rows_by_name.bits[0, 2]
    assert np.all(np.tril(rows_by_name.bits, -1) == 0)
