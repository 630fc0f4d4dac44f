import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner

from cortex_pipelines.catalog import open_project
from cortex_pipelines.cli.main import main
from cortex_pipelines.config import load_parameters
from cortex_pipelines.privacy.settings import Tombstone
from cortex_pipelines.projects import forget
from cortex_pipelines.retrieval import open_index, project_index
from cortex_pipelines.retrieval.collection import PinnedEncoder
from cortex_pipelines.retrieval.notes import project_notes
from cortex_pipelines.retrieval.notes.note import NewNote
from cortex_pipelines.retrieval.notes.project_notes import ProjectNotes
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.coordination import FEATURES, OUTCOMES
from cortex_pipelines.serving.project_context import project_context
from cortex_pipelines.serving.project_services import open_notes, project_services
from cortex_pipelines_tests.command import cortex
from cortex_pipelines_tests.parameters import ROOT, load_cases
from cortex_pipelines_tests.retrieval.searchedproject import embed, encode, write

CODE = "def round_price(price):\n    '''Round a price to cents.'''\n    return round(price, 2)\n"
ADDRESS = "@".join(("lena.brandt", "ledgerworks.de"))  # made up
TOKEN = "_".join(("ghp", "16C7e42F292c6912E7710c838347Ae178B4a"))  # made up


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.setattr(open_index, "open_encoder", lambda _: PinnedEncoder("model", encode))
    monkeypatch.setattr(project_notes, "_encoder", lambda params: (None, ""))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def name(root: Path) -> str:
    partition = open_project(root).partitions[0]
    write(root, partition, CODE, "price.py")
    embed(root, partition, RowCache(root / "rows", "1"))
    return partition


def write_logs(root: Path, *attempts: tuple[str, str, str, bool | None]) -> None:
    features, outcomes = [], []
    for number, (task, text, master, success) in enumerate(attempts):
        decided_at = datetime(2026, 1, 1 + number, tzinfo=UTC)
        both: dict[str, Any] = {"attempt_id": f"{task} {master}", "task_id": task, "text": text}
        both |= {"master": master, "test_row": False}
        features.append({**dict.fromkeys(FEATURES.schema), **both, "decided_at": decided_at})
        of = {"event_id": f"e{number}", "occurred_at": decided_at, "success": success, "outcome": "done"}
        outcomes.append({**dict.fromkeys(OUTCOMES.schema), **both, **of, "duration_seconds": 60.0})
    tables = root / "data" / "coordination_tables"
    tables.mkdir(parents=True, exist_ok=True)
    pl.DataFrame(features, schema=FEATURES.schema).write_parquet(tables / "features.parquet")
    pl.DataFrame(outcomes, schema=OUTCOMES.schema).write_parquet(tables / "outcomes.parquet")


def stored(root: Path) -> bytes:
    files = (root / ".cortex" / "memory").iterdir()
    return b"".join(file.read_bytes() for file in files)


def test_add_search_show_and_forget_on_the_command_line(root: Path, name: str) -> None:
    of = ("--project", name, "--author", "anna")
    old = cortex("memory", "add", "prices are cut to cents", "--kind", "decision", *of).stdout.strip()
    new = cortex("memory", "add", "prices are rounded", "--supersedes", old, *of).stdout.strip()
    (entry,) = json.loads(cortex("memory", "search", "cents of prices", *of, "--json").stdout)["entries"]
    assert (entry["id"], entry["kind"], entry["origin"]) == (new, "note", "cortex memory")
    assert entry["author"] == open_notes(root, name).pseudonym("ANNA ")
    history = cortex("memory", "search", "prices", "--history", *of).stdout
    assert f"decision, superseded by {new}: prices are cut to cents" in history
    assert "--answer" in cortex("memory", "add", "round?", "--kind", "exchange", *of, status=2).stderr
    cortex("memory", "add", "round?", "--kind", "exchange", "--answer", "half up", *of)
    visit = cortex("memory", "show", *of)
    assert "half up" in visit.stdout
    assert "files: 1 python" in visit.stderr
    assert "since" not in visit.stderr
    write(root, name, CODE + "\n", "price.py")
    assert ": repository_files, search_documents changed, 0 entries of others" in cortex("memory", "show", *of).stderr
    assert "nothing is kept about that" in cortex("memory", "search", "prices", "--kind", "summary", *of).stderr
    cortex("memory", "forget", old, "--project", name)
    assert b"prices are cut" not in stored(root)
    refused = cortex("memory", "forget", old, "--project", name, status=1)
    assert f"{name} has no entry {old} to forget" in refused.stderr
    cortex("memory", "forget", "--author", "anna", "--before", "2999-01-01", "--project", name)
    assert "nothing is kept about that" in cortex("memory", "search", "prices", *of).stderr


