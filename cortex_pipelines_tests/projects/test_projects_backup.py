"""Backups: encrypted, without keys, restored to the same state after the project is destroyed."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cortex_pipelines.cli.main import main
from cortex_pipelines.signing.keys import private_key
from cortex_pipelines_tests.integration.miniproject import MiniProject, run_in

needs_restic = pytest.mark.skipif(
    shutil.which("restic") is None, reason="restic is not installed; apt-get install restic"
)
NOTE = "the quollbook is closed in may"
MADE = ("repository_files", "repository_commits", "interactions")


def destroyed(mini: MiniProject) -> MiniProject:
    shutil.rmtree(mini.root)
    return mini


def status_of(mini: MiniProject) -> list[dict[str, Any]]:
    """In a process of its own: this one has the databases open that were destroyed."""
    return list(json.loads(run_in(mini.root, "cortex", "status", "--json")))


def bytes_below(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


@needs_restic
@pytest.mark.slow
def test_a_destroyed_project_comes_back_as_it_was(
    begun: MiniProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    password = tmp_path / "password"
    password.write_text("correct horse battery staple\n")
    where, given = str(tmp_path / "kept"), ("--password-file", str(password))
    begun.cortex("run", *MADE)
    begun.cortex("memory", "add", NOTE, "--project", "beta")
    private_key(begun.root)
    asked = ("quollbook", "--project", "beta")
    before, lock = begun.status(), (begun.root / "dvc.lock").read_bytes()
    assert any(row["fresh"] for row in before)

    begun.cortex("backup", where, *given, "--all")
    assert b"quollbook" not in bytes_below(Path(where)), "it is encrypted"
    begun.cortex("backup", where, *given, "--forget-earlier")
    begun.cortex("backup", where, *given, "--all", "--forget-earlier")
    listed = subprocess.run(
        ["restic", "--repo", where, *given, "snapshots", "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert listed.stdout.count('"short_id"') == 1, "earlier ones are forgotten"
    monkeypatch.chdir(tmp_path)
    gone = destroyed(begun)
    done = CliRunner().invoke(main, ["restore", where, str(gone.root), *given])
    assert done.exit_code == 0, done.output
    assert not (gone.root / ".cortex" / "keys").exists()
    assert status_of(gone) == before
    assert "quollbook" in run_in(gone.root, "cortex", "memory", "search", *asked)

    run_in(gone.root, "cortex", "backup", where, *given)  # only what nothing makes again
    destroyed(gone)
    done = CliRunner().invoke(main, ["restore", where, str(gone.root), *given])
    assert done.exit_code == 0, done.output
    assert not (gone.root / ".dvc" / "cache").exists()
    assert not (gone.root / "data" / "repository_files").exists()
    assert "quollbook" in run_in(gone.root, "cortex", "memory", "search", *asked)
    run_in(gone.root, "cortex", "run", *MADE)
    assert (gone.root / "dvc.lock").read_bytes() == lock, "the same versions"
    assert [row["dvc_md5"] for row in status_of(gone)] == [row["dvc_md5"] for row in before]
    assert [row["fresh"] for row in status_of(gone)] == [row["fresh"] for row in before]

    full = CliRunner().invoke(main, ["restore", where, str(gone.root), *given])
    assert "is no empty folder" in full.output
    password.write_text("guessed")
    assert (
        "the password is not that of this backup"
        in gone.cortex("backup", where, *given, status=1).stderr
    )


@needs_restic
def test_a_backup_that_helps_nobody_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RESTIC_PASSWORD", "RESTIC_PASSWORD_FILE", "RESTIC_PASSWORD_COMMAND"):
        monkeypatch.delenv(name, raising=False)
    root = tmp_path / "project"
    assert CliRunner().invoke(main, ["init", str(root)]).exit_code == 0
    monkeypatch.chdir(root)
    where = str(tmp_path / "kept")
    assert "no password: name a file" in CliRunner().invoke(main, ["backup", where]).output
    secret = root / "password"
    secret.write_text("x")
    given = ["--password-file", str(secret)]
    inside = CliRunner().invoke(main, ["backup", where, *given])
    assert "password is in the project; name a place outside" in inside.output
    monkeypatch.setenv("RESTIC_PASSWORD", "x")
    assert "is in the project" in CliRunner().invoke(main, ["backup", "kept"]).output
    lost = CliRunner().invoke(main, ["restore", where, str(tmp_path / "new")])
    assert "`restic snapshots` failed" in lost.output
    assert lost.exit_code == 1


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new project, with the password of a backup in the environment."""
    root = tmp_path / "shop"
    assert CliRunner().invoke(main, ["init", str(root)]).exit_code == 0
    monkeypatch.setenv("RESTIC_PASSWORD", "x")
    return root


@needs_restic
def test_keys_stay_out_of_a_backup_that_is_made_through_a_link(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private_key(shop)
    link, where = tmp_path / "link", str(tmp_path / "kept")
    link.symlink_to(shop)
    monkeypatch.chdir(link)
    monkeypatch.setenv("PWD", str(link))  # as a shell sets it
    done = CliRunner().invoke(main, ["backup", where])
    assert done.exit_code == 0, done.output
    listed = subprocess.run(
        ["restic", "--repo", where, "ls", "latest"], capture_output=True, text=True, check=True
    )
    assert "/params.yaml" in listed.stdout
    assert "/.cortex/keys" not in listed.stdout


@needs_restic
def test_a_backup_is_of_one_project(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where, moved, new = str(tmp_path / "kept"), tmp_path / "moved", tmp_path / "new"

    def said(root: Path, *words: str, status: int = 0) -> str:
        monkeypatch.chdir(root)
        done = CliRunner().invoke(main, list(words))
        assert done.exit_code == status, done.output
        return done.output

    def kept() -> list[str]:
        command = ["restic", "--repo", where, "snapshots", "--json"]
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return [path for snapshot in json.loads(listed) for path in snapshot["paths"]]

    (shop / "note").write_text("shop")
    said(shop, "backup", where)
    said(tmp_path, "init", str(moved))
    sentence = f"holds backups of another project, from {shop}; name another place"
    assert sentence in said(moved, "backup", where, "--forget-earlier", status=1)
    identity = shop / ".mlflow" / "workspace"
    own = identity.read_bytes()
    identity.write_text("another machine's, in a folder of the same name")
    assert sentence in said(shop, "backup", where, "--forget-earlier", status=1)
    identity.write_bytes(own)
    assert kept() == [str(shop)]

    shutil.rmtree(moved)
    shop.rename(moved)
    (moved / "note").write_text("moved")
    assert f"--moved-from {shop}" in said(moved, "backup", where, status=1)
    said(moved, "backup", where, "--moved-from", str(shop))
    folders = f"backups of these folders: {moved}, {shop}; choose one by --path"
    assert folders in said(tmp_path, "restore", where, str(new), status=1)
    said(tmp_path, "restore", where, str(new), "--path", str(shop))
    assert (new / "note").read_text() == "shop"
    said(moved, "backup", where, "--moved-from", str(shop), "--forget-earlier")
    assert kept() == [str(moved)]
    shutil.rmtree(new)
    said(tmp_path, "restore", where, str(new))
    assert (new / "note").read_text() == "moved"


def test_without_restic_it_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    done = CliRunner().invoke(main, ["restore", str(tmp_path / "a"), str(tmp_path / "b")])
    assert "restic is not installed: `apt-get install restic`" in done.output
