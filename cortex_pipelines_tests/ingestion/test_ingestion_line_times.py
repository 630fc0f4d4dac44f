import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cortex_pipelines.ingestion.files import line_times
from cortex_pipelines.privacy.settings import Tombstone
from cortex_pipelines.rowcache import RowCache

BEGIN = 1_700_000_000
GIT = {"git": "repository", "ref": "main"}

Days = dict[str, list[int | None]]


@pytest.fixture
def commit(repository: Any) -> Callable[..., None]:
    """Commits one day after the other, the first on day 0."""
    repository.time = BEGIN - 86_400

    def commit_files(files: dict[str, str | bytes] | None = None) -> None:
        repository.time += 86_400
        repository.commit(files)

    return commit_files


@pytest.fixture
def days(tmp_path: Path, take: Any, privacy: Any) -> Callable[..., Days]:
    def read(settings: Any = privacy, cache: RowCache | None = None) -> Days:
        cache = cache or RowCache(tmp_path / "rows", "1")
        return by_line(line_times.line_times(take(GIT), "demo", tmp_path, settings, cache))

    return read


def by_line(table: pl.DataFrame) -> Days:
    lines: Days = {}
    for path, first, last, time in table.drop("source").iter_rows():
        file = lines.setdefault(path, [])
        assert first > len(file), "runs overlap"
        file += [None] * (first - 1 - len(file)) + [int(time.timestamp() - BEGIN) // 86_400] * (last + 1 - first)
    return lines


def blame(repository: Any, path: str) -> list[int]:
    lines = repository("blame", "-w", "--first-parent", "--line-porcelain", "HEAD", "--", path).split("\n")
    return [(int(line.split()[1]) - BEGIN) // 86_400 for line in lines if line.startswith("committer-time ")]


@pytest.mark.parametrize("seed", range(4))
def test_a_linear_history_is_dated_as_by_blame(repository: Any, commit: Any, days: Any, seed: int) -> None:
    choice = random.Random(seed)
    files = {name: [f"{name} {number}" for number in range(30)] for name in ("a.py", "b.go", "sub/c.rs")}
    for step in range(12):
        for name in choice.sample(sorted(files), 2):
            at, lines = choice.randrange(len(files[name])), files[name]
            lines[at : at + choice.randrange(4)] = [f"line {step}.{number}" for number in range(choice.randrange(4))]
            lines[0] = "  " * choice.randrange(3) + lines[0].strip()
        if step % 4 == 3:
            name = choice.choice(sorted(files))
            files[f"moved{step}.py"] = files.pop(name)
            (repository.folder / name).unlink()
        commit({name: "\n".join(lines) + "\n" for name, lines in files.items()})
    assert days() == {name: blame(repository, name) for name in files}


def test_lines_follow_a_file_through_renames_and_indentation(repository: Any, commit: Any, days: Any) -> None:
    body = "".join(f"{number} = {number}\n" for number in range(8))
    commit({"a.py": body, "b.py": "b = 1\n"})
    (repository.folder / "a.py").unlink()
    commit({"c.py": body + "new = 1\n"})
    commit({"a.py": "another = 1\n", "c.py": f"if x:\n    {body}new = 1"})
    assert days() == {"a.py": [2], "b.py": [0], "c.py": [2] + [0] * 8 + [1]}


def test_files_may_change_places_in_one_commit(repository: Any, commit: Any, days: Any) -> None:
    first, second = ("".join(f"{name} {number}\n" for number in range(9)) for name in "ab")
    commit({"a.py": first})
    commit({"b.py": second})
    commit({"a.py": second, "b.py": first, "c.py": first, "d.py": second})
    assert days() == {name: [2] * 9 for name in ("a.py", "b.py", "c.py", "d.py")}
    for name in ("a.py", "b.py"):
        (repository.folder / name).unlink()
    commit({"b2.py": first, "a.py": "new\n", "e.py": second})
    assert days()["a.py"] == [3]


def test_what_a_merge_brought_has_the_time_of_the_merge(repository: Any, commit: Any, days: Any) -> None:
    commit({"a.py": "a = 1\nb = 1\n"})
    repository("switch", "--quiet", "-c", "side")
    commit({"a.py": "a = 1\nb = 2\n"})
    repository("switch", "--quiet", "main")
    commit({"c.py": "c = 1\n"})
    repository.time += 86_400
    repository("merge", "--quiet", "--no-ff", "-m", "Merge side", "side")
    assert days() == {"a.py": [0, 3], "c.py": [2]}


def test_any_name_and_any_content(repository: Any, commit: Any, days: Any) -> None:
    hostile = "diff --git a/x b/x\n@@ -1 +1,9 @@\nnew file mode 100644\nBinary files\n"
    names = [' b/odd "name".py', "tab\tand\nline.py", "grüße.py", "a b/a b.py", "-.py"]
    commit(dict.fromkeys(names, hostile))
    commit(dict.fromkeys(names, f"{hostile}last") | {"was.py": b"\0\n", "is.py": "a\n", "n.ipynb": "{}\n"})
    commit({"was.py": "text\n", "is.py": b"\0\n"})
    assert days() == {name: [0, 0, 0, 0, 1] for name in names}


def test_a_link_that_became_a_file_is_new(repository: Any, commit: Any, days: Any) -> None:
    (repository.folder / "a.py").symlink_to("b.py")
    commit({"b.py": "b = 1\n"})
    (repository.folder / "a.py").unlink()
    commit({"a.py": "b.py"})
    assert days() == {"a.py": [1], "b.py": [0]}


def test_names_are_those_of_the_table_of_files(commit: Any, days: Any, privacy: Any) -> None:
    commit({"ann.other@kestrel-systems.io.py": "a = 1\n", "lost.py": "a = 2\n"})
    stone = Tombstone(project=None, source=None, path="lost.py", author=None)
    [name] = days(privacy.model_copy(update={"forgotten": (stone,)}))
    assert name.startswith("redacted-")
    assert name.endswith(".py")


def test_a_history_beyond_the_limits_has_no_times(commit: Any, days: Any, monkeypatch, tmp_path: Path) -> None:
    commit({"a.py": "a = 1\n"})
    commit({"b.py": "b = 1\n"})
    cache = RowCache(tmp_path / "cache", "1")
    monkeypatch.setattr(line_times, "_MOST_HUNKS", 2)
    assert days(cache=cache) == {"a.py": [0], "b.py": [1]}
    commit({"c.py": "c = 1\n"})
    assert days(cache=cache) == days() == {}
    monkeypatch.setattr(line_times, "_MOST_COMMITS", 1)
    assert days(cache=cache) == {"c.py": [2]}
