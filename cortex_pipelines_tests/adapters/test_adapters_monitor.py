import sys
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest

from cortex_pipelines.adapters.training.history import LossPoint, Validation
from cortex_pipelines.adapters.training.monitor import MachineLimits, TrainingMonitor, machine_limits, tensorboard
from cortex_pipelines_tests.adapters.tinymodel import Datasets, train_adapter
from cortex_pipelines_tests.messages import refusal


def test_it_waits_until_the_machine_is_within_its_limits(caplog: pytest.LogCaptureFixture) -> None:
    loads = (9.0, 9.0, 9.0, 0.1)
    waited: list[float] = []
    live = TrainingMonitor(MachineLimits(load=1.0), sleep=waited.append)
    with (
        mock.patch("psutil.getloadavg", side_effect=[(load * 4, 0, 0) for load in loads]),
        mock.patch("os.cpu_count", return_value=4),
        caplog.at_level("INFO"),
    ):
        live.wait()
    assert len(waited) == 2
    assert "the load is 9.0 a processor, above 1" in caplog.text


def test_the_limits_are_the_machine_s_memory_is_one_too(monkeypatch: pytest.MonkeyPatch) -> None:
    with mock.patch("psutil.virtual_memory", return_value=SimpleNamespace(percent=91.0)):
        assert "91% of the memory" in str(MachineLimits(memory=0.9).exceeded())
        assert MachineLimits(memory=0.95).exceeded() is None
    monkeypatch.delenv("CORTEX_PAUSE_LOAD", raising=False)
    monkeypatch.setenv("CORTEX_PAUSE_MEMORY", "0.9")
    assert machine_limits() == MachineLimits(None, 0.9)
    monkeypatch.setenv("CORTEX_PAUSE_LOAD", "high")
    assert "CORTEX_PAUSE_LOAD is 'high'" in refusal(ValueError, machine_limits)


def test_waits_change_no_byte(root: Path, datasets: Datasets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("through", "waited"):
        (tmp_path / name).mkdir()
    train_adapter(root, datasets, tmp_path / "through", max_tokens=800)
    answers = [None, "it is busy", "it is busy", *[None] * 100]
    monkeypatch.setenv("CORTEX_PAUSE_LOAD", "1")
    with (
        mock.patch.object(MachineLimits, "exceeded", side_effect=answers),
        mock.patch("cortex_pipelines.adapters.training.monitor._SECONDS_BETWEEN_LOOKS", 0.0),
    ):
        train_adapter(root, datasets, tmp_path / "waited", max_tokens=800)
    for path in (tmp_path / "through").iterdir():
        assert path.read_bytes() == (tmp_path / "waited" / path.name).read_bytes(), path.name


def test_without_tensorboard_nothing_is_written(tmp_path: Path) -> None:
    with mock.patch.dict(sys.modules, {"torch.utils.tensorboard": None}):
        assert tensorboard(tmp_path) is None
    assert list(tmp_path.iterdir()) == []
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    live = TrainingMonitor(writer=tensorboard(tmp_path))
    live.record_step(LossPoint(3, 1.5, 0.5, 0.01, 100))
    live.record_validation(Validation(3, 1.4))
    live.close()
    read = EventAccumulator(str(tmp_path))
    read.Reload()
    names = set(read.Tags()["scalars"])
    assert {"train/loss", "validation/loss", "speed/tokens_per_second", "memory/mib"} <= names
    (loss,) = read.Scalars("validation/loss")
    assert (loss.step, loss.value) == (3, pytest.approx(1.4))
    assert "tokens/s" in live.summary()
