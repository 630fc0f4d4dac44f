import json
from pathlib import Path

import pytest

from benchmarks.__main__ import COMPARED
from benchmarks.compare import STORED, main, read
from benchmarks.timing import Spent, Timing


def store(folder: Path, *timings: Timing) -> Path:
    folder.mkdir()
    run_record = {"machine": {}, "timings": [timing.as_json(timings) for timing in timings]}
    (folder / "speed.json").write_text(json.dumps(run_record))
    return folder


Run = tuple[Timing, ...]


def run(our_seconds: float, peer: float, other: float = 1.0, spread: float = 1.0) -> Run:
    def spent(seconds: float) -> tuple[Spent, ...]:
        return Spent(seconds, seconds), Spent(seconds * spread, seconds * spread)

    return (
        Timing("ours", spent(our_seconds), beside="theirs"),
        Timing("theirs", spent(peer), peer=True),
        Timing("alone", spent(other)),
    )


@pytest.mark.parametrize(
    ("before", "after", "worse"),
    [
        (run(2, 1, 1), run(4, 2, 2), ""),  # a machine of half the speed
        (run(2, 1), run(3, 1), "ours"),  # more against the peer
        (run(2, 1, 1), run(4, 2, 3), "alone"),  # what stands beside nothing goes by the pace of the run
        (run(2, 1, spread=1.0), run(2.8, 1, spread=1.6), ""),  # it differs from run to run by as much
        (run(2, 1), run(2, 2), ""),  # a slower peer
    ],
)
def test_runs_compare_by_ratios(
    tmp_path: Path, before: Run, after: Run, worse: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = store(tmp_path / "before", *before), store(tmp_path / "after", *after)
    assert main(["--before", str(folders[0]), "--after", str(folders[1])]) == bool(worse)
    assert not worse or capsys.readouterr().out.endswith(f"got worse: speed: {worse}\n")


def test_a_stored_run_holds_ratios_and_compares_as_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fresh, stored_run = store(tmp_path / "made", *run(2, 1, 5)), tmp_path / "kept"
    assert main(["--after", str(fresh), "--before", str(stored_run), "--store"]) == 0
    stored = json.loads((stored_run / "speed.json").read_text())
    assert [row["cost"] for row in stored["timings"]] == [1, 0.5, 2.5]
    assert "seconds" not in json.dumps(stored)
    slower = store(tmp_path / "slower", *run(4, 2, 10))
    assert main(["--before", str(stored_run), "--after", str(slower)]) == 0
    worse = store(tmp_path / "worse", *run(4, 1, 5))
    assert main(["--before", str(stored_run), "--after", str(worse)]) == 1
    assert capsys.readouterr().out.endswith("got worse: speed: ours\n")


def test_the_stored_run_is_of_what_is_compared_or_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stored = read(STORED)
    assert ({name for name, _ in stored}, main(["--after", str(STORED)])) == (set(COMPARED), 0)
    folder = store(tmp_path / "after", *run(1, 1))
    assert main(["--before", str(tmp_path / "none"), "--after", str(folder)]) == 2
    assert "--store" in capsys.readouterr().out
