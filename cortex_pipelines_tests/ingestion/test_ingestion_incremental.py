import io
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cortex_pipelines.ingestion.files import build, commits, line_times
from cortex_pipelines.rowcache import RowCache

GIT = {"git": "repository", "ref": "main"}


@pytest.fixture
def converted_paths(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Paths of the files that were made into rows, as they are."""
    read_files: list[str] = []
    content_of = build.content_of

    def noted(file: Any, *others: Any) -> Any:
        read_files.append(file.path)
        return content_of(file, *others)

    monkeypatch.setattr(build, "content_of", noted)
    return read_files


def parquet(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


def assert_equal_tables(first: Any, second: Any) -> None:
    for name in ("files", "skipped", "redactions"):
        assert parquet(getattr(first, name)) == parquet(getattr(second, name)), name


def test_only_changed_files_of_a_repository_are_read_again(
    repository: Any, take: Any, read_pinned: Any, read: Any, converted_paths: list[str]
) -> None:
    first = {
        **{f"{number}.py": f"x = {number}\n" for number in range(5)},
        **{"image.png": b"\0", "mail.py": "# ann.other@kestrel-systems.io\n"},
    }
    repository.commit(first)
    read_pinned(take(GIT))
    assert sorted(converted_paths) == sorted(first)
    converted_paths.clear()
    (repository.folder / "4.py").unlink()
    changed = {"0.py": "x = 'changed'\n", "copy.py": first["1.py"], "LICENSE": "MIT\n"}
    repository.commit(changed)
    again = read_pinned(take(GIT))
    assert sorted(converted_paths) == sorted(changed)
    assert (set(again.files["licence"]), again.redactions["path"].to_list()) == ({"MIT"}, ["mail.py"])
    assert again.reasons == {"image.png": "binary"}
    assert_equal_tables(again, read(GIT))


def test_only_changed_files_of_a_folder_are_made_again(tmp_path, take, read_pinned, read: Any, converted_paths) -> None:
    folder = tmp_path / "plain"
    folder.mkdir()
    for name in ("a.py", "b.py", "c.py"):
        (folder / name).write_text(f"name = {name!r}\n")
    read_pinned(take({"directory": "plain"}))
    converted_paths.clear()
    (folder / "b.py").write_text("b = 2\n")
    again = read_pinned(take({"directory": "plain"}))
    assert converted_paths == ["b.py"]
    assert_equal_tables(again, read({"directory": "plain"}))


def test_the_same_file_in_two_sources_is_made_once(plain, repository: Any, read: Any, converted_paths) -> None:
    repository.commit({"a.py": "a = 1\n", "b.py": "b = 1\n"})
    plain({"a.py": "a = 1\n"})
    tables = read(GIT, {"directory": "plain"})
    assert sorted(converted_paths) == ["a.py", "b.py"]
    assert tables.files.select("source", "path").rows() == [
        ("directory:plain", "a.py"),
        ("git:repository", "a.py"),
        ("git:repository", "b.py"),
    ]


def test_only_new_commits_are_read_again(tmp_path: Path, repository: Any, take: Any, privacy: Any, monkeypatch) -> None:
    looked_up: list[str] = []
    look_up = commits.look_up_commits

    def noted(mirror: Path, wanted: Any, *others: str) -> Any:
        looked_up.extend(wanted)
        return look_up(mirror, wanted, *others)

    monkeypatch.setattr(commits, "look_up_commits", noted)
    cache = RowCache(tmp_path / "rows", "1")

    def read(rows: RowCache) -> dict[str, pl.DataFrame]:
        tables = commits.repository_commits(take(GIT), "demo", tmp_path, privacy, rows)
        return tables | {"line_times": line_times.line_times(take(GIT), "demo", tmp_path, privacy, rows)}

    first = repository.commit({"a.py": "1"}, "Begin, says ann.other@kestrel-systems.io")
    read(cache)
    second = repository.commit({"a.py": "2"}, "Go on")
    again = read(cache)
    assert looked_up == [first, second]
    fresh = read(RowCache(tmp_path / "other", "1"))
    for name in ("commits", "redactions", "line_times"):
        assert parquet(again[name]) == parquet(fresh[name])
    assert again["redactions"]["path"].to_list() == [first]


def test_a_history_that_became_deeper_is_read_as_it_is_now(tmp_path, repository: Any, take: Any, privacy: Any) -> None:
    repository.commit({"a.py": "1"})
    last = repository.commit({"b.py": "1"})
    shallow = repository.folder.parent / "shallow"
    url = repository.folder.as_uri()
    repository("clone", "--quiet", "--bare", "--depth=1", url, str(shallow))
    cache = RowCache(tmp_path / "rows", "1")
    paths = []
    for depth in (None, "5"):
        if depth:
            repository("-C", str(shallow), "fetch", "--quiet", "--depth=5", url, "main:main")
        source = take({"git": "shallow", "ref": "main"})
        table = commits.repository_commits(source, "demo", tmp_path, privacy, cache)["commits"]
        paths.append(table.filter(commit=last)["paths"].item().to_list())
    assert paths == [["a.py", "b.py"], ["b.py"]]
