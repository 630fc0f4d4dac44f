"""The runner of the long attacks, on small stages of its own."""

import json
from pathlib import Path

import pytest

from cortex_pipelines_tests.attacks.__main__ import code_version, main, stages_in
from cortex_pipelines_tests.integration.miniproject import git
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)


@pytest.fixture
def tests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # loading them takes longer than these stages
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    folder = tmp_path / "tests"
    folder.mkdir()
    (folder / "pytest.ini").write_text("[pytest]\nmarkers =\n    attack: long\n")
    (folder / "test_attacks_doors.py").write_text(CASES["HELD"].format(runs=tmp_path / "runs"))
    return folder


def attack(tests: Path, *arguments: str) -> int:
    return main(["--tests", str(tests), "--state", str(tests.parent / "state"), *arguments])


def runs(tests: Path) -> int:
    path = tests.parent / "runs"
    return len(path.read_text()) if path.exists() else 0


def test_a_stage_is_run_once_for_one_version_of_the_code(tests: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    assert attack(tests, "--plan") == 0
    printed = capsys.readouterr().out
    assert "about 7.0 minutes    Doors that are tried." in printed
    assert printed.endswith("about 7 minutes in all\n")
    assert (runs(tests), attack(tests)) == (0, 0)
    assert "| doors | 250 | 250 | 0 | 1 |" in (tests.parent / "state/attack.md").read_text()
    capsys.readouterr()
    assert attack(tests) == 0
    printed = capsys.readouterr().out
    assert "done before" in printed
    assert "| all | 250 | 250 | 0 | 1 |" in printed
    assert (runs(tests), attack(tests, "--again"), runs(tests)) == (1, 0, 2)
    monkeypatch.setattr("cortex_pipelines_tests.attacks.__main__.code_version", lambda _: "other")
    assert (attack(tests), runs(tests)) == (0, 3)


def test_a_broken_stage_is_reported_and_the_others_still_run(tests: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tests / "test_attack_building.py").write_text(CASES["BROKEN"])
    assert attack(tests) == 1
    printed = capsys.readouterr().out
    assert "it is open" in printed
    assert "| building | 2 | 1 | 1 | 0 |" in printed
    assert "| doors | 250 | 250 | 0 | 1 |" in printed
    assert attack(tests) == 1, "what is broken stays broken until something changes"
    assert attack(tests, "doors") == 0


def test_a_stage_that_was_cut_short_is_run_again(tests: Path) -> None:
    (tests / "test_attacks_doors.py").write_text("import no_such_module\n")
    assert attack(tests) == 1
    results = json.loads((tests.parent / "state/doors.json").read_text())
    assert results["status"] == 2
    (stage,) = stages_in(tests, tests.parent / "state")
    assert stage.current_result(results["code"]) is None


def test_a_stage_without_a_name_is_refused(tests: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        attack(tests, "windows")
    assert "no stage windows; there are: doors" in capsys.readouterr().err


def test_the_version_of_the_code_is_that_of_its_bytes(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "a.py").write_text("a = 1\n")
    first = code_version(tmp_path)
    (tmp_path / "a.py").write_text("a = 2\n")
    assert code_version(tmp_path) != first
    (tmp_path / "a.py").write_text("a = 1\n")
    assert code_version(tmp_path) == first


def test_every_file_of_attacks_is_a_stage_that_says_what_it_is() -> None:
    attacks_folder = Path(__file__).parent
    for stage in stages_in(attacks_folder, attacks_folder):
        assert stage.summary.endswith("."), stage.file
        assert stage.estimate(), f"{stage.file} does not say how many MINUTES it takes"
