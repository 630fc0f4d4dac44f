import json
from pathlib import Path

import pytest

import cortex_pipelines
from cortex_pipelines.api import load_parameters
from cortex_pipelines.retrieval.context import Excerpt, approximate_tokens
from cortex_pipelines.retrieval.excerpts import DocumentLocation, ExcerptSource
from cortex_pipelines.retrieval.open_index import index_folder
from cortex_pipelines.serving.project_context import ContextSource, index_context
from cortex_pipelines_tests.command import cortex
from cortex_pipelines_tests.parameters import load_cases

PARAMETERS = load_parameters()
PACKAGE = Path(cortex_pipelines.__file__).parent

CLOCK = load_cases(__file__)["CLOCK"]


def write(folder: Path, **files: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return folder


def source_of(folder: Path) -> ContextSource:
    out = folder.parent / f"{folder.name}-index"
    index_folder(folder, out, PARAMETERS, "none")
    return index_context(out, PARAMETERS)


def shown_lines(excerpt: Excerpt) -> dict[int, str]:
    lines, number = {}, excerpt.start_line
    for line in excerpt.text.split("\n"):
        if line.startswith("… "):
            number = int(line.rpartition("-")[2]) + 1
        else:
            lines[number] = line
            number += 1
    assert number == excerpt.end_line + 1
    return lines


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> ContextSource:
    out = tmp_path_factory.mktemp("own") / "index"
    index_folder(PACKAGE / "retrieval", out, PARAMETERS, "none")
    return index_context(out, PARAMETERS)


@pytest.mark.parametrize("budget", [200, 700, 2000, 20_000])
def test_pieces_are_the_lines_that_they_cite_within_the_budget(package: ContextSource, budget: int) -> None:
    context = package.context("stale results of files that have changed since", budget)
    assert context.pieces
    assert context.tokens == sum(approximate_tokens(p.as_text()) for p in context.pieces) <= budget
    assert (context.files[0], set(context.files)) == ("search.py", {excerpt.path for excerpt in context.pieces})
    packed_lines: set[tuple[str, int]] = set()
    for excerpt in context.pieces:
        source_lines = (PACKAGE / "retrieval" / excerpt.path).read_text(encoding="utf-8").split("\n")
        for number, line in shown_lines(excerpt).items():
            assert line == source_lines[number - 1].rstrip()
            assert not line or (excerpt.path, number) not in packed_lines, "no line twice"
            packed_lines.add((excerpt.path, number))
    assert package.context("stale results of files that have changed since", budget) == context


def test_more_files_than_fit_whole_are_named_by_a_signature(package: ContextSource) -> None:
    context = package.context("the terms of a query", 1500)
    outlines = [excerpt for excerpt in context.pieces if excerpt.kind == "outline"]
    assert any("def " in excerpt.text and len(shown_lines(excerpt)) <= 12 for excerpt in outlines)
    assert "listing.py" not in context.files, "what is not like the task at all"


def test_a_small_file_is_whole_and_a_large_type_its_outline(tmp_path: Path) -> None:
    body = "".join(f"        step_{n} = {n} + self.first\n" for n in range(300))
    large = (
        'class Machine:\n    """Makes widgets."""\n\n    first = 1\n\n'
        f"    def start_widgets(self):\n{body}\n    def stop_widgets(self):\n{body}"
    )
    source = source_of(write(tmp_path / "code", clock=CLOCK, machine=large))
    (full_file,) = source.context("parse durations", 2000).pieces[:1]
    assert (full_file.path, full_file.kind, full_file.start_line, full_file.end_line) == ("clock.py", "file", 1, 24)
    assert full_file.text == CLOCK.strip("\n")
    (outline,) = (each for each in source.context("machine makes widgets", 600).pieces if each.name == "Machine")
    assert outline.kind == "outline"
    assert '    """Makes widgets."""' in outline.text
    assert "    def stop_widgets(self):" in outline.text
    assert "step_7" not in outline.text


def test_a_place_is_shown_whole_by_its_header_or_by_its_name() -> None:
    locations = [
        DocumentLocation("class", "Clock", 6, 24),
        DocumentLocation("method", "Clock.parse_duration", 14, 17),
        DocumentLocation("method", "Clock.elapsed", 19, 24),
        DocumentLocation("file", "clock.py", 1, 25),
    ]
    excerpts = ExcerptSource(CLOCK, "clock.py", "python", locations, PARAMETERS.extraction)
    clock, parse, elapsed, file = locations
    assert (excerpts.full_lines(parse), excerpts.full_lines(file)) == ([14, 15, 16, 17], [1, 2, 3])
    assert excerpts.outline_lines(clock) == [*range(6, 13), *range(13, 17), *range(19, 24)]
    assert excerpts.outline_lines(clock, documented=False) == [*range(6, 13), *range(13, 16), 19]
    assert (excerpts.outline_lines(parse), excerpts.signature_lines(clock)) == ([14, 15, 16], [6, 7])
    assert (excerpts.signature_lines(parse), excerpts.signature_lines(elapsed)) == ([15, 16], [19, 20, 21, 22, 23])
    assert excerpts.render([1, 3, 19, 20]) == (
        '"""Times."""\n… 2-2\nimport time\n… 4-18\n    def elapsed(\n        self,'
    )


def test_the_first_sentence_above_a_signature_is_shown_with_it() -> None:
    code = (
        "package a\n\n// Open opens a store. It may fail\n// later.\n"
        "func Open(\n\tpath string,\n) (*Store, error) {\n\treturn nil, nil\n}\n"
    )
    unit = DocumentLocation("function", "Open", 5, 9)
    assert ExcerptSource(code, "a.go", "go", [unit], PARAMETERS.extraction).signature_lines(unit) == [3, 5, 6, 7]


def test_near_duplicates_are_shown_once_and_named(tmp_path: Path) -> None:
    copy = CLOCK.replace("Times.", "Other times.")
    filler = "\n\ndef unrelated_{0}():\n" + "    value = [1, 2, 3]\n" * 200
    folder = write(tmp_path / "code", a=CLOCK + filler.format("a"), b=copy + filler.format("b"))
    context = source_of(folder).context("seconds of a duration, elapsed time of the clock", 900)
    assert len([excerpt for excerpt in context.pieces if "time.monotonic()" in excerpt.text]) == 1
    assert "near-duplicates left out: a.py:" in context.notice
    assert set(context.files) == {"a.py", "b.py"}, "the copy is named still"


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    key = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"[:36]
    folder = write(tmp_path / "code", a=f'def connect():\n    token = "{key}"\n    return token\n')
    source = source_of(folder)
    assert key not in json.dumps(source.context("connect with the token", 1000).as_json())
    (folder / "a.py").write_text(f'def connect():\n    other = "{key}"\n    return other\n')
    changed = source.context("connect with the other token", 1000)
    assert "other" in changed.as_text()
    assert key not in changed.as_text()


def test_changed_files_are_shown_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(tmp_path / "code", clock=CLOCK, other="def other():\n    return 2\n")
    source = source_of(folder)
    (folder / "clock.py").write_text("import os\n\n\n" + CLOCK)
    task = "parse_duration of the clock"
    fresh = source.context(task, 1000).pieces[0]
    assert (fresh.stale, fresh.end_line) == (False, 27)
    monkeypatch.setattr("cortex_pipelines.retrieval.search._OVERLAY_BYTES", 1)
    stale = source.context(task, 200)
    assert "1 files have changed" in stale.notice
    assert stale.pieces[0].stale
    assert "(outline" in stale.as_text() or "stale)" in stale.as_text()
    for excerpt in stale.pieces:
        lines = (folder / excerpt.path).read_text().split("\n")
        assert all(lines[n - 1].rstrip() == line for n, line in shown_lines(excerpt).items())
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    after_deletion = source.context(task, 1000)
    assert after_deletion.pieces == ()
    assert "the text is not there any more; make the index again" in after_deletion.notice


def test_an_issue_of_5000_words_and_one_like_nothing(package: ContextSource) -> None:
    issue = "search of changed files fails\n" + "the results of the overlay are stale " * 850
    assert package.context(issue, 1000).files[0] == "search.py"
    nothing = package.context("zzzqqq", 1000)
    assert (nothing.pieces, nothing.tokens) == ((), 0)
    assert "nothing in the index is like the task" in nothing.notice
    assert "by words alone: the index was made without an encoder" in nothing.notice


def test_the_command_prints_text_for_a_prompt_or_json(tmp_path: Path) -> None:
    folder, out = write(tmp_path / "code", clock=CLOCK), tmp_path / "out"
    cortex("index", folder, "--out", out, "--encoder", "none")
    text = cortex("context", "parse durations", "--index", out)
    assert text.stdout == f"clock.py:1-24 (file clock.py)\n{CLOCK}"
    assert "tokens: approximation" in text.stderr
    answer = json.loads(cortex("context", "-", "--index", out, "--json", typed="parse durations\n").stdout)
    assert set(answer) == {
        *("task", "tokens", "budget", "counted_by", "pieces", "files", "notice"),
        *("attempts", "notes", "known"),
    }
    assert set(answer["pieces"][0]) == {
        *("path", "start_line", "end_line", "name", "kind", "why", "score", "commit", "stale"),
        *("text", "tokens"),
    }
    assert (answer["budget"], answer["files"]) == (4000, ["clock.py"])


def test_what_cannot_be_answered_is_a_sentence(tmp_path: Path) -> None:
    folder, out = write(tmp_path / "code", clock=CLOCK), tmp_path / "out"
    cortex("index", folder, "--out", out, "--encoder", "none")
    sentences: dict[tuple[object, ...], str] = {
        (" ",): "the task is empty; say in a sentence",
        ("a\0b",): "NUL bytes",
        ("x" * 1_000_001,): "at most 1,000,000",
        ("parse", "--tokens", 50): "a budget of 50 tokens",
    }
    for arguments, words in sentences.items():
        assert words in cortex("context", *arguments, "--index", out, status=1).stderr
    assert "no index is in" in cortex("context", "a", "--index", tmp_path / "none", status=1).stderr
    cortex("context", "a", "--index", out, "--project", "x", status=2)
