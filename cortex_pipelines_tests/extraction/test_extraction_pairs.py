from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_pipelines.config import Parameters, load_parameters
from cortex_pipelines.extraction.assets import refactoring_pairs
from cortex_pipelines.extraction.pairs.commits import changed_files, clean_message, is_noise, select_commits
from cortex_pipelines.extraction.pairs.mining import PairMiner
from cortex_pipelines.extraction.pairs.purposes import depth, parameter_count, purpose_of, smell_gone
from cortex_pipelines.extraction.refactoring.model import Refactoring
from cortex_pipelines.extraction.settings import PairSettings
from cortex_pipelines.ingestion.project_sources import DirectorySource, GitSource, ProjectSettings, ProjectSource
from cortex_pipelines.privacy.paths import PathRedactor
from cortex_pipelines.privacy.pseudonyms import project_key
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.extraction import REFACTORING_PAIRS
from cortex_pipelines.schemas.ingestion import REPOSITORY_COMMITS
from cortex_pipelines_tests.ingestion.conftest import Repository
from cortex_pipelines_tests.parameters import ROOT, load_cases

CASES = load_cases(__file__)


FIRST = CASES["FIRST"]
SECOND = FIRST.replace("def load(", "def read_kept(")
THIRD = SECOND.replace("values, indent=2", "items, indent=2").replace("save(path, values)", "save(path, items)")


