"""The command line: what commands import, how help is grouped, what is suggested, and what a new project says."""

import gzip
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from dataclasses import fields
from importlib import import_module
from pathlib import Path

import pytest
from dvc.scm import SCMError
from sqlalchemy.exc import DatabaseError

from cortex_pipelines.catalog import ASSETS
from cortex_pipelines.cli.failures import error_sentence
from cortex_pipelines.cli.groups import GROUPS, suggestion
from cortex_pipelines.cli.main import main
from cortex_pipelines.progress import Steps, report_step
from cortex_pipelines.projects import added, create
from cortex_pipelines.versioning.asset import VersionedAsset
from cortex_pipelines.versioning.project import read_yaml
from cortex_pipelines_tests.command import cortex, run_python

HEAVY = {"torch", "dagster", "mlflow", "pandas", "dvc", "transformers", "fastapi"}
READING = (
    "--help", "releases", "summary", "params", "doctor", "search limit --index index -k 3",
    "graph callers limit --index index", "context limit --index index", "route --model none x",
    "models --json", "models recommend --json",
)  # fmt: skip
OF_A_PROJECT = (
    "add shop ../shop", "update", "dvc-yaml", "lineage task_router", "run", "run --plan", "retrain", "sync", "status",
    "report --no-open", "summary", "export task_router --out x", "promote", "rollback task_router",
    "latency task_router", "releases", "reproduce task_router", "tune-machine", "params", "resolve",
    "test-environment shop", "backup x", "forget --author a@b.example", "remove shop", "dictionary", "card shop",
    "anomalies records a.py", "predict task", "review", "leaderboard", "defects a.py", "explain predict x --master a",
    "explain defect a.py", "explain route task", "route task", "mcp", "predict-batch a.py", "suggest completion text",
    "serve", "prompts", "experiment start shop champion base", "experiment status", "experiment stop shop",
    "feedback import", "feedback show", "feedback commits shop .", "memory add text", "memory search text",
    "memory show", "memory forget --author a", "patterns learn --project shop", "models add x", "search text",
    "context text", "graph callers name", "index --rebuild",
)  # fmt: skip

_LOADED = """
import contextlib, io, json, sys
from cortex_pipelines.cli.main import main
loaded = {}
for line in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit, Exception):
        main(line.split())
    loaded[line] = sorted(set(json.loads(sys.argv[2])) & set(sys.modules))
print(json.dumps(loaded))
"""


