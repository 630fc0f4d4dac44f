"""``cortex patterns``: check, learn and accept."""

import os
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner, Result

from cortex_pipelines.api import load_parameters
from cortex_pipelines.catalog import open_project
from cortex_pipelines.cli.main import main
from cortex_pipelines.datasets.team_patterns import proposed_patterns, served_patterns
from cortex_pipelines.extraction.patterns.pattern_files import read_patterns
from cortex_pipelines.schemas.datasets import UNIT_SPLITS
from cortex_pipelines.schemas.ingestion import REPOSITORY_FILES
from cortex_pipelines_tests.integration.miniproject import MiniProject
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)

OWN = CASES["OWN"]


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "patterns" / "proposed").mkdir(parents=True)
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.py").write_text("x = 1\ndrop(x)\nkeep(x)\n")
    (tmp_path / "src" / "a.js").write_text("drop(x)\n")
    (tmp_path / "b.py").write_text("keep(1)\n")
    return tmp_path


def cortex(*words: str, status: int = 0) -> Result:
    result = CliRunner().invoke(main, ["patterns", *words])
    assert result.exit_code == status, result.output
    return result


def test_places_that_break_a_pattern_are_listed_and_fail(checkout: Path) -> None:
    (checkout / "patterns" / "own.yaml").write_text(OWN)
    checked = cortex("check", "src", "b.py", status=1)
    assert checked.stdout == "src/a.py:2: keep_ids: An item is changed.\n"
    assert "1 patterns checked, 1 places break one" in checked.stderr
    assert cortex("check", "b.py", "src/a.js").stdout == ""
    assert "no such file or folder" in cortex("check", "gone.py", status=1).output


def test_a_file_that_is_no_pattern_fails_the_check(checkout: Path) -> None:
    (checkout / "patterns" / "own.yaml").write_text(OWN.replace("python", "cobol"))
    message = cortex("check", "b.py", status=1).stderr
    assert "no pattern: patterns/own.yaml: keep_ids: languages: takes python" in message
    (checkout / "patterns").rename(checkout / "elsewhere")
    assert "--folder names one" in cortex("check", "b.py", status=1).output


def test_a_proposal_counts_once_it_is_accepted(checkout: Path) -> None:
    proposed = checkout / "patterns" / "proposed" / "keep_ids.yaml"
    proposed.write_text(OWN)
    assert "0 patterns checked" in cortex("check", "src").stderr
    assert "there is keep_ids" in cortex("accept", "other", status=1).output
    assert cortex("accept", "keep_ids").stdout == "patterns/keep_ids.yaml\n"
    assert not proposed.exists()
    assert "src/a.py:2" in cortex("check", "src", status=1).stdout
    proposed.write_text(OWN)
    assert "is there already" in cortex("accept", "keep_ids", status=1).output
    (checkout / "patterns" / "keep_ids.yaml").unlink()
    proposed.write_text(OWN.replace("when", "whenever"))
    assert "keep_ids.yaml: keep_ids: " in cortex("accept", "keep_ids", status=1).output


def test_what_would_not_count_is_not_accepted(checkout: Path) -> None:
    patterns = checkout / "patterns"
    proposed = patterns / "proposed" / "another.yaml"
    proposed.write_text("# nothing is left of it\n")
    assert "another.yaml: holds no pattern" in cortex("accept", "another", status=1).output
    (patterns / "ids.yaml").write_text(OWN)
    proposed.write_text(OWN)  # of the two, the first by their files would count
    printed = cortex("accept", "another", status=1).output
    assert "another.yaml: name: keep_ids was accepted before" in printed
    assert proposed.exists()


@pytest.mark.slow
def test_a_project_proposes_from_train_and_leaves_what_is_there(
    exact_made: MiniProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(exact_made.root)
    proposals = proposed_patterns(open_project(exact_made.root), "alpha", load_parameters(exact_made.root).datasets, 2)
    splits = UNIT_SPLITS.read(exact_made.root / "data/unit_splits/alpha")
    held_out = set(splits.filter(pl.col("split") != "train")["path"])
    assert proposals
    assert not held_out.intersection(path for proposal in proposals for path in proposal.occurrences)
    out = tmp_path / "proposed"
    words = ("learn", "--project", "alpha", "--least", "2", "--most", "2", "--out", str(out))
    learnt = cortex(*words)
    files = sorted(out.glob("*.yaml"))
    assert 1 <= len(files) <= 4
    assert f"{len(files)} proposed in {out}; 0 were there already" in learnt.stderr
    files[0].write_text(OWN)
    assert f"0 proposed in {out}; {len(files)} were there already" in cortex(*words).stderr
    assert files[0].read_text() == OWN
    unknown = cortex("learn", "--project", "gamma", status=1).output
    assert "params.yaml has no project gamma" in unknown


def test_a_file_that_cannot_be_named_is_passed_over_as_by_a_search(checkout: Path) -> None:
    (checkout / "patterns" / "own.yaml").write_text(OWN)
    (checkout / "src" / os.fsdecode(b"b\xff.py")).write_text("drop(1)\n")
    assert "1 places break one" in cortex("check", "src", status=1).stderr


@pytest.mark.slow
def test_the_gateway_reads_the_patterns_of_the_pinned_files(
    exact_made: MiniProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(exact_made.root)
    project = open_project(exact_made.root)
    assert not served_patterns(project, "alpha", exact_made.version("repository_files@alpha")).languages
    assert not served_patterns(project, "gamma", None).languages
    files = REPOSITORY_FILES.read(exact_made.root / "data/repository_files/alpha")
    assert read_patterns(files) == []
    message = cortex("check", "sources/alpha", "--project", "alpha").stderr
    assert "0 patterns checked, 0 places break one" in message
