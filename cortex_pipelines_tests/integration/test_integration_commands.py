import json
import os
import re
import shutil
import tarfile
from importlib.metadata import version
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from cortex_pipelines.cli.main import main
from cortex_pipelines.versioning.project import read_yaml
from cortex_pipelines_tests.integration.miniproject import BIN, MiniProject, git
from cortex_pipelines_tests.messages import missing

pytestmark = pytest.mark.slow


def params(mini: MiniProject) -> str:
    return (mini.root / "params.yaml").read_text()


def pins(mini: MiniProject, name: str) -> list[dict[str, object]]:
    return list(read_yaml(mini.root / "sources.lock")["projects"][name])


def test_a_folder_is_added_and_comments_stay(data_made: MiniProject) -> None:
    with (data_made.root / "params.yaml").open("a") as file:
        file.write("# the end\n")
    before, outputs = params(data_made).splitlines(), data_made.outputs()
    folder = data_made.root / "sources" / "gamma"
    folder.mkdir()
    (folder / "one.py").write_text("def one():\n    return 1\n")
    output = data_made.cortex("add", "--no-control", "gamma", "sources/gamma").stderr
    assert "gamma is added and its source pinned" in output
    after = params(data_made).splitlines()
    assert "# the end" in after
    earlier_lines = {line.strip() for line in before}
    new = [line.strip() for line in after if line.strip() not in earlier_lines]
    assert new == ["gamma:", "profile: standard", "- directory: sources/gamma"]
    (pin,) = pins(data_made, "gamma")
    assert pin["directory"] == "sources/gamma"
    current_outputs = {name: data for name, data in data_made.outputs().items() if name.startswith("data/")}
    assert current_outputs == {name: data for name, data in outputs.items() if name.startswith("data/")}
    champions = read_yaml(data_made.root / "releases.lock")["champions"]["code_adapter"]
    assert champions == dict.fromkeys(("alpha", "beta", "gamma"))
    rows = {(row["asset"], row["partition"]): row for row in data_made.status()}
    assert rows["repository_files", "gamma"]["reason"] == "never made"
    assert rows["repository_files", "alpha"]["fresh"]
    data_made.cortex("dvc-yaml", "--check")
    data_made.cortex("run", "repository_files", "--project", "gamma")
    rows = {(row["asset"], row["partition"]): row for row in data_made.status()}
    assert rows["repository_files", "gamma"]["fresh"]


def test_the_profile_of_ones_own_workspace_is_that_of_what_is_added(begun: MiniProject) -> None:
    (begun.root / "cortex_pipelines").rename(begun.root / "elsewhere")
    begun.cortex("add", "--no-control", "delta", "sources/alpha")
    assert read_yaml(begun.root / "params.yaml")["projects"]["delta"].keys() == {"sources"}


def test_outputs_that_are_not_here_are_not_called_made(begun: MiniProject) -> None:
    outputs = ("parameters: {outs: [{path: data/parameters, md5: x}]}", "a: {outs: [{path: data/a, md5: x}]}")
    (begun.root / "dvc.lock").write_text(f"stages: {{{', '.join(outputs)}}}\n")
    (begun.root / "data" / "parameters").mkdir(parents=True, exist_ok=True)  # in git, with every clone
    assert "outputs are made" not in begun.cortex().stdout
    (begun.root / "data" / "a").mkdir(parents=True)
    assert "1 outputs are made" in begun.cortex().stdout


def test_sources_and_a_control_are_added_to_one_project(begun: MiniProject) -> None:
    more = begun.root / "sources" / "more"
    shutil.copytree(begun.root / "sources" / "alpha", more)
    with tarfile.open(begun.root / "sources" / "beta.tar.gz", "w:gz") as file:
        file.add(begun.root / "sources" / "beta", arcname=".")
    begun.cortex("add", "--no-control", "both", "sources/more")
    begun.cortex("add", "--no-control", "both", "sources/beta.tar.gz")
    repository, archive = pins(begun, "both")
    assert (repository["git"], repository["ref"]) == ("sources/more", "HEAD")
    assert (repository["revision"], archive["archive"]) == (git(more, "rev-parse", "HEAD"), "sources/beta.tar.gz")
    output = begun.cortex("add", "both", "sources/more", status=1).stderr
    assert "projects.both already has the source: sources/more" in output
    begun.edit_params(lambda values: values.pop("general", None))
    assert "cortex add --control" in begun.cortex("add", "--no-control", "more", "sources/alpha").stderr
    assert "--control" not in begun.cortex("add", "--control", "other", "sources/beta").stderr
    assert read_yaml(begun.root / "params.yaml")["general"] == {"project": "other"}
    before = params(begun)
    refused = begun.cortex("add", "--control", "third", "sources/beta", status=1).stderr
    assert "general.project is other already" in refused
    assert params(begun) == before


@pytest.mark.parametrize(
    ("name", "source", "words"),
    [
        ("no", "sources/nothing", "cannot identify the source 'sources/nothing'"),
        ("two words", "sources/beta", "project name 'two words': a project's name has"),
        ("old", "pypi:name=1", "must be name==version"),
    ],
)
def test_what_cannot_be_added_leaves_all_as_it_was(begun: MiniProject, name: str, source: str, words: str) -> None:
    before = params(begun), begun.outputs()
    assert words in begun.cortex("add", name, source, status=1).stderr
    assert (params(begun), begun.outputs()) == before