@pytest.fixture(scope="module")
def new(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new project, made as by the command's path without an activated environment."""
    folder = tmp_path_factory.mktemp("new")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("PATH", "/usr/bin:/bin")
        assert "is for demonstration" in cortex("init", "models").stderr
    return folder / "models"


@pytest.fixture
def models(new: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.chdir(shutil.copytree(new, tmp_path / "models", symlinks=True))
    return tmp_path / "models"


def test_commands_that_read_import_nothing_heavy(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (models / "code").mkdir()
    (models / "code" / "a.py").write_text("def limit():\n    return 3\n\n\ndef retry():\n    return limit()\n")
    cortex("index", "code", "--out", "index", "--encoder", "none")
    loaded = run_python("-c", _LOADED, json.dumps(READING), json.dumps(sorted(HEAVY)), cwd=models)
    assert json.loads(loaded.stdout) == {key: [] for key in READING}, loaded.stderr
    output = cortex("search", "where is the limit", "--index", "index").stdout
    assert "a.py:1-2  function limit\n      1  def limit():\n" in output
    monkeypatch.setenv("VISUAL", "sh -c 'echo \"$0\" > opened'")
    cortex("search", "limit", "--index", "index", "--open")
    assert (models / "opened").read_text().endswith("code/a.py:1\n")
    called = cortex("graph", "callers", "limit", "--index", "index").stdout
    assert "      6  return limit()" in called


def test_a_new_project_says_what_is_next_and_lacks_nothing(models: Path) -> None:
    assert "MISSING" not in cortex("doctor").stdout
    assert "cortex add NAME SOURCE" in cortex().stdout
    recipe = r"(?s)MLFLOW_TRACKING_URI=.*--port 3000\n"
    own, ours = ((folder / "Makefile").read_text() for folder in (models, Path(__file__).parents[1]))
    assert re.search(recipe, own)[0] == re.search(recipe, ours)[0]
    os.chdir(models.parent)
    outside = cortex("doctor")
    assert "ok      dvc: " in outside.stdout
    assert "params.yaml" not in outside.output
    assert cortex().stdout == cortex("--help").stdout


def test_where_the_locale_is_not_utf8_names_of_files_still_are(models: Path) -> None:
    """A server's `LC_ALL` may be another, and Python's own way out of it switched off."""
    (models / "cödé").mkdir()
    (models / "cödé" / "a.py").write_text("def f():\n    return 1\n")
    command = [Path(sys.executable).with_name("cortex"), "add", "--no-control", "shop", "cödé"]
    environment = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0"}
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert read_yaml(models / "params.yaml")["projects"]["shop"]["sources"][0]["directory"] == "cödé"
    assert "source     cödé" in done.stdout.decode()


@pytest.mark.parametrize("command", ["route", "explain route", "predict", "explain predict --master security"])
def test_an_empty_task_is_not_answered(command: str) -> None:
    assert "it is empty; say in a sentence" in cortex(*command.split(), " ", status=2).stderr


@pytest.mark.parametrize("command", ["route", "search", "context", "memory add", "explain route", "predict"])
def test_a_text_without_its_quotes_is_said_to_need_them(command: str) -> None:
    refused = cortex(*command.split(), "rotate", "the", "key", status=2).stderr
    assert refused.endswith("; put a text of several words in quotes\n")
    assert "quotes" not in cortex("doctor", "rotate", status=2).stderr


def test_without_git_or_dvc_nothing_of_a_new_project_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for program in ("git", "dvc"):
        monkeypatch.setattr(create, "which", lambda name, missing=program: None if name == missing else name)
        assert f"{program} is not installed" in cortex("init", "models", status=1).stderr
        assert not (tmp_path / "models").exists()


def test_what_is_added_is_said_in_words(models: Path) -> None:
    code = models / "code"
    code.mkdir()
    (code / "a.py").write_text("def f():\n    return 1\n")
    shutil.copy(Path(__file__).parents[1] / "LICENSE", code)
    described = cortex("add", "--no-control", "shop", "code").stdout
    for words in (
        r"files +2, 0.0 MB",
        r"languages +.*python 1",
        r"licence +Apache-2.0",
        r"trains on +.*1 file \(python\)",
        r"units +some ",
        r"takes +some .* for the data sets, .* to train \(some \d+ tokens",
        r"disk +some 0\.6 GB",
    ):
        assert re.search(words, described), (words, described)


def test_a_folder_of_a_repository_is_said_to_lack_its_history(models: Path, tmp_path: Path) -> None:
    for folder in (tmp_path / "mono" / "services" / "cart", models / "own"):
        folder.mkdir(parents=True)
        (folder / "a.py").write_text("def f():\n    return 1\n")
    subprocess.run(["git", "init", "--quiet", str(tmp_path / "mono")], check=True)
    described = cortex("add", "--no-control", "cart", "../mono/services/cart").stdout
    assert re.search(r"history +none: .*; add \.\./mono instead, the git repository that the folder", described)
    assert re.search(r"history +none: [^;]*\n", cortex("add", "--no-control", "own", "own").stdout)


def test_submodules_of_what_is_added_are_said_to_be_left_out(models: Path) -> None:
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@example.org", "-C", "code")
    (models / "code").mkdir()
    (models / "code" / "a.py").write_text("def f():\n    return 1\n")
    for arguments in (
        ("init", "--quiet"),
        ("add", "--all"),
        ("update-index", "--add", "--cacheinfo", f"160000,{'a' * 40},vendor/cart"),
        ("commit", "--quiet", "-m", "1"),
    ):
        subprocess.run([*git, *arguments], check=True)
    described = cortex("add", "--no-control", "shop", "code").stdout
    assert re.search(r"left out +vendor/cart: submodules; to learn from them, add their repositories\n", described)


def test_notebooks_that_are_added_are_code_in_the_language_of_their_cells(models: Path) -> None:
    (models / "code").mkdir()
    cell = {"cell_type": "code", "source": "def f():\n    return 1\n", "outputs": [{"data": "x" * 50_000}]}
    metadata = {"language_info": {"name": "javascript"}}
    for name, notebook in (("a", {"cells": [cell]}), ("b", {"cells": [cell]}), ("c", {"metadata": metadata})):
        (models / "code" / f"{name}.ipynb").write_text(json.dumps({"cells": []} | notebook))
    (models / "code" / "damaged.ipynb").write_text("{")
    described = cortex("add", "--no-control", "shop", "code").stdout
    assert re.search(r"trains on +functions and classes of 3 files \(javascript, python\)", described), described
    assert re.search(r"units +some 1 functions", described), "outputs are no code"
    assert added.describe_project(models, "shop").language == "python"  # a control is one in it
    code, commits = added.project_size(models, "shop")
    assert (0 < code < 200, commits) == (True, 0)


def test_what_is_added_without_a_licence_is_said_to_be_trained_on_or_not(models: Path) -> None:
    (models / "code").mkdir()
    (models / "code" / "a.py").write_text("def f():\n    return 1\n")
    assert "none found; files without one are trained on" in cortex("add", "--no-control", "shop", "code").stdout
    parameters = models / "params.yaml"
    parameters.write_text(f"{parameters.read_text()}\ningestion: {{trainable_without_licence: []}}\n")
    refused = cortex("add", "--no-control", "other", "code").stdout
    assert "none found; files without one are not trained on: set `licence` of the project" in refused
    (models / "code" / "package.json").write_text('{"license": "AGPL-3.0-only"}')
    declared = cortex("add", "--no-control", "third", "code").stdout
    option = "projects.third.ingestion.trainable_licences"
    assert f"AGPL-3.0-only; not trained on unless you write AGPL-3.0-only to {option}\n" in declared
    (models / "code" / "package.json").unlink()
    (models / "code" / "LICENSE").write_text("Licensed under terms of our own: use it, but not on Mondays.\n" * 4)
    unknown = cortex("add", "--no-control", "fourth", "code").stdout
    assert (
        "NOASSERTION; not trained on unless you set projects.fourth.licence, as what they say is not known" in unknown
    )


def test_what_cannot_be_read_is_added_with_an_error_and_what_mends_it(models: Path) -> None:
    (models / "code.tar.gz").write_bytes(gzip.compress(b"a" * 5_000)[:20])
    refused = cortex("add", "--no-control", "shop", "code.tar.gz", status=1).stderr
    assert "`cortex update shop`; or `cortex remove shop`" in refused


def test_a_shallow_clone_is_said_to_lack_its_history(models: Path) -> None:
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@example.org", "-C", str(models))
    (models / "code").mkdir()
    (models / "code" / "a.py").write_text("def f():\n    return 1\n")
    subprocess.run([*git, "init", "--quiet", "code"], check=True)
    for arguments in (
        ("add", "--all"),
        ("commit", "--quiet", "-m", "1"),
        ("commit", "--quiet", "-m", "2", "--allow-empty"),
    ):
        subprocess.run([*git[:-1], str(models / "code"), *arguments], check=True)
    subprocess.run([*git, "clone", "--quiet", "--depth=1", f"file://{models / 'code'}", "cut"], check=True)
    assert re.search(r"history +2 commits\n", cortex("add", "--no-control", "whole", "code").stdout)
    shallow = cortex("add", "--no-control", "part", "cut").stdout
    assert re.search(
        r"history +1 commit; it is shallow: `git fetch --unshallow` in it, then `cortex update part`", shallow
    )


def test_a_control_is_added_where_none_is_named(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("code", "package"):
        (models / name).mkdir()
        (models / name / "a.py").write_text("def f():\n    return 1\n")
    monkeypatch.setitem(added._CONTROLS, "python", "package")
    assert "no control was added: package is itself itself" in cortex("add", "itself", "package").stderr
    assert "other_code (package) is added as the control" in cortex("add", "shop", "code").stderr
    assert read_yaml(models / "params.yaml")["general"] == {"project": "other_code"}
    assert "control" not in cortex("add", "more", "code").stderr


def test_help_is_grouped_and_whole() -> None:
    text = cortex("--help").stdout
    assert re.findall(r"(?m)^([A-Z][\w ,]+):$", text)[1:] == list(GROUPS)
    assert "..." not in text
    grouped = [name for names in GROUPS.values() for name in names.split()]
    visible = [name for name, command in main.commands.items() if not command.hidden]
    assert sorted(grouped) == sorted(visible)


@pytest.mark.parametrize(
    ("typed", "suggestion"),
    [("serach", "search"), ("train", "run"), ("provenance", "lineage"), ("pull", "dvc pull"), ("zzzz", "--help")],
)
def test_a_misspelt_command_is_recognised(typed: str, suggestion: str) -> None:
    assert suggestion in cortex(typed, status=2).stderr


def test_words_of_other_tools_are_run(models: Path) -> None:
    known = cortex("config")
    assert "config is `cortex params` here" in known.stderr
    assert known.stdout == cortex("params").stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_commands(shell: str) -> None:
    assert "_CORTEX_COMPLETE" in cortex("completion", shell).stdout


def test_misspelt_assets_and_projects_are_too(models: Path) -> None:
    assert suggestion("code_unit", [asset.name for asset in ASSETS]) == "; did you mean code_units?"
    assert "did you mean code_units?" in cortex("run", "code_unit", "--plan", status=1).stderr
    assert "no asset nothing; there is: coordination_events, " in cortex("run", "nothing", status=1).stderr


def test_steps_are_counted_with_what_is_left(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "cortex_pipelines")
    with Steps({"code_units@flask": 8.0, "task_router": 150.0}):
        report_step("code_units@flask", 2113, 7.94)
        report_step("task_router", None, 149.0)
        report_step("routing_audit", 3, 0.5)
    report_step("code_units@flask", 2113, 7.94)
    assert caplog.messages == [
        "[1/2] code_units  flask  2,113 rows  7.9 s  (2 min left)",
        "[2/2] task_router  all projects  149.0 s",
        "[3/3] routing_audit  all projects  3 rows  0.5 s",
        "code_units  flask  2,113 rows  7.9 s",
    ]


def test_what_is_left_follows_the_pace_of_what_is_done() -> None:
    steps = Steps({"slow": 10.0, "next": 100.0, "running": 50.0})
    assert steps.remaining() == "  (3 min left)"
    assert steps.end("slow", 30.0) == "[1/3]"
    assert steps.remaining() == "  (8 min left)"
    steps.running["running"] = time.monotonic() - 20
    assert steps.remaining() == "  (7 min left)"
    steps.running["next"] = time.monotonic() - 450
    assert steps.remaining() == "  (3 min left)", "of 50 s expected, at 4.5 times what they take"


def test_one_step_that_takes_long_does_not_make_all_that_is_left_long() -> None:
    steps = Steps({"quick": 60.0, "late": 9.0, "next": 100.0})
    steps.end("quick", 60.0)
    steps.running["late"] = time.monotonic() - 353
    assert steps.remaining() == "  (2 min left)"
    begun = Steps({"short": 2.0, "long": 3_600.0})
    begun.running["short"] = time.monotonic() - 12
    assert begun.remaining() == "  (60 min left)"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(28, "No space left on device"), "the disk is full: free some space"),
        (sqlite3.OperationalError("disk I/O error"), "the disk is full or broken: free some space"),
        (DatabaseError("x", {}, sqlite3.OperationalError("database or disk is full")), "the disk is full: free some"),
        (
            DatabaseError("x", {}, sqlite3.OperationalError("attempt to write a readonly database")),
            "the database of Dagster or MLflow cannot be written: correct the permissions",
        ),
        (sqlite3.OperationalError("database is locked"), "another program holds the database of Dagster or MLflow"),
        (sqlite3.DatabaseError("file is not a database"), "the database of Dagster or MLflow: file is not a database"),
        (FileNotFoundError(2, "No such file", "out/x"), "[Errno 2] No such file: 'out/x'; correct the path, or make"),
        (SCMError("/srv/shop is not a git repository"), "the project's folder is in no git repository any more: bring"),
        (PermissionError(13, "Denied", "out/x"), "[Errno 13] Denied: 'out/x'; correct the permissions"),
    ],
)
def test_what_the_system_refuses_is_said_with_what_to_do(error: Exception, words: str) -> None:
    assert error_sentence(error).startswith(words)


def test_a_declared_asset_is_what_its_module_declares() -> None:
    for asset in ASSETS:
        declared = {field.name: getattr(asset, field.name) for field in fields(VersionedAsset)}
        code, packages, parameters = asset.code, asset.packages, asset.parameters
        module = import_module(asset.compute.__module__)
        real = getattr(module, asset.name)
        assert declared == {name: getattr(real, name) for name in declared}
        assert (code, packages, parameters) == (real.code, real.packages, real.parameters)
        assert asset.description == real.description


def test_pipes_are_read_as_files(tmp_path: Path) -> None:
    """A table comes from a pipe or standard input, and no secret passes a scan because it came through one."""
    secret = "password" + " = 'hunter2hunter2xyz'"
    from_input = json.loads(cortex("scan", "-", "--json", typed=secret).stdout)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["/bin/sh", "-c", f'echo "{secret}" > {pipe}']):
        assert json.loads(cortex("scan", pipe, "--json").stdout) == from_input
    assert [finding["rule"] for finding in from_input] == ["password"]
    days = "".join(f"2026-01-{day:02},{day % 7}\n" for day in range(1, 31))
    assert "seasons of 7 steps" in cortex("forecast", "-", typed=f"time,value\n{days}").stderr
    assert "does not exist" in cortex("forecast", tmp_path / "missing.csv", status=2).stderr
    assert "is a directory" in cortex("explain", "anomaly", tmp_path, status=2).stderr


