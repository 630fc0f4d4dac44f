import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from cortex_pipelines.ingestion.entries import SourceError
from cortex_pipelines.ingestion.git.command import stream
from cortex_pipelines.ingestion.git.history import read_log
from cortex_pipelines_tests.parameters import load_cases

GIT = {"git": "repository", "ref": "main"}


def test_a_pin_is_a_revision_and_says_nothing_of_this_machine(repository: Any, take: Any) -> None:
    first = repository.commit({"a.py": "a = 1\n"})
    second = repository.commit({"b.py": "b = 1\n"})
    [pin] = take(GIT).pins
    assert pin == {"git": "repository", "ref": "main", "revision": second, "commits": 2}
    assert json.loads(json.dumps(pin)) == pin
    [older] = take({"git": "repository", "ref": first[:10]}).pins
    assert older["revision"] == first


def test_files_are_those_of_the_pinned_revision_not_of_the_work_tree(repository, take: Any, read_pinned: Any) -> None:
    repository.commit({"a.py": "a = 1\n", "sub/b.go": "package b\n"})
    pinned = take(GIT)
    repository.commit({"a.py": "a = 2\n", "c.py": ""})
    repository.write({"d.py": ""})
    tables = read_pinned(pinned)
    assert tables.texts == {"a.py": "a = 1\n", "sub/b.go": "package b\n"}
    assert set(tables.files["source"]) == {"git:repository"}
    assert tables.files["blob"][0] == repository("rev-parse", "HEAD~1:a.py")
    assert read_pinned(take(GIT)).texts == {"a.py": "a = 2\n", "c.py": "", "sub/b.go": "package b\n"}


def test_branches_tags_and_the_default_branch_can_be_followed(repository: Any, take: Any) -> None:
    main = repository.commit({"a.py": "a = 1\n"})
    repository("tag", "-a", "v1", "-m", "one")
    repository("switch", "--quiet", "-c", "feature/x")
    feature = repository.commit({"a.py": "a = 2\n"})
    repository("tag", "main", "feature/x")
    refs = {"main": main, "v1": main, "feature/x": feature, "HEAD": feature, "refs/tags/v1": main}
    for ref, revision in refs.items():
        assert take({"git": "repository", "ref": ref}).pins[0]["revision"] == revision, ref


def test_links_and_submodules_are_left_out(repository: Any, read: Any) -> None:
    repository.write({"a.py": "a = 1\n"})
    (repository.folder / "link.py").symlink_to("/etc/passwd")
    commit = repository.commit()
    repository("update-index", "--add", "--cacheinfo", f"160000,{commit},module")
    repository("commit", "--quiet", "-m", "submodule")
    tables = read(GIT)
    assert (list(tables.texts), tables.reasons) == (["a.py"], {"link.py": "link", "module": "submodule"})


def hostile_tree(repository: Any, *names: bytes) -> None:
    """A commit with entries that git itself would not let anyone add."""
    blob = bytes.fromhex(repository("hash-object", "-w", "--stdin", stdin=b"x = 1\n"))
    entries = b"".join(b"100644 " + name + b"\0" + blob for name in names)
    tree = repository("hash-object", "-t", "tree", "-w", "--literally", "--stdin", stdin=entries)
    repository("update-ref", "refs/heads/main", repository("commit-tree", tree, "-m", "hostile"))


def test_no_path_leaves_its_folder(repository: Any, read: Any) -> None:
    hostile_tree(repository, b"..", b"..\\x.py", b"C:x", b"good.py", b"not\xff.py")
    tables = read(GIT)
    assert (list(tables.texts), set(tables.reasons.values())) == (["good.py"], {"unsafe_path"})
    assert set(tables.reasons) == {"..", "..\\x.py", "C:x", "not\\xff.py"}


def test_odd_but_harmless_names_are_read(repository: Any, read: Any) -> None:
    files = {"-rf.py": "1", "a b.py": "2", "new\nline.py": "3", "größe.py": "4", ".hidden": "5"}
    repository.commit(files)
    assert read(GIT).texts == files