def test_update_moves_one_pin_or_all_and_says_which(begun: MiniProject) -> None:
    assert begun.cortex("update").stderr == "every pin is where it was\n"
    (begun.root / "sources" / "beta" / "new.py").write_text("x = 1\n")
    revision = begun.commit_to_alpha({"new.py": "x = 1\n"})
    assert begun.cortex("update", "alpha").stderr == "moved: projects.alpha\n"
    assert (pins(begun, "alpha")[0]["revision"], begun.cortex("update").stderr) == (revision, "moved: projects.beta\n")
    log = begun.root / "data/samples/coordination/events/routing-events.jsonl"
    with log.open("a") as lines:
        lines.write("{}\n")
    assert begun.cortex("update").stderr == "moved: coordination\n"


def test_routing_by_rules_until_there_is_a_champion(finished_copy: MiniProject) -> None:
    task = "Fix the failing build in the deployment pipeline"
    decision = json.loads(finished_copy.cortex("route", task).stdout)
    assert decision["model_version"] == "rules"
    assert decision["decided_by"] in ("rules", "person")
    finished_copy.cortex("promote", "task_router")
    decision = json.loads(finished_copy.cortex("route", task).stdout)
    config = json.loads((finished_copy.root / "data" / "task_router" / "config.json").read_text())
    assert decision["master"] in config["masters"]
    assert decision["model_version"] == finished_copy.version("task_router")
    # the champion, not the newest: its files come out of DVC's cache
    shutil.rmtree(finished_copy.root / "data" / "task_router")
    again = json.loads(finished_copy.cortex("route", task).stdout)
    assert {**again, "latency_ms": 0} == {**decision, "latency_ms": 0}
    shutil.rmtree(finished_copy.root / ".dvc" / "cache")
    shutil.rmtree(finished_copy.root / ".cortex" / "models")
    output = finished_copy.cortex("route", task, status=1).stderr
    assert "is not in the DVC cache: `dvc fetch --all-commits`" in output


def test_a_file_of_tasks_gives_a_line_for_each_and_rules_are_needed(begun: MiniProject) -> None:
    file = begun.root / "tasks.jsonl"
    file.write_text('{"task_id": "t-1", "title": "Rotate the leaked key"}\n\n{"text": "Write docs"}\n')
    lines = begun.cortex("route", "--file", "tasks.jsonl").stdout.splitlines()
    first, empty, last = map(json.loads, lines)
    assert (first["task_id"], last["task_id"]) == ("t-1", None)
    assert "line 2: not JSON" in empty["error"]
    begun.cortex("route", "--file", "tasks.jsonl", "--out", "decisions.jsonl")
    decisions = (begun.root / "decisions.jsonl").read_text().splitlines()
    assert [json.loads(line).get("master") for line in decisions] == [json.loads(line).get("master") for line in lines]
    assert "--out requires --file" in begun.cortex("route", "x", "--out", "y", status=2).stderr
    assert "cannot be read" in begun.cortex("route", "--file", "none.jsonl", status=1).stderr
    assert "give one task in quotes" in begun.cortex("route", status=2).stderr
    output = begun.cortex("route", "a task", "--file", "tasks.jsonl", status=2).stderr
    assert "give one task in quotes, or --file" in output
    for rules in (begun.root / "data" / "samples").rglob("routing-patterns.json"):
        rules.unlink()
    assert "no router: no model is promoted" in begun.cortex("route", "a task", status=1).stderr


def test_the_doctor_names_what_is_missing_and_the_remedy(begun: MiniProject, monkeypatch: pytest.MonkeyPatch) -> None:
    (begun.root / "constraints.txt").unlink()  # the pins of packages are another test's
    with_programs_on_path(monkeypatch)
    output = begun.cortex("doctor").stdout
    assert "MISSING" not in output
    for check in ("git", "dvc", "params.yaml", "dvc.yaml", "weights: base", "free disk"):
        assert f"ok      {check}: " in output
    with_programs_on_path(monkeypatch)
    (begun.root / "constraints.txt").write_text("click==0.0.1\nno-such-package==1\n")
    path = begun.root / "dvc.yaml"
    path.write_text(path.read_text() + "# edited\n")
    output = begun.cortex("doctor", status=1).stdout
    assert missing(output, "MISSING packages as pinned: click ", "(pinned 0.0.1)") == []
    assert "no-such-package" not in output
    assert missing(output, "        run `make install`", "MISSING dvc.yaml: ") == []
    monkeypatch.setenv("PATH", str(begun.root))
    output = begun.cortex("doctor", status=1).stdout
    assert missing(output, "MISSING git: not on the PATH", "install git and put it on the PATH") == []


def with_programs_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{BIN}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.parametrize("name", sorted(main.commands))
def test_every_command_has_help_with_an_example(name: str) -> None:
    command = main.commands[name]
    result = CliRunner().invoke(main, [name, "--help"])
    assert result.exit_code == 0
    assert re.search(rf"Example: .*cortex {name}\b", result.stdout)
    assert command.help
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help


def test_it_says_which_version_it_is() -> None:
    assert CliRunner().invoke(main, ["--version"]).stdout == f"cortex, version {version('cortex-pipelines')}\n"


def test_commands_work_in_a_folder_below_the_project(begun: MiniProject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CORTEX_ROOT", raising=False)
    monkeypatch.chdir(begun.root / "sources" / "beta")
    assert CliRunner().invoke(main, ["dvc-yaml", "--check"]).exit_code == 0
    monkeypatch.chdir(Path("/"))
    monkeypatch.setenv("CORTEX_ROOT", str(begun.root))
    assert CliRunner().invoke(main, ["dvc-yaml", "--check"]).exit_code == 0
