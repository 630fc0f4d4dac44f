"""Search over what a project has made: its index follows the versions of the outputs."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

import cortex_pipelines
from cortex_pipelines.catalog import open_project
from cortex_pipelines.cli.main import main
from cortex_pipelines.operations import searching
from cortex_pipelines.schemas.repositories import REPOSITORY_FILES
from cortex_pipelines.versioning.root import ProjectError

REPOSITORY = Path(__file__).parents[2]
SEND = "def send_message(text):\n    '''Send a text to the queue.'''\n    return text\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copy(REPOSITORY / "params.yaml", tmp_path)
    monkeypatch.setattr(searching, "AUTO", "none")
    monkeypatch.chdir(tmp_path)
    for name in open_project(tmp_path).partitions:
        write(tmp_path, name, SEND)
    return tmp_path


def write(root: Path, name: str, text: str) -> None:
    out = open_project(root).output("repository_files", name)
    out.mkdir(parents=True, exist_ok=True)
    row = dict.fromkeys(REPOSITORY_FILES.schema)
    row |= {"source": "git:x", "path": "queue.py", "language": "python", "revision": f"rev-{name}"}
    row |= {"generated": False, "trainable": True, "notebook": False, "tested_paths": []}
    row |= {"blob": "b", "size_bytes": len(text), "text": text}
    REPOSITORY_FILES.frame([row]).write_parquet(out / "files.parquet")


def test_one_project_and_all_of_them(project: Path) -> None:
    names = open_project(project).partitions
    found = cortex_pipelines.search_code("send a message", folder=project)
    assert {result.path for result in found} == {f"{name}/queue.py" for name in names}
    done = CliRunner().invoke(main, ["search", "send a message", "--project", names[0], "--json"])
    assert done.exit_code == 0, done.stderr
    assert f'"commit": "rev-{names[0]}"' in done.stdout
    assert '"path": "queue.py"' in done.stdout
    for command in ("search", "context"):
        done = CliRunner().invoke(main, [command, "send", "--project", "nowhere"])
        assert "no project nowhere; there is:" in done.stderr


def test_the_prompt_of_a_worker_by_the_project_s_own_template(project: Path) -> None:
    ask = ["context", "send a message", "--project", open_project(project).partitions[0]]
    packaged = CliRunner().invoke(main, [*ask, "--prompt"])
    assert packaged.stdout.startswith("send a message\n\nCode that this may be about")
    assert SEND in packaged.stdout
    (project / "prompts").mkdir()
    (project / "prompts" / "worker.jinja").write_text("Do {{ task }}.\n")
    own = CliRunner().invoke(main, [*ask, "--prompt"])
    assert own.stdout == "Do send a message.\n"
    assert own.stderr.splitlines()[-1].startswith("worker@")
    assert own.stderr != packaged.stderr
    assert CliRunner().invoke(main, [*ask, "--prompt", "--json"]).exit_code == 2


def test_context_of_one_project_and_of_all(project: Path) -> None:
    names = open_project(project).partitions
    ask = ["context", "send a message"]
    done = CliRunner().invoke(main, [*ask, "--project", names[0], "--json"])
    assert done.exit_code == 0, done.stderr
    made = json.loads(done.stdout)
    (piece,) = made["pieces"]
    assert (piece["path"], piece["text"]) == ("queue.py", SEND.strip())
    assert piece["commit"] == f"rev-{names[0]}"
    assert made["counted_by"].startswith("approximation"), "the base is not unpacked here"
    done = CliRunner().invoke(main, [*ask, "--json"])
    assert set(json.loads(done.stdout)["files"]) == {f"{name}/queue.py" for name in names}


def test_the_index_follows_the_version_and_the_old_one_goes(project: Path) -> None:
    opened = open_project(project)
    name = opened.partitions[0]
    params = cortex_pipelines.load_parameters(project)
    first = searching.open_project_searcher(opened, name, params)
    assert first.search("send message")[0].name == "send_message"
    write(project, name, SEND.replace("send_message", "post_letter"))
    second = searching.open_project_searcher(opened, name, params)
    assert second.search("post letter")[0].name == "post_letter"
    assert len(list((opened.state / "search" / name).iterdir())) == 1


def test_files_that_are_not_made_yet(project: Path) -> None:
    opened = open_project(project)
    name = opened.partitions[0]
    shutil.rmtree(opened.output("repository_files", name))
    with pytest.raises(ProjectError, match="are not made yet; `cortex run repository_files"):
        searching.open_project_searcher(opened, name, cortex_pipelines.load_parameters(project))


def test_an_index_is_opened_once_and_kept_up_to_date(tmp_path: Path) -> None:
    folder, out = tmp_path / "code", tmp_path / "index"
    folder.mkdir()
    (folder / "a.py").write_text(SEND)
    searching.index_folder(folder, out, cortex_pipelines.load_parameters(), "none")
    assert cortex_pipelines.search_code("send", index=out)[0].name == "send_message"
    (folder / "a.py").write_text(SEND.replace("send_message", "send_again"))
    assert cortex_pipelines.search_code("send", index=out, k=1)[0].name == "send_again"
    assert searching.kept_searcher(out, None) is searching.kept_searcher(out, None)
