"""Comparing a run with a stored one: by ratios, so that a slower machine is no worse program."""

import json
from pathlib import Path

import pytest

from benchmarks.__main__ import COMPARED
from benchmarks.compare import STORED, main, read
from benchmarks.timing import Spent, Timing


def store(folder: Path, *timings: Timing) -> Path:
    folder.mkdir()
    found = {"machine": {}, "timings": [timing.as_json(timings) for timing in timings]}
    (folder / "speed.json").write_text(json.dumps(found))
    return folder


def run(own: float, peer: float, other: float = 1.0, spread: float = 1.0) -> tuple[Timing, ...]:
    def spent(seconds: float) -> tuple[Spent, ...]:
        return Spent(seconds, seconds), Spent(seconds * spread, seconds * spread)

    return (
        Timing("ours", spent(own), beside="theirs"),
        Timing("theirs", spent(peer), peer=True),
        Timing("alone", spent(other)),
    )


def compared(tmp_path: Path, before: tuple[Timing, ...], after: tuple[Timing, ...]) -> int:
    folders = store(tmp_path / "before", *before), store(tmp_path / "after", *after)
    return main(["--before", str(folders[0]), "--after", str(folders[1])])


def test_a_machine_of_half_the_speed_is_not_worse(tmp_path: Path) -> None:
    assert compared(tmp_path, run(2, 1, 1), run(4, 2, 2)) == 0


def test_more_against_the_peer_is_worse(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compared(tmp_path, run(2, 1), run(3, 1)) == 1
    assert capsys.readouterr().out.endswith("got worse: speed: ours\n")


def test_what_stands_beside_nothing_is_measured_by_the_pace_of_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compared(tmp_path, run(2, 1, 1), run(4, 2, 3)) == 1
    assert capsys.readouterr().out.endswith("got worse: speed: alone\n")


def test_what_differs_from_run_to_run_by_as_much_says_nothing(tmp_path: Path) -> None:
    assert compared(tmp_path, run(2, 1, spread=1.0), run(2.8, 1, spread=1.6)) == 0


def test_a_slower_peer_is_no_fault(tmp_path: Path) -> None:
    assert compared(tmp_path, run(2, 1), run(2, 2)) == 0


def test_a_stored_run_holds_ratios_and_compares_like_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made, kept = store(tmp_path / "made", *run(2, 1, 5)), tmp_path / "kept"
    assert main(["--after", str(made), "--before", str(kept), "--store"]) == 0
    stored = json.loads((kept / "speed.json").read_text())
    assert [row["cost"] for row in stored["timings"]] == [1, 0.5, 2.5]
    assert "seconds" not in json.dumps(stored)

    slower = store(tmp_path / "slower", *run(4, 2, 10))
    assert main(["--before", str(kept), "--after", str(slower)]) == 0
    worse = store(tmp_path / "worse", *run(4, 1, 5))
    assert main(["--before", str(kept), "--after", str(worse)]) == 1
    assert capsys.readouterr().out.endswith("got worse: speed: ours\n")


def test_the_stored_run_is_of_what_is_compared() -> None:
    stored = read(STORED)
    assert {name for name, _ in stored} == set(COMPARED)
    assert main(["--after", str(STORED)]) == 0


def test_nothing_to_compare_says_how_to_store_a_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = store(tmp_path / "after", *run(1, 1))
    assert main(["--before", str(tmp_path / "none"), "--after", str(folder)]) == 2
    assert "--store" in capsys.readouterr().out
