import json
import socket
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from cortex_pipelines.config import resolve
from cortex_pipelines.datasets.tasks.changes import review_rows
from cortex_pipelines.ingestion.connectors import fetch
from cortex_pipelines.ingestion.connectors.declared import DltSource
from cortex_pipelines.ingestion.connectors.snapshot import SNAPSHOTS, prune_snapshots
from cortex_pipelines.ingestion.entries import SourceError
from cortex_pipelines.ingestion.project_sources import ProjectSettings
from cortex_pipelines.versioning.dvc.yaml_files import describe_errors
from cortex_pipelines.versioning.parameters import ENTRY, project_file
from cortex_pipelines.versioning.root import ProjectError
from cortex_pipelines_tests.ingestion.connected import Forge, database, declared, examples, serving
from cortex_pipelines_tests.parameters import ROOT, load_cases

CASES = load_cases(__file__)

SQL, REST = declared(0), declared(1)
TOKEN = "planted-value-of-a-token"
COMMENTS = [
    {
        "id": number,
        "path": "shop/order.py",
        "diff_hunk": f"@@ -1 +1,2 @@\n+def price(item):\n+    return item.price * {number}",
        "body": f"Round it.\n```suggestion\n    return round(item.price * {number})\n```",
        "original_line": 2,
        "original_start_line": None,
        "user": {"login": "kimlee"},
    }
    for number in range(1, 6)
]
ISSUES = [
    {"number": number, "title": f"Issue {number}", "body": f"Text {number}", "user": {"id": 1}}
    for number in range(1, 4)
]


def with_changes(source: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """A source with other keys; ``columns`` are further ones of its tickets, a null takes a key out."""
    if "columns" in changes:
        return changed(source, "tickets", **changes["columns"])
    return {key: value for key, value in {**source, **changes}.items() if value is not None}


@pytest.fixture
def tracker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "tracker.db"
    monkeypatch.setenv("TRACKER_URL", database(path, examples("sql")[0]))
    return path


@pytest.fixture
def forge(monkeypatch: pytest.MonkeyPatch) -> Any:
    with serving(Forge({"pulls/comments": COMMENTS, "issues": ISSUES})) as served:
        monkeypatch.setenv("FORGE_URL", served.url)
        monkeypatch.setenv("FORGE_TOKEN", TOKEN)
        yield served


def stored_text(root: Path) -> str:
    return "".join(path.read_text() for path in sorted((root / SNAPSHOTS).glob("*")))


def changed(source: dict[str, Any], table: str, **columns: str) -> dict[str, Any]:
    tables = source["tables"]
    new = {**tables[table], "columns": {**tables[table].get("columns", {}), **columns}}
    return {**source, "tables": {**tables, table: new}}


def test_the_guides_database_becomes_issues_and_reviews(tracker: Path, tmp_path: Path, read, privacy: Any) -> None:
    tables = read(SQL)
    assert tables.texts["issues/tickets/7.md"] == (
        "# Vouchers are counted twice\n\nTwo vouchers of one order are both taken off the sum.\n"
    )
    assert tables.texts["issues/tickets/8.md"] == "# Export as CSV\n\n\n"
    assert set(tables.files["source"]) == {"dlt:tracker"}
    assert not tables.files["trainable"].any()
    (review,) = review_rows(tables.files, "demo", privacy).iter_rows(named=True)
    assert review["path"] == "shop/order.py"
    assert review["before"].startswith("found = []\nfor item")
    assert review["after"] == "found = [item.price for item in items]"
    assert (review["explanation"], review["why_not"]) == ("Use a comprehension here.", "")
    assert "Kim" not in stored_text(tmp_path)  # the column is not mapped
    (snapshot,) = (tmp_path / SNAPSHOTS).iterdir()
    assert snapshot.stat().st_mode & 0o077 == 0


def test_the_guides_interface_is_read_to_its_last_page(forge: Forge, tmp_path: Path, read, take, privacy: Any) -> None:
    tables = read(REST)
    assert [path for path in tables.texts if path.startswith("issues/")] == [
        f"issues/issues/{number}.md" for number in (1, 2, 3)
    ]
    rows = review_rows(tables.files, "demo", privacy)
    assert rows.height == len(COMMENTS)
    assert set(rows["after"]) == {f"    return round(item.price * {n})" for n in range(1, 6)}
    assert {header for _, header in forge.asked} == {f"Bearer {TOKEN}"}
    assert sum("pulls/comments" in path for path, _ in forge.asked) == 3
    (pin,) = take(REST).pins
    assert TOKEN not in stored_text(tmp_path) + json.dumps(pin)
    assert "kimlee" not in stored_text(tmp_path)


def test_the_same_rows_have_the_same_pin(forge: Forge, tracker: Path, take: Callable[..., Any]) -> None:
    before = take(REST, SQL).pins
    forge.size = 5
    for items in forge.pages.values():
        items.reverse()
    forge.pages["issues"] = [*forge.pages["issues"], forge.pages["issues"][0]]  # on two pages
    database(
        tracker,
        "CREATE TABLE other AS SELECT * FROM tickets ORDER BY number DESC; DROP TABLE tickets;"
        "ALTER TABLE other RENAME TO tickets; ALTER TABLE tickets ADD COLUMN votes INTEGER;",
    )
    assert take(REST, SQL).pins == before
    assert before[0]["rows"] == len(COMMENTS) + len(ISSUES)


def test_other_rows_have_another_pin(tracker: Path, take: Callable[..., Any]) -> None:
    (before,) = take(SQL).pins
    database(tracker, "UPDATE tickets SET subject = 'Export as JSON' WHERE number = 8;")
    (after,) = take(SQL).pins
    assert (before["declared"], before["rows"]) == (after["declared"], after["rows"])
    assert before["sha256"] != after["sha256"]


def test_a_pin_is_of_one_declaration(tracker: Path, take: Callable[..., Any], read_pinned: Callable[..., Any]) -> None:
    source = take(SQL)
    other = ProjectSettings.model_validate({"sources": [changed(SQL, "tickets", text="subject")]})
    with pytest.raises(SourceError, match="cortex update demo"):
        read_pinned(type(source)(other, source.pins))


def test_what_is_pinned_is_read_when_its_places_are_gone(tmp_path, tracker, monkeypatch, take, read_pinned) -> None:
    with serving(Forge({"pulls/comments": COMMENTS, "issues": ISSUES})) as forge:
        monkeypatch.setenv("FORGE_URL", forge.url)
        monkeypatch.setenv("FORGE_TOKEN", TOKEN)
        source = take(SQL, REST)
    tracker.unlink()
    for name in ("TRACKER_URL", "FORGE_URL", "FORGE_TOKEN"):
        monkeypatch.delenv(name)
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("the network was used"))
    assert len(read_pinned(source).texts) == 2 + 1 + len(COMMENTS) + len(ISSUES)


