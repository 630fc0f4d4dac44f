import re
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from identify.vendor.licenses import LICENSES

from cortex_pipelines.ingestion.licences.detect import annotated_licence, annotations
from cortex_pipelines.ingestion.licences.manifests import declared_licence
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)

GIT = {"git": "repository", "ref": "main"}
TEXTS = dict(LICENSES)


def licences(tables: Any) -> dict[str, tuple[Any, bool]]:
    rows = tables.files.select("path", "licence", "trainable").iter_rows()
    return {path: (licence, trainable) for path, licence, trainable in rows}


def with_texts(files: dict[str, str]) -> dict[str, str]:
    """Files in which a line that is the name of a licence stands for its text."""
    return {path: "\n".join(TEXTS.get(line, line) for line in text.split("\n")) for path, text in files.items()}


def test_the_nearest_statement_holds(repository: Any, read: Any) -> None:
    case = CASES["the_nearest_statement_holds"]
    repository.commit(with_texts(case["files"]))
    stated = licences(read(GIT))
    assert {path: list(stated[path]) for path in case["expected"]} == case["expected"]


@pytest.mark.parametrize(("files", "expected"), CASES["what_a_folder_says_is_put_together"])
def test_what_a_folder_says_is_put_together(repository: Any, read: Any, files: dict[str, str], expected) -> None:
    repository.commit({"a.py": "a = 1\n", **with_texts(files)})
    assert list(licences(read(GIT))["a.py"]) == expected


def test_silent_files_may_be_trained_on_where_params_say_so(plain, repository: Any, read: Any) -> None:
    repository.commit({"a.py": "a = 1\n"})
    plain({"b.py": "b = 1\n"})
    entries = (GIT, {"directory": "plain"})
    assert licences(read(*entries)) == {"a.py": (None, True), "b.py": (None, False)}
    assert not read(*entries, trainable_without_licence=()).files["trainable"].any()


def test_a_project_may_state_the_licence_of_its_own_code(repository: Any, read: Any) -> None:
    repository.commit(CASES["a_project_may_state_the_licence_of_its_own_code"])
    project_licence = "LicenseRef-Acme"
    found_licences = licences(read(GIT, licence=project_licence))
    assert (found_licences["a.py"], found_licences["b.py"]) == ((project_licence, False), ("GPL-3.0-only", False))
    allowed = licences(read(GIT, licence=project_licence, trainable_licences=(project_licence,)))
    assert allowed["a.py"] == (project_licence, True)
    assert not allowed["b.py"][1]


@pytest.mark.parametrize(("path", "text", "expected"), CASES["manifests_of_all_ecosystems_are_understood"])
def test_manifests_of_all_ecosystems_are_understood(path: str, text: str, expected: str | None) -> None:
    assert declared_licence(f"sub/{path}", text) == expected


def test_all_files_of_a_project_have_an_answer(read: Any, repository: Any) -> None:
    repository.commit({f"{name}/LICENSE": text for name, text in TEXTS.items()})
    files = read(GIT).files
    assert files["licence"].null_count() == 0
    with_licence = files.select(
        pl.col("path").str.strip_suffix("/LICENSE").alias("name"),
        pl.col("licence").str.strip_suffix("-only").alias("found"),
    )
    assert with_licence.filter(pl.col("name") != pl.col("found")).rows() == []


_PLAIN = {"**": ".*", "*": "[^/]*", ".": "[.]"}


@pytest.mark.parametrize(("path", "header", "expected"), CASES["the_nearest_annotation_holds"])
def test_the_nearest_annotation_holds(path: str, header: str | None, expected: str) -> None:
    parsed = annotations([("inner/REUSE.toml", CASES["INNER"]), ("REUSE.toml", CASES["TOML"])])
    assert annotated_licence(path, header, parsed) == expected


def test_the_older_form_is_read() -> None:
    parsed = annotations([(".reuse/dep5", CASES["DEP5"])])
    assert annotated_licence("doc/x/y.md", None, parsed) == "CC-BY-4.0"
    assert annotated_licence("src/a.c", "ISC", parsed) == "CC-BY-4.0 AND ISC"
    assert annotated_licence("src/ab.c", None, parsed) is None


@given(st.text(max_size=200), st.text(max_size=30))
def test_anything_may_stand_in_it(text: str, pattern: str) -> None:
    quoted = pattern.encode("unicode_escape").decode().replace("\\", "\\\\").replace("'", "")
    toml = f"[[annotations]]\npath = '{quoted}'\nSPDX-License-Identifier = 'MIT'\n"
    files = [("REUSE.toml", text), ("a/REUSE.toml", toml), (".reuse/dep5", text)]
    annotated_licence("a/b.py", None, annotations(files))


_GLOBS = st.lists(st.sampled_from(["a", "b", "/", "*", "**", "."]), max_size=7).map("".join)


_PATHS = st.lists(st.sampled_from("ab/."), max_size=9).map("".join)


@given(_GLOBS, _PATHS)
def test_globs_match_what_they_say(glob: str, path: str) -> None:
    """Against plain backtracking; three stars in a row are two and one."""
    plain = re.sub(r"\*\*|\*|\.", lambda sign: _PLAIN[sign[0]], glob)
    toml = f"[[annotations]]\npath = '{glob}'\nSPDX-License-Identifier = 'MIT'\n"
    licence = annotated_licence(path, None, annotations([("REUSE.toml", toml)]))
    assert (licence == "MIT") == bool(re.fullmatch(plain, path))


def test_stars_without_end_are_matched() -> None:
    toml = f"[[annotations]]\npath = '{'**a*a' * 40}b'\nSPDX-License-Identifier = 'MIT'\n"
    assert annotated_licence("a" * 400, None, annotations([("REUSE.toml", toml)])) is None


def test_files_of_a_project_have_it(repository: Any, read: Any) -> None:
    repository.commit({"REUSE.toml": CASES["TOML"], "a.py": "a = 1\n", "vendor/b.py": "b = 1\n"})
    licences_by_path = dict(read({"git": "repository", "ref": "main"}).files.select("path", "licence").iter_rows())
    assert (licences_by_path["a.py"], licences_by_path["vendor/b.py"]) == ("MIT", "NOASSERTION")
