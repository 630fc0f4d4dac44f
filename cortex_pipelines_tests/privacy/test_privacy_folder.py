import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from cortex_pipelines import api
from cortex_pipelines.cli.code import scan
from cortex_pipelines.privacy.detect.scanning import scan_path
from cortex_pipelines.privacy.settings import PrivacySettings

_SECRET = "kT9x2QvLw8Zr4Ns6"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "src").mkdir()
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config").write_text(f"password = {_SECRET}\n")
    (tmp_path / ".env").write_text(f"A=1\nDB_PASSWORD={_SECRET}\n")
    (tmp_path / "src" / "a.py").write_text('# mail ann@acmecorp.com\nx = "ok"\n')
    (tmp_path / "src" / "b.bin").write_bytes(b"\0\1password = " + _SECRET.encode())
    (tmp_path / "src" / "c.txt").write_bytes(f"password = '{_SECRET}'\n".encode("utf-16"))
    (tmp_path / "src" / "d.txt").write_bytes(b"\xff\xe9 password = '" + _SECRET.encode() + b"'")
    (tmp_path / "src" / "link.py").symlink_to(tmp_path / ".env")
    return tmp_path


@pytest.fixture
def run(settings: PrivacySettings, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    class Parameters:
        privacy = settings

    monkeypatch.setattr(api, "load_parameters", lambda: Parameters)
    return CliRunner()


def test_a_folder_is_scanned_in_order(folder: Path, settings: PrivacySettings) -> None:
    scans = list(scan_path(folder, settings))
    assert [s.path for s in scans] == [".env", "src/a.py", "src/b.bin", "src/c.txt", "src/d.txt"]
    assert [len(s.findings) for s in scans] == [1, 1, 0, 1, 1]
    assert [s.skipped for s in scans] == ["", "", "binary", "", ""]


def test_the_command_gives_places_and_never_values(folder: Path, run: CliRunner) -> None:
    result = run.invoke(scan, [str(folder), "--json"])
    rows = json.loads(result.stdout)
    assert rows[0] == {
        "path": ".env",
        "line": 2,
        "start": 12,
        "end": 12 + len(_SECRET),
        "category": "secret",
        "rule": "password",
        "severity": "high",
    }
    assert "1 of them not read" in result.stderr
    table = run.invoke(scan, [str(folder)])
    assert "src/a.py:1:8" in table.stdout
    for text in (result.output, table.output):
        assert _SECRET not in text
        assert "acmecorp" not in text


def test_a_files_path_is_its_name(folder: Path, run: CliRunner) -> None:
    rows = json.loads(run.invoke(scan, [str(folder / "src" / "a.py"), "--json"]).stdout)
    assert [row["path"] for row in rows] == ["a.py"]
    clean = folder / "clean.py"
    clean.write_text("x = 1\n")
    assert json.loads(run.invoke(scan, [str(clean), "--json"]).stdout) == []
    assert run.invoke(scan, [str(clean)]).stdout == ""


def test_what_is_not_there_or_cannot_be_read_is_said(folder: Path, settings: PrivacySettings, monkeypatch) -> None:
    with pytest.raises(FileNotFoundError, match="no such file or folder"):
        list(scan_path(folder / "nothing", settings))

    def denied(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", denied)
    (only,) = scan_path(folder / "src" / "a.py", settings)
    assert only.skipped == "cannot be read: Permission denied"
