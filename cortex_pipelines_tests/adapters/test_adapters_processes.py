import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from safetensors.torch import load_file
from torch.multiprocessing.spawn import ProcessExitedException

from cortex_pipelines.adapters.training.distributed import ProcessGroup, run_in_processes
from cortex_pipelines.adapters.training.history import TrainingDivergedError
from cortex_pipelines_tests.adapters.shares import die, fail, total_of
from cortex_pipelines_tests.adapters.tinymodel import Datasets, settings, train_record
from cortex_pipelines_tests.messages import missing
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)
SHARED: dict[str, Any] = CASES["SHARED"]


def build(root: Path, datasets: Datasets, out: Path, **changes: Any) -> dict[str, Any]:
    return train_record(root, datasets, out, general=datasets["completion"], **SHARED | changes)


def weights(out: Path) -> dict[str, torch.Tensor]:
    tensors = load_file(out / "adapter_model.safetensors")
    return {name: tensor.float() for name, tensor in tensors.items()}


@pytest.fixture(scope="module")
def shared(root: Path, datasets: Datasets, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("shared") / "adapter"
    build(root, datasets, out)
    return out


@pytest.mark.slow
def test_two_processes_give_the_weights_of_one(root: Path, datasets: Datasets, shared: Path, tmp_path: Path) -> None:
    alone = build(root, datasets, tmp_path / "alone", processes=1)
    record = json.loads((shared / "training.json").read_text())
    for key in ("steps", "validation"):
        assert len(record[key]) == len(alone[key]) > 3
        for shared_weights, other in zip(record[key], alone[key], strict=True):
            assert shared_weights == pytest.approx(other, rel=1e-4)
    shared_weights, other = weights(shared), weights(tmp_path / "alone")
    assert shared_weights.keys() == other.keys()
    for name, tensor in shared_weights.items():
        # they are written in bfloat16, of which one may round the other way
        assert float((tensor - other[name]).norm()) <= 1e-3 * float(tensor.norm()), name
    exported = [json.loads((out / "metrics.json").read_text()) for out in (shared, tmp_path / "alone")]
    assert exported[0] == pytest.approx(exported[1], rel=1e-4)


KILLED = CASES["KILLED"]


@pytest.mark.long
def test_a_killed_group_goes_on_to_the_same_bytes(
    root: Path, datasets: Datasets, shared: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "killed").mkdir()
    script, checkout = tmp_path / "killed.py", Path(__file__).parents[2]
    script.write_text(KILLED)
    general = datasets["completion"]
    command = [sys.executable, script, root, general, tmp_path / "killed", *datasets.values()]
    environment = os.environ | {"PYTHONPATH": str(checkout), "CHANGES": json.dumps(SHARED)}
    process = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert process.returncode == -signal.SIGKILL, process.stderr
    assert list((tmp_path / "killed").iterdir()) == []
    states = root / ".cortex" / "cache" / "checkpoints"
    assert len(list(states.iterdir())) == 1
    with caplog.at_level("INFO", "cortex_pipelines"):
        build(root, datasets, tmp_path / "on")
    assert (caplog.text.count("Resuming an interrupted training after step 6"), list(states.iterdir())) == (1, [])
    for path in shared.iterdir():
        assert path.read_bytes() == (tmp_path / "on" / path.name).read_bytes(), path.name


@pytest.mark.long
def test_two_processes_stop_early_together(root: Path, datasets: Datasets, tmp_path: Path) -> None:
    wild = {"learning_rate": 30.0, "lr_scheduler": "constant", "warmup_steps": 6, "patience": 2}
    record = build(root, datasets, tmp_path / "adapter", **wild, evaluation_steps=1)
    assert record["stopped_early"]
    assert len(record["steps"]) == record["best_step"] + 2


@pytest.mark.long
def test_a_training_that_diverges_in_two_processes_says_so(root: Path, datasets: Datasets, tmp_path: Path) -> None:
    wild = {"learning_rate": 1e30, "lr_scheduler": "constant", "warmup_steps": 0}
    with pytest.raises(TrainingDivergedError, match=r"step \d+.*lower learning_rate"):
        build(root, datasets, tmp_path / "adapter", **wild)
    assert list((tmp_path / "adapter").iterdir()) == []


def test_the_sum_is_of_all_and_the_first_reports_and_logs(caplog: pytest.LogCaptureFixture) -> None:
    reported: list[float] = []
    assert (run_in_processes(total_of, [1.0, 2.0, 4.0], 2, reported.append), reported) == (7.0, [1.0, 2.0, 4.0])
    assert [record.getMessage() for record in caplog.records] == ["0 of 2"]


@pytest.mark.parametrize("rank", [pytest.param(0, marks=pytest.mark.long), 1])
def test_a_process_that_fails_ends_all_with_its_error(rank: int) -> None:
    with pytest.raises(KeyError, match="no such thing") as raised:
        run_in_processes(fail, rank, 2)
    (note,) = raised.value.__notes__
    assert missing(note, f"in process {rank} of 2", "in fail") == []


def test_a_killed_process_or_a_report_that_raises_ends_all() -> None:
    with pytest.raises(ProcessExitedException, match=r"process 1 terminated with.*SIGKILL"):
        run_in_processes(die, 1, 2)

    def report(_value: float) -> None:
        raise StopIteration

    with pytest.raises(StopIteration):
        run_in_processes(total_of, [1.0], 2, report)


def test_what_cannot_be_shared_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"set adapters.gradient_accumulation to 3 or more"):
        settings(processes=3, gradient_accumulation=2)
    with (
        mock.patch("torch.cuda.device_count", return_value=1),
        pytest.raises(ValueError, match=r"this machine has 1 GPU\(s\); set it to 1 or less"),
    ):
        run_in_processes(total_of, [1.0], 2)


@given(st.lists(st.integers()), st.integers(1, 6))
def test_every_item_is_in_one_share(items: Sequence[int], size: int) -> None:
    shares = [ProcessGroup(rank, size).shard(items) for rank in range(size)]
    assert sorted(chain.from_iterable(shares)) == sorted(items)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
