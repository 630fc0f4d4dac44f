import pytest

from cortex_pipelines.projects.parameter_file import without_project
from cortex_pipelines.versioning.project import ProjectError, read_yaml
from cortex_pipelines_tests.integration.miniproject import MiniProject
from cortex_pipelines_tests.messages import missing
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)
BEFORE = CASES["BEFORE"]


@pytest.mark.parametrize(("name", "removed_lines"), CASES["all_other_lines_stay_to_the_letter"])
def test_all_other_lines_stay_to_the_letter(name: str, removed_lines: str) -> None:
    assert removed_lines in BEFORE
    assert without_project(BEFORE, name) == BEFORE.replace(removed_lines, "")


@pytest.mark.parametrize(("before", "after"), CASES["what_has_no_lines_of_its_own_is_taken_out_too"])
def test_what_has_no_lines_of_its_own_is_taken_out_too(before: str, after: str) -> None:
    assert without_project(before, "a") == after


def test_a_project_whose_values_another_repeats_is_not_removed() -> None:
    with pytest.raises(ProjectError, match="alias"):
        without_project("projects:\n  a: &x {sources: []}\n  b:\n    <<: *x\n    c: *x\n", "a")


def texts(mini: MiniProject) -> str:
    names = ("params.yaml", "sources.lock", "releases.lock", "dvc.yaml", "dvc.lock")
    return "".join(path.read_text() for name in names if (path := mini.root / name).exists())


def test_a_project_leaves_every_place_and_the_control_is_not_removed(begun: MiniProject) -> None:
    begun.cortex("run", "repository_files")
    pages = begun.root / ".cortex" / "data_docs" / "repository_files@beta"
    pages.mkdir(parents=True, exist_ok=True)
    before, other = texts(begun), begun.root / "data" / "repository_files" / "alpha"
    plan = begun.cortex("remove", "beta", "--dry-run").stderr
    assert missing(plan, "dvc.lock: 1 of its stages", "keep for the record: the ledger of releases") == []
    assert texts(begun) == before
    begun.cortex("remove", "beta", "--yes")
    assert "beta" not in texts(begun).replace("sources/beta", "")
    assert not (begun.root / "data" / "repository_files" / "beta").exists()
    assert ((begun.root / "data" / "parameters" / "projects" / "beta.json").exists(), pages.exists()) == (False, False)
    assert other.is_dir()
    assert "alpha" in read_yaml(begun.root / "sources.lock")["projects"]
    assert "there is: alpha" in begun.cortex("remove", "beta", status=1).stderr
    begun.cortex("add", "--control", "other", "sources/beta")
    before = texts(begun)
    assert "general.project" in begun.cortex("remove", "other", "--yes", status=1).stderr
    assert texts(begun) == before
    begun.cortex("remove", "alpha", "--yes")
    purged = begun.cortex("remove", "alpha", "--yes", "--purge").stderr
    assert missing(purged, "alpha is removed already", "1 copies of sources") == []
    assert "no project alpha" in begun.cortex("remove", "alpha", "--yes", "--purge", status=1).stderr
