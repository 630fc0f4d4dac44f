import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from cortex_pipelines.catalog import open_project
from cortex_pipelines.cli.main import main
from cortex_pipelines.release.ledger import LedgerEntry, ReleasedModel, record
from cortex_pipelines.signing.keys import private_key
from cortex_pipelines.versioning.champions import ChampionPin, model_folder
from cortex_pipelines.versioning.content import content_md5
from cortex_pipelines_tests.integration.miniproject import MiniProject, run_in
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)

needs_restic = pytest.mark.skipif(
    shutil.which("restic") is None, reason="restic is not installed; apt-get install restic"
)
NOTE = "the quollbook is closed in may"
MADE = ("repository_files", "interactions", "--project", "beta")


def destroyed(mini: MiniProject) -> MiniProject:
    shutil.rmtree(mini.root)
    return mini


ONE_AFTER_THE_OTHER = CASES["ONE_AFTER_THE_OTHER"]


def outputs_of(mini: MiniProject, *commands: tuple[str, ...]) -> list[str]:
    """In another process: this one has the databases open that were destroyed."""
    return list(json.loads(run_in(mini.root, sys.executable, "-P", "-c", ONE_AFTER_THE_OTHER, json.dumps(commands))))


def restic(repository: str, *words: str) -> str:
    command = ["restic", "--repo", repository, *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def bytes_below(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


@needs_restic
@pytest.mark.slow
def test_a_destroyed_project_is_restored(begun: MiniProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    password = tmp_path / "password"
    password.write_text("correct horse battery staple\n")
    repository, password_options = str(tmp_path / "kept"), ("--password-file", str(password))
    begun.cortex("run", *MADE)
    begun.cortex("memory", "add", NOTE, "--project", "beta")
    private_key(begun.root)
    status, query = ("status", "--json"), ("memory", "search", "quollbook", "--project", "beta")
    before, lock = begun.status(), (begun.root / "dvc.lock").read_bytes()
    assert any(row["fresh"] for row in before)

    begun.cortex("backup", repository, *password_options, "--all")
    assert b"quollbook" not in bytes_below(Path(repository)), "it is encrypted"
    begun.cortex("backup", repository, *password_options, "--forget-earlier")
    begun.cortex("backup", repository, *password_options, "--all", "--forget-earlier")
    snapshots = restic(repository, *password_options, "snapshots", "--json")
    assert snapshots.count('"short_id"') == 1, "earlier ones are forgotten"
    monkeypatch.chdir(tmp_path)
    project = destroyed(begun)
    result = CliRunner().invoke(main, ["restore", repository, str(project.root), *password_options])
    assert result.exit_code == 0, result.output
    assert not (project.root / ".cortex" / "keys").exists()
    backup = ("backup", repository, *password_options)  # only what nothing makes again
    rows, entries, _ = outputs_of(project, status, query, backup)
    assert json.loads(rows) == before
    assert "quollbook" in entries

    destroyed(project)
    result = CliRunner().invoke(main, ["restore", repository, str(project.root), *password_options])
    assert result.exit_code == 0, result.output
    assert not (project.root / ".dvc" / "cache").exists()
    assert not (project.root / "data" / "repository_files").exists()
    entries, _, rows = outputs_of(project, query, ("run", *MADE), status)
    assert "quollbook" in entries
    assert (project.root / "dvc.lock").read_bytes() == lock, "the same versions"
    assert [(row["dvc_md5"], row["fresh"]) for row in json.loads(rows)] == [
        (row["dvc_md5"], row["fresh"]) for row in before
    ]

    full = CliRunner().invoke(main, ["restore", repository, str(project.root), *password_options])
    assert "is not an empty folder" in full.output
    password.write_text("guessed")
    refused = project.cortex("backup", repository, *password_options, status=1).stderr
    assert "the password is not that of this backup" in refused
    elsewhere = CliRunner().invoke(main, ["restore", repository, str(project.root / "new"), *password_options])
    assert "the password is not that of this backup" in elsewhere.output


@needs_restic
@pytest.mark.slow
def test_a_restored_project_has_the_champion_that_a_later_training_replaced(
    begun: MiniProject, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    password = tmp_path / "password"
    password.write_text("correct horse battery staple\n")
    repository, password_options = str(tmp_path / "backup"), ("--password-file", str(password))
    begun.cortex("run", *MADE)
    model, missing = ReleasedModel("code_adapter", "beta"), f"{0:032}.dir"
    # what the workspace has as another output stands in for versions that DVC's cache alone has
    champion, index = begun.version("repository_files@beta"), begun.version("interactions")
    entry = LedgerEntry("2026", "jane", "promote", model.name, champion, missing, "", release={"index": index})
    record(begun.root, model, ChampionPin(champion, missing), entry)
    begun.cortex("backup", repository, *password_options)
    assert f"not in the backup: version {missing} of code_adapter-beta" in caplog.text
    begun.cortex("restore", repository, str(tmp_path / "restored"), *password_options)
    project = open_project(tmp_path / "restored")
    assert not (project.root / ".dvc" / "cache").exists()
    for name, version in (("code_adapter", champion), ("completion_dataset", index)):
        assert content_md5(model_folder(project, name, "beta", version)) == version


@pytest.fixture(scope="module")
def initialised(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("initialised") / "project"
    assert CliRunner().invoke(main, ["init", str(root)]).exit_code == 0
    return root


@needs_restic
def test_a_useless_backup_is_refused(initialised: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RESTIC_PASSWORD", "RESTIC_PASSWORD_FILE", "RESTIC_PASSWORD_COMMAND"):
        monkeypatch.delenv(name, raising=False)
    root = shutil.copytree(initialised, tmp_path / "project")
    monkeypatch.chdir(root)
    repository = str(tmp_path / "kept")
    assert "no password: name a file" in CliRunner().invoke(main, ["backup", repository]).output
    secret = root / "password"
    secret.write_text("x")
    password_options = ["--password-file", str(secret)]
    inside = CliRunner().invoke(main, ["backup", repository, *password_options])
    assert "password is in the project; name a place outside" in inside.output
    monkeypatch.setenv("RESTIC_PASSWORD", "x")
    assert "is in the project" in CliRunner().invoke(main, ["backup", "kept"]).output
    lost = CliRunner().invoke(main, ["restore", repository, str(tmp_path / "new")])
    assert "`restic snapshots` failed" in lost.output
    assert lost.exit_code == 1


@pytest.fixture
def shop(initialised: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RESTIC_PASSWORD", "x")
    return shutil.copytree(initialised, tmp_path / "shop")


@needs_restic
def test_keys_stay_out_of_a_backup_through_a_link(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    private_key(shop)
    link, repository = tmp_path / "link", str(tmp_path / "kept")
    link.symlink_to(shop)
    monkeypatch.chdir(link)
    monkeypatch.setenv("PWD", str(link))  # as a shell sets it
    result = CliRunner().invoke(main, ["backup", repository])
    assert result.exit_code == 0, result.output
    listing = restic(repository, "ls", "latest")
    assert ("/params.yaml" in listing, "/.cortex/keys" in listing) == (True, False)
    assert "git's history is not in it" not in result.stderr
    (shop / ".git").rename(tmp_path / ".git")  # of the folder around it
    assert "git's history is not in it" in CliRunner().invoke(main, ["backup", repository]).stderr


@needs_restic
def test_a_backup_is_for_one(initialised: Path, shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository, new_location, new = str(tmp_path / "kept"), tmp_path / "moved", tmp_path / "new"

    def output_of(root: Path, *words: str, status: int = 0) -> str:
        monkeypatch.chdir(root)
        result = CliRunner().invoke(main, list(words))
        assert result.exit_code == status, result.output
        return result.output

    def backed_up_folders() -> list[str]:
        snapshots = json.loads(restic(repository, "snapshots", "--json"))
        return [path for snapshot in snapshots for path in snapshot["paths"]]

    (shop / "note").write_text("shop")
    output_of(shop, "backup", repository)
    shutil.copytree(initialised, new_location)
    sentence = f"holds backups of another project, from {shop}; name another place"
    assert sentence in output_of(new_location, "backup", repository, "--forget-earlier", status=1)
    identity = shop / ".mlflow" / "workspace"
    workspace_id = identity.read_bytes()
    identity.write_text("another machine's, in a folder of the same name")
    assert sentence in output_of(shop, "backup", repository, "--forget-earlier", status=1)
    identity.write_bytes(workspace_id)
    assert backed_up_folders() == [str(shop)]
    shutil.rmtree(new_location)
    shop.rename(new_location)
    (new_location / "note").write_text("moved")
    assert f"--moved-from {shop}" in output_of(new_location, "backup", repository, status=1)
    output_of(new_location, "backup", repository, "--moved-from", str(shop))
    folders = f"backups of these folders: {new_location}, {shop}; choose one by --path"
    assert folders in output_of(tmp_path, "restore", repository, str(new), status=1)
    output_of(tmp_path, "restore", repository, str(new), "--path", str(shop))
    assert (new / "note").read_text() == "shop"
    output_of(new_location, "backup", repository, "--moved-from", str(shop), "--forget-earlier")
    assert backed_up_folders() == [str(new_location)]
    shutil.rmtree(new)
    output_of(tmp_path, "restore", repository, str(new))
    assert (new / "note").read_text() == "moved"


def test_without_restic_it_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    result = CliRunner().invoke(main, ["restore", str(tmp_path / "a"), str(tmp_path / "b")])
    assert "restic is not installed: `apt-get install restic`" in result.output
