"""Technologies that manifests declare."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_pipelines.annotation.labels.manifests import declared_for, technologies_by_folder


def declared(path: str, text: str, file: str, language: str) -> list[str]:
    files = pl.DataFrame({"source": ["s"], "path": [path], "text": [text]})
    return declared_for(technologies_by_folder(files), ("s", file, language))


@pytest.mark.parametrize(
    ("path", "text", "file", "language", "expected"),
    [
        (
            "package.json",
            '{"dependencies": {"react": "1"}, "devDependencies": {"jest": "2"}}',
            "a.js",
            "javascript",
            ["jest", "react"],
        ),
        (
            "web/package.json",
            '{"dependencies": {"vue": "3"}}',
            "web/src/a.ts",
            "typescript",
            ["vue"],
        ),
        ("web/package.json", '{"dependencies": {"vue": "3"}}', "api/a.ts", "typescript", []),
        (
            "pyproject.toml",
            '[project]\ndependencies = ["Flask>=2", "scikit-learn"]',
            "a.py",
            "python",
            ["flask", "scikit-learn"],
        ),
        (
            "pyproject.toml",
            '[project.optional-dependencies]\ndb = ["psycopg2-binary"]\n'
            '[dependency-groups]\ntest = ["pytest", {include-group = "db"}]',
            "a.py",
            "python",
            ["postgresql", "pytest"],
        ),
        (
            "pyproject.toml",
            '[tool.poetry.dependencies]\ndjango = "^4"\n'
            '[tool.poetry.group.dev.dependencies]\nhypothesis = "*"',
            "a.py",
            "python",
            ["django", "hypothesis"],
        ),
        (
            "requirements-dev.txt",
            "# tools\n-r base.txt\nnumpy==1.0 ; python_version > '3'\nPyYAML",
            "a.py",
            "python",
            ["numpy", "yaml"],
        ),
        (
            "setup.py",
            "setup(install_requires=['click', \"redis>=3\"])",
            "a.py",
            "python",
            ["click", "redis"],
        ),
        (
            "go.mod",
            "module a\nrequire github.com/gin-gonic/gin v1.9.0\n"
            "require (\n\tgorm.io/gorm v1.2.3\n\tgo.mongodb.org/mongo-driver v1.1.1 // indirect\n)",
            "a.go",
            "go",
            ["gin", "gorm"],
        ),
        (
            "Cargo.toml",
            '[dependencies]\nserde = "1"\n[workspace.dependencies]\ntokio = "1"\n'
            '[target."cfg(unix)".dependencies]\nactix-web = "4"',
            "src/a.rs",
            "rust",
            ["actix", "serde", "tokio"],
        ),
        (
            "pom.xml",
            "<dependency><groupId>org.springframework.boot</groupId></dependency>",
            "A.java",
            "java",
            ["spring"],
        ),
        (
            "build.gradle",
            'testImplementation "org.junit.jupiter:junit-jupiter:5"\n'
            "implementation('com.google.code.gson:gson:2')",
            "A.java",
            "java",
            ["gson", "junit"],
        ),
    ],
)
def test_declared_dependencies_are_technologies(path, text, file, language, expected) -> None:
    assert declared(path, text, file, language) == expected


def test_the_nearest_manifest_counts() -> None:
    files = pl.DataFrame(
        {
            "source": ["s"] * 3 + ["t"],
            "path": ["package.json", "web/package.json", "web/README.md", "package.json"],
            "text": ['{"dependencies": {"vue": 1}}', '{"dependencies": {"react": 1}}', "", "{}"],
        }
    )
    found = technologies_by_folder(files)
    assert declared_for(found, ("s", "web/a/b.ts", "typescript")) == ["react"]
    assert declared_for(found, ("s", "a.ts", "typescript")) == ["vue"]
    assert declared_for(found, ("s", "a.py", "python")) == []
    assert declared_for(found, ("t", "a.ts", "typescript")) == []


@given(
    st.sampled_from(
        ("package.json", "pyproject.toml", "Cargo.toml", "go.mod", "pom.xml", "setup.py")
    ),
    st.text(max_size=200)
    | st.sampled_from(
        (
            "[" * 5000,
            '{"dependencies": 3}',
            "[project]\ndependencies = 3",
            "dependencies = 1",
            '{"a":' * 5000,
        )
    ),
)
def test_a_manifest_that_cannot_be_read_declares_nothing_or_less(path: str, text: str) -> None:
    assert isinstance(declared(path, text, "a.py", "python"), list)
