"""Which licence each file of a project has, and whether it may be trained on."""

import json
from typing import Any

import polars as pl
import pytest
from identify.vendor.licenses import LICENSES

from cortex_pipelines.ingestion.licences.manifests import declared_licence
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)

GIT = {"git": "repository", "ref": "main"}
TEXTS = dict(LICENSES)


def licences(tables: Any) -> dict[str, tuple[Any, bool]]:
    rows = tables.files.select("path", "licence", "trainable").iter_rows()
    return {path: (licence, trainable) for path, licence, trainable in rows}


def test_the_nearest_statement_holds(repository: Any, read: Any) -> None:
    repository.commit(
        {
            "LICENSE": TEXTS["Apache-2.0"],
            "a.py": "a = 1\n",
            "b.py": "# SPDX-License-Identifier: GPL-3.0-or-later\n",
            "lib/package.json": json.dumps({"license": "GPL-2.0-only"}),
            "lib/deep/er/c.js": "var c\n",
            "lib/deep/LICENSE-MIT": TEXTS["MIT"],
            "vendor/d.go": "package d\n",
            "other/LICENSE": "Do as my lawyer says. " * 20,
            "other/e.py": "e = 1\n",
            "LICENSES/GPL-3.0.txt": TEXTS["GPL-3.0"],
            "docs/license.rst": "See the LICENSE file.\n",
            "docs/f.py": "f = 1\n",
        }
    )
    found_licences = licences(read(GIT))
    assert (found_licences["a.py"], found_licences["b.py"]) == (("Apache-2.0", True), ("GPL-3.0-or-later", False))
    assert found_licences["lib/package.json"] == ("GPL-2.0-only", False)
    assert found_licences["lib/deep/er/c.js"] == ("MIT", True)
    assert found_licences["vendor/d.go"] == ("Apache-2.0", False)  # not written here
    assert found_licences["other/e.py"] == ("NOASSERTION", False)
    assert found_licences["LICENSES/GPL-3.0.txt"] == ("Apache-2.0", True)
    assert found_licences["docs/f.py"] == ("Apache-2.0", True)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        # a manifest says how texts go together
        (
            {
                "LICENSE-MIT": TEXTS["MIT"],
                "LICENSE-APACHE": TEXTS["Apache-2.0"],
                "Cargo.toml": '[package]\nlicense = "MIT OR Apache-2.0"\n',
            },
            ("MIT OR Apache-2.0", True),
        ),
        ({"LICENSE-MIT": TEXTS["MIT"], "COPYING": TEXTS["GPL-3.0"]}, ("GPL-3.0-only AND MIT", False)),
        # what `npm init` wrote does not outweigh a text
        ({"LICENSE": TEXTS["GPL-3.0"], "package.json": '{"license": "ISC"}'}, ("GPL-3.0-only", False)),
        # a text that is not known does not outweigh a manifest
        (
            {
                "LICENSE": "Either of the licences found beside this file. " * 9,
                "pyproject.toml": '[project]\nlicense = "MIT"\n',
            },
            ("MIT", True),
        ),
        # one that takes permissions back does
        (
            {
                "LICENSE": TEXTS["Apache-2.0"] + "\nCommons Clause License Condition v1.0",
                "package.json": '{"license": "Apache-2.0"}',
            },
            ("Apache-2.0 AND LicenseRef-Restricted", False),
        ),
        ({"setup.py": "setup(license='Acme')"}, ("NOASSERTION", False)),
        ({}, (None, True)),
    ],
)
def test_what_a_folder_says_is_put_together(repository: Any, read: Any, files: dict[str, str], expected) -> None:
    repository.commit({"a.py": "a = 1\n", **files})
    assert licences(read(GIT))["a.py"] == expected


def test_silent_files_may_be_trained_on_where_params_say_so(tmp_path: Any, repository: Any, read: Any) -> None:
    repository.commit({"a.py": "a = 1\n"})
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain/b.py").write_text("b = 1\n")
    entries = (GIT, {"directory": "plain"})
    assert licences(read(*entries)) == {"a.py": (None, True), "b.py": (None, False)}
    assert not read(*entries, trainable_without_licence=()).files["trainable"].any()


def test_a_project_may_state_the_licence_of_its_own_code(repository: Any, read: Any) -> None:
    repository.commit(
        {
            "LICENSE": "Property of Acme. All rights reserved. " * 9,
            "a.py": "a = 1\n",
            "b.py": "# SPDX-License-Identifier: GPL-3.0-only\n",
        }
    )
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
