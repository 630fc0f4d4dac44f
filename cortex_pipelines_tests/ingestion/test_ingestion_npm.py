import base64
import gzip
import hashlib
import json
import shutil
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from cortex_pipelines.ingestion.entries import SourceError
from cortex_pipelines.ingestion.project_sources import NpmSource, parse_source
from cortex_pipelines_tests.ingestion.connected import Quiet, served, tar

pytestmark = pytest.mark.skipif(shutil.which("npm") is None, reason="needs npm")
DEMO = {"npm": "demo-lib@1.0.0"}


def tarball(version: str, **files: str) -> bytes:
    """An npm package whose scripts would leave a trace."""
    trap = "node -e \"require('fs').writeFileSync('sprung', '')\""
    scripts = dict.fromkeys(("preinstall", "install", "prepare", "prepack", "postpack"), trap)
    manifest = json.dumps({"name": "demo-lib", "version": version, "scripts": scripts})
    members = {"package.json": manifest, **files}.items()
    return gzip.compress(tar(*((f"package/{name}", text.encode()) for name, text in members)), mtime=0)


def integrity(data: bytes) -> str:
    return "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode()


class Registry:
    def __init__(self, address: str) -> None:
        self.address = address
        self.pages: dict[str, bytes] = {}
        self.tags: dict[str, str] = {}
        self.versions: dict[str, Any] = {}

    def add(self, version: str, data: bytes, name: str = "demo-lib", says: str = "") -> None:
        file = f"/{name}/-/{name.rpartition('/')[2]}-{version}.tgz"
        self.pages[file] = data
        self.versions[version] = {
            "name": name,
            "version": version,
            "dist": {"tarball": self.address + file, "integrity": says or integrity(data)},
        }
        self.tags.setdefault("latest", version)
        page = {"name": name, "dist-tags": self.tags, "versions": self.versions}
        self.pages["/" + name.replace("/", "%2f")] = json.dumps(page).encode()


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Registry]:
    class Answer(Quiet, BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = known.pages.get(self.path)
            self.send_response(200 if page is not None else 404)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(page or b"{}")

    with served(Answer) as address:
        known = Registry(address)
        monkeypatch.setenv("npm_config_registry", address)
        monkeypatch.setenv("npm_config_userconfig", str(tmp_path / "no-npmrc"))
        monkeypatch.setenv("npm_config_fetch_retries", "0")
        for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
            monkeypatch.delenv(name, raising=False)
        yield known


def test_a_version_is_found_pinned_and_read_without_running_it(tmp_path, registry, take: Any, read_pinned: Any) -> None:
    data = tarball("1.0.0", **{"lib/a.js": "exports.a = 1\n", "README.md": "# Demo\n"})
    registry.add("1.0.0", data)
    registry.add("2.0.0", tarball("2.0.0"))
    source = take(DEMO)
    assert source.pins == (
        {
            "npm": "demo-lib@1.0.0",
            "version": "1.0.0",
            "file": "demo-lib-1.0.0.tgz",
            "integrity": integrity(data),
            "sha256": hashlib.sha256(data).hexdigest(),
        },
    )
    tables = read_pinned(source)
    assert set(tables.texts) == {"package.json", "lib/a.js", "README.md"}
    assert (tables.texts["lib/a.js"], set(tables.files["revision"])) == ("exports.a = 1\n", {"1.0.0"})
    assert not list(tmp_path.rglob("sprung"))


@pytest.mark.parametrize("wanted", ["demo-lib", "demo-lib@latest"])
def test_latest_is_the_registrys_tag_and_is_recorded(registry: Registry, take: Any, wanted: str) -> None:
    registry.add("1.2.0", tarball("1.2.0"))
    registry.add("2.0.0-beta.1", tarball("2.0.0-beta.1"))
    [pin] = take({"npm": wanted}).pins
    assert (pin["npm"], pin["version"]) == (wanted, "1.2.0")


def test_a_scoped_package_is_read(registry: Registry, read: Any) -> None:
    registry.add("1.0.0", tarball("1.0.0", **{"a.ts": "export const a = 1\n"}), "@team/demo.lib")
    tables = read({"npm": "@team/demo.lib@1.0.0"})
    assert (tables.texts["a.ts"], set(tables.files["source"])) == ("export const a = 1\n", {"npm:@team/demo.lib@1.0.0"})


def test_an_archive_that_is_not_what_the_registry_says_is_refused(registry: Registry, take: Any) -> None:
    registry.add("1.0.0", tarball("1.0.0"), says=integrity(b"something else"))
    with pytest.raises(SourceError, match=r"npm:demo-lib@1\.0\.0: EINTEGRITY"):
        take(DEMO)


def test_a_lost_download_is_fetched_again_and_an_exchanged_one_refused(tmp_path, registry, take, read_pinned) -> None:
    registry.add("1.0.0", tarball("1.0.0"))
    source = take(DEMO)
    (tmp_path / ".cortex/cache/downloads" / source.pins[0]["sha256"]).write_bytes(b"damaged")
    assert list(read_pinned(source).texts) == ["package.json"]
    shutil.rmtree(tmp_path / ".cortex/cache")
    registry.add("1.0.0", tarball("1.0.0", **{"b.js": "1\n"}))
    with pytest.raises(SourceError, match=r"has integrity sha512-.*sources\.lock has.*update"):
        read_pinned(source)


def test_what_was_downloaded_once_is_read_without_a_registry(registry: Registry, take: Any, read_pinned: Any) -> None:
    registry.add("1.0.0", tarball("1.0.0"))
    source = take(DEMO)
    registry.pages.clear()
    assert list(read_pinned(source).texts) == ["package.json"]


def test_what_is_not_there_is_said(registry: Registry, take: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    registry.add("1.0.0", tarball("1.0.0"))
    with pytest.raises(SourceError, match=r"npm:demo-lib@9\.9\.9: ETARGET.*npm config get"):
        take({"npm": "demo-lib@9.9.9"})
    with pytest.raises(SourceError, match=r"npm:nothing: E404"):
        take({"npm": "nothing"})
    registry.pages["/nothing"] = b"not json"
    with pytest.raises(SourceError, match=r"npm:nothing: "):
        take({"npm": "nothing"})
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9")
    with pytest.raises(SourceError, match=r"npm:demo-lib@1\.0\.0: ECONNREFUSED"):
        take(DEMO)


def test_an_archive_that_is_none_is_refused(registry: Registry, take: Any, read: Any) -> None:
    registry.add("1.0.0", b"no archive at all")
    with pytest.raises(SourceError, match=r"npm:demo-lib@1\.0\.0"):
        read(DEMO)


def test_a_machine_without_npm_is_told_so(take: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SourceError, match="npm is not installed"):
        take(DEMO)


@pytest.mark.parametrize(
    "text",
    [
        *("", "@", "@team", "a@", "a@^1.0.0", "a@1", "a@*", "a@npm:b@1.0.0", "a@file:../b"),
        *("git+ssh://host/a", "user/repo", "../a", "./a", "/a", "a b", "-a@1.0.0", "--json"),
        *("a@1.0.0 --x", "https://host/a.tgz", "a.tgz@http://x", "@a/b/c@1.0.0", "a@1.0.0\n"),
    ],
)
def test_only_names_and_versions_reach_npm(text: str) -> None:
    with pytest.raises(ValidationError):
        NpmSource(npm=text)


def test_a_package_is_told_by_its_prefix_on_the_command_line(tmp_path: Path) -> None:
    assert parse_source("npm:lodash@4.17.21", tmp_path) == {"npm": "lodash@4.17.21"}
    assert parse_source("npm:@babel/core", tmp_path) == {"npm": "@babel/core"}
    assert parse_source("pypi:flask", tmp_path) == {"pypi": "flask"}
