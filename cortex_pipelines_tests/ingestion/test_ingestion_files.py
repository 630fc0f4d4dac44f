import io
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cortex_pipelines.ingestion.entries import SourceError, blob_id
from cortex_pipelines.ingestion.files.build import compiled_copies
from cortex_pipelines.ingestion.files.content import is_generated
from cortex_pipelines.ingestion.files.languages import language_of
from cortex_pipelines.ingestion.settings import IngestionSettings
from cortex_pipelines.schemas.vocabulary import LANGUAGES
from cortex_pipelines_tests.parameters import load_cases, sections

CASES = load_cases(__file__)


def test_text_is_kept_byte_for_byte(plain: Any, read: Any) -> None:
    files = {
        "bom.py": b"\xef\xbb\xbfx = 1\n",
        "crlf.py": b"x = 1\r\ny = 2\r",
        "empty.py": b"",
        "unicode.py": "x = 'größe \U0001f600'".encode(),
    }
    plain(files)
    tables = read({"directory": "plain"})
    assert {path: text.encode() for path, text in tables.texts.items()} == files
    assert dict(zip(tables.files["path"], tables.files["size_bytes"], strict=True)) == {
        path: len(data) for path, data in files.items()
    }


def test_what_is_no_text_is_left_out_with_a_reason(plain: Any, read: Any) -> None:
    plain(
        {
            "a.py": b"a = 1\n",
            "image.png": b"\x89PNG\r\n\x1a\n\0\0\0",
            "latin.py": b"# -*- coding: latin-1 -*-\nx = '\xfc'\n",
            "wide.py": "x = 1".encode("utf-16"),
            "model.bin": b"version https://git-lfs.example/spec/v1\noid sha256:0\nsize 1\n",
            "surrogate.py": b"x = '\xed\xa0\x80'",
        }
    )
    tables = read({"directory": "plain"})
    assert (list(tables.texts), tables.reasons) == (["a.py"], CASES["what_is_no_text_is_left_out_with_a_reason"])
    assert tables.skipped.filter(path="latin.py")["detail"].to_list() == ["not UTF-8 at byte 31"]


@pytest.mark.parametrize("files", [{}, {"image.png": b"\0"}])
def test_a_project_without_text_is_refused(tmp_path: Path, plain: Any, read: Any, files: dict[str, bytes]) -> None:
    (tmp_path / "plain").mkdir()
    plain(files)
    with pytest.raises(SourceError, match=r"demo.*no text file.*(empty|1 binary).*cortex update"):
        read({"directory": "plain"})


def test_several_sources_keep_their_files_apart(tmp_path: Path, repository: Any, plain: Any, read: Any) -> None:
    repository.commit({"a.py": "a = 1\n"})
    plain({"a.py": b"a = 2\n", "link": b""})
    tables = read({"git": "repository", "ref": "main"}, {"directory": "plain"})
    assert list(tables.files.select("source", "path", "text").iter_rows()) == [
        ("directory:plain", "a.py", "a = 2\n"),
        ("directory:plain", "link", ""),
        ("git:repository", "a.py", "a = 1\n"),
    ]


@pytest.mark.parametrize(("path", "text", "language"), CASES["the_language_is_known_by_name_or_first_line"])
def test_the_language_is_known_by_name_or_first_line(path: str, text: str, language: str | None) -> None:
    assert language_of(path, text) == language


def test_all_six_languages_are_found() -> None:
    assert tuple(language_of(f"x.{ending}", "") for ending in ("py", "js", "ts", "java", "go", "rs")) == LANGUAGES


@pytest.mark.parametrize(("source", "path", "expected"), CASES["compiled_copies_of_a_packages_own_scripts_are_told"])
def test_compiled_copies_of_a_packages_own_scripts_are_told(source: str, path: str, expected: bool) -> None:
    assert compiled_copies([source, path]) == ({path} if expected else set())


def test_compiled_copies_are_kept_and_not_trained_on(plain: Any, read: Any) -> None:
    plain({"src/api.ts": b"export const api = 1;\n", "dist/api.js": b"exports.api = 1;\n"})
    files = read({"directory": "plain"}, licence="MIT").files
    marks = {row["path"]: (row["generated"], row["trainable"]) for row in files.to_dicts()}
    assert marks == {"dist/api.js": (True, False), "src/api.ts": (False, True)}