def test_variables_of_an_outer_git_do_not_lead_astray(repository: Any, read: Any, monkeypatch) -> None:
    repository.commit({"a.py": "a = 1\n"})
    for name in ("GIT_DIR", "GIT_INDEX_FILE"):
        monkeypatch.setenv(name, "/nonexistent")
    for name, value in (("COUNT", "1"), ("KEY_0", "core.bare"), ("VALUE_0", "nonsense")):
        monkeypatch.setenv(f"GIT_CONFIG_{name}", value)
    assert list(read(GIT).texts) == ["a.py"]


def test_a_bundle_is_a_source_without_a_default_branch(tmp_path, repository: Any, take: Any, read_pinned: Any) -> None:
    repository.commit({"a.py": "a = 1\n"})
    revision = repository.commit({"a.py": "a = 2\n"})
    repository("bundle", "create", str(tmp_path / "code.bundle"), "main")
    for ref in ("main", "HEAD"):
        source = take({"git": "code.bundle", "ref": ref})
        assert (source.pins[0]["revision"], source.pins[0]["commits"]) == (revision, 2)
        assert read_pinned(source).texts == {"a.py": "a = 2\n"}


@pytest.fixture
def shallow(tmp_path: Path, repository: Any) -> Path:
    repository.commit({"a.py": "a = 1\n"})
    repository.commit({"b.py": "b = 1\n"})
    folder = tmp_path / "shallow"
    repository("clone", "--quiet", "--depth=1", f"file://{repository.folder}", str(folder))
    return folder


def test_a_shallow_clone_is_read_and_may_become_deeper(shallow, repository: Any, take: Any, read_pinned: Any) -> None:
    source = {"git": "shallow", "ref": "main"}
    before = take(source)
    assert before.pins[0]["commits"] == 1
    assert list(read_pinned(before).texts) == ["a.py", "b.py"]
    repository("-C", str(shallow), "fetch", "--quiet", "--unshallow")
    assert take(source).pins[0] == before.pins[0] | {"commits": 2}
    with pytest.raises(SourceError, match="another depth"):
        read_pinned(before)


def test_a_bundle_of_a_shallow_clone_is_read(shallow: Path, repository: Any, read: Any) -> None:
    repository("-C", str(shallow), "bundle", "create", str(shallow.parent / "s.bundle"), "main")
    assert list(read({"git": "s.bundle", "ref": "main"}).texts) == ["a.py", "b.py"]


def test_a_pinned_revision_outlives_a_rewritten_branch_and_a_lost_repository(repository, take, read_pinned) -> None:
    repository.commit({"a.py": "a = 1\n"})
    pinned = take(GIT)
    repository("commit", "--quiet", "--amend", "-m", "rewritten")
    take(GIT)
    shutil.rmtree(repository.folder)
    assert read_pinned(pinned).texts == {"a.py": "a = 1\n"}


def test_an_empty_cache_is_filled_again_for_a_pin_that_no_branch_holds(tmp_path, repository, take, read_pinned) -> None:
    first = repository.commit({"a.py": "a = 1\n"})
    pinned = take(GIT)
    repository("switch", "--quiet", "--orphan", "other")
    repository.commit({"b.py": "b = 1\n"})
    repository("branch", "--quiet", "--force", "main", "other")
    repository("tag", "kept", first)
    shutil.rmtree(tmp_path / ".cortex")
    assert read_pinned(pinned).texts == {"a.py": "a = 1\n"}


def test_a_revision_that_is_gone_is_named(tmp_path: Path, repository: Any, take: Any, read_pinned: Any) -> None:
    revision = repository.commit({"a.py": "a = 1\n"})
    pinned = take(GIT)
    shutil.rmtree(tmp_path / ".cortex")
    shutil.rmtree(repository.folder / ".git")
    repository("init", "--quiet", "--initial-branch=main")
    repository.commit({"a.py": "a = 2\n"})
    with pytest.raises(SourceError, match=f"{revision}.*cortex update"):
        read_pinned(pinned)


