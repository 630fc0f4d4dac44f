import json
import subprocess
from pathlib import Path

import pytest

from cortex_pipelines.ingestion.pretrained_models import WeightsError
from cortex_pipelines.retrieval.index import FORMAT
from cortex_pipelines_tests.command import cortex
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "code"
    (root / "tests").mkdir(parents=True)
    (root / "ignored").mkdir()
    (root / "clock.py").write_text(CASES["CLOCK"])
    (root / "tests" / "test_clock.py").write_text(
        "def test_parse_duration():\n    assert Clock().parse_duration('5m') == 300\n"
    )
    (root / "README.md").write_text("# Clock\n\nDurations and retries.\n")
    (root / "ignored" / "copy.py").write_text(CASES["CLOCK"])
    (root / ".gitignore").write_text("ignored/\n")
    (root / "image.png").write_bytes(b"\x89PNG\0\0")
    return root


@pytest.fixture
def index(folder: Path, tmp_path: Path) -> Path:
    out = tmp_path / "index"
    assert "left out (binary): 1" in cortex("index", folder, "--out", out, "--encoder", "none").stderr
    return out


def results(*arguments: object) -> list[dict[str, object]]:
    return json.loads(cortex("search", *arguments, "--json").stdout)


def test_best_result_is_the_method_that_the_query_describes(index: Path) -> None:
    best = results("--index", index, "parse durations like 5m into seconds")[0]
    assert set(best) == {*("path", "start_line", "end_line", "name", "kind", "score", "why", "commit", "stale")}
    assert (best["path"], best["name"], best["kind"]) == ("clock.py", "Clock.parse_duration", "method")
    assert (best["start_line"], best["end_line"], best["commit"], best["stale"]) == (9, 11, None, False)
    # what .gitignore names is not searched
    paths = {entry["path"] for entry in results("--index", index, "retry", "-k", 100)}
    assert "clock.py" in paths
    assert not any(str(path).startswith("ignored") for path in paths)


def test_commit_is_the_head_of_the_folder(folder: Path, tmp_path: Path) -> None:
    git = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@example.com"]
    for arguments in (["init", "-q"], ["add", "-f", "."], ["commit", "-qm", "all"]):
        subprocess.run([*git, *arguments], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    cortex("index", folder, "--out", tmp_path / "out", "--encoder", "none")
    hits = results("--index", tmp_path / "out", "retry")
    assert {entry["commit"] for entry in hits} == {head}
    # git holds it, so it is not ignored
    assert "ignored/copy.py" in {entry["path"] for entry in hits}


def test_a_file_of_queries_gives_a_line_each_in_their_order(index: Path, tmp_path: Path) -> None:
    queries, out = tmp_path / "queries.jsonl", tmp_path / "results.jsonl"
    queries.write_text(
        '{"id": 7, "query": "retry an action"}\n\n{"id": "b", "query": ""}\n{"id": "c", "query": "duration"}\n'
    )
    result = cortex("search", "--index", index, "--file", queries, "--out", out, "-k", 2)
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert ([line["id"] for line in lines], lines[0]["results"][0]["name"]) == ([7, "b", "c"], "retry")
    assert lines[1]["results"] == []
    assert "query 2: the query is empty" in result.stderr
    assert all(len(line["results"]) <= 2 for line in lines)


def test_queries_with_a_byte_order_mark_are_read_and_never_overwritten(index: Path, tmp_path: Path) -> None:
    queries = tmp_path / "queries.jsonl"
    queries.write_text('{"id": 1, "query": "retry"}\n', encoding="utf-8-sig")
    before = queries.read_bytes()
    result = cortex("search", "--index", index, "--file", queries, "--out", queries, status=2)
    assert "would overwrite" in result.stderr
    assert queries.read_bytes() == before
    result = cortex("search", "--index", index, "--file", queries, "--out", tmp_path / "out")


def test_the_graph_of_an_index_that_cannot_be_written_is_made_and_not_kept(index, monkeypatch, caplog) -> None:
    def refuse(*_: object) -> None:  # by hand, as root may write everywhere
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("cortex_pipelines.retrieval.graph.open_graph.scratch_folder", refuse)
    result = cortex("graph", "callers", "retry", "--index", index)
    assert "Read-only file system" in caplog.text
    assert not list(index.glob("graph-*"))
    monkeypatch.undo()
    assert [cortex("graph", "callers", "retry", "--index", index).stdout for _ in range(2)] == [result.stdout] * 2
    assert len(list(index.glob("graph-*"))) == 1


@pytest.mark.parametrize("writable", [True, False])
def test_the_traceback_outside_of_a_project_is_there_when_the_command_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writable: bool
) -> None:
    cache = tmp_path / "cache"
    if not writable:
        cache.write_text("no folder can be made here")
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    monkeypatch.setenv("CORTEX_TEMPORARY_BASE", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("cortex_pipelines.retrieval.open_index.index_folder", fail)
    result = cortex("index", tmp_path, "--out", tmp_path / "out", status=1)
    assert "No space left" in Path(result.stderr.rpartition("(traceback in ")[2].strip().rstrip(")")).read_text()


@pytest.mark.parametrize(
    ("line", "words"), [("{", "line 2: not JSON"), ("[]", 'line 2: without "id"'), ('{"id": 1}', '"query" is not')]
)
def test_a_wrong_line_of_queries_is_named(index: Path, tmp_path: Path, line: str, words: str) -> None:
    queries = tmp_path / "queries.jsonl"
    queries.write_text(f'{{"id": 1, "query": "retry"}}\n{line}\n')
    assert words in cortex("search", "--index", index, "--file", queries, "--out", tmp_path / "out", status=1).stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("filters", "expected"), CASES["filters"])
