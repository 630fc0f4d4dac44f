import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_pipelines.ingestion.licences.detect import annotated_licence, annotations
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)

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
