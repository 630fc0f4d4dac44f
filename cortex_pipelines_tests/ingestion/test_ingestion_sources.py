from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from cortex_pipelines.ingestion.entries import SourceError
from cortex_pipelines.ingestion.project_sources import (
    GitSource,
    ProjectSettings,
    ProjectSource,
    matching_pins,
    parse_source,
)
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)


def project(*sources: Any) -> ProjectSettings:
    return ProjectSettings.model_validate({"sources": list(sources)})


@pytest.mark.parametrize(("entry", "label"), CASES["each_kind_of_source_has_a_label_as_in_params"])
def test_each_kind_of_source_has_a_label_as_in_params(entry: dict[str, str], label: str) -> None:
    assert [source.label for source in project(entry).sources] == [label]


def test_a_password_in_a_url_is_in_no_pin() -> None:
    source = GitSource(git="https://me:secret@example.org:8443/a.git", ref="main")
    assert source.declaration == {"git": "https://example.org:8443/a.git", "ref": "main"}


@pytest.mark.parametrize(("entry", "words"), CASES["what_is_wrong_with_an_entry_is_said"])
def test_what_is_wrong_with_an_entry_is_said(entry: Any, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        project(entry)


def test_the_same_source_twice_is_refused() -> None:
    with pytest.raises(ValidationError, match="git:a"):
        project({"git": "a", "ref": "main"}, {"git": "a", "ref": "other"})


def test_sources_are_told_apart_on_the_command_line(tmp_path: Path, repository: Any) -> None:
    repository.commit({"a.py": "a = 1\n"})
    repository("bundle", "create", str(tmp_path / "code.pack"), "main")
    repository("clone", "--quiet", "--bare", ".", str(tmp_path / "bare"))
    (tmp_path / "plain").mkdir()
    (tmp_path / "code.TAR.GZ").write_bytes(b"")
    expected = {
        "repository": {"git": "repository", "ref": "HEAD"},
        str(tmp_path / "bare"): {"git": str(tmp_path / "bare"), "ref": "HEAD"},
        "code.pack": {"git": "code.pack", "ref": "HEAD"},
        "https://example.org/a/b": {"git": "https://example.org/a/b", "ref": "HEAD"},
        "git@example.org:a/b.git": {"git": "git@example.org:a/b.git", "ref": "HEAD"},
        "file:///srv/a.git": {"git": "file:///srv/a.git", "ref": "HEAD"},
        "plain": {"directory": "plain"},
        "code.TAR.GZ": {"archive": "code.TAR.GZ"},
        "pypi:itsdangerous==latest": {"pypi": "itsdangerous==latest"},
        "itsdangerous==2.2.0": {"pypi": "itsdangerous==2.2.0"},
    }
    parsed = {text: parse_source(text, tmp_path) for text in expected}
    assert parsed == expected
    assert project(*parsed.values()).sources


@pytest.mark.parametrize("text", ["nowhere", "gone.tar.gz", "https://example.org/a.zip", "params"])
def test_a_source_that_means_nothing_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "params").write_text("a: 1\n")
    with pytest.raises(SourceError, match="cannot identify the source"):
        parse_source(text, tmp_path)


@pytest.mark.parametrize(
    "pins",
    [
        (),
        ({"git": "a", "ref": "other", "revision": "0" * 40},),
        ({"directory": "b", "sha256": ""},),
        ({"git": "a", "ref": "main"}, {"directory": "b"}),
    ],
)
def test_pins_of_other_sources_are_refused(pins: tuple[dict[str, str], ...]) -> None:
    source = ProjectSource(project({"git": "a", "ref": "main"}), pins)
    with pytest.raises(SourceError, match=r"cortex update demo"):
        list(matching_pins(source, "demo"))
