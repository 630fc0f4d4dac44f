import re
from collections.abc import Iterator
from importlib import metadata
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from cortex_pipelines.ingestion.licences.expressions import (
    NOT_UNDERSTOOD,
    RESTRICTED,
    all_of,
    families,
    permitted,
    spdx,
)
from cortex_pipelines.ingestion.licences.manifests import licence_named
from cortex_pipelines.ingestion.licences.texts import licence_of_header, licence_of_text
from cortex_pipelines.ingestion.settings import IngestionSettings
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)

NAMES = ("MIT", "Apache-2.0", "GPL-3.0-only", "BSD-3-Clause", "LicenseRef-Ours")
EXPRESSIONS = st.recursive(
    st.sampled_from(NAMES),
    lambda inner: st.tuples(inner, st.sampled_from([" AND ", " OR "]), inner).map(lambda parts: f"({''.join(parts)})"),
    max_leaves=8,
)


@given(expression=EXPRESSIONS, allowed=st.sets(st.sampled_from(NAMES)))
def test_an_expression_is_permitted_as_its_logic_says(expression: str, allowed: set[str]) -> None:
    text = expression
    for name in NAMES:
        text = re.sub(rf"(?<![\w.-]){name}(?![\w.-])", str(name in allowed), text)
    expected = eval(text.replace("AND", "and").replace("OR", "or"))
    assert spdx(expression)
    assert permitted(str(spdx(expression)), allowed) is expected
    # without the outer brackets the closer binding of AND has to do their work
    bare = "MIT OR Apache-2.0 AND GPL-3.0-only"
    assert permitted(bare, allowed) is ("MIT" in allowed or {"Apache-2.0", "GPL-3.0-only"} <= allowed)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mit", "MIT"),
        ("MIT/Apache-2.0", "MIT OR Apache-2.0"),
        ("gpl-2.0+ with classpath-exception-2.0", "GPL-2.0+ WITH Classpath-exception-2.0"),
        ("LicenseRef-Ours", "LicenseRef-Ours"),
        ("no licence", None),
        ("MIT OR", None),
        ("", None),
        ("(" * 5000 + "MIT" + ")" * 5000, None),
        ("MIT AND " * 5000 + "MIT", None),
    ],
)
def test_expressions_have_one_spelling(text: str, expected: str | None) -> None:
    assert spdx(text) == expected


def test_versions_and_exceptions_do_not_change_what_is_permitted() -> None:
    assert permitted("Apache-2.0 WITH LLVM-exception", {"Apache-2.0"})
    assert permitted("GPL-2.0-or-later", {"GPL-2.0"})
    assert not permitted("GPL-2.0-only WITH Classpath-exception-2.0", {"MIT"})
    assert not permitted(NOT_UNDERSTOOD, {"MIT"})
    assert families("MIT OR (GPL-2.0-or-later WITH Classpath-exception-2.0)") == {"MIT", "GPL-2.0"}
    assert all_of(["MIT", "MIT OR Apache-2.0"]) == "MIT AND (MIT OR Apache-2.0)"
    assert all_of(["MIT", NOT_UNDERSTOOD]) == NOT_UNDERSTOOD
    assert all_of([]) is None


@pytest.mark.parametrize(("name", "expected"), CASES["licences_are_known_by_their_usual_names"])
def test_licences_are_known_by_their_usual_names(name: str, expected: str | None) -> None:
    assert licence_named(name) == expected


def installed() -> Iterator[tuple[Path, str]]:
    """Texts of installed packages that also state one licence in their metadata."""
    for package in sorted(metadata.distributions(), key=lambda package: str(package.metadata["Name"])):
        expression = package.metadata.get("License-Expression")
        licence_files = [file for file in package.files or () if file.match("*.dist-info/**/LICENSE*")]
        paths = [Path(str(package.locate_file(file))) for file in licence_files]
        if expression and " " not in expression and len(paths) == 1 and paths[0].is_file():
            yield paths[0], expression


def test_texts_are_known_as_their_packages_state_them() -> None:
    read = [(licence_of_text(path.read_text("utf-8", "replace")), stated) for path, stated in islice(installed(), 60)]
    right = sum(expected in str(licence).split(" AND ") for licence, expected in read)
    assert len(read) >= 40
    assert right >= 0.95 * len(read), [pair for pair in read if pair[1] not in str(pair[0])]


def text_of(name: str) -> str:
    from identify.vendor.licenses import LICENSES

    return dict(LICENSES)[name]


@pytest.mark.parametrize("name", CASES["a_text_is_known_whatever_its_holder_and_layout"])
def test_a_text_is_known_whatever_its_holder_and_layout(name: str) -> None:
    text = text_of(name)
    assert licence_of_text(text) == name
    commented = "".join(f" * {line}\n" for line in text.splitlines())
    assert licence_of_text(f"/*\n{commented}*/") == name
    words = re.sub(r"[\[<]?(?:fullname|year)[\]>]?", "Ann Other", text).split()
    assert licence_of_text(" ".join(words).upper()) == name


def test_versions_of_the_gnu_licences_are_told_apart() -> None:
    for name in ("GPL-2.0", "GPL-3.0", "LGPL-2.1", "LGPL-3.0", "AGPL-3.0"):
        assert licence_of_text(text_of(name)) == f"{name}-only"


def test_several_texts_hold_together() -> None:
    both = text_of("MIT") + "\n\nParts are under this licence:\n\n" + text_of("Apache-2.0")
    assert licence_of_text(both) == "Apache-2.0 AND MIT"


@pytest.mark.parametrize("terms", CASES["terms_that_take_permissions_back_are_seen"])
def test_terms_that_take_permissions_back_are_seen(terms: str) -> None:
    licence = licence_of_text(text_of("MIT") + "\n" + terms)
    assert licence == f"{RESTRICTED} AND MIT" or licence == f"MIT AND {RESTRICTED}"
    assert not permitted(str(licence), {"MIT"})


@pytest.mark.parametrize(("text", "expected"), CASES["a_licence_file_may_say_little"])
def test_a_licence_file_may_say_little(text: str, expected: str | None) -> None:
    assert licence_of_text(text) == expected


@pytest.mark.parametrize(("head", "expected"), CASES["a_header_says_what_its_file_is_under"])
def test_a_header_says_what_its_file_is_under(head: str, expected: str | None) -> None:
    assert licence_of_header(head) == expected


def test_a_whole_text_may_stand_in_a_header() -> None:
    head = "".join(f"// {line}\n" for line in text_of("MIT").splitlines())
    assert licence_of_header(head + "package main\n") == "MIT"


@given(st.text(max_size=300))
def test_whatever_the_words_something_is_said(text: str) -> None:
    for licence in (licence_of_text(text), licence_of_header(text), licence_named(text)):
        assert licence is None or licence == NOT_UNDERSTOOD or spdx(licence) == licence


def test_the_allow_list_takes_names_of_licences_only(settings: IngestionSettings) -> None:
    values = settings.model_dump()
    for wrong in ("mit", "BSD", "MIT OR ISC"):
        with pytest.raises(ValidationError, match="not an SPDX licence id"):
            IngestionSettings(**values | {"trainable_licences": [wrong]})
    assert IngestionSettings(**values | {"trainable_licences": ["LicenseRef-Ours"]})


def test_a_text_that_is_only_known_by_its_title_counts_beside_others() -> None:
    stack = "PYTHON SOFTWARE FOUNDATION LICENSE VERSION 2\n1. This LICENSE AGREEMENT is between"
    assert licence_of_text(f"{stack} us and you.\n{text_of('ISC')}") == "ISC AND PSF-2.0"