@pytest.mark.parametrize(("words", "sentence"), load_cases(__file__)["what_is_asked_wrongly_gets_a_sentence"])
def test_what_is_asked_wrongly_gets_a_sentence(name: str, words: tuple[str, ...], sentence: str) -> None:
    result = CliRunner().invoke(main, ["memory", *[name if word == "NAME" else word for word in words]])
    assert result.exit_code in (1, 2)
    assert sentence in result.stderr


def test_secrets_and_personal_data_are_taken_out_before_anything_is_written(root: Path, name: str) -> None:
    text = f"ask {ADDRESS}, the token is {TOKEN}"
    options = ("--kind", "exchange", "--answer", f"use {TOKEN}", "--origin", f"mail of {ADDRESS}")
    result = cortex("memory", "add", text, *options, "--project", name, "--author", ADDRESS)
    assert "kept without 4 secrets or personal data" in result.stderr
    stored_bytes = stored(root)
    assert ADDRESS.encode() not in stored_bytes
    assert TOKEN.encode() not in stored_bytes
    assert b"ask " in stored_bytes


def test_what_was_tried_and_is_kept_is_joined_to_the_context(root: Path, name: str) -> None:
    opened, params = open_project(root), load_parameters(root)
    task = "round the price to cents"
    plain = project_context(opened, name, params).context(task, 1000)
    assert (plain.attempts, plain.notes) == ((), ())
    write_logs(
        root,
        ("t1", "round each price to cents", "backend", False),
        ("t2", "round each price to cents", "backend", True),
        ("t1", "round each price to cents", "frontend", None),
        ("t3", "translate the page of help", "docs", True),
    )
    memory = open_notes(root, name)
    memory.add("anna", "the price is rounded half up", "decision", "test")
    memory.add("anna", "the menu is blue", "note", "test")
    memory.add("anna", "how to round the price to cents?", "exchange", "test", "half up")
    context = project_context(opened, name, params).context(task, 1000)
    (like,) = context.attempts
    assert like.task == "round each price to cents"
    (backend, frontend) = sorted(like.tried, key=lambda tried: tried.worker)
    assert (backend.attempts, backend.succeeded, backend.failed) == (2, 1, 1)
    assert (frontend.worker, frontend.succeeded, frontend.failed) == ("frontend", 0, 0)
    assert ([note.text for note in context.notes], context.pieces) == (["the price is rounded half up"], plain.pieces)
    assert plain.tokens < context.tokens <= plain.tokens + 100
    text = context.as_text()
    assert "backend (2 times), 1 of 2 succeeded" in text
    assert text.endswith(plain.as_text())
    small = project_context(opened, name, params).context(task, 201)
    assert (small.attempts, small.notes, small.budget) == ((), (), 201)
    long = f"{task} {'and see the log of it ' * 900}"
    (similar,) = project_context(opened, name, params).context(long, 1000).attempts
    assert (similar.task, similar.tried) == (like.task, like.tried)


def test_relations_are_read_where_they_were_made(root: Path, name: str) -> None:
    write_logs(root, ("t1", "round_price is off by a cent", "backend", True))
    columns = ["from_path", "from_name", "relation", "to_path", "to_name"]
    edges = [
        ("shop.py", "Shop.pay", "calls", "lib/price.py", "Price.round_price"),
        ("shop.py", "Shop.pay", "calls", "db.py", "round_price_and_save"),
        ("shop.py", "", "imports", "lib/price.py", ""),
    ]
    edges_path = root / "data" / "code_graph" / name / "edges.parquet"
    edges_path.parent.mkdir(parents=True)
    pl.DataFrame(edges, columns, orient="row").write_parquet(edges_path)
    answer = open_notes(root, name).search("", "who uses round_price", 5)
    assert {tuple(edge.values()) for edge in answer["relations"]} == {
        ("shop.py:Shop.pay", "calls", "lib/price.py:Price.round_price", "code_graph"),
        ("backend", "was sent a task about", "round_price", "coordination_tables"),
    }
    (of_file,) = open_notes(root, name).search("", "who needs price.py", 5)["relations"]
    assert (of_file["source"], of_file["target"]) == ("shop.py", "lib/price.py")
    assert open_notes(root, name).search("", "nothing_like_it", 5)["relations"] == []