def test_a_killed_fetch_leaves_nothing_that_stops_the_next(tmp_path: Path, repository: Any, take: Any) -> None:
    repository.commit({"a.py": "a = 1\n"})
    take(GIT)
    [mirror] = [path for path in (tmp_path / ".cortex/cache/git").iterdir() if path.is_dir()]
    (mirror / "refs/cortex/taken.lock").write_text("")
    (mirror / "packed-refs.lock").write_text("")
    newer = repository.commit({"a.py": "a = 2\n"})
    assert take(GIT).pins[0]["revision"] == newer


def test_a_damaged_mirror_is_an_error_not_a_shorter_table(tmp_path, repository, take: Any, read_pinned: Any) -> None:
    repository.commit({"a.py": "a = 1\n", "b.py": "b = 1\n"})
    pinned = take(GIT)
    blob = repository("rev-parse", "HEAD:b.py")
    [loose] = (tmp_path / ".cortex/cache/git").glob(f"*/objects/{blob[:2]}/{blob[2:]}")
    loose.unlink()
    with pytest.raises(SourceError, match="missing"):
        read_pinned(pinned)


@pytest.mark.parametrize(("source", "words"), load_cases(__file__)["what_cannot_be_taken_is_said"])
def test_what_cannot_be_taken_is_said(tmp_path: Path, repository: Any, take: Any, source, words: str) -> None:
    repository.commit({"a.py": "a = 1\n"})
    (tmp_path / "plain").mkdir()
    with pytest.raises(SourceError, match=words):
        take(source)


def test_object_names_of_sha_256_are_refused_with_a_way_out(repository: Any, take: Any) -> None:
    shutil.rmtree(repository.folder / ".git")
    repository("init", "--quiet", "--initial-branch=main", "--object-format=sha256")
    repository.commit({"a.py": "a = 1\n"})
    with pytest.raises(SourceError, match="SHA-256 object names are not read; add a `git archive`"):
        take(GIT)


def test_a_password_is_in_no_error_and_an_empty_repository_is_said_to_be_empty(repository: Any, take: Any) -> None:
    with pytest.raises(SourceError) as caught:
        take({"git": "http://me:hunter2@127.0.0.1:9/a.git", "ref": "main"})
    assert "hunter2" not in str(caught.value)
    with pytest.raises(SourceError, match="no commits yet"):
        take(GIT)


def test_a_machine_without_git_is_told_so(repository: Any, take: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    repository.commit({"a.py": "a = 1\n"})
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SourceError, match="git is not installed"):
        take(GIT)


def test_limits_of_a_source_stop_the_reading(repository: Any, read: Any) -> None:
    repository.commit({f"{number}.py": "x" * 100 for number in range(9)})
    few = read(GIT, max_files=3)
    assert (list(few.texts), few.reasons) == (["0.py", "1.py", "2.py"], {"3.py": "too_many_files"})
    small = read(GIT, max_source_bytes=250)
    assert (list(small.texts), small.reasons) == (["0.py", "1.py"], {"2.py": "source_too_large"})


def test_a_mirror_is_written_by_one_at_a_time(repository: Any, take: Any) -> None:
    repository.commit({"a.py": "a = 1\n"})
    with ThreadPoolExecutor(4) as pool:
        pins = list(pool.map(take, [GIT] * 8))
    assert all(source == pins[0] for source in pins)


def test_what_git_says_is_passed_on_and_stopping_early_is_no_failure(repository: Any) -> None:
    repository.commit({"a.py": "a = 1\n"})
    mirror = repository.folder / ".git"

    def ask_git_that_is_gone() -> None:
        with stream(mirror, "cat-file", "--no-such-option") as (ask, _):
            for _ in range(10_000):
                ask.write(bytes(100))

    with stream(mirror, "log", "-z", "--raw") as (_, answer):
        assert answer.read(6) == b"commit"
    with pytest.raises(SourceError, match=r"git log failed: .*bad"):
        list(read_log(mirror, "%s", "0" * 40))
    with pytest.raises(SourceError, match=r"git cat-file failed"):
        ask_git_that_is_gone()
