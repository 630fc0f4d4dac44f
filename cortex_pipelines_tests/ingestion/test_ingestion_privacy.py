from typing import Any

import pytest

from cortex_pipelines.ingestion.files.build import repository_files
from cortex_pipelines.ingestion.files.commits import repository_commits
from cortex_pipelines.privacy.pseudonyms import author_pseudonym, project_key
from cortex_pipelines.privacy.settings import Tombstone
from cortex_pipelines_tests.parameters import load_cases

GIT = {"git": "repository", "ref": "main"}
MAIL = "ann.other@kestrel-systems.io"


@pytest.fixture
def peopled(repository: Any) -> Any:
    """Two authors: Nobody begins, Ann goes on."""
    repository.commit({"a.py": f"# ask {MAIL}\na = 1\n", "lib/b.py": "b = 1\n"}, "Begin")
    repository.write({"lib/b.py": "b = 2\n", "c.py": "c = 1\n"})
    repository("add", "--all")
    author = f"Ann Other <{MAIL}>"
    repository("commit", "--quiet", f"--author={author}", "-m", f"Go on\n\nSaid {MAIL}.\nMore")
    return repository


def test_texts_messages_and_authors_are_not_what_they_were(peopled, tmp_path, take, read, privacy, cache: Any) -> None:
    tables = read(GIT)
    history = repository_commits(take(GIT), "demo", tmp_path, privacy, cache)
    ann, nobody = (author_pseudonym(mail, project_key("demo", privacy)) for mail in (MAIL, "nobody@example.org"))
    assert dict(tables.files.select("path", "author").iter_rows()) == {**{"a.py": nobody, "c.py": ann, "lib/b.py": ann}}
    everything = str([frame.rows() for frame in (tables.files, tables.redactions, *history.values())])
    assert "kestrel" not in everything
    assert "Ann" not in everything
    # line and columns are those of the sanitised text, the blob is that of the original
    [redaction] = tables.redactions.rows(named=True)
    line = tables.texts["a.py"].split("\n")[redaction["line"] - 1]
    assert line[redaction["start"] : redaction["end"]] == redaction["placeholder"]
    assert tables.files.filter(path="a.py")["blob"].item() == peopled("rev-parse", "HEAD:a.py")
    [said] = history["redactions"].rows(named=True)
    commit = history["commits"].filter(commit=said["path"]).rows(named=True)[0]
    message = f"{commit['subject']}\n\n{commit['body']}".split("\n")
    assert message[said["line"] - 1][said["start"] : said["end"]] == said["placeholder"]
    assert said["placeholder"] == redaction["placeholder"]


def test_merges_are_not_whose_the_lines_are(repository: Any, read: Any, privacy: Any) -> None:
    repository.commit({"a.py": "a = 1\n"})
    repository("switch", "--quiet", "-c", "side")
    repository.write({"b.py": "b = 1\n"})
    repository("add", "--all")
    repository("commit", "--quiet", f"--author=Ann <{MAIL}>", "-m", "side")
    repository("switch", "--quiet", "main")
    repository.commit({"c.py": "c = 1\n"})
    repository("merge", "--quiet", "--no-ff", "-m", "Merge", "side")
    authors = dict(read(GIT).files.select("path", "author").iter_rows())
    assert authors["b.py"] == author_pseudonym(MAIL, project_key("demo", privacy))
    assert authors["a.py"] == authors["c.py"] != authors["b.py"]


@pytest.mark.parametrize(("what", "files", "subjects"), load_cases(__file__)["what_was_forgotten_stays_out"])
def test_what_was_forgotten_stays_out(peopled, tmp_path, take, settings, privacy, cache, what, files, subjects) -> None:
    if "author" in what:
        what = {"author": author_pseudonym(MAIL, project_key("demo", privacy))}
    stone = Tombstone(**(dict.fromkeys(Tombstone.model_fields) | what))
    with_tombstone = privacy.model_copy(update={"forgotten": (stone,)})
    history = repository_commits(take(GIT), "demo", tmp_path, with_tombstone, cache)["commits"]
    assert sorted(history["subject"]) == subjects
    tables = repository_files(take(GIT), "demo", settings, with_tombstone, tmp_path, cache)
    assert tables["files"]["path"].to_list() == files
    forgotten_paths = set(tables["skipped_files"].filter(reason="forgotten")["path"])
    assert forgotten_paths == {"a.py", "c.py", "lib/b.py"} - set(files)
    assert not forgotten_paths & set(tables["redactions"]["path"])
    remaining_paths = {path for paths in history["paths"] for path in paths}
    assert remaining_paths.isdisjoint(forgotten_paths) or "author" in what