def test_filters(index: Path, filters: list[str], expected: set[str]) -> None:
    assert {entry["name"] for entry in results("--index", index, "parse duration clock", *filters)} == set(expected)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["retry", "--path", "tests\\a.py"], ["write / between folders"]),
        (["retry", "--path", "Tests/*"], ["case counts in --path: there is tests/"]),
        (["retry", "--path", "/no/such/**"], ["--path /no/such/**"]),
        (["retry", "--language", "rust"], ["--language rust", "markdown, python"]),
        (["  "], ["query is empty"]),
        (["x" * 1_000_001], ["at most 1,000,000"]),
        (["a\0b"], ["NUL bytes"]),
    ],
)
def test_what_cannot_be_answered_says_why(index: Path, arguments: list[str], words: list[str]) -> None:
    result = cortex("search", "--index", index, *arguments, status=1)
    assert [word for word in words if word not in result.stderr] == []


def test_an_index_that_is_not_there_damaged_or_of_another_version(index: Path, tmp_path: Path) -> None:
    assert "no index is in" in cortex("search", "--index", tmp_path / "none", "a", status=1).stderr
    manifest = index / "index.json"
    manifest_text = manifest.read_text()
    manifest.write_text(manifest_text.replace(f'"format": {FORMAT}', '"format": 99'))
    assert "has format 99" in cortex("search", "--index", index, "retry", status=1).stderr
    manifest.write_text(manifest_text[:40])
    assert "is damaged" in cortex("search", "--index", index, "retry", status=1).stderr
    manifest.unlink()
    assert "never finished" in cortex("search", "--index", index, "retry", status=1).stderr
    manifest.write_text(manifest_text)
    (parts,) = index.glob("parts-*")
    (parts / "units_idf.npy").write_bytes(b"")
    assert "is damaged" in cortex("search", "--index", index, "retry", status=1).stderr


def test_an_index_never_replaces_something_else(folder: Path, tmp_path: Path) -> None:
    result = cortex("index", folder, "--out", folder, status=1)
    assert "holds something else" in result.stderr
    assert (folder / "clock.py").exists()
    (tmp_path / "empty").mkdir()
    result = cortex("index", tmp_path / "empty", "--out", tmp_path / "out", status=1)
    assert "no file with text" in result.stderr
    assert "no folder is there" in cortex("index", tmp_path / "no", "--out", "x", status=1).stderr


def test_changed_new_and_deleted_files_are_searched_as_they_are(folder: Path, index: Path) -> None:
    (folder / "clock.py").write_text("\n\n" + CASES["CLOCK"].replace("retry", "attempt_again"))
    (folder / "new.py").write_text("def throttle():\n    'Limit the rate of calls.'\n")
    (folder / "README.md").unlink()
    hits = results("--index", index, "attempt again until it succeeds")
    assert (hits[0]["name"], hits[0]["start_line"]) == ("attempt_again", 16)
    assert not any(entry["stale"] for entry in hits)
    assert results("--index", index, "throttle the rate")[0]["path"] == "new.py"
    assert all(entry["path"] != "README.md" for entry in results("--index", index, "clock"))


def test_an_index_inside_of_its_folder_is_not_searched(folder: Path) -> None:
    out = folder / ".index"
    for _ in range(2):
        cortex("index", folder, "--out", out, "--encoder", "none")
    paths = {entry["path"] for entry in results("--index", out, "clock retry parts", "-k", 50)}
    assert not any(str(path).startswith(".index") for path in paths)


@pytest.mark.slow
def test_the_encoder_of_the_project_finds_meaning_and_may_be_absent(folder, tmp_path, monkeypatch) -> None:
    out = tmp_path / "out"
    cortex("index", folder, "--out", out)
    hits = results("--index", out, "convert 5m into seconds", "-k", 20)
    assert "like in meaning" in str([entry["why"] for entry in hits])

    def nowhere(*_: object, **__: object) -> None:
        raise WeightsError("no model weights: it is not installed")

    monkeypatch.setattr("cortex_pipelines.retrieval.open_index.weights_folder", nowhere)
    result = cortex("search", "--index", out, "retry", "--json")
    assert "searched by words alone: no model weights" in result.stderr
    assert json.loads(result.stdout)[0]["name"] == "retry"
    result = cortex("index", folder, "--out", out)
    assert "indexed by words alone" in result.stderr
    cortex("index", folder, "--out", out, "--encoder", "sentence", status=1)
