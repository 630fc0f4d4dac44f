import errno
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import cortex_pipelines
from cortex_pipelines.api import load_parameters
from cortex_pipelines.catalog import open_project
from cortex_pipelines.retrieval import open_index, project_index
from cortex_pipelines.retrieval.collection import PinnedEncoder
from cortex_pipelines.retrieval.excerpts import DocumentLocation, ExcerptSource
from cortex_pipelines.retrieval.filters import Filters
from cortex_pipelines.retrieval.index import IndexManifest, build_index
from cortex_pipelines.retrieval.open_index import reading_limits
from cortex_pipelines.retrieval.search import Searcher
from cortex_pipelines.retrieval.tables import build_search_tables, read_searched_files
from cortex_pipelines.retrieval.vectors import Floats
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.ingestion import REPOSITORY_COMMITS
from cortex_pipelines.schemas.retrieval import SEARCHED_DOCUMENTS, SEARCHED_FILES
from cortex_pipelines.serving.project_services import project_services
from cortex_pipelines.versioning.root import ProjectError
from cortex_pipelines_tests.command import cortex
from cortex_pipelines_tests.retrieval.searchedproject import WHEN, embed, encode, save, write

REPOSITORY = Path(__file__).parents[2]
SEND = "def send_message(text):\n    '''Send a text to the queue.'''\n    return text\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copy(REPOSITORY / "params.yaml", tmp_path)
    monkeypatch.setattr(open_index, "open_encoder", lambda _: PinnedEncoder("model", encode))
    monkeypatch.chdir(tmp_path)
    for name in open_project(tmp_path).partitions:
        write(tmp_path, name, SEND)
    return tmp_path


def test_one_project_and_all_of_them(project: Path) -> None:
    names = open_project(project).partitions
    hits = cortex_pipelines.search_code("send a message", folder=project)
    assert {hit.path for hit in hits} == {f"{name}/queue.py" for name in names}
    result = cortex("search", "send a message", "--project", names[0], "--json")
    assert f'"commit": "rev-{names[0]}"' in result.stdout
    assert '"path": "queue.py"' in result.stdout
    for command in ("search", "context"):
        assert "no project nowhere; there is:" in cortex(command, "send", "--project", "nowhere", status=1).stderr


def test_the_prompt_of_a_worker_by_the_project_s_own_template(project: Path) -> None:
    ask = ["context", "send a message", "--project", open_project(project).partitions[0]]
    packaged = cortex(*ask, "--prompt")
    assert packaged.stdout.startswith("send a message\n\nNotes on tasks like this one")
    assert SEND in packaged.stdout
    (project / "prompts").mkdir()
    (project / "prompts" / "worker.jinja").write_text("Do {{ task }}.\n")
    prompt_run = cortex(*ask, "--prompt")
    assert prompt_run.stdout == "Do send a message.\n"
    assert prompt_run.stderr.splitlines()[-1].startswith("worker@")
    assert prompt_run.stderr != packaged.stderr
    cortex(*ask, "--prompt", "--json", status=2)


def test_context_of_one_project_and_of_all(project: Path) -> None:
    names = open_project(project).partitions
    ask = ["context", "send a message"]
    result = cortex(*ask, "--project", names[0], "--json")
    answer = json.loads(result.stdout)
    (excerpt,) = answer["pieces"]
    assert (excerpt["path"], excerpt["text"]) == ("queue.py", SEND.strip())
    assert excerpt["commit"] == f"rev-{names[0]}"
    assert answer["counted_by"].startswith("approximation"), "the base is not unpacked here"
    result = cortex(*ask, "--json")
    assert set(json.loads(result.stdout)["files"]) == {f"{name}/queue.py" for name in names}


def test_the_index_follows_the_version_and_the_old_one_goes(project: Path) -> None:
    opened = open_project(project)
    name = opened.partitions[0]
    params = cortex_pipelines.load_parameters(project)
    assert project_index.open_project_searcher(opened, name, params).search("send message")[0].name == "send_message"
    write(project, name, SEND.replace("send_message", "post_letter"))
    assert project_index.open_project_searcher(opened, name, params).search("post letter")[0].name == "post_letter"
    assert len(list((opened.state / "search" / name / "search_documents").iterdir())) == 1