def count_openings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    opened: list[str] = []
    make: Callable[..., Any] = project_index.open_project_searcher

    def noted(*arguments: Any) -> Any:
        opened.append("opened")
        return make(*arguments)

    monkeypatch.setattr("cortex_pipelines.serving.project_context.open_project_searcher", noted)
    return opened


def test_answers_are_cached_until_what_they_rest_on_changed(root, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = count_openings(monkeypatch)

    def responses() -> Any:
        search, context = project_services(root).search, project_services(root).context
        return search("round a price", name, 3), context("round a price", name, 500)

    first = responses()
    assert len(opened) == 2, "each of the services opens its own"
    assert responses() == first
    assert len(opened) == 2, "another process answers from the cache"
    open_notes(root, name).add("anna", "a price is rounded half up", "note", "test")
    assert responses()[1]["notes"][0]["text"] == "a price is rounded half up"
    write(root, name, CODE.replace("round_price", "cut_price"), "price.py")
    assert responses()[0]["results"][0]["name"] == "cut_price"
    write(root, name, CODE, "price.py")
    before = len(opened)
    assert responses()[0] == first[0]
    assert len(opened) > before, "what was dropped is made again"


def test_a_memory_that_cannot_be_used_hides_no_code(root: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    database = root / ".cortex" / "memory" / f"{name}.sqlite"
    database.parent.mkdir(parents=True)
    database.write_bytes(b"cut off " * 99)
    services = project_services(root)
    assert services.context is not None
    assert services.search("round a price", name, 3)["results"][0]["name"] == "round_price"
    assert "answers are not cached" in caplog.text
    context = services.context("round a price", name, 500)
    assert context["pieces"]
    assert f"{name}.sqlite is damaged" in context["notice"]
    database.unlink()
    database.parent.rmdir()
    database.parent.write_text("no folder")
    assert services.search("round a price", name, 3)["results"]
    assert f"{name}.sqlite cannot be used: " in cortex("memory", "add", "x", "--project", name, status=1).stderr


def test_forgetting_reaches_the_memories(root: Path, name: str) -> None:
    memory = open_notes(root, name)
    memory.add(ADDRESS, "lenas note on cents", "note", "test")
    memory.add("ben", "see src/legacy/old.py for the walrus", "note", "test")
    memory.add("ben", "see src/legacy2/old.py for the penguin", "note", "test")
    memory.answers.store("context", "q", "v", "quoted zebrafinch")
    stones = [Tombstone(project=name, source=None, path=None, author=memory.pseudonym(ADDRESS))]
    memory.show(ADDRESS)
    assert memory.pseudonym(ADDRESS).encode() in stored(root)
    assert project_notes.apply_tombstones(open_project(root), stones) == 1
    assert b"lenas note" not in stored(root)
    assert b"zebrafinch" not in stored(root)
    assert memory.pseudonym(ADDRESS).encode() not in stored(root)
    other_project = Tombstone(project="another", source=None, path="src/**", author=None)
    source = Tombstone(project=name, source="git:x", path=None, author=None)
    assert project_notes.apply_tombstones(open_project(root), [other_project, source]) == 0
    assert b"walrus" in stored(root)
    path = Tombstone(project=None, source=None, path="src/legacy/**", author=None)
    assert project_notes.apply_tombstones(open_project(root), [path]) == 1
    assert b"walrus" not in stored(root)
    assert b"penguin" in stored(root)
    memory.answers.store("context", "q", "v", "quoted zebrafinch")
    project_notes.wipe_answers(root)
    assert b"zebrafinch" not in stored(root)
    assert b"penguin" in stored(root)


def test_the_command_that_forgets_reaches_them(root: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forget, "models_trained_on", lambda *_: [])
    monkeypatch.setattr(forget, "mark_models", lambda *_: None)
    open_notes(root, name).add(ADDRESS, "lenas note on cents", "note", "test")
    assert "deleted: 1 entries of memories (deletion " in cortex("forget", "--author", ADDRESS.upper()).stderr
    assert b"lenas note" not in stored(root)


def test_without_an_encoder_a_search_goes_by_words_and_says_so(root, name, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.chdir(root)
    params = load_parameters(root)
    encoder = params.models.encoder.model_copy(update={"package": None, "directory": str(root / "none")})
    models = params.models.model_copy(update={"encoder": encoder})
    memory = ProjectNotes(open_project(root), name, params.model_copy(update={"models": models}))
    memory.store.add(NewNote("prices are rounded", "note", "a", "test"))
    answer = memory.search("", "rounded", 3)
    assert [entry["text"] for entry in answer["entries"]] == ["prices are rounded"]
    assert answer["notice"].startswith("searched by words alone: ")