@pytest.mark.parametrize(
    "line",
    [
        *("check -", "extract - --out units", "mutate -", "patterns check -", "refactorings - -", "logs -"),
        *("index - --out index", "router train - --out router", "defects -", "explain defect -", "anomalies records -"),
    ],
)
def test_what_is_read_by_its_name_comes_from_no_pipe(line: str, tmp_path: Path) -> None:
    os.mkfifo(pipe := tmp_path / "pipe")
    for nameless in ("-", str(pipe)):
        errors = cortex(*line.replace(" -", f" {nameless}", 1).split(), status=2, typed="").stderr
        assert f"{nameless} has no name that says how to read it; save it as a file first" in errors


def test_feedback_comes_from_standard_input(models: Path) -> None:
    assert "1 lines: 0 taken, 1 refused" in cortex("feedback", "import", "-", typed="{}\n", status=1).stdout
    assert "no project nosuch" in cortex("feedback", "import", "-", "--project", "nosuch", typed="", status=1).stderr


def test_commands_of_a_project_say_so_outside_of_one_before_they_import_anything(tmp_path: Path) -> None:
    (tmp_path / "a.py").touch()
    modules = HEAVY | {"cortex_pipelines.orchestration", "polars"}
    loaded = run_python("-c", _LOADED, json.dumps(OF_A_PROJECT), json.dumps(sorted(modules)), cwd=tmp_path)
    assert json.loads(loaded.stdout) == {line: [] for line in OF_A_PROJECT}
    sentence = "Error: no params.yaml in "
    assert [line[: len(sentence)] for line in loaded.stderr.splitlines()] == [sentence] * len(OF_A_PROJECT)