def test_an_interface_that_is_gone_is_a_sentence(tmp_path: Path, monkeypatch, take: Callable[..., Any]) -> None:
    monkeypatch.setenv("RUNTIME__REQUEST_MAX_ATTEMPTS", "1")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("FORGE_URL", f"http://127.0.0.1:{port}/{TOKEN}/")
    monkeypatch.setenv("FORGE_TOKEN", TOKEN)
    with pytest.raises(SourceError, match=r"dlt:forge: comments cannot .*refused") as raised:
        take(REST)
    assert "the previous pin stays" in str(raised.value)
    assert TOKEN not in str(raised.value)
    assert raised.value.__cause__ is None


@pytest.mark.parametrize(("changes", "words"), CASES["what_cannot_be_taken_is_said_in_a_sentence"])
def test_what_cannot_be_taken_is_said_in_a_sentence(tracker: Path, take, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(SourceError, match=words) as raised:
        take(with_changes(SQL, changes))
    assert str(raised.value).startswith("dlt:tracker")
    assert "\n" not in str(raised.value)


def test_a_database_that_is_not_there_is_said_and_not_made(tmp_path: Path, monkeypatch, take) -> None:
    monkeypatch.setenv("TRACKER_URL", f"sqlite:///{tmp_path / 'trakcer.db'}")
    with pytest.raises(SourceError, match="the file that TRACKER_URL names does not exist; a relative path"):
        take(SQL)
    assert not (tmp_path / "trakcer.db").exists()


@pytest.fixture
def tickets(tmp_path: Path, monkeypatch, take: Callable[..., Any]) -> Callable[..., Any]:
    def pins(statements: str, **columns: str) -> Any:
        monkeypatch.setenv("TRACKER_URL", database(tmp_path / "other.db", statements))
        return take({**SQL, "tables": {"tickets": {"rows": "issues", "columns": columns}}}).pins

    return pins


def test_columns_without_a_type_are_read_without_a_word(tickets, capfd: pytest.CaptureFixture[str]) -> None:
    sql = "CREATE TABLE tickets (number, subject); INSERT INTO tickets VALUES (7, 'Vouchers');"
    assert tickets(sql, id="number", title="subject")
    assert "WARNING" not in capfd.readouterr().err


def test_a_column_that_is_not_named_is_not_asked_for(tickets) -> None:
    sql = "CREATE TABLE tickets (id INTEGER, title TEXT, closed TIMESTAMP);"
    (pin,) = tickets(sql + "INSERT INTO tickets VALUES (7, 'Vouchers', 'never');")
    assert pin["rows"] == 1


def test_bytes_are_said_to_need_a_view(tickets) -> None:
    with pytest.raises(SourceError, match="but bytes; name a view that casts it, or another one"):
        tickets("CREATE TABLE tickets (id INTEGER, title BLOB); INSERT INTO tickets VALUES (7, x'41');")


def test_a_table_without_rows_is_told(forge: Forge, take: Callable[..., Any], caplog: pytest.LogCaptureFixture) -> None:
    source = {**REST, "tables": {"issues": REST["tables"]["issues"]}}
    take(source)
    assert not caplog.text
    # one object in place of a list: dlt takes the first list in it, which has nothing
    forge.answers["issues"] = {"message": "Slow down.", "errors": []}
    (pin,) = take(source).pins
    assert pin["rows"] == 0
    assert "dlt:forge: issues has no rows now; if it should have, correct its endpoint" in caplog.text


def test_what_an_interface_lacks_is_said_in_a_sentence(forge: Forge, take: Callable[..., Any]) -> None:
    with pytest.raises(SourceError, match="no resource remarks; available: comments, issues"):
        take({**REST, "tables": {"remarks": {"rows": "reviews"}}})
    forge.pages["issues"] = [{**ISSUES[0], "title": ["a"]}]
    issues = {**REST, "tables": {"issues": REST["tables"]["issues"]}}
    with pytest.raises(SourceError, match=r"issues\.title holds no text or number but list"):
        take(issues)
    del forge.pages["issues"]
    with pytest.raises(SourceError, match=r"issues cannot be read .*404"):
        take(issues)
    client = {**REST["rest"]["client"], "paginator": {"type": "nonsense"}}
    with pytest.raises(SourceError, match="rest cannot be read"):
        take({**REST, "rest": {**REST["rest"], "client": client}})


@pytest.mark.parametrize("url", ["nonsense", "nodb://kim:hidden-word@127.0.0.1/x"])
def test_a_url_of_no_database_is_not_repeated(monkeypatch, take: Callable[..., Any], url: str) -> None:
    monkeypatch.setenv("TRACKER_URL", url)
    with pytest.raises(SourceError, match="dlt:tracker: tickets cannot be read") as raised:
        take(SQL)
    assert "hidden-word" not in str(raised.value)


def test_dlt_has_to_be_installed(tracker: Path, monkeypatch: pytest.MonkeyPatch, take: Callable[..., Any]) -> None:
    monkeypatch.setattr(fetch, "find_spec", lambda name: None)
    with pytest.raises(SourceError, match=r"pip install 'cortex-pipelines\[connectors\]'"):
        take(SQL)


@pytest.mark.parametrize(("of", "changes", "words"), CASES["what_is_wrong_with_a_declaration_is_said"])
def test_what_is_wrong_with_a_declaration_is_said(of: int, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        ProjectSettings.model_validate({"sources": [with_changes(declared(of), changes)]})


def test_a_message_does_not_quote_what_may_be_secret() -> None:
    for entry in (
        {**SQL, "sql": "postgresql://kim:word@forge.dev/db"},
        {**REST, "rest": {"client": {"headers": {"Authorization": "Bearer word"}}}},
    ):
        with pytest.raises(ValidationError) as refused:
            DltSource.model_validate(entry)
        message = describe_errors(refused.value, "", DltSource)
        assert "word" not in message
        assert "environment variable" in message


def test_a_date_in_a_declaration_is_text() -> None:
    resources = {"resources": [{"name": "issues", "params": {"since": date(2026, 1, 2)}}]}
    dated = DltSource.model_validate({**REST, "rest": resources})
    assert dated.rest == {"resources": [{"name": "issues", "params": {"since": "2026-01-02"}}]}
    assert len(dated.declaration["declared"]) == 16


def test_values_are_the_same_whatever_a_driver_calls_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = database(
        tmp_path / "a.db",
        "CREATE TABLE t (id INTEGER, a TIMESTAMP, b DECIMAL(4, 1), c BOOLEAN, d FLOAT, e TEXT);"
        "INSERT INTO t VALUES (1, '2026-01-02 03:04:05', 2.0, 1, 2.5, 'é');",
    )
    monkeypatch.setenv("URL", url)
    roles = {"task_id": "id", "master": "e", "success": "c", "timestamp": "a"}
    table = {"rows": "outcomes", "columns": roles | {"duration_seconds": "d", "tokens": "b"}}
    source = DltSource.model_validate({"dlt": "a", "sql": "URL", "tables": {"t": table}})
    assert fetch.take_snapshot(source, tmp_path)["rows"] == 1
    assert json.loads(stored_text(tmp_path)) == CASES["values_are_the_same_whatever_a_driver_calls_them"]


def test_private_values_are_taken_out(tracker: Path, read: Callable[..., Any], privacy: Any) -> None:
    secret, address = "AKIAQ4ZJ7XN2VPLM8RTD", "bo.miller@northgate.dev"
    text = f"Ask {address}, key {secret}"
    database(
        tracker,
        f"UPDATE tickets SET description = '{text}', subject = 'For {address}';",
        f"UPDATE remarks SET remark = '{text}';",
    )
    tables = read(SQL)
    (review,) = review_rows(tables.files, "demo", privacy).iter_rows(named=True)
    published = "".join(tables.texts.values()) + json.dumps(review)
    assert not [value for value in (secret, address, "northgate") if value in published]
    assert set(tables.redactions["category"]) == {"secret", "personal"}


def test_rows_are_limited_and_forgotten_as_files_are(tracker: Path, read: Callable[..., Any]) -> None:
    database(tracker, "INSERT INTO tickets VALUES (9, 'Long', printf('%.200000c', 'x'), NULL);")
    assert read(SQL).reasons == {"issues/tickets/9.md": "too_large"}
    assert "too_many_files" in read(SQL, max_files=1).reasons.values()


def test_names_that_no_file_can_have_are_hashed(tracker: Path, read: Callable[..., Any]) -> None:
    database(
        tracker,
        'CREATE TABLE "Open Bugs" (id TEXT, title TEXT);'
        "INSERT INTO \"Open Bugs\" VALUES ('../../x', 'A'), ('SHOP-7', 'B');",
    )
    texts = read({**SQL, "tables": {"Open Bugs": {"rows": "issues"}}}).texts
    assert sorted(texts.values()) == ["# A\n\n\n", "# B\n\n\n"]
    assert all(path.count("/") == 2 and ".." not in path for path in texts)


def test_a_snapshot_that_is_gone_or_changed_is_said(tmp_path: Path, tracker: Path, take, read_pinned) -> None:
    source = take(SQL)
    (path,) = (tmp_path / SNAPSHOTS).iterdir()
    text = path.read_text()
    path.write_text(text.replace("twice", "thrice"))
    with pytest.raises(SourceError, match=r"was changed; delete it and run `cortex update`"):
        read_pinned(source)
    path.unlink()
    with pytest.raises(SourceError, match="is not on this machine"):
        read_pinned(source)
    assert take(SQL).pins == source.pins
    assert path.read_text() == text


def test_snapshots_that_nothing_names_can_be_deleted(tmp_path: Path, tracker: Path, take: Callable[..., Any]) -> None:
    take(SQL)
    database(tracker, "DELETE FROM remarks;")
    (pin,) = take(SQL).pins
    assert prune_snapshots(tmp_path, [pin["sha256"]]) == 1
    assert [path.stem for path in (tmp_path / SNAPSHOTS).iterdir()] == [pin["sha256"]]
    assert prune_snapshots(tmp_path, []) == 1


def test_nobody_else_is_called(forge: Forge, tmp_path: Path, monkeypatch, take: Callable[..., Any]) -> None:
    called = []
    connect = socket.socket.connect

    def noted(client: socket.socket, address: Any) -> None:
        called.append(address)
        connect(client, address)

    monkeypatch.setattr(socket.socket, "connect", noted)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    take(REST)
    port = int(forge.url.rstrip("/").rpartition(":")[2])
    assert set(called) == {("127.0.0.1", port)}
    assert not (tmp_path / "home").exists()
    from dlt.common.runtime import anon_tracker

    assert anon_tracker.requests is None  # what it would report with was never made


@pytest.mark.parametrize(
    ("room", "where"), [("projects", "projects.shop.sources.0"), ("coordination", "coordination.sources.0")]
)
def test_private_values_in_a_declaration_are_refused(tmp_path: Path, room: str, where: str) -> None:
    auth = {"type": "http_basic", "username": "bo.miller@northgate.dev", "password": "${WORD}"}
    config = {**REST["rest"], "client": {**REST["rest"]["client"], "auth": auth}}
    rows = {"rows": "outcomes"} if room == "coordination" else {"rows": "reviews"}
    sources = [{**REST, "rest": config, "tables": {"comments": rows}}]
    inside: Any = {"shop": {"sources": sources}} if room == "projects" else {"sources": sources}
    file = tmp_path / "params.yaml"
    file.write_text(yaml.safe_dump({"projects": {}, room: inside}))
    with pytest.raises(ProjectError, match=rf"{where}\.rest contains what looks private") as raised:
        resolve(ROOT, file)
    assert "northgate" not in str(raised.value)


def test_a_declaration_reaches_the_pin_as_it_is_written(tmp_path: Path, tracker: Path, take) -> None:
    file = tmp_path / "params.yaml"
    file.write_text(examples("yaml")[0])
    source = ProjectSettings.model_validate(resolve(ROOT, file).files[project_file("shop")][ENTRY]).sources[1]
    (pin,) = take(SQL).pins
    assert source.declaration == {key: pin[key] for key in source.declaration}