class History(Repository):
    """A repository with its commits as ingestion would give them."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.rows: list[dict[str, Any]] = []

    def add(self, message: str, files: dict[str, str | bytes | None]) -> str:
        commit = self.commit(files, message)
        parents = self("log", "-1", "--format=%P").split()
        subject, _, body = message.partition("\n")
        self.rows.append(
            {
                "source": "git:repository", "commit": commit, "parents": parents,
                "committed_at": None, "author": None, "subject": subject, "body": body.strip(),
                "paths": sorted(files),
            }
        )  # fmt: skip
        return commit

    @property
    def commits(self) -> pl.DataFrame:
        frame = pl.DataFrame(self.rows, schema=REPOSITORY_COMMITS.schema, orient="row")
        times = pl.datetime_range(
            pl.datetime(2024, 1, 1, time_zone="UTC"),
            pl.datetime(2024, 1, 1, time_zone="UTC") + pl.duration(days=frame.height - 1),
            interval="1d",
            eager=True,
        )
        return frame.with_columns(times.cast(pl.Datetime("us", "UTC")).alias("committed_at"))

    def source(self) -> ProjectSource:
        entry = GitSource(git="repository", ref="main")
        head = self("rev-parse", "HEAD")
        count = int(self("rev-list", "--count", "HEAD"))
        pin = {"git": "repository", "ref": "main", "revision": head, "commits": count}
        return ProjectSource(ProjectSettings(sources=[entry]), (pin,))


@pytest.fixture(scope="module")
def parameters() -> Parameters:
    return load_parameters(ROOT)


@pytest.fixture
def settings(parameters: Parameters) -> PairSettings:
    return parameters.pairs.model_copy(update={"extreme_share": 1.0})


@pytest.fixture
def history(tmp_path: Path) -> History:
    repository = History(tmp_path / "repository")
    repository.add("Add reading and writing", {"files.py": FIRST})
    repository.add("Call reading by what it does (#12)\n\nSee: #11\n", {"files.py": SECOND})
    return repository


def mined(history: History, parameters: Parameters, settings: PairSettings, cache: RowCache) -> pl.DataFrame:
    miner = PairMiner("p", settings, parameters.refactoring, parameters.ingestion, parameters.privacy)
    return miner.mine_history(history.source(), history.commits, history.folder.parent, cache)


def test_a_renamed_function_is_a_pair(history, parameters: Parameters, settings: PairSettings, tmp_path: Path) -> None:
    pairs = mined(history, parameters, settings, RowCache(tmp_path / "cache", "1"))
    (row,) = pairs.filter(pl.col("type") == "Rename Method").to_dicts()
    assert (row["name_before"], row["name_after"]) == ("load", "read_kept")
    assert row["before"].startswith("def load(path, verbose):")
    assert row["after"].startswith("def read_kept(path, verbose):")
    assert (row["purpose"], row["purity"], row["message"]) == ("readability", "pure", "Call reading by what it does")
    assert row["language"] == "python"
    assert pairs.equals(REFACTORING_PAIRS.conform(pairs))


def test_what_is_extracted_from_a_module_is_no_pair(parameters, settings: PairSettings, tmp_path: Path) -> None:
    repository = History(tmp_path / "repository")
    body = "values = sorted(open(name))\nfor value in values:\n    print(value.upper(), len(value))\n"
    repository.add("Add a script", {"script.py": body})
    inside = "".join(f"    {line}\n" for line in body.splitlines())
    repository.add("Make it a function", {"script.py": f"def main():\n{inside}\n\nmain()\n"})
    assert mined(repository, parameters, settings, RowCache(tmp_path / "cache", "1")).is_empty()


def test_only_new_commits_are_looked_at_again(history, parameters, settings, tmp_path, monkeypatch) -> None:
    cache = RowCache(tmp_path / "cache", "1")
    mined(history, parameters, settings, cache)
    looked_at: list[int] = []
    real = PairMiner.mine_pairs

    def watched(self: PairMiner, mirror: Path, commits: pl.DataFrame) -> pl.DataFrame:
        looked_at.append(commits.height)
        return real(self, mirror, commits)

    monkeypatch.setattr(PairMiner, "mine_pairs", watched)
    history.add("Name what is saved better", {"files.py": THIRD})
    again = mined(history, parameters, settings, cache)
    assert looked_at == [1]
    assert again.equals(mined(history, parameters, settings, RowCache(tmp_path / "other", "1")))
    assert "Rename Parameter" in set(again["type"])


def test_private_values_are_taken_out(tmp_path: Path, parameters: Parameters, settings: PairSettings) -> None:
    secret = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
    line = f'    token = "{secret}"\n    send(path, token, "jane.miller@acme-widgets.de")\n'
    first = FIRST.replace("    text = path.read_text()\n", f"    text = path.read_text()\n{line}")
    history = History(tmp_path / "repository")
    history.add("Add reading and writing", {"files.py": first})
    history.add("Say what it does", {"files.py": first.replace("def load(", "def read_kept(")})
    pairs = mined(history, parameters, settings, RowCache(tmp_path / "cache", "1"))
    assert pairs.height == 1
    text = pairs["before"][0] + pairs["after"][0]
    assert "jane.miller@acme-widgets.de" not in text
    assert "read_kept" in text


def test_a_project_without_history_has_no_pairs(tmp_path: Path, parameters: Parameters, settings: PairSettings) -> None:
    (tmp_path / "commits").mkdir()
    REPOSITORY_COMMITS.empty().write_parquet(tmp_path / "commits" / "commits.parquet")
    source = ProjectSource(ProjectSettings(sources=[DirectorySource(directory="folder")]), ({"directory": "folder"},))
    tables = refactoring_pairs(
        source, tmp_path / "commits", settings, parameters.refactoring, parameters.ingestion,
        parameters.privacy, "p", tmp_path, RowCache(tmp_path / "cache", "1"),
    )  # fmt: skip
    assert tables["refactoring_pairs"].equals(REFACTORING_PAIRS.empty())


def test_too_many_refactorings_are_bulk_work(history, parameters, settings: PairSettings, tmp_path: Path) -> None:
    names = [f"value_{n}" for n in range(6)]
    text = "".join(f"def f_{n}({n}):\n    print({n})\n    return {n} * 2\n\n\n" for n in names)
    history.add("Add many functions here", {"many.py": text})
    history.add("Rename all of them", {"many.py": text.replace("def f_", "def g_")})
    few = settings.model_copy(update={"max_pairs": 5})
    every = mined(history, parameters, settings, RowCache(tmp_path / "one", "1"))
    bound = mined(history, parameters, few, RowCache(tmp_path / "two", "1"))
    assert every.filter(pl.col("path_after") == "many.py").height >= 6
    assert bound.filter(pl.col("path_after") == "many.py").is_empty()
    assert bound.height >= 1


def test_a_file_gives_pairs_of_its_newest_commits(history, parameters, settings: PairSettings, tmp_path: Path) -> None:
    last = history.add("Name what is saved better", {"files.py": THIRD})
    one_commit_per_path = settings.model_copy(update={"max_commits_per_path": 1})
    pairs = mined(history, parameters, one_commit_per_path, RowCache(tmp_path / "cache", "1"))
    assert set(pairs["commit"]) == {last}
    everything = settings.model_copy(update={"max_commits_per_path": None})
    pairs = mined(history, parameters, everything, RowCache(tmp_path / "more", "1"))
    assert pairs["commit"].n_unique() == 2


def test_very_small_and_very_large_units_are_thinned_out(history, parameters, settings, tmp_path: Path) -> None:
    none = settings.model_copy(update={"small_lines": 50, "large_lines": 200, "extreme_share": 0.0})
    assert mined(history, parameters, none, RowCache(tmp_path / "cache", "1")).is_empty()


def test_commits_are_chosen_by_what_they_are(history: History, settings: PairSettings) -> None:
    history.add("Bump version to 1.2.3", {"files.py": THIRD})
    history.add("Describe how it works", {"README.md": "words"})
    history.add("Add a great many files", {f"file_{n}.py": f"x = {n}\n" for n in range(settings.max_files + 1)})
    history("checkout", "-q", "-b", "side", "HEAD~1")
    history.add("Count the characters once more", {"files.py": FIRST})
    selected = select_commits(history.commits, settings)
    assert selected["subject"].to_list() == ["Count the characters once more", "Call reading by what it does (#12)"]
    newest = settings.model_copy(update={"max_commits": 1})
    assert select_commits(history.commits, newest)["subject"].to_list() == ["Count the characters once more"]
    assert select_commits(history.commits.with_columns(pl.lit(["a", "b"]).alias("parents")), settings).is_empty()


def test_files_that_are_no_code_of_ours_are_left_out(history, settings: PairSettings, parameters: Parameters) -> None:
    files: dict[str, str | bytes | None] = {
        "files.py": None,
        "moved.py": FIRST,
        "bytes.py": b"\xff\xfe\x00",
        "long.py": "x = 1\n" * 50000,
        "medium.py": "x = '" + "é" * 60000 + "'\n" * 30000,
        "vendor/copied.py": FIRST,
        "notes.txt": "words",
        "odd\nname.py": FIRST,
    }
    commit = history.add("Move and add some things", files)
    redactor = PathRedactor(parameters.privacy, project_key("demo", parameters.privacy))
    (contents,) = changed_files(history.folder / ".git", history.rows[-1:], settings, parameters.ingestion, redactor)
    assert history.rows[-1]["commit"] == commit
    assert (contents.before, contents.after) == ({"files.py": SECOND}, {"moved.py": FIRST})


@pytest.mark.parametrize("subject", CASES["noise_is_told"])
def test_noise_is_told(subject: str, settings: PairSettings) -> None:
    assert is_noise(subject, settings.min_subject_words)


@pytest.mark.parametrize("subject", CASES["a_telling_subject_is_kept"])
def test_a_telling_subject_is_kept(subject: str, settings: PairSettings) -> None:
    assert not is_noise(subject, settings.min_subject_words)


@pytest.mark.parametrize(("message", "cleaned"), CASES["a_message_is_cleaned"])
def test_a_message_is_cleaned(message: str, cleaned: str) -> None:
    subject, _, body = message.partition("\n")
    assert clean_message(subject, body.strip("\n")).split() == cleaned.split()


@given(st.text(max_size=60), st.text(max_size=200))
def test_any_message_can_be_cleaned_and_twice_is_once(subject: str, body: str) -> None:
    message = clean_message(subject.replace("\n", " "), body)
    assert "Signed-off-by:" not in message
    assert len(message) <= len(subject) + len(body) + 1
    is_noise(subject, 3)


def refactoring(**changes: Any) -> Refactoring:
    return Refactoring(**(CASES["refactoring"] | changes))


@pytest.mark.parametrize(("type_", "message", "smell", "purpose"), CASES["the_purpose_follows_message_type_and_smell"])
def test_the_purpose_follows_message_type_and_smell(type_: str, message: str, smell: str | None, purpose: str) -> None:
    assert purpose_of(refactoring(type=type_), message, smell) == purpose


def test_smells_that_are_gone_are_named(settings: PairSettings) -> None:
    long = refactoring(type="Extract Method", end_line_before=80, end_line_after=20)
    assert smell_gone(long, settings) == "long-method"
    parameters = "a: Map[str, int] = f(1, 2), b=(1, 2), c=0, d=0, e=0, f=0"
    many = refactoring(
        type="Remove Parameter", code_before=f"def a({parameters}): pass", code_after="def a(a, b): pass"
    )
    assert parameter_count(many.code_before) == 6
    assert smell_gone(many, settings) == "long-parameter-list"
    nested = "def a():\n" + "".join(f"{'    ' * n}if x:\n" for n in range(1, 8))
    deep = refactoring(code_before=nested + " " * 32 + "y()", end_line_after=2)
    assert depth(deep.code_before) == 8
    assert smell_gone(deep, settings) == "deep-nesting"
    assert smell_gone(refactoring(), settings) is None


def test_parameters_are_counted() -> None:
    assert (parameter_count("def f(): pass"), parameter_count("x = 1")) == (0, 0)
    assert parameter_count("func f(a int, b []string,) error {") == 2


def test_bounds_that_contradict_each_other_are_refused(settings: PairSettings) -> None:
    values = settings.model_dump() | {"small_lines": 10, "large_lines": 5}
    with pytest.raises(ValueError, match="must be below large_lines"):
        PairSettings(**values)
