import importlib
import json
import pkgutil
from pathlib import Path

import pytest

import benchmarks
from benchmarks.__main__ import SLOW, USUAL, main, table
from benchmarks.timing import Spent, Timing


def test_every_measurement_can_be_called_and_an_unknown_one_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    names = {info.name for info in pkgutil.iter_modules(benchmarks.__path__)}
    assert names >= {*USUAL, *SLOW}
    for name in (*USUAL, *SLOW):
        assert callable(importlib.import_module(f"benchmarks.{name}").measure)
    with pytest.raises(SystemExit):
        main(["sped"])
    assert "sped" in capsys.readouterr().err


def test_ratio_is_against_the_timing_it_stands_beside() -> None:
    plain = Timing("plain", (Spent(1.0, 1.0), Spent(2.0, 1.5), Spent(9.0, 1.5)), peer=True)
    ours = Timing("ours", (Spent(1.0, 1.0) + Spent(2.0, 0.5),), 5.0, "plain")
    assert (ours.ratio([plain, ours]), plain.ratio([plain, ours])) == (1.5, None)
    assert table("both", [plain, ours]).row_count == 2


@pytest.mark.slow
def test_smallest_measurement_is_printed_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["loading", "--repeats", "1", "--results", str(tmp_path)])
    record = json.loads((tmp_path / "loading.json").read_text())
    assert record["machine"]["cores"] >= 1
    assert all(timing["median_seconds"] > 0 for timing in record["timings"])
    assert any(timing["peer"] for timing in record["timings"])
    assert "code location" in capsys.readouterr().out
