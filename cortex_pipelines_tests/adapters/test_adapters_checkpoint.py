import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from cortex_pipelines.adapters.training import checkpoint, loop
from cortex_pipelines.adapters.training.checkpoint import Checkpoints
from cortex_pipelines_tests.adapters.tinymodel import Datasets, train_adapter
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)
CHANGES: dict[str, Any] = CASES["CHANGES"]
KILLED = CASES["KILLED"]


def build(root: Path, datasets: Datasets, out: Path, **changes: Any) -> int:
    """Train, and how many steps were taken for it."""
    out.mkdir()
    with mock.patch.object(loop, "_step", wraps=loop._step) as step:
        train_adapter(root, datasets, out, general=datasets["completion"], **CHANGES | changes)
    return int(step.call_count)


def saved_checkpoints(root: Path) -> list[Path]:
    return sorted((root / ".cortex" / "cache" / "checkpoints").glob("*"))


def test_a_killed_training_goes_on_to_the_same_bytes(root: Path, datasets: Datasets, tmp_path: Path) -> None:
    uninterrupted = build(root, datasets, tmp_path / "whole")
    assert saved_checkpoints(root) == []
    (tmp_path / "killed").mkdir()
    general, checkout = datasets["completion"], Path(__file__).parents[2]
    command = [sys.executable, "-c", KILLED, root, general, tmp_path / "killed", *datasets.values()]
    environment = os.environ | {"PYTHONPATH": str(checkout), "CHANGES": json.dumps(CHANGES)}
    process = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False)
    assert process.returncode == -signal.SIGKILL, process.stderr
    assert list((tmp_path / "killed").iterdir()) == []
    (state,) = saved_checkpoints(root)
    # a training with other settings neither uses nor changes the checkpoint
    assert (build(root, datasets, tmp_path / "other", seed=5), saved_checkpoints(root)) == (uninterrupted, [state])
    for name in ("content_md5", "installed"):  # nor one by other code or other packages, which an upgrade brings
        with mock.patch.object(checkpoint, name, return_value="another"):
            steps = build(root, datasets, tmp_path / name)
        assert (steps, saved_checkpoints(root)) == (uninterrupted, [state])
    assert (build(root, datasets, tmp_path / "on"), saved_checkpoints(root)) == (uninterrupted - 6, [])
    for path in (tmp_path / "whole").iterdir():
        assert path.read_bytes() == (tmp_path / "on" / path.name).read_bytes(), path.name


def test_a_state_that_cannot_be_read_is_no_reason_to_stop(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    checkpoints = Checkpoints(tmp_path / "states", "key")
    assert checkpoints.load() is None
    checkpoints.save({"steps": [1, 2]})
    assert checkpoints.load() == {"steps": [1, 2]}
    checkpoints.path.write_bytes(checkpoints.path.read_bytes()[:100])
    with caplog.at_level("WARNING"):
        assert checkpoints.load() is None
    assert "training starts over" in caplog.text
    checkpoints.clear()
    checkpoints.clear()
    assert not checkpoints.path.exists()