def test_a_project_that_is_mounted_read_only_is_searched(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As by a gateway in a container, whose copy of the project came without the index."""
    access, makedirs = os.access, Path.mkdir

    def refuse(self: Path, *args: Any, **options: Any) -> None:
        if self.is_relative_to(project):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(self))
        makedirs(self, *args, **options)

    opened = open_project(project)
    params = cortex_pipelines.load_parameters(project)
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK and access(path, mode))
    monkeypatch.setattr(Path, "mkdir", refuse)
    for name in (opened.partitions[0], None):
        (first, *_) = project_index.open_project_searcher(opened, name, params).search("send message")
        assert first.name == "send_message"


def test_files_that_are_not_made_yet(project: Path) -> None:
    opened = open_project(project)
    name = opened.partitions[0]
    shutil.rmtree(opened.output("search_documents", name))
    with pytest.raises(ProjectError, match="is missing; `cortex run search_documents"):
        project_index.open_project_searcher(opened, name, cortex_pipelines.load_parameters(project))
    for other in opened.partitions[1:]:
        shutil.rmtree(opened.output("search_documents", other))
    with pytest.raises(ProjectError, match="no project has search_documents yet; `cortex run search_documents --up"):
        project_index.open_project_searcher(opened, None, cortex_pipelines.load_parameters(project))


def test_an_index_is_opened_once_and_kept_up_to_date(tmp_path: Path) -> None:
    folder, out = tmp_path / "code", tmp_path / "index"
    folder.mkdir()
    (folder / "a.py").write_text(SEND)
    open_index.index_folder(folder, out, cortex_pipelines.load_parameters(), "none")
    assert cortex_pipelines.search_code("send", index=out)[0].name == "send_message"
    (folder / "a.py").write_text(SEND.replace("send_message", "send_again"))
    assert cortex_pipelines.search_code("send", index=out, k=1)[0].name == "send_again"
    parameters = cortex_pipelines.load_parameters()
    assert open_index.cached_searcher(out, parameters) is open_index.cached_searcher(out, parameters)


def test_vectors_come_from_the_asset_and_only_new_texts_are_embedded(project: Path) -> None:
    name = open_project(project).partitions[0]
    encoded: list[str] = []

    def counting(texts: Sequence[str]) -> Floats:
        encoded.extend(texts)
        return encode(texts)

    cache = RowCache(project / "rows", "1")
    assert sorted(embed(project, name, cache, counting)["level"]) == ["commit", "file", "repository", "unit"]
    assert {text.split("\n")[0] for text in encoded} == {"Send letters", "send_message"}
    embed(project, name, cache, counting)
    assert len(encoded) == 2, "nothing is new"
    write(project, name, SEND + "def post_letter():\n    return 'letter'\n")
    again = embed(project, name, cache, counting)
    assert [text.split("\n")[0] for text in encoded[2:]] == ["post_letter"]
    assert embed(project, name, RowCache(project / "other", "1")).equals(again), "the cache does not change a byte"
    opened = open_project(project)
    searcher = project_index.open_project_searcher(opened, name, cortex_pipelines.load_parameters(project))
    assert searcher.note == ""
    assert "like in meaning" in searcher.search("post")[0].why
    assert searcher.index.levels.nodes["level"].to_list() == ["file", "repository"]


def test_without_embeddings_words_answer_and_that_is_said(project: Path) -> None:
    name = open_project(project).partitions[0]
    result = cortex("search", "send a message", "--project", name)
    assert "send_message" in result.stdout
    assert f"searched by words alone: {name}; `cortex run code_embeddings" in result.stderr
    services = project_services(project)
    for answer in (
        services.search("send a message", name, 3),
        services.search("send a message", None, 3),
        services.context("send a message", name, 1000),
    ):
        assert answer["notice"].count("by words alone") == 1
        assert "`cortex run code_embeddings" in answer["notice"]
    embed(project, name, RowCache(project / "cache", "1"))
    assert project_services(project).search("send a message", name, 3)["notice"] == ""


def test_filters_by_what_the_tables_say(project: Path) -> None:
    opened = open_project(project)
    params = cortex_pipelines.load_parameters(project)
    searcher = project_index.open_project_searcher(opened, opened.partitions[0], params)
    ask = ["search", "send a message", "--project", opened.partitions[0], "--json"]
    for options in (
        *("--category messaging", "--licence MIT", "--no-tests", "--min-complexity 3", "--since 2026-03-01"),
        *("--technology nats", "--technology github.com/nats-io/nats.go", "--intent write", "--intent message"),
    ):
        assert '"send_message"' in cortex(*ask, *options.split()).stdout, options
    for options in (
        *("--category parsing", "--licence ISC", "--author nobody", "--tests", "--min-complexity 4"),
        *("--since 2026-03-02", "--technology nat", "--intent read", "--intent messages"),
    ):
        result = cortex(*ask, *options.split(), status=1)
        assert f"nothing that is indexed passes {options}" in result.stderr
        assert "the categories messaging and the licences MIT" in result.stderr
        assert ("the technologies github.com/nats-io/nats.go" in result.stderr) == (options == "--technology nat")
    assert searcher.search("send", filters=Filters(category="messaging"))[0].path == "queue.py"


def test_folders_and_commits_are_found_too(project: Path) -> None:
    names = open_project(project).partitions
    for name in names:
        embed(project, name, RowCache(project / "rows", "1"))
    result = cortex("search", "send a message", "--by", "folder", "--json")
    assert {row["path"] for row in json.loads(result.stdout)} == set(names)
    assert "queue.py:1 send_message" in json.loads(result.stdout)[0]["why"]
    result = cortex("search", "letters", "--history", "--json")
    first = json.loads(result.stdout)[0]
    assert (first["subject"], first["date"]) == ("Send letters", WHEN.isoformat())
    assert first["paths"] == [f"{first['commit'].split('/')[0]}/queue.py"]
    result = cortex("search", "letters", "--history", "--project", names[0])
    assert "c0ffee  2026-03-01" in result.stdout
    result = cortex("search", "letters", "--history", "--by", "file", status=2)
    assert "--history takes QUERY" in result.stderr


def test_an_index_is_rebuilt_and_restored_with_the_same_answers(project: Path) -> None:
    opened = open_project(project)
    name, index_folder = opened.partitions[0], opened.state / "search"
    embed(project, name, RowCache(project / "rows", "1"))
    ask = ["search", "post a message", "--project", name, "--json"]
    first = cortex(*ask).stdout
    assert json.loads(first)
    shutil.copytree(index_folder, project / "backup")
    assert "1 places in 1 files, with vectors" in cortex("index", "--rebuild", "--project", name).stderr
    assert cortex(*ask).stdout == first
    shutil.rmtree(index_folder)
    shutil.copytree(project / "backup", index_folder)
    assert cortex(*ask).stdout == first
    for torn in index_folder.rglob("vectors.npy"):
        torn.write_bytes(torn.read_bytes()[:-3])
    assert cortex(*ask).stdout == first, "a damaged index is made again"
    assert "--rebuild takes no PATH" in cortex("index", "x", "--rebuild", status=2).stderr
    assert "give PATH and --out" in cortex("index", "x", status=2).stderr


PARAMETERS = load_parameters()
CODE = "def apply_voucher(order, voucher):\n    return order.total - voucher.amount\n"
PAGE = "# Vouchers are counted twice\n\nSee below.\n\n## Steps\n\n" + "Take a voucher.\n" * 150
FILES = (
    ("git:../shop", "shop/order.py", CODE, "python"),
    ("git:../shop", "issues/tickets/7.md", PAGE, "markdown"),
    ("dlt:tracker", "issues/tickets/7.md", PAGE, "markdown"),
    ("dlt:tracker", "reviews/remarks/ab.json", '{"body": "Fine."}', "json"),
)


@pytest.fixture(scope="module")
def tables() -> dict[str, pl.DataFrame]:
    columns: dict[str, Any] = {"revision": "r", "generated": False, "licence": None, "author": None}
    names = ("source", "path", "text", "language")
    rows = [dict(zip(names, file, strict=True)) | columns for file in FILES]
    units = {"source": "git:../shop", "path": "shop/order.py", "qualified_name": "apply_voucher"}
    unlabelled: dict[str, object] = {"technologies": ["stripe"], "intent": "apply voucher", "intent_kind": "wire"}
    return build_search_tables(
        pl.DataFrame(rows, schema_overrides={"licence": pl.String, "author": pl.String}),
        pl.DataFrame([units | {"start_line": 1, "category": "other", "cyclomatic": 1} | unlabelled]),
        REPOSITORY_COMMITS.empty(),
        PARAMETERS.extraction,
    )


def test_an_issue_is_one_place(tables: dict[str, pl.DataFrame]) -> None:
    (issue,) = tables["documents"].filter(kind="issue").iter_rows(named=True)
    assert (issue["source"], issue["name"]) == ("dlt:tracker", "Vouchers are counted twice")
    assert (issue["start_line"], issue["end_line"]) == (1, PAGE.count("\n") + 1)
    assert issue["documentation"].startswith("See below.")
    assert issue["embedded"] is None
    # the same page in a repository is cut as prose is
    sections = tables["documents"].filter(source="git:../shop", path="issues/tickets/7.md")
    assert set(sections["kind"]) == {"section"}
    assert sections.height > 1


def test_an_issue_is_found(tables: dict[str, pl.DataFrame], tmp_path: Path) -> None:
    save(tmp_path, *((table, tables[table.name]) for table in (SEARCHED_FILES, SEARCHED_DOCUMENTS)))
    index = build_index(read_searched_files(tmp_path), IndexManifest("", None), None)
    searcher = Searcher(index, reading_limits(PARAMETERS))
    hits = searcher.search("voucher counted twice", 5, filters=Filters(kind="issue"))
    assert [result.path for result in hits] == ["issues/tickets/7.md"]
    assert searcher.search("apply voucher order", 1)[0].path == "shop/order.py"


def test_an_issue_is_shown_whole_or_by_its_title() -> None:
    location = DocumentLocation("issue", "Vouchers are counted twice", 1, PAGE.count("\n") + 1)
    source = ExcerptSource(PAGE, "issues/tickets/7.md", "markdown", [location], PARAMETERS.extraction)
    assert source.render(source.full_lines(location)).startswith("# Vouchers are counted twice\n\nSee below.")
    assert source.outline_lines(location) == []
    assert source.render(source.signature_lines(location)) == "# Vouchers are counted twice"
