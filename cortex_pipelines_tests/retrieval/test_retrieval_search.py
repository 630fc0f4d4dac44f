import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cortex_pipelines
from cortex_pipelines.api import load_parameters
from cortex_pipelines.retrieval import index as index_module
from cortex_pipelines.retrieval.documents import file_from_table, read_file
from cortex_pipelines.retrieval.filters import FilterError, Filters
from cortex_pipelines.retrieval.index import (
    IndexManifest,
    SearchIndex,
    SearchIndexError,
    build_index,
    open_index,
    read_folder,
    save,
)
from cortex_pipelines.retrieval.listing import list_files
from cortex_pipelines.retrieval.open_index import index_folder, open_searcher, reading_limits
from cortex_pipelines.retrieval.queries import QueryError, parse_query, terms
from cortex_pipelines.retrieval.search import Searcher
from cortex_pipelines_tests.parameters import EXTRACTION, load_cases

CASES = load_cases(__file__)

PARAMETERS = load_parameters()
LIMITS = reading_limits(PARAMETERS)
PACKAGE = Path(cortex_pipelines.__file__).parent


def write(folder: Path, **files: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return folder


def folder_searcher(folder: Path) -> Searcher:
    return Searcher(build_index(read_folder(folder, LIMITS), IndexManifest(str(folder), None), None), LIMITS)


@pytest.fixture(scope="module")
def package() -> Searcher:
    return folder_searcher(PACKAGE / "retrieval")


def test_terms_are_stems_of_parts_and_the_whole() -> None:
    assert terms("getHTTPResponses") == ["get", "http", "respons", "=gethttpresponses"]
    assert terms("snake_case2") == ["snake", "case", "2", "=snakecase2"]
    assert terms("running") == terms("runs") == ["run"]


def test_a_class_does_not_repeat_its_methods(tmp_path: Path) -> None:
    code = "class A:\n    size = 1\n\n    def grow(self):\n        return enlarge(self)\n"
    folder = write(tmp_path / "code", a=code)
    (file,) = list_files(folder)
    texts = {document.name: document.texts[-1] for document in read_file(folder, file, None, LIMITS).documents}
    assert "size" in texts["A"]
    assert "enlarge" not in texts["A"]
    assert "enlarge" in texts["A.grow"]


def test_every_line_of_code_is_in_a_document(tmp_path: Path) -> None:
    for file_ref in list_files(PACKAGE / "retrieval"):
        file = read_file(PACKAGE / "retrieval", file_ref, None, LIMITS)
        searched = " ".join(document.texts[-1] for document in file.documents).split()
        text = (PACKAGE / "retrieval" / file_ref.path).read_text().split()
        assert len(text) < 4 or set(text) <= set(searched), file_ref.path


def test_secrets_are_not_in_the_index(tmp_path: Path) -> None:
    key = "AKIA" + "Z7QK3MPX2VTN5RWL"
    folder = write(tmp_path / "code", a=f'def login():\n    aws_key = "{key}"\n    return 1\n')
    out = tmp_path / "out"
    index_folder(folder, out, PARAMETERS, "none")
    stored = b"".join(file.read_bytes() for file in out.rglob("*") if file.is_file())
    assert b"login" in stored
    assert key.lower().encode() not in stored.lower()


def test_an_issue_asks_for_files_and_finds_the_one_that_a_trace_names(tmp_path: Path) -> None:
    files = {f"mod{n}": f"def work_{n}(items):\n    return sorted(items)\n" for n in range(20)}
    folder = write(tmp_path / "code", **files)
    issue = "Sorting fails for all the items that somebody gives\n\n" + "It does not work. " * 20
    issue += '\nTraceback:\n  File "/home/me/code/mod7.py", line 2, in work_7\nTypeError'
    hits = folder_searcher(folder).search(issue)
    assert hits[0].path == "mod7.py"
    paths = [result.path for result in hits]
    assert len(paths) == len(set(paths))


def test_tests_come_after_what_they_test_unless_they_are_asked_for(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "code",
        parse="def parse_header(line):\n    return line.split(':')\n",
        test_parse="def test_parse_header():\n    assert parse_header('a:b')\n",
    )
    searcher = folder_searcher(folder)
    assert searcher.search("parse header")[0].path == "parse.py"
    assert searcher.search("test of parse header")[0].path == "test_parse.py"


def test_an_encoder_finds_what_shares_no_word(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "code", a="def remove(path):\n    path.unlink()\n", b="def draw(canvas):\n    canvas.line()\n"
    )

    def encode(texts: list[str]) -> np.ndarray:
        deletes = [("unlink" in text or "delete" in text) for text in texts]
        return np.array([[1.0, 0.0] if yes else [0.0, 1.0] for yes in deletes], dtype=np.float32)

    index = build_index(read_folder(folder, LIMITS), IndexManifest(str(folder), "x"), encode)
    assert Searcher(index, LIMITS, encode).search("delete")[0].name == "remove"
    assert Searcher(index, LIMITS).search("delete") == []


def test_the_same_texts_are_not_embedded_again(tmp_path: Path) -> None:
    folder = write(tmp_path / "code", a="def a():\n    pass\n", b="def b():\n    pass\n")
    encoded: list[str] = []

    def encode(texts: list[str]) -> np.ndarray:
        encoded.extend(text for text in texts if text)
        return np.ones((len(texts), 2), dtype=np.float32)

    manifest = IndexManifest(str(folder), "x")
    index = build_index(read_folder(folder, LIMITS), manifest, encode)
    assert len(encoded) == 2
    write(folder, b="def c():\n    return 2\n")
    again = build_index(read_folder(folder, LIMITS), manifest, encode, index)
    assert len(encoded) == 3
    assert np.count_nonzero(again.collection.vectors) == 4


def test_the_same_folder_gives_the_same_results(tmp_path: Path) -> None:
    folder = PACKAGE / "retrieval" / "notes"
    query = "notes of a project that another one supersedes"
    first, second = (folder_searcher(folder).search(query, 50) for _ in range(2))
    assert len(first) > 20
    assert first == second
    index_folder(folder, tmp_path / "out", PARAMETERS, "none")
    assert open_searcher(tmp_path / "out", PARAMETERS).search(query, 50) == first


def test_many_changed_files_are_marked_and_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(tmp_path / "code", a="def alpha():\n    pass\n", b="def beta():\n    pass\n")
    searcher = folder_searcher(folder)
    write(folder, a="def alpha_2():\n    return 1\n")
    monkeypatch.setattr("cortex_pipelines.retrieval.search._OVERLAY_BYTES", 1)
    assert "1 files have changed" in searcher.refresh()
    assert searcher.search("alpha")[0].stale
    assert not searcher.search("beta")[0].stale


def test_a_touched_file_is_not_stale_and_results_of_a_folder_that_is_gone_are(tmp_path: Path) -> None:
    folder = write(tmp_path / "code", a="def alpha():\n    pass\n")
    searcher = folder_searcher(folder)
    os.utime(folder / "a.py", ns=(1, 1))
    assert searcher.refresh() == ""
    assert searcher.changes.overlay is None
    assert not searcher.search("alpha")[0].stale
    (folder / "a.py").unlink()
    folder.rmdir()
    assert "not there any more" in searcher.refresh()
    assert searcher.search("alpha")[0].stale


def test_a_killed_indexing_leaves_the_old_index(tmp_path: Path) -> None:
    folder, out = write(tmp_path / "code", a="def alpha():\n    pass\n"), tmp_path / "out"
    index_folder(folder, out, PARAMETERS, "none")
    before = open_index(out).collection.documents
    program = CASES["a_killed_indexing_leaves_the_old_index"]
    process = subprocess.Popen([sys.executable, "-c", program, str(out)], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"there\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert open_index(out).collection.documents.equals(before)
    save(open_index(out), out)
    assert len(list(out.glob("parts-*"))) == 1
    # a first indexing that was killed can be repeated
    first = tmp_path / "first"
    (first / "parts-1").mkdir(parents=True)
    with pytest.raises(SearchIndexError, match="never finished"):
        open_index(first)
    index_folder(folder, first, PARAMETERS, "none")
    assert open_index(first).manifest.encoder is None


def test_two_that_save_the_same_index_at_once_leave_one_of_the_two(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = folder_searcher(write(tmp_path / "code", a="def alpha():\n    pass\n")).index
    out, both = tmp_path / "out", threading.Barrier(2)
    write_whole = index_module.write_whole

    def write_slowly(path: Path, content: str) -> None:
        write_whole(path, content)
        with contextlib.suppress(threading.BrokenBarrierError):
            both.wait(0.3)  # passes only where both are in here

    monkeypatch.setattr(index_module, "write_whole", write_slowly)
    threads = [threading.Thread(target=save, args=(index, out)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert open_index(out).collection.documents.equals(index.collection.documents)
    assert len(list(out.glob("parts-*"))) == 1


def test_an_index_that_is_made_again_while_it_is_opened_is_opened(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    older, newer = (
        folder_searcher(write(tmp_path / name, a=f"def {name}():\n    pass\n")).index for name in ("older", "newer")
    )
    out = tmp_path / "out"
    save(older, out)
    read, opened = index_module._read_parts, list[Path]()

    def late(facts: dict[str, Any], folder: Path) -> SearchIndex:
        opened.append(folder)
        if len(opened) == 1:
            save(newer, out)
        return read(facts, folder)

    monkeypatch.setattr(index_module, "_read_parts", late)
    assert open_index(out).manifest == newer.manifest
    (parts,) = out.glob("parts-*")
    (parts / "units_idf.npy").unlink()
    with pytest.raises(SearchIndexError, match="is damaged"):
        open_index(out)


PIECES = (
    *("parse", "getUserByName", "`x`", "src/a.py", "a.b.c", '  File "x.py", line 1, in f', "\n"),
    *("Ünïcödé", "日本語", "\ud800", "\0", "((((", "0" * 300, "=", "*", "..", "//", "\\", "\t", "```"),
    *("🙂", "-- DROP", "%s%n", "the", "of", "{}", "\x1b[0m", "é" * 50, "_", "__", "A" * 200),
)


@pytest.mark.parametrize("count", [300, pytest.param(2000, marks=pytest.mark.attack)])
def test_queries_of_any_form_never_crash(package: Searcher, count: int) -> None:
    generator = random.Random(20)
    answered = 0
    for _ in range(count):
        fragments = generator.choices(PIECES, k=generator.randint(0, 60))
        query = generator.choice(("", " ")).join(fragments)
        filters = Filters(path=generator.choice((None, None, "*.py", "[", "no")))
        try:
            results = package.search(query, generator.choice((1, 3, 10_000)), filters)
        except (QueryError, FilterError):
            continue
        answered += bool(results)
        assert all(1 <= result.start_line <= result.end_line for result in results)
    assert answered > count / 10


def test_a_very_long_issue_costs_little(package: Searcher) -> None:
    began = time.process_time()
    assert package.search("the search of changed files fails with an error " * 600)
    assert time.process_time() - began < 5


def test_long_words_and_runs_of_any_kind_take_linear_time() -> None:
    runs = ("x", "a.", "a-", ".", "-", "/", "a/", "a\\", "`a", "0123456789abcdef")
    program = CASES["long_words_and_runs_of_any_kind_take_linear_time"]
    # a quadratic expression would take minutes for each, and is ended by the limit
    assert subprocess.run([sys.executable, "-c", program, *runs], check=False).returncode == 0


def test_a_query_is_read_as_what_it_is() -> None:
    text = "-c=conf/app --file setup.py -x.js a/b-c/d, see a.b.c and e.Long_name"
    assert set(parse_query(text).paths) == {*("conf/app", "setup.py", "x.js", "a/b-c/d", "a.b", "a.b.c", "e.Long_name")}
    issue = parse_query("Broken\n" + "word " * 40 + "see `Foo.bar_baz` in lib/thing.py")
    assert issue.long
    assert issue.names["bar_baz"] == 2
    assert "lib/thing.py" in issue.paths
    short = parse_query("python how to check if a file exists")
    assert not short.long
    assert set(short.weights) == {"check", "file", "exist"}
    assert set(parse_query("how to").weights) == {"how", "to"}
    assert set(parse_query("get the length").weights) > {"get"}


def test_code_in_a_language_that_is_not_parsed_counts_as_code(tmp_path: Path) -> None:
    folder = write(tmp_path / "code")
    (folder / "ring.c").write_text("int ring_push(struct ring *r, int v) { return r->n++; }\n")
    (folder / "ring.md").write_text("# ring push\n\nHow to push to the ring.\n")
    collection = folder_searcher(folder).index.collection
    kinds = dict(zip(collection.files["path"], collection.is_prose.tolist(), strict=True))
    assert kinds == {"ring.c": False, "ring.md": True}


def test_a_large_file_of_code_is_cut_into_its_functions(tmp_path: Path) -> None:
    template = "def number_{0}(value):\n    '''Add {0} to a value.'''\n    return value + {0}{1}\n\n"
    text = "".join(template.format(number, " " * 300) for number in range(4000))
    assert len(text) > LIMITS.ingestion.max_file_bytes
    hits = folder_searcher(write(tmp_path / "code", numbers=text)).search("number_1234")
    assert hits[0].name == "number_1234"
    assert (hits[0].start_line, hits[0].end_line) == (1234 * 4 + 1, 1234 * 4 + 3)


@pytest.mark.parametrize(
    ("path", "opening", "closing", "language"),
    [("a.md", "```sh", "```", "markdown"), ("a.mdx", "~~~", "~~~", "markdown"), ("a.adoc", "----", "----", "text")],
)
def test_no_section_begins_in_a_block_of_code_or_front_matter(
    path: str, opening: str, closing: str, language: str
) -> None:
    block = "\n".join([opening, *["ring push"] * 9, "# push twice", *["ring push"] * 9, "</ring>", closing])
    text = f"---\ntitle: x\nposition: 1\n---\nAbout rings.\n\n{block}\n\n# Next\n\nMore.\n"
    file = file_from_table(path, text, language, "", generated=False, settings=EXTRACTION)
    assert [document.name for document in file.documents] == ["About rings.", "Next"]