def test_what_gitattributes_mark_is_not_trained_on(plain: Any, read: Any) -> None:
    plain(
        {
            ".gitattributes": b"* text=auto\n# a.py linguist-vendored\nold/** linguist-vendored\n[ linguist-vendored\n",
            "a.py": b"a = 1\n",
            "old/b.py": b"b = 1\n",
            "old/own/c.py": b"c = 1\n",
            "old/own/.gitattributes": b"*.py -linguist-vendored\nd.py text linguist-generated=true\n",
            "old/own/d.py": b"d = 1\n",
            "more/d.py": b"d = 2\n",
            "more/its.gitattributes": b"* linguist-vendored\n",
        }
    )
    files = read({"directory": "plain"}, licence="MIT").files
    marked = files.filter("generated", pl.col("path").str.ends_with(".py"))
    assert marked["path"].to_list() == ["old/b.py", "old/own/d.py"]
    assert not files.filter("generated")["trainable"].any()


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        *CASES["generated_vendored_and_minified_code_is_marked"],
        ("a.py", "x = 1\n" * 30 + "# @generated\n", False),
        ("a.js", "x=1;" * 1000, True),
        ("a.js", "x=1;\n" * 1000, False),
        ("a.js", "x = 1;\n" * 500 + "y" * 1500 + "\n", False),
        ("a.py", "x=1;" * 1000, False),
        ("a.ts", f'export const classes = "{"data-open:flex " * 100}";\n', False),
    ],
)
def test_generated_vendored_and_minified_code_is_marked(settings, path: str, text: str, expected: bool) -> None:
    assert is_generated(path, language_of(path, text), text, settings) is expected


def test_a_minifier_may_break_its_lines() -> None:
    settings = IngestionSettings(**sections()["ingestion"])
    text = "/* RequireJS 2.1.15 */\n" + ("x=1;" * 125 + "\n") * 30
    assert is_generated("lib/require.js", "javascript", text, settings)
    assert not is_generated("a.js", "javascript", "x = 1;\n" * 30 + ("y" * 400 + "\n") * 5, settings)


def test_a_mark_is_looked_for_quickly_in_hostile_lines(settings: IngestionSettings) -> None:
    assert not is_generated("a.go", "go", ("//" + " generated by" * 10_000 + "\n") * 20, settings)


def test_the_blob_id_is_that_of_git() -> None:
    for data in (b"", b"a = 1\n", bytes(range(256))):
        process = subprocess.run(["git", "hash-object", "--stdin"], input=data, capture_output=True)
        assert blob_id(data) == process.stdout.decode().strip()


PARTS = st.text(st.sampled_from("abcABC .-_é\n"), min_size=1, max_size=4).filter(
    lambda part: part.strip(".") and part not in {".git"}
)
FOLDERS = st.lists(PARTS.map(lambda part: "d" + part), max_size=2)
NAMES = st.tuples(PARTS, st.sampled_from(["", ".py", ".go", ".md"])).map("".join)
TREES = st.dictionaries(
    st.tuples(FOLDERS, NAMES.map(lambda name: "f" + name)).map(lambda at: "/".join([*at[0], at[1]])),
    st.one_of(st.text(max_size=40).map(str.encode), st.binary(max_size=10)),
    min_size=1,
    max_size=6,
)


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=TREES)
def test_git_directory_and_archive_of_a_tree_hold_the_same(tmp_path_factory, take, read_pinned: Any, files) -> None:
    root = tmp_path_factory.mktemp("tree")
    files = {**files, "a.py": b"a = 1\n"}
    with tarfile.open(root / "code.tar", "w") as archive:
        for name, data in files.items():
            path = root / "plain" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    git = ["git", "-C", str(root / "plain"), "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "-q", "-b", "main"], check=True)
    subprocess.run([*git, "-c", "core.autocrlf=false", "add", "-A", "-f"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "all"], check=True)
    entries = ({"git": "plain", "ref": "main"}, {"directory": "plain"}, {"archive": "code.tar"})
    frames = []
    for entry in entries:
        tables = read_pinned(take(entry, root=root), root)
        # without what is the source's, not the tree's
        files_read = tables.files.drop(("source", "revision", "author", "trainable")).rows()
        frames.append({"files": files_read, "skipped": tables.skipped.drop("source").rows()})
    assert frames[0] == frames[1] == frames[2]
    assert {row[0] for row in frames[0]["files"]} <= set(files)


def test_two_readings_are_the_same_bytes(tmp_path: Path, repository: Any, read: Any) -> None:
    repository.commit({f"{name}.py": name for name in "zyxabc"} | {"image": b"\0"})
    paths = []
    for run in range(2):
        tables = read({"git": "repository", "ref": "main"})
        for frame in (tables.files, tables.skipped):
            frame.write_parquet(tmp_path / f"{run}.parquet")
            paths.append((tmp_path / f"{run}.parquet").read_bytes())
    assert paths[:2] == paths[2:]
    assert tables.files.equals(pl.read_parquet(io.BytesIO(paths[0])))
