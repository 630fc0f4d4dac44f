import io
from datetime import UTC, datetime
from typing import Any

import pytest

from cortex_pipelines.ingestion.git.command import records
from cortex_pipelines.privacy.pseudonyms import author_pseudonym, project_key


def test_a_commit_is_a_row_with_what_it_changed(repository: Any, history: Any, privacy: Any) -> None:
    first = repository.commit({"a.py": "1", "sub/b.py": "1"}, "Begin\n\nWith two files.\n\nMore.\n")
    (repository.folder / "a.py").rename(repository.folder / "c.py")
    second = repository.commit({"sub/b.py": "2"}, "Move")
    rows = {row["commit"]: row for row in history().iter_rows(named=True)}
    assert rows[first] == {
        "source": "git:repository",
        "commit": first,
        "parents": [],
        "committed_at": datetime.fromtimestamp(1_700_000_000, UTC),
        "author": author_pseudonym("nobody@example.org", project_key("demo", privacy)),
        "subject": "Begin",
        "body": "With two files.\n\nMore.",
        "paths": ["a.py", "sub/b.py"],
    }
    assert (rows[second]["parents"], rows[second]["paths"]) == ([first], ["a.py", "c.py", "sub/b.py"])


def test_a_merge_shows_what_it_brought_to_its_first_parent(repository: Any, history: Any) -> None:
    repository.commit({"a.py": "1"})
    repository("switch", "--quiet", "-c", "side")
    branch_commit = repository.commit({"b.py": "1"})
    repository("switch", "--quiet", "main")
    main = repository.commit({"c.py": "1"})
    repository("merge", "--quiet", "--no-ff", "-m", "Merge side", "side")
    rows = {row["subject"]: row for row in history().iter_rows(named=True)}
    assert history().height == 4
    assert (rows["Merge side"]["parents"], rows["Merge side"]["paths"]) == ([main, branch_commit], ["b.py"])


def test_no_message_passes_for_something_else(repository: Any, history: Any) -> None:
    zeros = "0" * 40
    messages = [
        f"{zeros}\n:000000 100644 {zeros} {zeros} A\n",
        f":100644 100644 {zeros} {zeros} M\tx.py",
        "\n\n  \ncommit " + zeros + "\n\nAuthor: A <a@example.org>",
        "",
        "emoji \U0001f600 \u202e tab\tcarriage\r\nend",
        "-----BEGIN\n#not a comment\n",
    ]
    commits = [repository.commit({f"{n}.py": ":x"}, text) for n, text in enumerate(messages)]
    repository.commit({":100644 odd\nname": "1"}, "odd path")
    frame = history()
    assert frame.height == len(messages) + 1
    assert set(commits) < set(frame["commit"])
    by_commit = {row["commit"]: row for row in frame.iter_rows(named=True)}
    for number, commit in enumerate(commits):
        assert by_commit[commit]["paths"] == [f"{number}.py"]
    assert frame.filter(subject="odd path")["paths"].to_list() == [[":100644 odd\nname"]]


def raw_commit(repository: Any, message: bytes, time: str = "1700000000", more: bytes = b"") -> str:
    """A commit object as written, however broken."""
    tree = repository("write-tree").encode()
    author = b"A <a@example.org> " + time.encode() + b" +0000"
    body = b"tree " + tree + b"\nauthor " + author + b"\ncommitter " + author + more + b"\n\n" + message
    commit: str = repository(*("hash-object", "-t", "commit", "-w", "--literally", "--stdin"), stdin=body)
    repository("update-ref", "refs/heads/main", commit)
    return commit


@pytest.mark.parametrize(
    ("message", "more", "subject"),
    [
        (b"gr\xfc\xdfe", b"\nencoding ISO-8859-1", "grüße"),
        (b"gr\xfc\xdfe", b"", "gr��e"),
        (b"plain", b"\nencoding no-such-encoding", "plain"),
        (b"before\0after", b"", "before"),
        (b"\xff\xfe", b"\nencoding UTF-16", None),
    ],
)
def test_any_encoding_survives(repository: Any, history: Any, message: bytes, more: bytes, subject: str | None) -> None:
    commit = raw_commit(repository, message, more=more)
    frame = history()
    assert frame["commit"].to_list() == [commit]
    assert subject is None or frame["subject"].to_list() == [subject]


@pytest.mark.parametrize("time", ["-1", "99999999999999", "9223372036854775807", "0", "x"])
def test_impossible_times_are_brought_into_range(repository: Any, history: Any, time: str) -> None:
    raw_commit(repository, b"odd", time)
    [moment] = history()["committed_at"]
    assert datetime(1970, 1, 1, tzinfo=UTC) <= moment <= datetime(9999, 12, 31, tzinfo=UTC)


def test_sources_without_history_give_no_rows(plain, history: Any) -> None:
    plain({"a.py": "a = 1\n"})
    frame = history({"directory": "plain"})
    assert (frame.height, frame.columns[:2]) == (0, ["source", "commit"])


def test_records_are_the_same_however_the_stream_is_cut() -> None:
    data = b"a\0\0long record\0:\0last"
    for chunk in range(1, len(data) + 1):
        assert list(records(io.BytesIO(data), chunk)) == [b"a", b"", b"long record", b":", b"last"]
