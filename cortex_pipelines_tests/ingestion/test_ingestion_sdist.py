import gzip
import hashlib
import logging
import shutil
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from cortex_pipelines.ingestion.entries import SourceError
from cortex_pipelines.ingestion.project_sources import SdistSource
from cortex_pipelines.ingestion.readers.packages import fetch_sdist, pip_options
from cortex_pipelines_tests.ingestion.connected import Quiet, served, tar
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)

DEMO = {"pypi": "demo-lib==1.0"}


def sdist(version: str, top: str = "demo_lib-{}/", **files: str) -> bytes:
    members = {"setup.py": "raise SystemExit('was run')\n", **files}.items()
    return gzip.compress(tar(*((top.format(version) + name, text.encode()) for name, text in members)), mtime=0)


class Index:
    """A package index in a folder: pages as PEP 503 has them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "demo-lib"
        self.folder.mkdir(parents=True)
        self.links: list[str] = []

    def add(self, name: str, data: bytes, sha256: str | None = None, mark: str = "") -> None:
        (self.folder / name).write_bytes(data)
        digest = sha256 or hashlib.sha256(data).hexdigest()
        self.links.append(f'<a href="{name}#sha256={digest}" {mark}>{name}</a>')
        page = "<!DOCTYPE html><html><body>" + "\n".join(self.links) + "</body></html>"
        (self.folder / "index.html").write_text(page)


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """pip as if nothing was configured on this machine."""
    for name in ("EXTRA_INDEX_URL", "INDEX_URL", "FIND_LINKS", "NO_INDEX", "CERT"):
        monkeypatch.delenv(f"PIP_{name}", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return monkeypatch


@pytest.fixture
def index(tmp_path: Path, pip: pytest.MonkeyPatch) -> Index:
    pip.setenv("PIP_INDEX_URL", (tmp_path / "index").as_uri())
    return Index(tmp_path / "index")


def test_a_version_is_found_pinned_and_read_without_running_it(index: Index, take: Any, read_pinned: Any) -> None:
    data = sdist("1.0", **{"src/a.py": "a = 1\n"})
    index.add("demo_lib-1.0.tar.gz", data)
    index.add("demo_lib-2.0.tar.gz", sdist("2.0"))
    source = take(DEMO)
    assert source.pins == (
        {
            "pypi": "demo-lib==1.0",
            "version": "1.0",
            "file": "demo_lib-1.0.tar.gz",
            "sha256": hashlib.sha256(data).hexdigest(),
        },
    )
    tables = read_pinned(source)
    assert tables.texts == {"setup.py": "raise SystemExit('was run')\n", "src/a.py": "a = 1\n"}
    assert set(tables.files["source"]) == {"pypi:demo-lib==1.0"}


def test_latest_is_the_newest_release_that_was_not_withdrawn(index: Index, take: Any) -> None:
    index.add("demo_lib-1.9.tar.gz", sdist("1.9"))
    index.add("demo_lib-1.10.tar.gz", sdist("1.10"))
    index.add("demo_lib-2.0rc1.tar.gz", sdist("2.0rc1"))
    index.add("demo_lib-3.0.tar.gz", sdist("3.0"), mark='data-yanked="broken"')
    index.add("demo_lib-4.0-py3-none-any.whl", b"")
    [pin] = take({"pypi": "demo-lib==latest"}).pins
    assert (pin["pypi"], pin["version"]) == ("demo-lib==latest", "1.10")
    assert take({"pypi": "demo-lib==3.0"}).pins[0]["version"] == "3.0"
    index.links.clear()  # a preview is the latest where there is nothing else
    index.add("demo_lib-2.0rc1.tar.gz", sdist("2.0rc1"))
    assert take({"pypi": "demo-lib==latest"}).pins[0]["version"] == "2.0rc1"


def test_what_was_downloaded_once_is_read_without_an_index(tmp_path: Path, index, take: Any, read_pinned: Any) -> None:
    index.add("demo_lib-1.0.tar.gz", sdist("1.0"))
    source = take(DEMO)
    shutil.rmtree(index.folder)
    assert list(read_pinned(source).texts) == ["setup.py"]
    [cached] = (tmp_path / ".cortex/cache/downloads").iterdir()
    assert cached.name == source.pins[0]["sha256"]


def test_a_lost_or_damaged_download_is_fetched_again(tmp_path: Path, index: Index, take: Any, read_pinned: Any) -> None:
    index.add("demo_lib-1.0.tar.gz", sdist("1.0"))
    source = take(DEMO)
    cached = tmp_path / ".cortex/cache/downloads" / source.pins[0]["sha256"]
    cached.write_bytes(b"damaged")
    assert list(read_pinned(source).texts) == ["setup.py"]
    cached.unlink()
    assert list(read_pinned(source).texts) == ["setup.py"]


def test_a_release_that_was_exchanged_is_refused(tmp_path: Path, index: Index, take: Any, read_pinned: Any) -> None:
    index.add("demo_lib-1.0.tar.gz", sdist("1.0"))
    source = take(DEMO)
    shutil.rmtree(tmp_path / ".cortex")
    index.links.clear()
    index.add("demo_lib-1.0.tar.gz", sdist("1.0", other="x = 1\n"))
    with pytest.raises(SourceError, match=r"has other content.*cortex update"):
        read_pinned(source)
    index.links.clear()
    index.add("demo_lib-2.0.tar.gz", sdist("2.0"))
    with pytest.raises(SourceError, match=r"is missing.*cortex update"):
        read_pinned(source)


def test_a_download_that_is_not_what_the_index_says_is_refused(index: Index, take: Any) -> None:
    index.add("demo_lib-1.0.tar.gz", sdist("1.0"), sha256="0" * 64)
    with pytest.raises(SourceError, match="the index says 0000"):
        take(DEMO)


def test_paths_stay_whole_without_one_top_folder(index: Index, read: Any) -> None:
    index.add("demo_lib-1.0.tar.gz", sdist("1.0", top=""))
    assert list(read(DEMO).texts) == ["setup.py"]


@pytest.mark.parametrize(("wanted", "words"), CASES["what_is_not_there_is_said"])
def test_what_is_not_there_is_said(index: Index, take: Any, wanted: str, words: str) -> None:
    index.add("demo_lib-1.0.tar.gz", sdist("1.0"))
    index.add("demo_lib-2.0-py3-none-any.whl", b"")
    with pytest.raises(SourceError, match=words):
        take({"pypi": wanted})


def test_a_folder_of_files_serves_where_no_index_may_be_asked(tmp_path: Path, pip, read: Any) -> None:
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels/demo_lib-1.0.tar.gz").write_bytes(sdist("1.0"))
    pip.setenv("PIP_NO_INDEX", "1")
    pip.setenv("PIP_FIND_LINKS", f"{tmp_path}/wheels {tmp_path}/nowhere")
    assert list(read(DEMO).texts) == ["setup.py"]


class Grumpy(Quiet, SimpleHTTPRequestHandler):
    """An index that forbids one package and redirects another."""

    def do_GET(self) -> None:
        if self.path.startswith("/secret"):
            self.send_error(403)
        elif self.path.startswith("/moved/"):
            self.send_response(301)
            self.send_header("Location", self.path.removeprefix("/moved"))
            self.end_headers()
        else:
            super().do_GET()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    with served(partial(Grumpy, directory=str(tmp_path / "index"))) as address:
        yield address


def test_an_index_is_followed_where_it_sends(index: Index, pip: pytest.MonkeyPatch, server: str, read: Any) -> None:
    index.add("demo_lib-1.0.tar.gz", sdist("1.0"))
    pip.setenv("PIP_INDEX_URL", f"{server}/moved")
    assert list(read(DEMO).texts) == ["setup.py"]


def test_an_index_that_refuses_is_named_without_its_password(index: Index, pip, server: str, take: Any) -> None:
    index.add("demo_lib-1.0.tar.gz", sdist("1.0"))
    pip.setenv("PIP_INDEX_URL", server.replace("//", "//me:hunter2@") + "/secret")
    # as migrations of MLflow's database leave every logger that they do not know
    pip.setattr(logging.getLogger("unearth.collector"), "disabled", True)
    with pytest.raises(SourceError, match=r"could not be asked: .*403") as caught:
        take(DEMO)
    assert "hunter2" not in str(caught.value)
    pip.setenv("PIP_EXTRA_INDEX_URL", index.folder.parent.as_uri())
    assert take(DEMO).pins[0]["version"] == "1.0"
    with pytest.raises(SourceError, match=r"cannot determine the latest version.*403"):
        take({"pypi": "demo-lib==latest"})


def test_a_file_or_an_index_out_of_reach_is_named(index: Index, pip: pytest.MonkeyPatch, take: Any) -> None:
    index.add("demo_lib-1.0.tar.gz", sdist("1.0"))
    (index.folder / "demo_lib-1.0.tar.gz").unlink()
    with pytest.raises(SourceError, match=r"demo_lib-1\.0\.tar\.gz cannot be downloaded"):
        take(DEMO)
    pip.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    with pytest.raises(SourceError, match=r"127\.0\.0\.1:9.*check the network"):
        take(DEMO)


def test_pip_options_come_from_its_files_and_its_environment(tmp_path: Path, pip: pytest.MonkeyPatch) -> None:
    config = tmp_path / "pip.conf"
    config.write_text("[global]\nno-index = true\nfind-links =\n  /a\n  /b\n[download]\nno-index = no\n")
    pip.setenv("PIP_CONFIG_FILE", str(config))
    pip.setenv("PIP_INDEX_URL", "http://example.org/simple")
    options = pip_options()
    assert (options["find-links"], options["index-url"]) == (["/a", "/b"], ["http://example.org/simple"])
    assert options["no-index"] == ["no"]


def test_an_environment_without_pip_has_its_variables(pip: pytest.MonkeyPatch) -> None:
    pip.setenv("PIP_FIND_LINKS", "/a /b")
    pip.setattr("sys.executable", shutil.which("false"))
    assert pip_options() == {"find-links": ["/a", "/b"]}


@pytest.mark.slow
def test_a_real_source_distribution(tmp_path: Path, read: Any) -> None:
    source = SdistSource(pypi="itsdangerous==2.2.0")
    assert fetch_sdist(source, tmp_path / ".cortex/cache") == CASES["a_real_source_distribution"]
    tables = read({"pypi": source.pypi})
    assert "src/itsdangerous/signer.py" in tables.texts
    assert tables.files.filter(language="python").height == 15
