import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cortex_pipelines.ingestion.cache import CACHE
from cortex_pipelines.ingestion.files.build import repository_files
from cortex_pipelines.ingestion.files.commits import repository_commits
from cortex_pipelines.ingestion.project_sources import ProjectSettings, ProjectSource
from cortex_pipelines.ingestion.readers.open import resolve_pins
from cortex_pipelines.ingestion.settings import IngestionSettings
from cortex_pipelines.privacy.settings import PrivacySettings
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines_tests.parameters import load_cases

LIMITS = load_cases(__file__)["LIMITS"]
PRIVACY = PrivacySettings(
    salt="test", redact=("secret", "personal"), min_entropy=2.8, min_value_chars=6, allowed=(), forgotten=()
)


class Repository:
    """A git repository with a work tree, made with fixed dates."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.time = 1_700_000_000
        folder.mkdir(parents=True)
        self("init", "--quiet", "--initial-branch=main")

    def __call__(self, *arguments: str, stdin: bytes = b"") -> str:
        variables = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
        identity = {"NAME": "Nobody", "EMAIL": "nobody@example.org", "DATE": f"{self.time} +0100"}
        environment = variables | {
            f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in identity.items()
        }
        process = subprocess.run(
            ["git", "-C", str(self.folder), "-c", "maintenance.auto=false", *arguments],
            env=environment | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"},
            input=stdin,
            capture_output=True,
            check=False,
        )
        assert not process.returncode, process.stderr.decode()
        return process.stdout.decode().strip()

    def write(self, files: dict[str, bytes | str | None]) -> None:
        for name, content in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if content is None:
                path.unlink()
            else:
                path.write_bytes(content.encode() if isinstance(content, str) else content)

    def commit(self, files: dict[str, bytes | str | None] | None = None, message: str = "change") -> str:
        self.write(files or {})
        self("add", "--all", "--force")
        options = ("--quiet", "--allow-empty", "--cleanup=verbatim", "--allow-empty-message", "--file=-")
        self("commit", *options, stdin=message.encode())
        return self("rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository")


@pytest.fixture
def plain(tmp_path: Path) -> Callable[[dict[str, bytes | str]], None]:
    """Files of a folder ``plain``."""

    def write(files: dict[str, bytes | str]) -> None:
        for name, data in files.items():
            path = tmp_path / "plain" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data if isinstance(data, bytes) else data.encode())

    return write


@pytest.fixture
def settings() -> IngestionSettings:
    return IngestionSettings(**LIMITS)


class Tables:
    """What was read of a project."""

    def __init__(self, tables: dict[str, pl.DataFrame]) -> None:
        self.files, self.skipped = tables["files"], tables["skipped_files"]
        self.redactions = tables["redactions"]

    @property
    def texts(self) -> dict[str, str]:
        return dict(zip(self.files["path"], self.files["text"], strict=True))

    @property
    def reasons(self) -> dict[str, str]:
        return dict(zip(self.skipped["path"], self.skipped["reason"], strict=True))


@pytest.fixture
def take(tmp_path: Path) -> Callable[..., ProjectSource]:
    def take_sources(*sources: dict[str, str], root: Path = tmp_path, licence: str | None = None) -> ProjectSource:
        project = ProjectSettings.model_validate({"sources": list(sources), "licence": licence})
        return ProjectSource(project, tuple(resolve_pins(project, root, root / CACHE)))

    return take_sources


@pytest.fixture
def cache(tmp_path: Path) -> RowCache:
    return RowCache(tmp_path / ".cortex/cache/rows", "1")


@pytest.fixture
def privacy() -> PrivacySettings:
    return PRIVACY


@pytest.fixture
def read(tmp_path: Path, settings: IngestionSettings, take: Any, tmp_path_factory: Any) -> Callable[..., Tables]:
    """Take the pins of sources and read them from nothing; settings can be given by keyword."""

    def read_sources(*sources: dict[str, str], licence: str | None = None, **changed: Any) -> Tables:
        narrow = settings.model_copy(update=changed)
        source, rows = take(*sources, licence=licence), RowCache(tmp_path_factory.mktemp("c"), "1")
        return Tables(repository_files(source, "demo", narrow, PRIVACY, tmp_path, rows))

    return read_sources


@pytest.fixture
def read_pinned(tmp_path: Path, settings: IngestionSettings, cache: RowCache) -> Callable[..., Tables]:
    """Read sources at pins that were taken before, with what was read before known."""

    def read_source(source: ProjectSource, root: Path = tmp_path) -> Tables:
        return Tables(repository_files(source, "demo", settings, PRIVACY, root, cache))

    return read_source


@pytest.fixture
def history(tmp_path: Path, take: Any, privacy: Any, cache: Any) -> Any:
    def read(*sources: dict[str, str]) -> pl.DataFrame:
        return repository_commits(
            take(*(sources or [{"git": "repository", "ref": "main"}])), "demo", tmp_path, privacy, cache
        )["commits"]

    return read
